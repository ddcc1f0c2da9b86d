"""What callers may do is a table, and what they see is one condition."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenancy import callers, departments
from tenancy.callers import PERMISSIONS, POLICY, SYSTEM, Caller, NotPermitted, ReadOnlyToken
from tenancy.models import Department

ROLES = {*callers.DEPARTMENT_ROLES, *callers.PLATFORM_ROLES}


def one_who_is(role: str, place: str, scope: callers.Scope = "write") -> Caller:
    if role in callers.PLATFORM_ROLES:
        return Caller(id="usr_x", name="x", platform_role=role, scope=scope)
    return Caller(id="usr_x", name="x", memberships=frozenset({(place, role)}), scope=scope)


CODES = ["520000", "522300", "522301", "522301-jyj", "522301-jyj-1"]  # province, prefecture, county, bureau, office


@pytest.fixture
def chain() -> list[Department]:
    """Five levels, as values."""
    return [Department(id=CODES[depth], path=CODES[: depth + 1]) for depth in range(5)]


@pytest.fixture
def stored(session: Session) -> list[Department]:
    """The same five levels in the database."""
    above = [None, *CODES]
    return [
        departments.create(session, SYSTEM, code=code, name="单位", name_en="Unit", parent=parent)
        for code, parent in zip(CODES, above, strict=False)
    ]


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_each_role_may_exactly_what_the_table_says(permission: str, chain: list[Department]) -> None:
    own, below = chain[2], chain[4]
    for role in ROLES:
        expected = PERMISSIONS[permission].anyone or role in PERMISSIONS[permission].roles
        assert one_who_is(role, own.id).may(permission, own) == expected
        assert one_who_is(role, own.id).may(permission, below) == expected


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_membership_reaches_neither_up_nor_beyond_departments(permission: str, chain: list[Department]) -> None:
    for role in callers.DEPARTMENT_ROLES:
        caller = one_who_is(role, chain[2].id)
        assert caller.may(permission, chain[1]) == PERMISSIONS[permission].anyone
        assert caller.may(permission) == PERMISSIONS[permission].anyone


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_token_for_reading_changes_nothing(permission: str, chain: list[Department]) -> None:
    reads = permission.endswith((":read", ":export"))
    for role in ROLES:
        writer, reader = one_who_is(role, chain[0].id), one_who_is(role, chain[0].id, "read")
        assert reader.may(permission, chain[0]) == (reads and writer.may(permission, chain[0]))
    if not reads:
        with pytest.raises(ReadOnlyToken) as refusal:
            one_who_is("operator", "", "read").must(permission)
        assert refusal.value.figures["permission"] == permission


def test_a_refusal_names_the_permission_and_the_roles_that_have_it(chain: list[Department]) -> None:
    with pytest.raises(NotPermitted) as refusal:
        one_who_is("approver", chain[0].id).must("tenancy:protect", chain[3])
    assert refusal.value.figures == {"permission": "tenancy:protect", "roles": ["clerk", "operator"]}


def test_the_three_administrators_share_no_permission_that_changes_anything_but_registering_people() -> None:
    shared = [
        name
        for name, permission in PERMISSIONS.items()
        if len(permission.everywhere & set(callers.PLATFORM_ROLES)) > 1 and not callers.is_reading(name)
    ]
    assert shared == ["user:create"]


def test_nobody_has_what_only_the_platform_itself_may_do(chain: list[Department]) -> None:
    assert [name for name, p in PERMISSIONS.items() if not p.roles and not p.anyone] == ["token:issue"]
    assert all(caller.may("token:issue") and caller.may("request:decide", chain[0]) for caller in (POLICY, SYSTEM))


def seen(session: Session, caller: Caller) -> list[str]:
    return list(session.scalars(select(Department.code).where(callers.sees(caller)).order_by(Department.code)))


def test_members_see_their_department_and_all_below_it_at_any_depth(session: Session, stored: list[Department]) -> None:
    other = departments.create(session, SYSTEM, code="522302", name="兴仁市", name_en="Xingren", parent="522300")
    for level, unit in enumerate(stored):
        visible = seen(session, one_who_is("clerk", unit.id))
        assert [code for code in visible if code != other.code] == CODES[level:]
        assert (other.code in visible) == (level < 2)


def test_administrators_see_every_department_and_strangers_none(session: Session, stored: list[Department]) -> None:
    for role in callers.PLATFORM_ROLES:
        assert seen(session, one_who_is(role, "")) == CODES
    for robot in callers.ROBOT_ROLES:
        assert seen(session, Caller(id="usr_x", name="x", platform_role=robot)) == []
    assert seen(session, Caller(id="usr_x", name="x")) == []
