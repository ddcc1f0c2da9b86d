"""Tokens: the keys to the API. Only the SHA-256 of a secret is kept; whoever presents the secret becomes a Caller."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlalchemy import Select, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, ids
from cloudctl.kernel.errors import Invalid, NotFound, Problem, Unauthenticated, all_or_none
from cloudctl.kernel.settings import Settings
from tenancy.callers import Caller, Scope
from tenancy.departments import name_faults
from tenancy.models import Membership, PlatformRole, Token, User

SCOPES: tuple[Scope, ...] = ("read", "write")
LONGEST_DAYS = 366
_USE_NOTED_EVERY = timedelta(minutes=1)


class BadToken(Unauthenticated):
    """No token has this secret. Nothing more is told to whoever does not know one."""


class TokenExpired(BadToken):
    """The secret is right, but its time is over."""


class TokenRevoked(BadToken):
    """The secret is right, but the token was revoked."""


class TokenLocked(BadToken):
    """The secret is right, but too many wrong ones were tried; says until when nothing is accepted."""


class TokenOfDisabledUser(BadToken):
    """The secret is right, but its person was locked out."""


class NoSuchToken(NotFound):
    """There is none with this id, or it is somebody else's."""


class BadScope(Invalid):
    """A token is for reading, or for writing too."""


class BadDays(Invalid):
    """A token is valid for a day at least, and not for longer than the most there is."""


def create(
    session: Session,
    caller: Caller,
    settings: Settings,
    *,
    name: str,
    scope: Scope = "write",
    days: int | None = None,
    user: str | None = None,
) -> tuple[Token, str]:
    """Make a token and tell its secret, this once.

    Args:
        days: until it expires; None takes the platform's usual number.
        user: id of the person it is for, where the server itself makes it; None is the caller.

    Raises:
        NotPermitted: the token would be another person's.
        BadName, BadScope, BadDays: Several where more than one is wrong.
    """
    caller.must("token:create" if user in (None, caller.id) else "token:issue")
    lasts = settings.token_days if days is None else days
    problems: list[Problem] = name_faults(name=name)
    problems += [] if scope in SCOPES else [BadScope(field="scope", scope=scope, scopes=list(SCOPES))]
    problems += [] if 1 <= lasts <= LONGEST_DAYS else [BadDays(field="days", days=lasts, least=1, most=LONGEST_DAYS)]
    all_or_none(problems)
    id = ids.new("tok")
    secret = f"cct_{id.removeprefix('tok_')}_{secrets.token_urlsafe(32)}"
    token = Token(
        id=id,
        user_id=user or caller.id,
        name=name.strip(),
        digest=digest(secret),
        scope=scope,
        expires_at=clock.now() + timedelta(days=lasts),
    )
    session.add(token)
    session.flush()
    audit.record(session, caller, "token:create", token.id, user=token.user_id, scope=scope, days=lasts)
    return token, secret


def revoke(session: Session, caller: Caller, token: str) -> Token:
    """Make a token worthless at once: one's own, or anybody's as the security administrator. May be repeated.

    Raises:
        NoSuchToken: there is none with this id, or it is somebody else's.
    """
    caller.must("token:revoke")
    found = session.scalar(_seen(caller).where(Token.id == token))
    if found is None:
        raise NoSuchToken(token=token)
    if found.revoked_at is None:
        found.revoked_at = clock.now()
        session.flush()
        audit.record(session, caller, "token:revoke", found.id, user=found.user_id)
    return found


def listed(session: Session, caller: Caller, *, after: str | None = None, limit: int = 50) -> list[Token]:
    """One's own tokens, or everybody's for the security administrator, newest first; `after` is the last id read."""
    caller.must("token:read")
    query = _seen(caller).order_by(Token.id.desc()).limit(limit)
    if after:
        query = query.where(Token.id < after)
    return list(session.scalars(query))


def authenticate(
    session: Session, settings: Settings, secret: str, *, address: str | None = None, request_id: str | None = None
) -> Caller:
    """Tell who presents a secret. To be called first in a session: it ends the transaction where it has to remember
    something (a wrong secret, the use of the token), so that a refused call does not take the count back.

    Raises:
        BadToken: nobody we know; of its kinds a telling one, but only where the secret is right.
    """
    id = f"tok_{secret.removeprefix('cct_').partition('_')[0]}"
    # Every call pays for this: on the connection it costs a third less than through the session.
    found = session.connection().execute(_WHO, {"id": id}).one_or_none() if ids.is_id(id, "tok") else None
    right = hmac.compare_digest(digest(secret), found.digest if found else _NOBODY)
    if found is None:
        raise BadToken
    moment = clock.now()
    locked = found.locked_until is not None and found.locked_until > moment
    caller = Caller(
        id=found.user_id,
        name=found.name,
        address=address,
        request_id=request_id,
        memberships=frozenset((department, role) for department, role in found.memberships or ()),
        platform_role=found.platform_role,
        scope=found.scope,
    )
    if not right:
        if not locked:
            _count_failure(session, settings, caller, found.id)
        raise BadToken
    if locked:
        raise TokenLocked(until=found.locked_until.isoformat())
    if found.revoked_at:
        raise TokenRevoked
    if found.expires_at <= moment:
        raise TokenExpired(expired_at=found.expires_at.isoformat())
    if found.disabled_at:
        raise TokenOfDisabledUser
    if found.failures or found.last_used_at is None or moment - found.last_used_at >= _USE_NOTED_EVERY:
        session.execute(
            update(Token).where(Token.id == found.id).values(last_used_at=moment, failures=0, locked_until=None)
        )
        session.commit()
    return caller


_WHO = (
    select(
        *(Token.id, Token.user_id, Token.digest, Token.scope, Token.expires_at, Token.revoked_at),
        *(Token.last_used_at, Token.failures, Token.locked_until),
        *(User.name, User.disabled_at, PlatformRole.role.label("platform_role")),
        select(func.jsonb_agg(func.jsonb_build_array(Membership.department_id, Membership.role), type_=JSONB))
        .where(Membership.user_id == User.id)
        .scalar_subquery()
        .label("memberships"),
    )
    .join(User, User.id == Token.user_id)
    .outerjoin(PlatformRole, PlatformRole.user_id == User.id)
    .where(Token.id == bindparam("id"))
)


def _count_failure(session: Session, settings: Settings, caller: Caller, token: str) -> None:
    """Count in one statement, so that no two wrong secrets count as one; after a lock is over it begins anew."""
    moment = clock.now()
    failures = case((Token.locked_until <= moment, 1), else_=Token.failures + 1)
    until = case((failures >= settings.lockout_failures, moment + settings.lockout), else_=None)
    counted = update(Token).where(Token.id == token).values(failures=failures, locked_until=until)
    total = session.scalar(counted.returning(Token.failures))
    audit.record(session, caller, "token:present", token, result="refused", reason=BadToken.slug, failures=total)
    session.commit()


def _seen(caller: Caller) -> Select[Token]:
    query = select(Token)
    return query if caller.may("token:oversee") else query.where(Token.user_id == caller.id)


def digest(secret: str) -> str:
    """What is kept of a secret, and by which it is known again: its SHA-256."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


_NOBODY = digest("")
