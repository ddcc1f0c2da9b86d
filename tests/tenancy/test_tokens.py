"""Tokens: shown once, kept hashed, refused when they should be, locked after failures that no rollback takes back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock
from cloudctl.kernel.errors import Several
from cloudctl.kernel.settings import Settings
from tenancy import departments, members, tokens
from tenancy.callers import SYSTEM, Caller, NotPermitted, ReadOnlyToken
from tenancy.models import Token, User
from tenancy.tokens import BadToken, NoSuchToken, TokenExpired, TokenLocked, TokenOfDisabledUser, TokenRevoked

Presenting = Callable[[str], str]


@pytest.fixture
def user(session: Session) -> User:
    departments.create(session, SYSTEM, code="52", name="州", name_en="Prefecture")
    user = members.create(session, SYSTEM, login="wang", name="王兴梅")
    for role in ("clerk", "approver"):
        members.grant_membership(session, SYSTEM, "wang", "52", role)
    session.commit()
    return user


@pytest.fixture
def secret(session: Session, settings: Settings, user: User) -> str:
    _, secret = tokens.create(session, SYSTEM, settings, name="laptop", user=user.id)
    session.commit()
    return secret


@pytest.fixture
def refusal(engine: Engine, settings: Settings) -> Presenting:
    """What presenting a secret ends with, in a transaction that is rolled back as a failed call's is."""

    def present(secret: str) -> str:
        with Session(engine) as session:
            try:
                tokens.authenticate(session, settings, secret)
            except BadToken as problem:
                return problem.slug
            finally:
                session.rollback()
        return "welcome"

    return present


def wrong(secret: str) -> str:
    return secret[:-1] + ("A" if secret[-1] != "A" else "B")


def test_a_secret_tells_who_calls_with_all_that_was_granted(
    session: Session, settings: Settings, user: User, secret: str
) -> None:
    caller = tokens.authenticate(session, settings, secret, address="10.0.0.7", request_id="r1")
    place = departments.seen_by(session, SYSTEM, "52").id
    assert caller == Caller(
        id=user.id,
        name="王兴梅",
        address="10.0.0.7",
        request_id="r1",
        memberships=frozenset({(place, "clerk"), (place, "approver")}),
        platform_role=None,
        scope="write",
    )


def test_an_administrator_without_memberships_is_one(session: Session, settings: Settings) -> None:
    admin = members.bootstrap(session, "sec", "韦明霞", "security")
    _, secret = tokens.create(session, SYSTEM, settings, name="console", user=admin.id, scope="read")
    caller = tokens.authenticate(session, settings, secret)
    assert (caller.platform_role, caller.memberships, caller.scope) == ("security", frozenset(), "read")


def test_a_call_takes_one_query_once_the_token_is_in_use(
    engine: Engine, session: Session, settings: Settings, secret: str
) -> None:
    tokens.authenticate(session, settings, secret)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    tokens.authenticate(session, settings, secret)
    assert len(statements) == 1


def test_the_secret_is_nowhere_in_the_database(session: Session, secret: str) -> None:
    row = session.execute(select(Token.__table__)).one()
    assert secret not in repr(row)
    assert secret.rpartition("_")[2] not in repr(row)


def test_use_is_noted_at_most_once_a_minute(session: Session, settings: Settings, secret: str) -> None:
    start = clock.now()
    noted = []
    for seconds in (0, 59, 60, 119, 121):
        with clock.at(start + timedelta(seconds=seconds)):
            tokens.authenticate(session, settings, secret)
        noted.append((session.scalars(select(Token.last_used_at)).one() - start).total_seconds())  # type: ignore[operator]
    assert noted == [0, 0, 60, 60, 121]


def test_wrong_secrets_lock_the_token_though_every_call_is_rolled_back(
    session: Session, secret: str, refusal: Presenting
) -> None:
    assert [refusal(wrong(secret)) for _ in range(5)] == ["bad-token"] * 5
    assert refusal(secret) == "token-locked"
    assert refusal(wrong(secret)) == "bad-token"
    presented = audit.entries(session, action="token:present")
    assert [entry.figures["failures"] for entry in presented] == [5, 4, 3, 2, 1]
    assert {(entry.result, entry.reason) for entry in presented} == {("refused", "bad-token")}


