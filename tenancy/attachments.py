"""Attachments: the papers of a request, kept as they came, with their digest. They are part of what is decided on."""

import hashlib
import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from cloudctl.kernel import audit, events, ids
from cloudctl.kernel.errors import Conflict, Invalid, NotFound
from tenancy import approvals, requests
from tenancy.callers import Caller
from tenancy.models import Attachment, Request
from tenancy.rules import Rules

NAME_LENGTH = 120
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\Z")


class BadFileName(Invalid):
    """A file name is 1 to `most` printable characters, has no slash or backslash and does not begin with a dot."""


class BadMediaType(Invalid):
    """Not a media type (RFC 6838), such as application/pdf."""


class AttachmentTooLarge(Invalid):
    """The content has more bytes than an attachment may have."""


class AttachmentEmpty(Invalid):
    """The content has no bytes."""


class FileNameTaken(Conflict):
    """The request has an attachment of this name with another content."""


class RequestDecided(Conflict):
    """Nothing can be attached to a request once it is decided."""


class NoSuchAttachment(NotFound):
    """The request has no such attachment."""


def attach(
    session: Session, caller: Caller, rules: Rules, request_id: str, name: str, media_type: str, content: bytes
) -> Attachment:
    """Add a paper to a request that is not decided; the same one again is kept once.

    It changes what is shown: approvals given before are asked for again, unless the request was accepted
    without papers that are still missing.

    Raises:
        NoSuchRequest, NotPermitted: the request is not the caller's to see, or to add to.
        RequestDecided: it is too late.
        BadFileName, BadMediaType, AttachmentTooLarge, AttachmentEmpty: with the rule and the figures.
        FileNameTaken: another content has this name.
    """
    request = requests.seen_by(session, caller, request_id, lock=True)
    caller.must("request:attach", request.department)
    if request.state not in ("examining", "returned"):
        raise RequestDecided(request=request.number, state=request.state)
    _check(rules, name, media_type, content)
    digest = hashlib.sha256(content).hexdigest()
    for known in request.attachments:
        if known.name == name:
            if known.digest != digest:
                raise FileNameTaken(field="file", name=name, digest=known.digest)
            return known
    attachment = Attachment(
        id=ids.new("att"), name=name, media_type=media_type, size=len(content), digest=digest, content=content
    )
    request.attachments.append(attachment)
    session.flush()
    if not request.missing:
        approvals.supersede(session, rules, request)
        approvals.open_next(session, rules, request)
    figures: dict[str, Any] = {"name": name, "size": len(content), "digest": digest}
    events.record(session, request.id, "attachment-added", caller.id, **figures)
    audit.record(session, caller, "request:attach", request.id, department=request.department_id, **figures)
    return attachment


def read(session: Session, caller: Caller, request_id: str, attachment_id: str) -> Attachment:
    """An attachment with its content, for those who see its request.

    Raises:
        NoSuchRequest, NoSuchAttachment: there is none, or it is not the caller's to see.
    """
    request: Request = requests.seen_by(session, caller, request_id)
    query = select(Attachment).where(Attachment.id == attachment_id, Attachment.request_id == request.id)
    found = session.scalar(query.options(undefer(Attachment.content)))
    if found is None:
        raise NoSuchAttachment(request=request.number, attachment=attachment_id)
    return found


def _check(rules: Rules, name: str, media_type: str, content: bytes) -> None:
    if not (0 < len(name) <= NAME_LENGTH and name.isprintable()) or name[0] == "." or {"/", "\\"} & {*name}:
        raise BadFileName(field="file", name=name[:NAME_LENGTH], length=len(name), most=NAME_LENGTH)
    if not _MEDIA_TYPE.match(media_type):
        raise BadMediaType(field="file", given=media_type[:NAME_LENGTH])
    most = rules.settings.attachment_bytes
    if len(content) > most:
        raise AttachmentTooLarge(field="file", size=len(content), most=most)
    if not content:
        raise AttachmentEmpty(field="file", name=name)
