"""Decisions: on what was shown, never on one's own, on all or some of it, with changes, reasons and delegates."""

import pytest

from tenancy import attachments, decisions, progress, submissions
from tenancy.callers import NotPermitted, ReadOnlyToken
from tenancy.decisions import NoSuchItem, NotADelegate, NotAsShown, NothingToDecide, NotYours, OwnRequest, ReasonMissing
from tenancy.ledger import Balance
from tenancy.models import Membership
from tenancy.requests import NoSuchRequest
from tenancy.submissions import OverQuota
from tests.tenancy.bureau import Bureau, create


def test_approved_by_all_it_comes_about_and_what_was_held_is_used(bureau: Bureau) -> None:
    request = bureau.approve_all(bureau.submit(create("web", vcpu=4)))
    assert (request.state, [item.state for item in request.items]) == ("finished", ["done"])
    assert bureau.account() == Balance(limit=200, held=0, used=4)
    happened = bureau.happened(request.id)
    assert happened[0] == "request-submitted"
    assert happened[-1] == "request-finished"


def test_nobody_decides_on_their_own_request(bureau: Bureau) -> None:
    bureau.session.add(Membership(user_id=bureau.clerk.id, department_id=bureau.prefecture.id, role="approver"))
    bureau.session.flush()
    both = {*bureau.clerk.memberships, (bureau.prefecture.id, "approver")}
    clerk = type(bureau.clerk)(id=bureau.clerk.id, name="clerk", memberships=frozenset(both))
    request = bureau.submit(create())
    with pytest.raises(OwnRequest):
        decisions.accept(bureau.session, clerk, bureau.rules, request.id, bureau.digest(request))


def test_nobody_decides_on_what_they_supplemented(bureau: Bureau) -> None:
    request = bureau.submit(create())
    roles = {(bureau.bureau.id, "clerk"), (bureau.bureau.id, "approver")}
    head = type(bureau.head)(id=bureau.head.id, name="head", memberships=frozenset(roles))
    item = request.items[0].id
    submissions.supplement(bureau.session, head, bureau.rules, request.id, changes={item: {"size": {"vcpu": 8}}})
    bureau.accept(request)
    with pytest.raises(OwnRequest):
        bureau.approve(request, head)


def test_only_those_it_waits_for_decide(bureau: Bureau) -> None:
    request = bureau.submit(create())
    digest = bureau.digest(request)
    with pytest.raises(NotYours) as others:
        decisions.accept(bureau.session, bureau.head, bureau.rules, request.id, digest)
    assert others.value.figures["waits_for"] == ["authority"]
    colleague = bureau.person("colleague", "clerk", bureau.bureau)
    with pytest.raises(NotPermitted):
        decisions.accept(bureau.session, colleague, bureau.rules, request.id, digest)
    stranger = bureau.person("stranger", "approver", bureau._department("522302", "兴仁市", bureau.prefecture))
    with pytest.raises(NoSuchRequest):
        decisions.accept(bureau.session, stranger, bureau.rules, request.id, digest)
    bureau.accept(request)
    with pytest.raises(NotYours) as refused:
        bureau.approve(request, bureau.authority)
    assert refused.value.figures["waits_for"] == ["head"]


def test_a_step_takes_only_its_own_kind_of_decision(bureau: Bureau) -> None:
    request = bureau.submit(create())
    with pytest.raises(NothingToDecide):
        bureau.approve(request, bureau.authority)
    bureau.approve_all(request)
    with pytest.raises(NothingToDecide) as over:
        bureau.accept(request)
    assert over.value.figures["state"] == "finished"


def test_a_decision_binds_to_what_was_shown(bureau: Bureau) -> None:
    request = bureau.submit(create())
    seen = bureau.digest(request)
    submissions.supplement(bureau.session, bureau.clerk, bureau.rules, request.id, purpose="别的用途")
    with pytest.raises(NotAsShown) as changed:
        decisions.accept(bureau.session, bureau.authority, bureau.rules, request.id, seen)
    assert changed.value.figures["current"] == bureau.digest(request)
    seen = bureau.digest(request)
    bureau.fits = False  # no pool has room any more
    with pytest.raises(NotAsShown):
        decisions.accept(bureau.session, bureau.authority, bureau.rules, request.id, seen)
    bureau.accept(request)


def test_what_others_do_meanwhile_does_not_change_what_was_shown(bureau: Bureau) -> None:
    request = bureau.submit(create())
    seen = bureau.digest(request)
    bureau.submit(create("other"))
    decisions.accept(bureau.session, bureau.authority, bureau.rules, request.id, seen)


def test_a_supplement_asks_those_again_who_approved_something_else(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()))
    bureau.approve(request, bureau.head)
    assert bureau.open(request).name == "authority-review"
    item = request.items[0].id
    change = {item: {"size": {"vcpu": 8}}}
    submissions.supplement(bureau.session, bureau.clerk, bureau.rules, request.id, changes=change)
    assert bureau.open(request).name == "department-head"
    bureau.approve_all(request)
    assert (request.state, bureau.account().used) == ("finished", 8)


def test_an_approver_changes_what_is_asked_for(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create("web", vcpu=100)))
    item = request.items[0].id
    with pytest.raises(OverQuota) as refused:
        bureau.approve(request, bureau.head, changes={item: {"size": {"vcpu": 201}}})
    assert refused.value.field == "items.0.size.vcpu"
    with pytest.raises(NoSuchItem) as unknown:
        bureau.approve(request, bureau.head, changes={"itm_x": {"size": {"vcpu": 6}}})
    assert unknown.value.field == "changes.itm_x"
    bureau.approve(request, bureau.head, changes={item: {"size": {"vcpu": 6}}})
    assert bureau.account() == Balance(limit=200, held=6, used=0)
    bureau.approve_all(request)
    assert bureau.account().used == 6
    (told,) = [
        decision
        for step in progress.of(bureau.session, bureau.clerk, bureau.rules, request).steps
        for decision in step.step.decisions
        if decision.changes
    ]
    assert told.changes == {"size": {"vcpu": 6}}


