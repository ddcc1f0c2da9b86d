"""A call: one thread, one transaction, one caller, one answer. A route names what it needs by type and gets it.

A route is a plain function; what it returns is answered, and committed before it is. It never commits itself.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, get_args, get_type_hints

from fastapi import APIRouter, Header
from fastapi.params import Body, Form
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from cloudctl.api import bodies, errors, idempotency
from cloudctl.api.idempotency import InProgress, Kept, Keyed
from cloudctl.api.platform import Platform
from cloudctl.api.views import Disclosure, View
from cloudctl.kernel import audit
from cloudctl.kernel.audit import Actor
from cloudctl.kernel.errors import Forbidden, Problem, Unauthenticated, Unavailable
from cloudctl.kernel.messages import Language
from cloudctl.kernel.secrets import Vault
from cloudctl.kernel.settings import Settings
from tenancy import tokens
from tenancy.callers import Caller
from tenancy.rules import Rules

_READING = frozenset({"GET", "HEAD"})


class TokenMissing(Unauthenticated):
    """The call carries no token: `Authorization: Bearer cct_…`."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer, or is too busy."""


@dataclass
class Call:
    """One call while it is worked on."""

    platform: Platform
    request: Request
    session: Session
    by: Caller | None = field(default=None)

    @cached_property
    def caller(self) -> Caller:
        secret = secret_of(self.request)
        address = self.request.client.host if self.request.client else None
        self.by = tokens.authenticate(
            self.session, self.platform.settings, secret, address=address, request_id=self.request.scope.get("call")
        )
        return self.by


@dataclass(frozen=True)
class Supplied:
    """Marks a parameter of a route that the frame fills in; `of_caller`: not without knowing who calls."""

    what: Callable[[Call], Any]
    of_caller: bool = False


CallerDep = Annotated[Caller, Supplied(lambda call: call.caller, of_caller=True)]
"""Whoever calls. A route that names no caller is open to everybody."""

SessionDep = Annotated[Session, Supplied(lambda call: call.session)]
PlatformDep = Annotated[Platform, Supplied(lambda call: call.platform)]
SettingsDep = Annotated[Settings, Supplied(lambda call: call.platform.settings)]
RulesDep = Annotated[Rules, Supplied(lambda call: call.platform.rules)]
VaultDep = Annotated[Vault, Supplied(lambda call: call.platform.vault)]
LanguageDep = Annotated[Language, Supplied(lambda call: errors.language_of(call.request))]
RequestDep = Annotated[Request, Supplied(lambda call: call.request)]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of the caller's own choice: the same call sent again with it is done only once.",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        examples=["5c0a4a4e-0d0b-4c66-8f9d-0d6f3f6f8a54"],
    ),
]


