"""Ids: a prefix that says what it is, and a UUIDv7 that sorts by time.

`ten_0r2v6ysm1fh0t8x4d3n9k5c7qe` is at most 30 characters (Linux user names end at 32). The body is
26 lower-case Crockford base-32 characters (https://www.crockford.com/base32.html) of the UUID's
128 bits (RFC 9562, section 5.7).
"""

import os
import re
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PATTERN = re.compile(r"^[a-z]{2,3}_[0-7][0-9a-hjkmnp-tv-z]{25}$")


def new(prefix: str) -> str:
    """A new id, later than every id made before it in another millisecond."""
    stamp = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = stamp << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{prefix}_" + "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def is_id(text: str, prefix: str) -> bool:
    return text.startswith(prefix + "_") and bool(PATTERN.fullmatch(text))