def test_items_are_decided_singly_and_the_outcome_says_so(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create("one", vcpu=1), create("two", vcpu=2), create("three", vcpu=3)))
    one, two, three = (item.id for item in request.items)
    bureau.approve(request, bureau.head, items=[one])
    assert bureau.open(request).name == "department-head"
    decisions.refuse(
        bureau.session, bureau.head, bureau.rules, request.id, bureau.digest(request), "用途重复", items=[two]
    )
    assert bureau.account().held == 4
    with pytest.raises(NoSuchItem) as decided:
        bureau.approve(request, bureau.head, items=[two])
    assert (decided.value.field, decided.value.figures["open"]) == ("items.0", [three])
    bureau.approve_all(request)
    assert request.state == "finished"
    assert [item.state for item in request.items] == ["done", "refused", "done"]
    (told,) = progress.summaries(bureau.session, bureau.clerk, bureau.rules, [request])
    parts = told.outcome["figures"]["parts"]
    assert [(part["slug"], part["figures"]["count"]) for part in parts] == [
        ("items-done", 2),
        ("items-refused-because", 1),
    ]
    assert parts[1]["figures"]["because"][0]["figures"]["reason"] == "用途重复"


def test_a_refusal_needs_a_reason_and_frees_what_was_held(bureau: Bureau) -> None:
    request = bureau.submit(create())
    with pytest.raises(ReasonMissing):
        decisions.refuse(bureau.session, bureau.authority, bureau.rules, request.id, bureau.digest(request), " ")
    decisions.refuse(bureau.session, bureau.authority, bureau.rules, request.id, bureau.digest(request), "不属本级")
    assert (request.state, bureau.account().held) == ("refused", 0)
    assert {step.state for step in request.steps} == {"done", "skipped"}


def test_what_is_left_of_a_returned_request_can_be_withdrawn(bureau: Bureau) -> None:
    request = bureau.submit(create("one", vcpu=1), create("two", vcpu=1))
    shown = bureau.digest(request)
    decisions.refuse(
        bureau.session, bureau.authority, bureau.rules, request.id, shown, "重复", items=[request.items[0].id]
    )
    decisions.send_back(bureau.session, bureau.authority, bureau.rules, request.id, bureau.digest(request), "补充")
    submissions.withdraw(bureau.session, bureau.clerk, request.id)
    assert (request.state, bureau.account().held) == ("withdrawn", 0)


def test_accepted_with_documents_missing_nothing_starts_before_they_are_there(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()), missing=("预算批复",))
    bureau.approve_all(request)
    (item,) = request.items
    assert (item.state, item.reason["slug"], request.missing) == ("pending", "documents-missing", ["预算批复"])
    (told,) = progress.summaries(bureau.session, bureau.clerk, bureau.rules, [request])
    waits = told.awaited
    assert waits
    assert (waits.who, [user.login for user in waits.people]) == ("applicant", ["clerk"])
    with pytest.raises(submissions.NothingAttached):
        submissions.supplement(bureau.session, bureau.clerk, bureau.rules, request.id, provided=["预算批复"])
    paper = ("预算批复.pdf", "application/pdf", b"%PDF-1.7")
    attachments.attach(bureau.session, bureau.clerk, bureau.rules, request.id, *paper)
    submissions.supplement(bureau.session, bureau.clerk, bureau.rules, request.id, provided=["预算批复"])
    assert (item.state, item.reason, request.state) == ("done", None, "finished")


def test_an_approver_cannot_put_a_key_of_their_own_into_a_tenancy(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()))
    (item,) = request.items
    shown = bureau.digest(request)
    change = {item.id: {"keys": ["ssh-ed25519 AAAA"]}}
    with pytest.raises(submissions.TenantsOwn) as refused:
        decisions.approve(bureau.session, bureau.head, bureau.rules, request.id, shown, changes=change)
    assert refused.value.field == "items.0.keys"


def test_a_delegate_decides_too_but_not_with_a_token_for_reading(bureau: Bureau) -> None:
    deputy = bureau.person("deputy", "clerk", bureau.bureau)
    request = bureau.accept(bureau.submit(create()))
    with pytest.raises(NotADelegate):
        decisions.delegate(bureau.session, bureau.head, bureau.rules, request.id, "clerk")  # who submitted it
    with pytest.raises(NotADelegate):
        decisions.delegate(bureau.session, bureau.head, bureau.rules, request.id, "parent")
    decisions.delegate(bureau.session, bureau.head, bureau.rules, request.id, "deputy")
    reader = type(deputy)(id=deputy.id, name="deputy", memberships=deputy.memberships, scope="read")
    with pytest.raises(ReadOnlyToken):
        bureau.approve(request, reader)
    bureau.approve(request, deputy)
    assert bureau.open(request).name == "authority-review"


def test_a_kind_whose_start_breaks_stalls_nobody_else(bureau: Bureau) -> None:
    poison, other = bureau.submit(create("poison")), bureau.submit(create("other"))
    bureau.breaks = RuntimeError("poison")
    bureau.accept(poison)
    bureau.approve(poison, bureau.head)
    with pytest.raises(RuntimeError), bureau.session.begin_nested():
        bureau.approve(poison, bureau.authority)
    bureau.breaks = None
    assert bureau.approve_all(other).state == "finished"
    assert bureau.approve_all(poison).state == "finished"
