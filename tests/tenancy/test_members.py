"""Who people are and what they are granted; the three administrators exclude one another."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, events
from cloudctl.kernel.errors import Several
from tenancy import departments, members
from tenancy.callers import PLATFORM_ROLES, SYSTEM, Caller, NotPermitted
from tenancy.members import BadLogin, BadRole, GrantToOneself, LoginTaken, NoSuchUser, RolesExclude
from tenancy.models import PlatformRole, User

OPERATOR = Caller(id="usr_operator", name="运维", platform_role="operator")


@pytest.fixture
def security(session: Session) -> Caller:
    user = members.bootstrap(session, "sec", "韦明霞", "security")
    return Caller(id=user.id, name=user.name, platform_role="security")


@pytest.fixture
def person(session: Session, security: Caller) -> User:
    departments.create(session, SYSTEM, code="52", name="州", name_en="Prefecture")
    departments.create(session, SYSTEM, code="52-jyj", name="局", name_en="Bureau", parent="52")
    return members.create(session, security, login="wang", name="王兴梅")


@pytest.mark.parametrize(("held", "wanted"), list(permutations(PLATFORM_ROLES, 2)))
def test_no_person_is_two_of_the_three_administrators(
    session: Session, security: Caller, person: User, held: str, wanted: str
) -> None:
    members.grant_role(session, security, "wang", held)
    members.grant_role(session, security, "wang", held)
    with pytest.raises(RolesExclude) as refusal:
        members.grant_role(session, security, "wang", wanted)
    assert refusal.value.figures == {"login": "wang", "held": held, "wanted": wanted}
    with pytest.raises(IntegrityError):
        session.execute(insert(PlatformRole).values(user_id=person.id, role=wanted))


def test_of_roles_granted_at_the_same_time_one_is_held(engine: Engine, session: Session, person: User) -> None:
    session.commit()

    def outcome(role: str) -> str:
        try:
            with Session(engine) as mine, mine.begin():
                members.grant_role(mine, SYSTEM, "wang", role)
        except RolesExclude as problem:
            return problem.slug
        return "granted"

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(outcome, PLATFORM_ROLES)) == ["granted", "roles-exclude", "roles-exclude"]


def test_a_role_that_was_withdrawn_makes_room_for_another(session: Session, security: Caller, person: User) -> None:
    members.grant_role(session, security, "wang", "operator")
    members.withdraw_role(session, security, "wang")
    members.grant_role(session, security, "wang", "auditor")
    actions = [(entry.action, entry.figures["role"]) for entry in audit.entries(session, object=person.id)[:3]]
    assert actions == [("role:grant", "auditor"), ("role:withdraw", "operator"), ("role:grant", "operator")]


def test_nobody_grants_to_themselves(session: Session, security: Caller, person: User) -> None:
    with pytest.raises(GrantToOneself):
        members.grant_role(session, security, security.id, "auditor")
    with pytest.raises(GrantToOneself):
        members.grant_membership(session, security, "sec", "52", "approver")


@pytest.mark.parametrize("role", ["operator", "auditor", None])
def test_only_the_security_administrator_grants_and_disables(session: Session, person: User, role: str | None) -> None:
    place = departments.seen_by(session, SYSTEM, "52").id
    caller = Caller(
        id="usr_x", name="x", platform_role=role, memberships=frozenset({(place, "clerk"), (place, "approver")})
    )
    attempts = (
        lambda: members.grant_role(session, caller, "wang", "auditor"),
        lambda: members.withdraw_role(session, caller, "wang"),
        lambda: members.grant_membership(session, caller, "wang", "52", "clerk"),
        lambda: members.withdraw_membership(session, caller, "wang", "52", "clerk"),
        lambda: members.disable(session, caller, "wang"),
    )
    for attempt in attempts:
        with pytest.raises(NotPermitted):
            attempt()


def test_the_server_makes_the_first_security_administrator_and_nobody_a_second_role(session: Session) -> None:
    first = members.bootstrap(session, "sec", "韦明霞", "security")
    assert members.bootstrap(session, "sec", "", "security") is first
    with pytest.raises(RolesExclude):
        members.bootstrap(session, "sec", "", "operator")
    granted = audit.entries(session, object=first.id, action="role:grant")
    assert [(entry.actor, entry.figures["role"]) for entry in granted] == [("system", "security")]


def test_people_see_themselves_and_those_of_their_departments(session: Session, security: Caller, person: User) -> None:
    members.create(session, security, login="cen", name="岑国强")
    members.grant_membership(session, security, "wang", "52", "clerk")
    members.grant_membership(session, security, "cen", "52-jyj", "clerk")
    root, bureau = (departments.seen_by(session, SYSTEM, code).id for code in ("52", "52-jyj"))

    def visible(caller: Caller) -> list[str]:
        return [user.login for user in members.listed(session, caller)]

    assert visible(security) == visible(OPERATOR) == ["cen", "sec", "wang"]
    assert visible(Caller(id="usr_y", name="y", memberships=frozenset({(root, "clerk")}))) == ["cen", "wang"]
    below = Caller(id=person.id, name="y", memberships=frozenset({(bureau, "clerk")}))
    assert visible(below) == ["cen", "wang"]
    stranger = Caller(id="usr_y", name="y", memberships=frozenset({(bureau, "clerk")}))
    assert visible(stranger) == ["cen"]
    with pytest.raises(NoSuchUser):
        members.seen_by(session, stranger, "wang")
    assert members.seen_by(session, below, person.id) is person


@pytest.mark.parametrize("login", ["", "w", "Wang", "1wang", "wang mei", "wang\n", "王", "w" * 33])
def test_a_bad_login_is_refused(session: Session, login: str) -> None:
    with pytest.raises(BadLogin):
        members.create(session, SYSTEM, login=login, name="王")


def test_a_login_is_given_once_and_all_faults_are_told(session: Session, person: User) -> None:
    with pytest.raises(LoginTaken):
        members.create(session, SYSTEM, login="wang", name="王")
    with pytest.raises(Several) as refusal:
        members.create(session, SYSTEM, login="?", name="")
    assert [problem.field for problem in refusal.value.problems] == ["login", "name"]


def test_roles_are_those_there_are(session: Session, security: Caller, person: User) -> None:
    with pytest.raises(BadRole) as refusal:
        members.grant_role(session, security, "wang", "clerk")
    assert refusal.value.figures == {"role": "clerk", "roles": ["operator", "security", "auditor", "monitor"]}
    with pytest.raises(BadRole):
        members.grant_membership(session, security, "wang", "52", "operator")
    with pytest.raises(NoSuchUser):
        members.grant_role(session, security, "nobody", "auditor")


def test_repeating_a_grant_or_a_withdrawal_is_noted_once(session: Session, security: Caller, person: User) -> None:
    for _ in range(2):
        members.grant_membership(session, security, "wang", "52", "clerk")
    for _ in range(2):
        members.withdraw_membership(session, security, "wang", "52", "clerk")
    for _ in range(2):
        members.disable(session, security, "wang")
    slugs = [event.slug for event in events.after(session, [person.id])]
    assert slugs == ["user-created", "membership-granted", "membership-withdrawn", "user-disabled"]
