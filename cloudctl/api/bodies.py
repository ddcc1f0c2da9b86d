"""Bodies and addresses as they come in: read once, bounded, and refused before anybody trusts what is not clean."""

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request

from cloudctl.kernel.errors import Invalid

JSON_BYTES = 2**20
_FORM_SLACK = 2**16  # of a multipart form, beside the attachment itself
_DEPTH = 50


class MalformedBody(Invalid):
    """The body cannot be read as what it says it is; tells where it stops making sense."""


class DuplicateKey(Invalid):
    """An object of the JSON body names a key twice; which one counts would be a guess."""


class BodyTooLarge(Invalid):
    """The body has more bytes than this route takes."""


class WrongMediaType(Invalid):
    """The body is of another media type than this route takes."""


class UnprintableText(Invalid):
    """A text holds NUL or half a character, which nothing can store."""


class UnknownParameter(Invalid):
    """A query parameter that this route does not have: a misspelt filter must not return everything."""


class RepeatedParameter(Invalid):
    """A query parameter is given twice."""


def strict_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        MalformedBody, DuplicateKey, UnprintableText: it is not JSON (RFC 8259), or not only one thing.
    """
    try:
        value = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise MalformedBody(position=error.start, fault="not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(position=error.pos, fault=error.msg) from None
    except (RecursionError, ValueError):  # nested without end; an integer of thousands of digits
        raise MalformedBody(position=0, fault="nested too deeply, or a number too long") from None
    if b"\\u" in body or b"\0" in body:
        _must_be_text(value, ())
    return value


def must_be_known(request: Request, parameters: frozenset[str]) -> None:
    """Refuse what the route would not look at, and what no text may hold.

    Raises:
        UnknownParameter, RepeatedParameter, UnprintableText: names the parameter.
    """
    if "\0" in request.url.path or "\0" in request.scope["path"]:
        raise UnprintableText(field="path")
    if not request.scope["query_string"]:
        return
    seen = set()
    for name, value in request.query_params.multi_items():
        if name not in parameters:
            shown = name[:80].replace("\0", "�")
            raise UnknownParameter(field=shown, name=shown, known=sorted(parameters))
        if name in seen:
            raise RepeatedParameter(field=name, name=name)
        if "\0" in value:
            raise UnprintableText(field=name)
        seen.add(name)


async def take(request: Request, media_type: str, attachment_bytes: int) -> bytes:
    """The body of a route that takes `media_type`; it stays readable from the request, as JSON where it is that.

    Raises:
        WrongMediaType, BodyTooLarge: it is not for this route.
        MalformedBody, DuplicateKey, UnprintableText: it is not what it says it is, or was cut off.
    """
    is_json = media_type == "application/json"
    most = JSON_BYTES if is_json else attachment_bytes + _FORM_SLACK
    body = request._body = await _read(request, most)  # where starlette keeps a body that was read
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and given != media_type:
        raise WrongMediaType(given=given[:80] or None, expected=media_type)
    if body and is_json:
        request._json = strict_json(body)
    return body


async def _read(request: Request, most: int) -> bytes:
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise BodyTooLarge(most=most)
            chunks.append(chunk)
    except ClientDisconnect:
        raise MalformedBody(position=size, fault="cut off") from None
    return b"".join(chunks)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:80]
        raise DuplicateKey(field=twice, name=twice)
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)  # it would be told back as Infinity
    return number


def _must_be_text(value: Any, path: tuple[str, ...]) -> None:
    if len(path) > _DEPTH:
        raise MalformedBody(position=0, fault="nested too deeply, or a number too long")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise UnprintableText(field=".".join(path))
    elif isinstance(value, Mapping):
        for name, one in value.items():
            _must_be_text(name, (*path, "?"))
            _must_be_text(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _must_be_text(one, (*path, str(index)))