def test_a_lock_ends_by_itself_and_the_count_begins_anew(secret: str, settings: Settings, refusal: Presenting) -> None:
    start = clock.now()
    with clock.at(start):
        for _ in range(5):
            refusal(wrong(secret))
    with clock.at(start + settings.lockout - timedelta(seconds=1)):
        assert refusal(secret) == "token-locked"
    with clock.at(start + settings.lockout):
        assert [refusal(wrong(secret)) for _ in range(4)] == ["bad-token"] * 4
        assert refusal(secret) == "welcome"


def test_only_failures_in_a_row_count(secret: str, refusal: Presenting) -> None:
    for _ in range(3):
        assert [refusal(wrong(secret)) for _ in range(4)] == ["bad-token"] * 4
        assert refusal(secret) == "welcome"


def test_wrong_secrets_at_the_same_time_are_each_counted(session: Session, secret: str, refusal: Presenting) -> None:
    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(refusal, [wrong(secret)] * 5)) == {"bad-token"}
    assert session.scalars(select(Token.failures)).one() == 5
    assert refusal(secret) == "token-locked"


@pytest.mark.parametrize(
    "unknown",
    ["", "cct", "cct_", "cct_x_y", "Bearer", "cct_" + "0" * 26 + "_x", "\x00", "cct_\x00_\x00", "长_长_长", "\udcff"],
)
def test_a_secret_of_no_token_tells_nothing(unknown: str, user: User, refusal: Presenting) -> None:
    assert refusal(unknown) == "bad-token"


def test_what_ended_a_token_is_told_to_whoever_has_its_secret_and_nobody_else(
    session: Session, settings: Settings, user: User, secret: str, refusal: Presenting
) -> None:
    owner = tokens.authenticate(session, settings, secret)
    with clock.at(clock.now() + timedelta(days=settings.token_days)):
        assert (refusal(secret), refusal(wrong(secret))) == (TokenExpired.slug, "bad-token")
    tokens.revoke(session, owner, session.scalars(select(Token.id)).one())
    session.commit()
    assert (refusal(secret), refusal(wrong(secret))) == (TokenRevoked.slug, "bad-token")
    _, another = tokens.create(session, owner, settings, name="new")
    members.disable(session, SYSTEM, user.id)
    session.commit()
    assert (refusal(another), refusal(wrong(another))) == (TokenOfDisabledUser.slug, "bad-token")
    assert issubclass(TokenOfDisabledUser, BadToken)
    assert issubclass(TokenLocked, BadToken)


def test_people_make_and_see_and_revoke_their_own_tokens_only(
    session: Session, settings: Settings, user: User, secret: str
) -> None:
    owner = tokens.authenticate(session, settings, secret)
    other = Caller(id=members.create(session, SYSTEM, login="li", name="李").id, name="李")
    token, _ = tokens.create(session, other, settings, name="mine", scope="read", days=1)
    assert tokens.listed(session, other) == [token]
    with pytest.raises(NoSuchToken):
        tokens.revoke(session, owner, token.id)
    with pytest.raises(NotPermitted):
        tokens.create(session, owner, settings, name="theirs", user=other.id)
    with pytest.raises(ReadOnlyToken):
        tokens.create(session, Caller(id=other.id, name="李", scope="read"), settings, name="wider", scope="write")
    security = Caller(id="usr_sec", name="s", platform_role="security")
    assert {found.user_id for found in tokens.listed(session, security)} == {user.id, other.id}
    first = tokens.revoke(session, security, token.id).revoked_at
    assert tokens.revoke(session, other, token.id).revoked_at == first
    assert [entry.actor for entry in audit.entries(session, object=token.id)] == ["usr_sec", other.id]


def test_bad_wishes_for_a_token_are_told_all_at_once(session: Session, settings: Settings, user: User) -> None:
    for days in (0, -1, 367, 10**12):
        with pytest.raises(Several) as refused:
            tokens.create(session, SYSTEM, settings, name="", scope="all", days=days, user=user.id)  # type: ignore[arg-type]
        assert [problem.field for problem in refused.value.problems] == ["name", "scope", "days"]
