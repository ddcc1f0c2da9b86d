"""Secrets are sealed so that only the key file opens them, and the key file is made once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudctl.kernel.secrets import (
    BadReference,
    KeyUnreadable,
    SealBroken,
    SealedWithOtherKey,
    SecretMissing,
    Vault,
    private_file,
)
from cloudctl.kernel.settings import Settings


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(Settings(data_dir=tmp_path))


def test_what_was_sealed_is_unsealed_by_every_vault_with_the_same_key(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.seal("密码 s3cret")
    assert "s3cret" not in sealed
    assert Vault(Settings(data_dir=tmp_path)).unseal(sealed) == "密码 s3cret"


def test_the_same_secret_is_never_sealed_to_the_same_text(vault: Vault) -> None:
    assert vault.seal("x") != vault.seal("x")


def test_the_key_file_is_the_owners_only(vault: Vault, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_many_first_users_of_a_key_file_all_read_the_same_key(tmp_path: Path) -> None:
    makers = iter(range(1000))
    with ThreadPoolExecutor(16) as pool:
        read = list(pool.map(lambda _: private_file(tmp_path / "k", lambda: b"%d" % next(makers)), range(64)))
    assert len(set(read)) == 1


def test_a_key_file_that_everybody_can_read_is_refused(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(KeyUnreadable):
        Vault(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("content", ["", "zz", "00ff" * 8])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(KeyUnreadable) as refused:
        Vault(Settings(data_dir=tmp_path, secret_key_file=file))
    assert refused.value.figures["file"] == str(file)


def test_another_key_is_told_apart_from_a_broken_seal(vault: Vault, tmp_path: Path) -> None:
    other = Vault(Settings(data_dir=tmp_path / "other"))
    with pytest.raises(SealedWithOtherKey):
        other.unseal(vault.seal("x"))


@pytest.mark.parametrize("text", ["", "hunter2", "sealed:hunter2", "sealed:00000000:ü"])
def test_what_was_never_sealed_is_refused_without_repeating_it(vault: Vault, text: str) -> None:
    with pytest.raises(SealBroken) as refused:
        vault.unseal(text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("position", [0, 5, 14, 20])
def test_one_changed_byte_breaks_the_seal(vault: Vault, position: int) -> None:
    head, key, body = vault.seal("a secret of some length").split(":")
    flipped = "A" if body[position] != "A" else "B"
    with pytest.raises(SealBroken):
        vault.unseal(f"{head}:{key}:{body[:position]}{flipped}{body[position + 1 :]}")


def test_references_to_files_variables_and_seals_are_resolved(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("from the file\n")
    monkeypatch.setenv("A_PASSWORD", "from the environment")
    assert vault.resolve(f"file:{tmp_path}/password") == "from the file"
    assert vault.resolve("env:A_PASSWORD") == "from the environment"
    assert vault.resolve(vault.seal("sealed")) == "sealed"


@pytest.mark.parametrize("reference", ["file:/nowhere/at/all", "env:CLOUDCTL_NOT_SET"])
def test_a_reference_to_nothing_names_what_is_missing(vault: Vault, reference: str) -> None:
    with pytest.raises(SecretMissing) as missing:
        vault.resolve(reference)
    assert missing.value.figures["reference"] == reference


def test_a_password_given_where_a_reference_belongs_is_not_repeated(vault: Vault) -> None:
    with pytest.raises(BadReference) as refused:
        vault.resolve("hunter2:really")
    assert "hunter2" not in str(refused.value)


def test_a_secret_does_not_show_when_its_container_is_printed(vault: Vault) -> None:
    secret = vault.unseal(vault.seal("hunter2"))
    assert "hunter2" not in f"{[secret]} {secret!r} { {'password': secret} }"
