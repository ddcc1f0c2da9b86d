"""Projects get a code that nobody else has, and are seen by those who see their department."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events
from cloudctl.kernel.errors import Several
from tenancy import departments, projects
from tenancy.callers import POLICY, SYSTEM, Caller, NotPermitted
from tenancy.departments import BadName, NoSuchDepartment
from tenancy.models import Department, Project
from tenancy.projects import BadLevel, NoSuchProject

IN_2025 = datetime(2025, 11, 3, tzinfo=UTC)


@pytest.fixture
def bureaus(session: Session) -> list[Department]:
    """A prefecture and two bureaus; the code of one begins like codes of the other's projects."""
    root = departments.create(session, SYSTEM, code="52", name="州", name_en="Prefecture")
    return [root] + [
        departments.create(session, SYSTEM, code=code, name="局", name_en="Bureau", parent="52")
        for code in ("52-jyj", "52-jyj-2025")
    ]


def make(session: Session, department: str, name: str = "查分系统") -> Project:
    return projects.create(
        session, POLICY, department, name=name, name_en="Scores", owner="岑国强", funding="州本级财政预算", level=3
    )


def test_codes_count_within_department_and_year(session: Session, bureaus: list[Department]) -> None:
    with clock.at(IN_2025):
        codes = [make(session, code).code for code in ("52-jyj", "52-jyj", "52-jyj-2025", "52-jyj")]
    assert codes == ["52-jyj-2025-0001", "52-jyj-2025-0002", "52-jyj-2025-2025-0001", "52-jyj-2025-0003"]


def test_the_year_in_a_code_is_the_year_in_china(session: Session, bureaus: list[Department]) -> None:
    with clock.at(datetime(2025, 12, 31, 15, 59, tzinfo=UTC)):
        assert make(session, "52-jyj").code == "52-jyj-2025-0001"
    with clock.at(datetime(2025, 12, 31, 16, 0, tzinfo=UTC)):
        assert make(session, "52-jyj").code == "52-jyj-2026-0001"


def test_the_ten_thousandth_project_gets_a_longer_number(session: Session, bureaus: list[Department]) -> None:
    with clock.at(IN_2025):
        make(session, "52-jyj").code = "52-jyj-2025-9999"
        assert [make(session, "52-jyj").code for _ in range(2)] == ["52-jyj-2025-10000", "52-jyj-2025-10001"]


def test_sixteen_at_once_get_sixteen_codes_in_a_row(
    engine: Engine, session: Session, bureaus: list[Department]
) -> None:
    session.commit()

    def code(_: int) -> str:
        with Session(engine) as mine, mine.begin():
            return make(mine, "52-jyj").code

    with clock.at(IN_2025), ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(code, range(16))) == [f"52-jyj-2025-{number:04}" for number in range(1, 17)]


def test_what_is_wrong_is_told_all_at_once(session: Session, bureaus: list[Department]) -> None:
    with pytest.raises(Several) as refusal:
        projects.create(session, POLICY, "52", name="", name_en="a\n", owner="长" * 101, funding="长" * 201, level=5)
    found = [(type(problem), problem.field) for problem in refusal.value.problems]
    assert found == [
        (BadName, "name"),
        (BadName, "name_en"),
        (BadName, "owner"),
        (BadLevel, "level"),
        (BadName, "funding"),
    ]


def test_a_department_that_does_not_exist_has_no_projects(session: Session) -> None:
    with pytest.raises(NoSuchDepartment):
        make(session, "nowhere")


def test_departments_get_projects_by_request_only(session: Session, bureaus: list[Department]) -> None:
    both = frozenset({(bureaus[0].id, "clerk"), (bureaus[0].id, "approver")})
    with pytest.raises(NotPermitted):
        projects.create(
            session,
            Caller(id="usr_x", name="x", memberships=both),
            "52",
            name="a",
            name_en="a",
            owner="a",
            funding="a",
            level=2,
        )


def test_a_project_is_seen_by_those_who_see_its_department(session: Session, bureaus: list[Department]) -> None:
    with clock.at(IN_2025):
        mine, other = make(session, "52-jyj"), make(session, "52-jyj-2025")
    clerk = Caller(id="usr_x", name="x", memberships=frozenset({(bureaus[1].id, "clerk")}))
    assert projects.seen_by(session, clerk, mine.code) is mine
    for hidden in (other.id, other.code, "nowhere"):
        with pytest.raises(NoSuchProject):
            projects.seen_by(session, clerk, hidden)
    assert projects.listed(session, clerk) == [mine]
    assert projects.listed(session, SYSTEM) == [mine, other]
    assert projects.listed(session, SYSTEM, after=mine.code) == [other]
    assert projects.listed(session, SYSTEM, department="52-jyj-2025") == [other]
    with pytest.raises(NoSuchDepartment):
        projects.listed(session, clerk, department="52-jyj-2025")


def test_a_new_project_is_audited_and_can_be_watched(session: Session, bureaus: list[Department]) -> None:
    project = make(session, "52-jyj")
    [entry] = audit.entries(session, object=project.id)
    assert (entry.actor, entry.action, entry.department) == ("policy", "project:create", bureaus[1].id)
    assert [event.slug for event in events.after(session, [project.id])] == ["project-created"]
