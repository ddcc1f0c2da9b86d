"""Imports go down only; the contracts stand in pyproject.toml."""

from importlinter.cli import lint_imports


def test_every_import_contract_is_kept() -> None:
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0
