"""Applications from files: whatever is wrong with one is told with its line."""

import json
import re
from pathlib import Path

import pytest

from cloudctl.cli import files
from cloudctl.cli.failures import Failure
from tests.cli.conftest import Cloud

GOOD = """\
department: 522300-jyj
purpose: Publish the exam scores.
items:
  - kind: quota
    limits:
      vcpu: 130
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "asked.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_field_is_known_by_its_line(tmp_path: Path) -> None:
    assert files.read(written(tmp_path, GOOD)).lines["items.0.limits.vcpu"] == 6


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(Failure) as refused:
        files.read(written(tmp_path, GOOD + "      vcpu: 140\n"))
    assert refused.value.code == 2
    assert refused.value.figures == {"file": str(tmp_path / "asked.yaml"), "line": 7, "key": "vcpu", "first": 6}


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1", 1), ("a: 1\n b: 2\n", 2), ("a: !!python/object:os.system x\n", 1)]
)
def test_what_is_not_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(Failure) as refused:
        files.read(written(tmp_path, text))
    assert (refused.value.slug, refused.value.figures["line"]) == ("not-yaml", line)


def test_a_file_that_is_not_there_is_wrong_usage(cloud: Cloud) -> None:
    done = cloud.terminal("jyj-clerk")("request", "create", "-f", "/nowhere.yaml")
    assert done.code == 2
    assert "/nowhere.yaml" in done.err


def test_a_key_that_nobody_knows_is_refused_with_its_line(cloud: Cloud, tmp_path: Path) -> None:
    file = written(tmp_path, GOOD.replace("    limits:", "    colour: blue\n    limits:"))
    done = cloud.terminal("jyj-clerk")("request", "create", "-f", str(file))
    assert done.code == 1
    assert done.err.startswith(f"cloudctl: {file}:5: ")
    assert done.err.endswith("[items.0.colour]\n")


def test_every_wrong_field_is_told_on_a_line_of_its_own(cloud: Cloud, tmp_path: Path) -> None:
    file = written(tmp_path, GOOD.replace("vcpu: 130", "vcpu: 0\n      memory_gib: -1\n      socks: 3"))
    done = cloud.terminal("jyj-clerk")("request", "create", "-f", str(file))
    assert done.code == 1
    assert [line.split(": ")[1] for line in done.err.splitlines()] == [f"{file}:6", f"{file}:7", f"{file}:8"]


def test_a_list_is_no_application(cloud: Cloud, tmp_path: Path) -> None:
    done = cloud.terminal("jyj-clerk")("request", "create", "-f", str(written(tmp_path, "- 1\n")))
    assert done.code == 2


README = Path(__file__).parents[2] / "README.md"


def test_the_application_of_the_readme_can_be_submitted(cloud: Cloud, tmp_path: Path) -> None:
    written = re.search(r"cat > exam-web.yaml <<END\n(.*?)END\n", README.read_text(encoding="utf-8"), re.DOTALL)
    assert written
    file, clerk = tmp_path / "exam-web.yaml", cloud.terminal("jyj-clerk")
    (code, *_) = [one["code"] for one in json.loads(clerk("project", "list", "-o", "json").out)]
    file.write_text(re.sub(r"(?<=-jyj-)\d{4}", code.split("-")[2], written[1]), encoding="utf-8")
    previewed = clerk("request", "preview", "-f", str(file))
    assert (previewed.code, previewed.err) == (0, "")


def test_a_key_is_the_word_that_stands_there(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("on: kunpeng\nproduction: yes\nsize: &a {no: 1}\nother: {<<: *a}\n")
    found = files.read(file)
    assert found.content == {"on": "kunpeng", "production": True, "size": {"no": 1}, "other": {"no": 1}}
    assert found.lines["on"] == 1
