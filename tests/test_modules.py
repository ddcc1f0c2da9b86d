"""How large modules are: small ones that are read at a glance, and none that everyone appends to."""

from pathlib import Path
from statistics import median

HERE = Path(__file__).parent.parent
FOLDERS = ("cloudctl", "tenancy", "provisioning", "monitoring", "loadtests", "bench", "playbooks", "tests")
LARGEST, USUAL = 400, 150


def sizes() -> dict[str, int]:
    """Lines of every module; a migration is written down once and never read again."""
    found = (path for folder in FOLDERS for path in (HERE / folder).rglob("*.py") if "versions" not in path.parts)
    return {str(path.relative_to(HERE)): len(path.read_text(encoding="utf-8").splitlines()) for path in found}


def test_no_module_is_longer_than_400_lines() -> None:
    assert {path: lines for path, lines in sizes().items() if lines > LARGEST} == {}


def test_a_module_usually_has_about_120_lines() -> None:
    assert median(lines for path, lines in sizes().items() if not path.startswith("tests/")) <= USUAL