class Route(APIRoute):
    """A route whose function runs as a Call."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        posts = "POST" in (options.get("methods") or ())
        returns = get_type_hints(endpoint).get("return")
        status = options["status_code"] = options.get("status_code") or (204 if returns is type(None) else 200)
        supplied = _supplied(endpoint)
        self.is_public = not any(one.of_caller for one in supplied.values())
        super().__init__(path, _framed(endpoint, supplied, path, status, posts), **options)
        self._parameters = frozenset(one.alias for one in self.dependant.query_params)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answered = super().get_route_handler()
        media_type = _media_type(self)

        async def handle(request: Request) -> Response:
            if not self.is_public:
                secret_of(request)  # who brings none is not listened to
            bodies.must_be_known(request, self._parameters)
            if media_type:
                most = request.app.state.platform.settings.attachment_bytes
                request.scope["body"] = await bodies.take(request, media_type, most)
            return await answered(request)

        return handle


def router(prefix: str, tag: str) -> APIRouter:
    """The routes of one noun, below `/v1`. Each file of routes calls its own `routes`."""
    return APIRouter(prefix=f"/v1{prefix}", tags=[tag], route_class=Route)


def _supplied(endpoint: Callable[..., Any]) -> dict[str, Supplied]:
    hints = get_type_hints(endpoint, include_extras=True)
    marks = {name: [one for one in get_args(hint)[1:] if isinstance(one, Supplied)] for name, hint in hints.items()}
    return {name: mark[0] for name, mark in marks.items() if mark}


def _media_type(route: APIRoute) -> str | None:
    if route.body_field is None:
        return None
    about = route.body_field.field_info
    if isinstance(about, Form):
        return "multipart/form-data"
    assert isinstance(about, Body)
    return about.media_type


def _framed(
    endpoint: Callable[..., Any], supplied: Mapping[str, Supplied], path: str, status: int, posts: bool
) -> Callable[..., Response]:
    """The function that FastAPI calls: it asks for the call itself, and for the key of a POST, in place of what is
    supplied."""

    def run(call_: Request, key_: str | None = None, **given: Any) -> Response:
        platform: Platform = call_.app.state.platform
        call: Call | None = None
        try:
            with Session(platform.engine, expire_on_commit=False) as session:
                call = Call(platform, call_, session)
                response = answer(call, key_, given)
                session.commit()
                return response
        except Problem as problem:
            _audit_refusal(platform, call_, call.by if call else None, path, problem)
            raise
        except (OperationalError, PoolTimeout) as error:
            if key_ and "idempotency_records" in str(getattr(error, "statement", "")):
                raise InProgress(field="Idempotency-Key") from error
            raise DatabaseUnavailable() from error

    def answer(call: Call, key: str | None, given: dict[str, Any]) -> Response:
        if not key:
            return _response(_result(call, given), status)
        keyed = Keyed(call.caller.id, f"POST {path}", key, _digest(call.request))
        if kept := idempotency.begin(call.session, call.platform.settings, keyed):
            return _written(kept.body, kept.status, kept.etag, {"Idempotent-Replay": "true"})
        result = _result(call, given)
        response = _response(result, status)
        told = result.without_secrets().model_dump_json().encode() if isinstance(result, Disclosure) else response.body
        idempotency.keep(call.session, keyed, Kept(response.status_code, bytes(told), response.headers.get("etag")))
        return response

    def _result(call: Call, given: dict[str, Any]) -> Any:
        return endpoint(**given, **{name: one.what(call) for name, one in supplied.items()})

    signature = inspect.signature(endpoint, eval_str=True)
    kept = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in signature.parameters.items()
        if name not in supplied
    ]
    added = [inspect.Parameter("call_", inspect.Parameter.KEYWORD_ONLY, annotation=Request)]
    if posts:
        added.append(inspect.Parameter("key_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=IdempotencyKey))
    run.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    run.__name__, run.__doc__, run.__module__ = endpoint.__name__, endpoint.__doc__, endpoint.__module__
    return run


def _response(result: Any, status: int) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=status)
    assert isinstance(result, View)
    version = getattr(result, "version", None)
    return _written(result.model_dump_json().encode(), status, None if version is None else f'"{version}"')


def _written(body: bytes, status: int, etag: str | None, headers: Mapping[str, str] | None = None) -> Response:
    said = dict(headers or {})
    if etag:
        said["ETag"] = etag
    return Response(body, status, said, "application/json" if body else None)


def _digest(request: Request) -> str:
    """What makes two calls the same: where they go and what they say, but not the boundary a form happens to have."""
    said: bytes = request.scope.get("body", b"")
    _, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    if boundary:
        said = said.replace(boundary.strip('"').encode("latin-1"), b"")
    return idempotency.digest_of(request.url.path.encode(), request.scope["query_string"], said)


def secret_of(request: Request) -> str:
    """The secret that a call carries.

    Raises:
        TokenMissing: it carries none.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise TokenMissing
    return secret.strip()


def _audit_refusal(platform: Platform, request: Request, by: Caller | None, path: str, problem: Problem) -> None:
    """Write down, by itself, what somebody was refused. Reading what is not there is no deed; nor is a wrong secret
    that belongs to no token."""
    if by is None and type(problem) in (tokens.BadToken, TokenMissing):
        return
    if request.method in _READING and not isinstance(problem, Forbidden | Unauthenticated):
        return
    actor = by or Actor(id="anonymous", name="anonymous", address=request.client.host if request.client else None)
    action = problem.figures.get("permission") or f"{request.method} {path}"
    with Session(platform.engine) as session, session.begin():
        audit.record(session, actor, str(action), request.url.path[:200], result="refused", reason=problem.slug)
