"""An export is verified without server or network, and every kind of forgery is an exit code."""

from pathlib import Path

import pytest

from cloudctl.kernel import database
from cloudctl.kernel.audit_seals import Sealer
from tests.cli.conftest import Cloud, Terminal


@pytest.fixture
def exported(cloud: Cloud, tmp_path: Path) -> tuple[Terminal, Path, Path]:
    """An auditor's terminal without a server, with the export and the public key on its disk."""
    auditor = cloud.terminal("auditor")
    engine = database.connect(cloud.settings.database_url or "")
    Sealer(cloud.settings).seal(engine)
    engine.dispose()
    log, key = tmp_path / "audit.ndjson", tmp_path / "audit.pem"
    log.write_text(auditor("audit", "export").out)
    key.write_text(auditor("audit", "key").out)
    return cloud.terminal(), log, key


def test_an_untouched_export_is_intact(exported: tuple[Terminal, Path, Path]) -> None:
    terminal, log, key = exported
    done = terminal("audit", "verify", str(log), "--key", str(key))
    assert done.code == 0
    assert "Intact: " in done.out


def test_an_edited_line_is_found(exported: tuple[Terminal, Path, Path]) -> None:
    terminal, log, key = exported
    log.write_text(log.read_text().replace('"result":"ok"', '"result":"failed"', 1))
    done = terminal("audit", "verify", str(log), "--key", str(key))
    assert done.code == 1
    assert "is not what was sealed" in done.out


def test_a_removed_line_is_found(exported: tuple[Terminal, Path, Path]) -> None:
    terminal, log, key = exported
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2] + lines[3:]))
    assert terminal("audit", "verify", str(log), "--key", str(key)).code == 1


def test_what_is_no_key_is_wrong_usage(exported: tuple[Terminal, Path, Path]) -> None:
    terminal, log, _ = exported
    assert terminal("audit", "verify", str(log), "--key", str(log)).code == 2


def test_only_an_auditor_exports(cloud: Cloud) -> None:
    assert cloud.terminal("operator")("audit", "export").code == 1
