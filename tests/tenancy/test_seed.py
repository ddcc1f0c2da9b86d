"""The organisation that the platform begins with is realistic, complete, and loaded once."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl import seed
from tenancy import departments, ledger, members, projects
from tenancy.approvals import Approvers
from tenancy.callers import PLATFORM_ROLES, SYSTEM
from tenancy.models import Department, Membership

CLASSES = {
    "vcpu",
    "memory_gib",
    "storage_gib.ssd",
    "storage_gib.hdd",
    "object_gib",
    "public_ip",
    "bandwidth_mbps",
    "gpu",
}


def units(session: Session) -> list[Department]:
    return departments.listed(session, SYSTEM, limit=1000)


def test_loading_it_twice_changes_nothing(session: Session) -> None:
    first = seed.load(session)
    assert all(first.values())
    assert seed.load(session) == dict.fromkeys(first, 0)


def test_loading_it_again_keeps_what_people_have_changed(session: Session) -> None:
    seed.load(session)
    ledger.set_limit(session, departments.seen_by(session, SYSTEM, "522300-jyj").id, "vcpu", 7)
    departments.rename(session, SYSTEM, "522300-jyj", name="州教育体育局")
    members.withdraw_role(session, SYSTEM, "operator")
    seed.load(session)
    bureau = departments.seen_by(session, SYSTEM, "522300-jyj")
    assert bureau.name == "州教育体育局"
    assert ledger.balances(session, [bureau.id])[bureau.id]["vcpu"].limit == 7
    members.grant_role(session, SYSTEM, "operator", "auditor")


def test_counties_carry_their_administrative_codes(session: Session) -> None:
    seed.load(session)
    named = {unit.code: unit.name for unit in units(session)}
    counties = {"522301": "兴义市", "522302": "兴仁市", "522323": "普安县", "522324": "晴隆县", "522325": "贞丰县"}
    counties |= {"522326": "望谟县", "522327": "册亨县", "522328": "安龙县"}
    assert counties.items() <= named.items()
    assert sum(code.startswith("522300-") for code in named) >= 12


def test_every_department_can_work(session: Session) -> None:
    seed.load(session)
    for unit in units(session):
        assert set(ledger.balances(session, [unit.id])[unit.id]) == CLASSES
        clerks = session.scalars(
            select(Membership.user_id).where(Membership.department_id == unit.id, Membership.role == "clerk")
        ).all()
        approvers = Approvers.read(session, [unit]).of(unit, set(), above=True)
        assert clerks
        assert "authority" in [person.login for person in approvers]
        assert set(clerks).isdisjoint(person.id for person in approvers)
        if "-" in unit.code:
            assert 1 <= len(projects.listed(session, SYSTEM, department=unit.code)) <= 2


def test_each_of_the_three_administrators_is_one_person(session: Session) -> None:
    seed.load(session)
    for login in PLATFORM_ROLES:
        members.grant_role(session, SYSTEM, login, login)  # what they are already: no RolesExclude
