"""Secrets: named by reference, or sealed with the platform's key (AES-256-GCM); never kept in clear."""

import base64
import os
import re
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudctl.kernel.errors import Invalid, Unavailable
from cloudctl.kernel.settings import Settings

SCHEMES = ("file", "env", "sealed")
_NONCE = 12  # bytes, as NIST SP 800-38D recommends for GCM


class BadReference(Invalid):
    """A secret is not given as `file:…`, `env:…` or `sealed:…`; it is not repeated, it may be the secret."""


class SecretMissing(Unavailable):
    """The file or the environment variable that a reference names is not there, or cannot be read."""


class KeyUnreadable(Unavailable):
    """A key file does not hold a key, or others than its owner and group can read it."""


class SealedWithOtherKey(Unavailable):
    """A secret was sealed with another key than the one in the key file."""


class SealBroken(Unavailable):
    """A sealed secret was changed since it was sealed."""


class Secret(str):
    """A secret in clear. A str in every use, but its repr, and so its containers and our logs, show a mask."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


def masked(settings: Any) -> Any:
    """Settings as they may be shown: of a secret's reference only its kind (`file:…`), and the rest as it is."""
    match settings:
        case str() if (scheme := settings.partition(":")[0]) != settings and scheme in SCHEMES:
            return f"{scheme}:…"
        case dict():
            return {name: masked(value) for name, value in settings.items()}
        case list():
            return [masked(value) for value in settings]
    return settings


class Vault:
    """Seals, unseals and looks up secrets. Its key file is made on first use."""

    def __init__(self, settings: Settings) -> None:
        """Open the vault of these settings.

        Raises:
            KeyUnreadable: the key file is not 64 hexadecimal characters, or open to everybody.
        """
        file = settings.secret_key_file or settings.data_dir / "secret.key"
        text = private_file(file, lambda: os.urandom(32).hex().encode())
        if not re.fullmatch(rb"[0-9a-fA-F]{64}", text):
            raise KeyUnreadable(file=str(file), fault="not 64 hexadecimal characters")
        key = bytes.fromhex(text.decode())
        self._cipher = AESGCM(key)
        self._key_id = sha256(key).hexdigest()[:8]

    def seal(self, plain: str) -> str:
        """`sealed:<key id>:<ciphertext>`, to be kept anywhere. The same secret gives another text each time."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, plain.encode(), self._key_id.encode())
        return f"sealed:{self._key_id}:{base64.urlsafe_b64encode(sealed).decode()}"

    def unseal(self, sealed: str) -> Secret:
        """The secret in clear.

        Raises:
            SealedWithOtherKey: names both keys.
            SealBroken: not what `seal` wrote.
        """
        form = re.fullmatch(r"sealed:([0-9a-f]{8}):([\w=-]+)", sealed, re.ASCII)
        if not form:
            raise SealBroken()
        key_id, body = form.groups()
        if key_id != self._key_id:
            raise SealedWithOtherKey(wanted=key_id, found=self._key_id)
        try:
            raw = base64.urlsafe_b64decode(body)
            return Secret(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], key_id.encode()).decode())
        except (InvalidTag, ValueError):
            raise SealBroken() from None

    def resolve(self, reference: str) -> Secret:
        """The secret that `file:<path>`, `env:<name>` or `sealed:…` stands for; a file's last line break is dropped.

        Raises:
            BadReference: it is none of these.
            SecretMissing: there is no such file or variable.
        """
        scheme, _, name = reference.partition(":")
        match scheme:
            case "sealed":
                return self.unseal(reference)
            case "file":
                with suppress(OSError, UnicodeDecodeError):
                    return Secret(Path(name).read_text(encoding="utf-8").rstrip("\r\n"))
            case "env":
                if name in os.environ:
                    return Secret(os.environ[name])
            case _:
                raise BadReference(schemes=[f"{scheme}:" for scheme in SCHEMES])
        raise SecretMissing(reference=reference)


def private_file(file: Path, make: Callable[[], bytes]) -> bytes:
    """What the file holds; where there is none it is made, readable by its owner only.

    Of several processes that come first at once, one makes it and all read the same; nobody ever sees half of it.

    Raises:
        KeyUnreadable: it is open to everybody, or cannot be read.
    """
    try:
        if not file.exists():
            _make(file, make())
        if stat.S_IMODE(file.stat().st_mode) & stat.S_IRWXO:
            raise KeyUnreadable(file=str(file), fault="open to everybody; set its mode to 0600")
        return file.read_bytes().strip()
    except OSError as error:
        raise KeyUnreadable(file=str(file), fault=error.strerror or str(error)) from None


def _make(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as output:
            output.write(content)
            output.flush()
            os.fsync(handle)
        with suppress(FileExistsError):  # another process was faster: its file stays
            os.link(draft, file)
    finally:
        Path(draft).unlink()
