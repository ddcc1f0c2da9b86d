"""SSH public keys: what the tenant gives us. Private keys are never made, asked for or kept."""

import base64
from collections.abc import Sequence

from cloudctl.kernel.errors import Invalid, Problem

TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


class PrivateKey(Invalid):
    """Somebody pasted a private key; it is not kept, and should be replaced."""


class BadKey(Invalid):
    """Not one line of an OpenSSH public key of a type we take."""


def problems(keys: Sequence[str], field: str = "") -> list[Problem]:
    """What is wrong with these keys, by position below `field`; a key is shown by its first characters only."""
    found: list[Problem] = []
    for position, key in enumerate(keys):
        at = f"{field}.{position}" if field else str(position)
        if "PRIVATE KEY" in key:
            found.append(PrivateKey(field=at))
        elif not _is_public(key):
            found.append(BadKey(field=at, given=key[:20], types=list(TYPES)))
    return found


def _is_public(key: str) -> bool:
    words = key.split()
    if "\n" in key.strip() or len(words) < 2 or words[0] not in TYPES:
        return False
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        return False
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length] == words[0].encode() and len(blob) > 4 + length
