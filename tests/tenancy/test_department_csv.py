"""A CSV file of departments is registered as a whole, or not at all with every wrong line named."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloudctl.kernel.errors import Problem, Several
from tenancy import department_csv, departments
from tenancy.callers import Caller, NotPermitted
from tenancy.models import Department

OPERATOR = Caller(id="usr_operator", name="运维", platform_role="operator")
HEADER = "code,name,name_en,parent_code\n"
GOOD = (
    HEADER + "522300-sjj-1,平台科,Platform Section,522300-sjj\n"
    "522300-sjj,州大数据局,Big Data Bureau,522300\n"
    "\n"
    '520000,贵州省,"Guizhou, Province",\n'
    "522300,黔西南州,Qianxinan,520000\n"
    "522300-sjj-1-a,运维组,Operations Team,522300-sjj-1\n"
)


def problems_of(session: Session, lines: str) -> list[tuple[str, dict[str, Any]]]:
    """Slug and figures of everything wrong with a file of these lines, which must have registered nothing."""
    before = session.scalar(select(func.count()).select_from(Department))
    with pytest.raises(Problem) as refusal:
        department_csv.import_csv(session, OPERATOR, (HEADER + lines).encode())
    assert session.scalar(select(func.count()).select_from(Department)) == before
    problem = refusal.value
    return [(each.slug, each.figures) for each in (problem.problems if isinstance(problem, Several) else [problem])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_lines_in_any_order_make_a_tree_of_five_levels(session: Session, encoding: str) -> None:
    made = department_csv.import_csv(session, OPERATOR, GOOD.encode(encoding))
    assert [unit.code for unit in made][:2] == ["522300-sjj-1", "522300-sjj"]
    deepest = departments.seen_by(session, OPERATOR, "522300-sjj-1-a")
    names = [session.get_one(Department, id).name for id in deepest.path]
    assert names == ["贵州省", "黔西南州", "州大数据局", "平台科", "运维组"]
    assert departments.seen_by(session, OPERATOR, "520000").name_en == "Guizhou, Province"


def test_windows_line_ends_and_columns_in_another_order_are_read(session: Session) -> None:
    department_csv.import_csv(session, OPERATOR, "name,code,parent_code,name_en\r\n省,52,,Province\r\n".encode("gbk"))
    assert departments.seen_by(session, OPERATOR, "52").name == "省"


def test_gbk_whose_bytes_are_also_utf_8_is_read_as_gbk(session: Session) -> None:
    content = (HEADER + "52,省,Province,\n").encode("gbk")
    assert "省" not in content.decode("utf-8")
    assert department_csv.import_csv(session, OPERATOR, content)[0].name == "省"


def test_a_broken_line_is_named_and_nothing_is_registered(session: Session) -> None:
    assert problems_of(session, "aa,甲,A,\nbb,乙,B\ncc,丙,C,aa\n") == [
        ("line-broken", {"line": 3, "expected": 4, "found": 3})
    ]


def test_a_line_after_a_value_of_two_lines_is_numbered_as_an_editor_does(session: Session) -> None:
    assert [figures["line"] for _, figures in problems_of(session, 'aa,"甲\n乙",A,\n?,丙,C,aa\n')] == [2, 4]


def test_every_wrong_line_is_named_with_its_rule(session: Session) -> None:
    departments.create(session, OPERATOR, code="old", name="老", name_en="Old")
    found = problems_of(
        session,
        "old,甲,A,\n"  # 2: registered already
        "a b,乙,B,\n"  # 3: code
        "cc,,C,old\n"  # 4: name
        "dd,丁,D,nowhere\n"  # 5: parent
        "ee,戊,E,old\n"
        "ee,己,F,old\n"  # 7: repeats line 6
        "gg,庚,G,hh\n"  # 8, 9: a cycle
        "hh,辛,H,gg\n"
        "ii,壬,I,gg\n"  # below the cycle, not in it
        "jj,癸,J,jj,x\n",  # 11: too many values
    )
    assert [(slug, figures["line"]) for slug, figures in found] == [
        ("line-taken", 2),
        ("line-bad-code", 3),
        ("line-bad-name", 4),
        ("line-without-parent", 5),
        ("line-repeated", 7),
        ("line-in-cycle", 8),
        ("line-in-cycle", 9),
        ("line-broken", 11),
    ]


def test_a_cycle_is_told_in_full(session: Session) -> None:
    assert problems_of(session, "aa,甲,A,bb\nbb,乙,B,cc\ncc,丙,C,aa\n")[0] == (
        "line-in-cycle",
        {"line": 2, "codes": ["aa", "bb", "cc"]},
    )
    assert problems_of(session, "aa,甲,A,aa\n") == [("line-in-cycle", {"line": 2, "codes": ["aa"]})]


def test_a_quote_that_is_left_open_is_told(session: Session) -> None:
    assert problems_of(session, 'aa,甲,A,\nbb,"乙,B,\ncc,丙,C,\n') == [
        ("line-broken", {"line": 3, "expected": 4, "found": 0})
    ]


@pytest.mark.parametrize("content", [b"", b"code,name\n", b"code,name,name_en,code\n", "代码,名称\n".encode("gbk")])
def test_a_file_without_the_columns_is_refused(session: Session, content: bytes) -> None:
    with pytest.raises(department_csv.BadHeader) as refusal:
        department_csv.import_csv(session, OPERATOR, content)
    assert refusal.value.figures["expected"] == ["code", "name", "name_en", "parent_code"]


def test_a_file_that_is_no_text_is_refused(session: Session) -> None:
    with pytest.raises(department_csv.NotText):
        department_csv.import_csv(session, OPERATOR, HEADER.encode() + b"\xff\xff\xff,\x80,\x00\n")


def test_only_operators_import(session: Session) -> None:
    with pytest.raises(NotPermitted):
        department_csv.import_csv(session, Caller(id="usr_x", name="x", platform_role="auditor"), GOOD.encode())
