"""Problems as answers (RFC 9457): one table from kinds to statuses, sentences in the caller's language."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloudctl.api.bodies import BodyTooLarge, MalformedBody, WrongMediaType
from cloudctl.kernel import errors, messages
from cloudctl.kernel.errors import Problem
from cloudctl.kernel.messages import Language
from cloudctl.kernel.parsing import MissingField, problems_of

MEDIA_TYPE = "application/problem+json"


class NoSuchRoute(errors.NotFound):
    """Nothing answers at this path."""


class WrongMethod(errors.Invalid):
    """The path exists, but not with this method."""


class VersionMissing(errors.Invalid):
    """This change needs an If-Match header with the version that the caller has seen."""


class InternalFault(errors.Problem):
    """A fault of ours; the logs have it under the id of the call."""


STATUSES: Mapping[type[Problem], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    WrongMethod: 405,
    errors.Conflict: 409,
    errors.Exhausted: 409,
    errors.Outdated: 412,
    BodyTooLarge: 413,
    WrongMediaType: 415,
    errors.Invalid: 422,
    VersionMissing: 428,
    InternalFault: 500,
    errors.Unavailable: 503,
}
"""Kind -> status; the nearest kind that a problem is of counts."""

_log = logging.getLogger(__name__)


def status_of(problem: Problem) -> int:
    return next(STATUSES[kind] for kind in type(problem).__mro__ if kind in STATUSES)


def body_of(problem: Problem, language: Language, call: str | None = None) -> dict[str, Any]:
    """A problem as RFC 9457 has it, with its slug, figures and field; Several lists each."""
    said: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": messages.render(f"title-{status_of(problem)}", {}, language),
        "status": status_of(problem),
        "detail": messages.render(problem.slug, problem.figures, language),
        "slug": problem.slug,
        "figures": problem.figures,
        "field": problem.field,
    }
    if isinstance(problem, errors.Several):
        said["errors"] = [_one_of(each, language) for each in problem.problems]
    if call:
        said["instance"] = f"/calls/{call}"
    return said


def answer(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a call that met a problem."""
    status = status_of(problem)
    said = {"Content-Language": language_of(request), "Vary": "Accept-Language", **(headers or {})}
    if status == 401:
        said["WWW-Authenticate"] = 'Bearer realm="cloudctl"'
    if status == 503:
        said["Retry-After"] = "5"
    body = body_of(problem, language_of(request), request.scope.get("call"))
    return Response(_written(body), status, said, MEDIA_TYPE)


def language_of(request: Request) -> Language:
    """The language of whoever calls."""
    return messages.choose(request.headers.get("accept-language"))


def invalid_request(error: RequestValidationError) -> Problem:
    """What FastAPI found wrong with a call, as problems that name the field and not the place it came in."""
    found: list[Problem] = []
    for one in error.errors():
        place, *path = one["loc"]
        if place == "header" and one["type"] == "missing" and str(path[0]).lower() == "if-match":
            return VersionMissing(field="If-Match")
        found += (
            problems_of([{**one, "loc": path}]) if path or one["type"] != "missing" else [MissingField(field="body")]
        )
    return found[0] if len(found) == 1 else errors.Several(found)


def install(app: FastAPI) -> None:
    """Answer with a problem whatever goes wrong inside `app`."""

    async def known(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, Problem)
        return answer(request, problem)

    async def malformed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, invalid_request(error))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, method = request.url.path[:200], request.method
        if error.status_code == 404:
            return answer(request, NoSuchRoute(path=path))
        if error.status_code == 405:
            return answer(request, WrongMethod(path=path, method=method), error.headers)
        return answer(request, MalformedBody(field="body", position=0, fault=str(error.detail)[:200]))

    app.add_exception_handler(Problem, known)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, unrouted)


def _one_of(problem: Problem, language: Language) -> dict[str, Any]:
    detail = messages.render(problem.slug, problem.figures, language)
    return {"slug": problem.slug, "detail": detail, "figures": problem.figures, "field": problem.field}


def _written(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace")
