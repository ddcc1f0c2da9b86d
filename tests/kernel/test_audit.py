"""The audit log is appended with the deed, read by filter, and the application's role cannot change it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock
from cloudctl.kernel.audit_seals import Sealer
from cloudctl.kernel.settings import Settings

LI = audit.Actor(id="usr_li", name="李明", address="10.0.0.7", request_id="r-1")


def test_an_entry_says_who_did_what_to_which_object_from_where_and_why(session: Session) -> None:
    with clock.at(datetime(2026, 3, 2, 8, tzinfo=UTC)):
        audit.record(
            session, LI, "tenancy:erase", "ten_a", reason="end of project", department="dep_a", seen="d1g", gib=10
        )
    (entry,) = audit.entries(session)
    assert (entry.at, entry.actor, entry.actor_name) == (datetime(2026, 3, 2, 8, tzinfo=UTC), "usr_li", "李明")
    assert (entry.address, entry.request_id) == ("10.0.0.7", "r-1")
    assert (entry.action, entry.object, entry.department) == ("tenancy:erase", "ten_a", "dep_a")
    assert (entry.result, entry.reason, entry.seen) == ("ok", "end of project", "d1g")
    assert entry.figures == {"gib": 10}


def test_an_entry_of_a_rolled_back_deed_does_not_exist(session: Session) -> None:
    audit.record(session, LI, "tenancy:erase", "ten_a")
    session.rollback()
    assert audit.entries(session) == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["ten_3", "ten_2", "ten_1"]),
        ({"department": "dep_a"}, ["ten_3", "ten_1"]),
        ({"object": "ten_2"}, ["ten_2"]),
        ({"actor": "usr_li", "action": "tenancy:show"}, ["ten_2"]),
        ({"actor": "usr_nobody"}, []),
        ({"limit": 1}, ["ten_3"]),
    ],
)
def test_entries_are_listed_newest_first_by_what_is_asked(session: Session, filters: dict, found: list[str]) -> None:
    audit.record(session, LI, "tenancy:create", "ten_1", department="dep_a")
    audit.record(session, LI, "tenancy:show", "ten_2", department="dep_b")
    audit.record(session, LI, "tenancy:create", "ten_3", department="dep_a")
    assert [entry.object for entry in audit.entries(session, **filters)] == found


def test_the_list_goes_on_after_the_last_one_read(session: Session) -> None:
    for number in range(5):
        audit.record(session, LI, "tenancy:show", f"ten_{number}")
    read: list[str] = []
    after = None
    while page := audit.entries(session, after=after, limit=2):
        read += [entry.object for entry in page]
        after = page[-1].id
    assert read == ["ten_4", "ten_3", "ten_2", "ten_1", "ten_0"]


@pytest.mark.parametrize("table", ["audit_entries", "audit_links", "audit_seals"])
@pytest.mark.parametrize("attack", ["DELETE FROM {}", "UPDATE {} SET {}", "TRUNCATE {} CASCADE"])
def test_the_application_can_neither_change_nor_delete_what_was_written(
    engine: Engine, settings: Settings, table: str, attack: str
) -> None:
    with Session(engine) as session, session.begin():
        audit.record(session, LI, "tenancy:show", "ten_a")
    assert Sealer(settings).seal(engine) == 1
    column = {"audit_entries": "reason = ''", "audit_links": "hash = ''", "audit_seals": "head = ''"}[table]
    with Session(engine) as session, pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text(attack.format(table, column)))
