"""Papers: kept as they came, part of what is decided on, and refused with figures."""

import hashlib
from typing import Any

import pytest

from cloudctl.kernel.errors import Problem
from tenancy import attachments, decisions
from tenancy.callers import NotPermitted
from tenancy.decisions import NotAsShown
from tenancy.models import Attachment, Request
from tenancy.requests import NoSuchRequest
from tests.tenancy.bureau import Bureau, create

PAPER = b"%PDF-1.7 plan"


def attach(
    bureau: Bureau, request: Request, name: str = "建设方案.pdf", content: bytes = PAPER, **other: Any
) -> Attachment:
    media_type = other.pop("media_type", "application/pdf")
    by = other.pop("by", bureau.clerk)
    return attachments.attach(bureau.session, by, bureau.rules, request.id, name, media_type, content)


def test_a_paper_is_kept_as_it_came_with_its_digest(bureau: Bureau) -> None:
    request = bureau.submit(create())
    made = attach(bureau, request)
    assert (made.size, made.digest) == (len(PAPER), hashlib.sha256(PAPER).hexdigest())
    bureau.session.flush()
    bureau.session.expire_all()
    read = attachments.read(bureau.session, bureau.head, request.number, made.id)
    assert (read.content, read.name, read.media_type) == (PAPER, "建设方案.pdf", "application/pdf")


def test_the_same_paper_again_is_kept_once_and_another_of_its_name_refused(bureau: Bureau) -> None:
    request = bureau.submit(create())
    assert attach(bureau, request).id == attach(bureau, request).id
    with pytest.raises(attachments.FileNameTaken) as taken:
        attach(bureau, request, content=b"another")
    assert taken.value.figures["digest"] == hashlib.sha256(PAPER).hexdigest()


def test_a_paper_changes_what_is_decided_on(bureau: Bureau) -> None:
    request = bureau.submit(create())
    seen = bureau.digest(request)
    attach(bureau, request)
    with pytest.raises(NotAsShown):
        decisions.accept(bureau.session, bureau.authority, bureau.rules, request.id, seen)
    bureau.accept(request)


def test_who_approved_before_a_paper_came_is_asked_again(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()))
    bureau.approve(request, bureau.head)
    attach(bureau, request)
    step = bureau.open(request)
    assert step
    assert step.name == "department-head"
    assert bureau.approve_all(request).state == "finished"


def test_papers_that_were_still_missing_do_not_ask_anybody_again(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()), missing=("预算批复",))
    bureau.approve(request, bureau.head)
    attach(bureau, request, "预算批复.pdf")
    step = bureau.open(request)
    assert step
    assert step.name == "authority-review"


def test_a_step_that_is_asked_again_keeps_the_days_it_has_left(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()))
    step = bureau.open(request)
    assert step
    due_at = step.due_at
    attach(bureau, request)
    assert (bureau.open(request), step.due_at) == (step, due_at)


@pytest.mark.parametrize(
    ("name", "media_type", "content", "slug"),
    [
        ("", "application/pdf", PAPER, "bad-file-name"),
        (".htaccess", "application/pdf", PAPER, "bad-file-name"),
        ("../../etc/passwd", "application/pdf", PAPER, "bad-file-name"),
        ("a\\b.pdf", "application/pdf", PAPER, "bad-file-name"),
        ("a\nb.pdf", "application/pdf", PAPER, "bad-file-name"),
        ("x" * 121, "application/pdf", PAPER, "bad-file-name"),
        ("a.pdf", "pdf", PAPER, "bad-media-type"),
        ("a.pdf", "text/html\r\nX-Bad: 1", PAPER, "bad-media-type"),
        ("a.pdf", "application/pdf", b"", "attachment-empty"),
    ],
)
def test_a_bad_paper_is_refused(bureau: Bureau, name: str, media_type: str, content: bytes, slug: str) -> None:
    with pytest.raises(Problem) as refused:
        attach(bureau, bureau.submit(create()), name, content, media_type=media_type)
    assert (refused.value.slug, refused.value.field) == (slug, "file")


def test_a_paper_that_is_too_large_is_refused_with_figures(bureau: Bureau) -> None:
    request = bureau.submit(create())
    most = bureau.rules.settings.attachment_bytes
    attach(bureau, request, "full.bin", b"x" * most)
    with pytest.raises(attachments.AttachmentTooLarge) as refused:
        attach(bureau, request, "more.bin", b"x" * (most + 1))
    assert refused.value.figures == {"size": most + 1, "most": most}


def test_nothing_is_attached_to_what_is_decided_or_not_ones_own(bureau: Bureau) -> None:
    request = bureau.submit(create())
    with pytest.raises(NotPermitted):
        attach(bureau, request, by=bureau.head)
    stranger = bureau.person("stranger", "clerk", bureau._department("522302", "兴仁市", bureau.prefecture))
    with pytest.raises(NoSuchRequest):
        attach(bureau, request, by=stranger)
    made = attach(bureau, request)
    with pytest.raises(NoSuchRequest):
        attachments.read(bureau.session, stranger, request.id, made.id)
    other = bureau.submit(create("other"))
    with pytest.raises(attachments.NoSuchAttachment):
        attachments.read(bureau.session, bureau.clerk, other.id, made.id)
    bureau.approve_all(request)
    with pytest.raises(attachments.RequestDecided) as late:
        attach(bureau, request, "late.pdf")
    assert late.value.figures["state"] == "finished"
