"""`cloudctl locustfile`: what operators answer for, and what is refused with its line."""

import json
from pathlib import Path

from tests.api.world import LOCUSTFILE
from tests.cli.conftest import Cloud


def test_a_locustfile_is_registered_listed_shown_and_retired(cloud: Cloud, tmp_path: Path) -> None:
    operator, file = cloud.terminal("operator"), tmp_path / "scores.py"
    file.write_text(LOCUSTFILE)
    words = ("locustfile", "register", "-f", str(file), "--name", "scores", "--reason", "signs")
    made = json.loads(operator(*words, "-o", "json").out)
    assert made["id"] in operator("locustfile", "list").out
    shown = operator("locustfile", "show", made["id"]).out
    assert made["sha256"] in shown
    assert LOCUSTFILE in shown
    assert operator("locustfile", "retire", made["id"], "--reason", "another").code == 0
    again = operator("locustfile", "retire", made["id"], "--reason", "another")
    assert again.code == 1
    assert "was retired" in again.err


def test_what_is_no_locustfile_is_refused_with_its_line(cloud: Cloud, tmp_path: Path) -> None:
    operator, file = cloud.terminal("operator"), tmp_path / "scores.py"
    words = ("locustfile", "register", "-f", str(file), "--name", "scores", "--reason", "signs")
    assert operator(*words).code == 2
    file.write_text(LOCUSTFILE + "\ndef broken(:\n")
    refused = operator(*words)
    assert refused.code == 1
    assert "Line 9 is not Python" in refused.err
    file.write_text("import os\n\n\nclass Nobody:\n    pass\n")
    assert "(line 4)" in operator(*words).err
