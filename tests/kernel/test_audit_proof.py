"""An export of the audit log is attacked in every way; the offline verification finds each."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from cloudctl.kernel import audit
from cloudctl.kernel.audit_proof import BadPublicKey, Report, Seal, chained, verify
from cloudctl.kernel.audit_seals import Sealer, export
from cloudctl.kernel.settings import Settings

LI = audit.Actor(id="usr_li", name="李明", address="10.0.0.7", request_id="r-1")
SEALS, ENTRIES = 2, 6  # of the sealed log: the lines 0 and 1 are seals, 2 to 7 are entries, three a seal


def write(engine: Engine, count: int) -> None:
    with Session(engine) as session, session.begin():
        for number in range(count):
            audit.record(
                session, LI, "tenancy:erase", f"ten_{number}", reason="期满", department="dep_a", seen="d1g", gib=number
            )


def exported(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return list(export(session))


class Log:
    """A sealed log, its public key and its anchor."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.sealer = Sealer(settings)
        for _ in range(SEALS):
            write(engine, ENTRIES // SEALS)
            self.sealer.seal(engine)
        self.lines = exported(engine)
        self.key, self.anchor = self.sealer.public_key(), self.sealer.anchor.read_text()

    def verify(self, lines: list[str], anchored: bool = True) -> Report:
        return verify(lines, self.key, self.anchor if anchored else None)


@pytest.fixture
def log(engine: Engine, settings: Settings) -> Log:
    return Log(engine, settings)


def slugs(report: Report) -> set[str]:
    return {finding.slug for finding in report.findings}


def changed(line: str, change: Callable[[dict[str, Any]], Any]) -> str:
    read = json.loads(line)
    change(read)
    return json.dumps(read)


def test_an_untouched_export_is_intact_and_vouched_for_to_its_end(log: Log) -> None:
    report = log.verify(log.lines)
    assert report.is_intact
    assert (report.sealed, report.seals, report.unsealed, report.remarks) == (ENTRIES, SEALS, 0, [])


def test_without_an_anchor_the_report_says_that_the_end_is_not_vouched_for(log: Log) -> None:
    report = log.verify(log.lines, anchored=False)
    assert report.is_intact
    assert [remark.slug for remark in report.remarks] == ["audit-end-not-vouched"]


def test_every_field_of_an_entry_is_covered(log: Log) -> None:
    fields = json.loads(log.lines[4])["entry"]
    assert {"id", "at", "actor", "address", "action", "object", "result", "reason", "figures"} <= set(fields)
    for name in fields:
        for change in (
            lambda line, name=name: line["entry"].update({name: "another"}),
            lambda line, name=name: line["entry"].pop(name),
        ):
            report = log.verify([*log.lines[:4], changed(log.lines[4], change), *log.lines[5:]], anchored=False)
            assert [finding.figures for finding in report.findings] == [{"line": 5, "position": 3}], name


def test_nothing_can_be_added_to_an_entry(log: Log) -> None:
    added = changed(log.lines[4], lambda line: line["entry"].update(note="innocent"))
    assert slugs(log.verify([*log.lines[:4], added, *log.lines[5:]])) == {"audit-entry-altered"}
    beside = changed(log.lines[4], lambda line: line.update(note="innocent"))
    assert "audit-line-unreadable" in slugs(log.verify([*log.lines[:4], beside, *log.lines[5:]]))
    twice = log.lines[4].replace('"entry":{', '"entry":{"actor":"usr_other",')
    assert "audit-line-unreadable" in slugs(log.verify([*log.lines[:4], twice, *log.lines[5:]]))


def test_whichever_line_is_dropped_is_missed(log: Log) -> None:
    for line in range(SEALS + ENTRIES):
        assert not log.verify(log.lines[:line] + log.lines[line + 1 :]).is_intact, line


def test_whichever_two_lines_are_swapped_is_found(log: Log) -> None:
    for first, second in combinations(range(SEALS + ENTRIES), 2):
        lines = list(log.lines)
        lines[first], lines[second] = lines[second], lines[first]
        assert not log.verify(lines, anchored=False).is_intact, (first, second)


def test_entries_that_change_places_together_with_their_positions_are_found(log: Log) -> None:
    one, two = json.loads(log.lines[3]), json.loads(log.lines[4])
    one["entry"], two["entry"] = two["entry"], one["entry"]
    report = log.verify([*log.lines[:3], json.dumps(one), json.dumps(two), *log.lines[5:]], anchored=False)
    assert [finding.figures["position"] for finding in report.findings] == [2, 3]


def test_a_repeated_line_is_found(log: Log) -> None:
    assert "audit-entry-out-of-order" in slugs(log.verify([*log.lines, log.lines[-1]]))


def rechained(lines: list[str], seal: Callable[[Seal], Seal]) -> list[str]:
    """The log as a forger writes it anew: every hash and every seal fits the entries again."""
    heads, chain = {0: ""}, []
    for position, line in enumerate(map(json.loads, (line for line in lines if '"kind":"entry"' in line)), 1):
        heads[position] = chained("sha256", heads[position - 1], position, line["entry"])
        chain.append(json.dumps({**line, "position": position, "hash": heads[position]}))
    seals = [Seal.model_validate_json(line) for line in lines if '"kind":"seal"' in line]
    fitting = [one.model_copy(update={"head": heads[one.position]}) for one in seals if one.position in heads]
    return [seal(one).model_dump_json() for one in fitting] + chain


def forged(lines: list[str]) -> list[str]:
    return [line.replace('"ten_1"', '"ten_9"') for line in lines]


def test_a_log_that_is_chained_anew_has_seals_that_nobody_signed(log: Log) -> None:
    report = log.verify(rechained(forged(log.lines), lambda seal: seal), anchored=False)
    assert slugs(report) == {"audit-seal-forged"}


def test_a_log_that_is_written_anew_with_another_key_is_not_ours(log: Log, tmp_path: Path) -> None:
    thief = Sealer(Settings(data_dir=tmp_path / "thief"))
    for key in (thief._key_id, log.sealer._key_id):
        anew = rechained(
            forged(log.lines), lambda one, key=key: one.model_copy(update={"key": key}).signed_by(thief._key)
        )
        assert slugs(log.verify(anew, anchored=False)) == {"audit-seal-forged"}
    assert verify(anew, thief.public_key()).findings


def test_a_log_cut_off_at_a_seal_is_found_by_the_anchor_alone(log: Log) -> None:
    cut = [log.lines[0], *log.lines[2:5]]
    assert log.verify(cut, anchored=False).is_intact
    assert "audit-end-missing" in slugs(log.verify(cut))


def test_a_log_cut_off_between_seals_is_found_without_an_anchor(log: Log) -> None:
    assert slugs(log.verify(log.lines[:-1], anchored=False)) == {"audit-end-missing"}


def test_entries_behind_a_dropped_last_seal_are_not_covered(log: Log) -> None:
    lines = [log.lines[0], *log.lines[2:]]
    assert slugs(log.verify(lines, anchored=False)) == {"audit-entries-not-covered"}
    assert slugs(log.verify(lines)) == {"audit-seal-missing"}


def test_a_full_rewrite_that_the_platform_itself_signed_is_found_by_the_anchor_alone(
    log: Log, engine: Engine, urls: dict[str, str]
) -> None:
    owner = create_engine(urls["owner"].replace("postgresql://", "postgresql+psycopg://"))
    with owner.begin() as connection:
        connection.execute(text("DELETE FROM audit_seals"))
        connection.execute(text("DELETE FROM audit_links"))
        connection.execute(text("UPDATE audit_entries SET object = 'ten_9' WHERE object = 'ten_1'"))
    owner.dispose()
    log.sealer.anchor.unlink()  # else the sealer refuses, see test_audit_seals.py
    log.sealer.seal(engine)
    anew = exported(engine)
    assert log.verify(anew, anchored=False).is_intact
    assert slugs(log.verify(anew)) >= {"audit-history-rewritten", "audit-seal-missing"}


def test_an_older_anchor_vouches_for_its_part(log: Log) -> None:
    report = verify(log.lines, log.key, log.lines[0])
    assert report.is_intact
    assert [(remark.slug, remark.figures) for remark in report.remarks] == [
        ("audit-vouched-to", {"position": 3, "last": 6})
    ]


def test_an_anchor_that_nobody_signed_proves_nothing(log: Log) -> None:
    for anchor in ("", "{}", log.anchor.replace('"position":6', '"position":5')):
        assert slugs(verify(log.lines, log.key, anchor)) == {"audit-anchor-forged"}


def test_an_entry_that_is_not_sealed_yet_is_counted_and_told(log: Log, engine: Engine) -> None:
    write(engine, 2)
    report = log.verify(exported(engine))
    assert report.is_intact
    assert [(remark.slug, remark.figures) for remark in report.remarks] == [("audit-not-yet-sealed", {"count": 2})]


def test_rubbish_is_a_finding_and_never_a_crash(log: Log) -> None:
    for rubbish in ("", "null", "[]", "{", '{"kind":"entry"}', "[" * 100_000, '{"kind":"seal"}', "9" * 9999):
        assert [finding.figures for finding in log.verify([*log.lines, rubbish]).findings] == [{"line": 9}], rubbish


def test_after_a_change_of_key_both_public_keys_verify(engine: Engine, settings: Settings) -> None:
    first = Log(engine, settings)
    (settings.data_dir / "audit.key").unlink()
    second = Log(engine, settings)
    assert not verify(second.lines, second.key, second.anchor).is_intact
    assert verify(second.lines, first.key + second.key, second.anchor).is_intact


def test_without_a_public_key_nothing_is_verified(log: Log) -> None:
    with pytest.raises(BadPublicKey):
        verify(log.lines, "not a key")
