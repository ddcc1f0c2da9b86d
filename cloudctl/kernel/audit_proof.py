"""The proof of the audit log: how entries are chained and sealed, and how an export is verified without a database.

Every entry's hash covers the entry, its position and the hash before it; a seal signs the hash at a position.
Whoever holds the public key finds any edit, removal or reordering. That nothing was cut off at the end, and that
the whole was not written anew by whoever owns the database and the platform, only a seal kept elsewhere proves.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pydantic import BaseModel, ConfigDict

from cloudctl.kernel.errors import Invalid, Unavailable

Algorithm = Literal["sha256", "sm3"]


class HashUnavailable(Unavailable):
    """The OpenSSL of this machine does not offer the hash function of the log."""


class BadPublicKey(Invalid):
    """What was given as public key is not an Ed25519 key in PEM."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Seal(_Line):
    """A signed statement: after `position` entries the chain's hash is `head`. Seals are numbered 1, 2, 3, …"""

    kind: Literal["seal"] = "seal"
    number: int
    position: int
    head: str
    algorithm: Algorithm  # of the entries since the seal before
    at: str
    key: str  # the id of the public key
    signature: str = ""

    def signed_by(self, key: Ed25519PrivateKey) -> "Seal":
        return self.model_copy(update={"signature": key.sign(self._body()).hex()})

    def is_signed_by(self, keys: Mapping[str, Ed25519PublicKey]) -> bool:
        try:
            keys[self.key].verify(bytes.fromhex(self.signature), self._body())
        except (KeyError, ValueError, InvalidSignature):
            return False
        return True

    def _body(self) -> bytes:
        return _canonical(self.model_dump(exclude={"signature"}))


class EntryLine(_Line):
    """An entry with its place in the chain; one that is not sealed yet has none."""

    kind: Literal["entry"] = "entry"
    position: int | None
    hash: str | None
    entry: dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that the verification found, as a slug and figures."""

    slug: str
    figures: dict[str, Any]


@dataclass
class Report:
    """What an export proves. `findings` are what is wrong; `remarks` what a reader has to know besides."""

    sealed: int = 0
    unsealed: int = 0
    seals: int = 0
    findings: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        return not self.findings

    def find(self, slug: str, **figures: Any) -> None:
        self.findings.append(Finding(slug, figures))


def chained(algorithm: Algorithm, before: str, position: int, entry: Mapping[str, Any]) -> str:
    """The hash of an entry at its position; `before` is the hash of the one before it, empty for the first.

    Raises:
        HashUnavailable: this machine's OpenSSL does not offer the algorithm.
    """
    try:
        digest = hashlib.new(algorithm)
    except ValueError:
        raise HashUnavailable(algorithm=algorithm) from None
    digest.update(_canonical({"before": before, "position": position, "entry": entry}))
    return digest.hexdigest()


def key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def verify(lines: Iterable[str], public_key: str, anchor: str | None = None) -> Report:
    """Verify an export, line by line.

    Args:
        lines: what `audit_seals.export` gave.
        public_key: PEM; several keys one after another where the platform's key was changed.
        anchor: the newest seal as it was kept outside the database, from when the export was made or before.

    Raises:
        BadPublicKey: no key to verify with.
        HashUnavailable: the log is chained with a hash function that this machine does not have.
    """
    keys, report = _public_keys(public_key), Report()
    kept = _read_anchor(anchor, keys, report)
    seals: list[Seal] = []
    chain = _Chain(report, seals, kept)
    for number, text in enumerate(lines, 1):
        line = _read(text)
        if isinstance(line, Seal) and not chain.has_begun:
            seals.append(line)
        elif isinstance(line, EntryLine):
            chain.add(line, number)
        else:
            report.find("audit-line-unreadable", line=number)
    report.seals = len(seals)
    _check_seals(seals, keys, report)
    chain.check()
    if kept is None:
        report.remarks.append(Finding("audit-end-not-vouched", {}))
    elif report.is_intact and kept.position < chain.last:
        report.remarks.append(Finding("audit-vouched-to", {"position": kept.position, "last": chain.last}))
    if report.unsealed:
        report.remarks.append(Finding("audit-not-yet-sealed", {"count": report.unsealed}))
    return report


class _Chain:
    """The entries as they come; the hash that a line carries is the ground for the next, so one edit is one finding."""

    def __init__(self, report: Report, seals: list[Seal], kept: Seal | None) -> None:
        self.report, self.seals, self.kept = report, seals, kept
        self.last, self.head, self.has_begun = 0, "", False
        self._heads: dict[int, str] = {}  # the hashes where a seal says what they must be
        self._sealing = 0  # index of the seal that covers the next entry

    def add(self, line: EntryLine, number: int) -> None:
        if not self.has_begun:
            self.has_begun = True  # and so all seals are read
            self._heads = {seal.position: "" for seal in self._witnesses()}
        position, recorded = line.position, line.hash
        if position is None or recorded is None:
            self.report.unsealed += 1
            return
        if position <= self.last:
            self.report.find("audit-entry-out-of-order", line=number, position=position)
            return
        if position > self.last + 1:
            self.report.find("audit-entries-missing", first=self.last + 1, last=position - 1)
        elif chained(self._algorithm(position), self.head, position, line.entry) != recorded:
            self.report.find("audit-entry-altered", line=number, position=position)
        self.report.sealed += 1
        self.last, self.head = position, recorded
        if position in self._heads:
            self._heads[position] = recorded

    def check(self) -> None:
        """Compare the chain with every seal that speaks of it."""
        if self.kept and self.kept not in self.seals:
            self.report.find("audit-seal-missing", number=self.kept.number)
        covered = 0
        for seal in self._witnesses():
            covered = max(covered, seal.position)
            if seal.position > self.last:
                self.report.find("audit-end-missing", first=self.last + 1, last=seal.position)
            elif self._heads.get(seal.position) != seal.head:
                self.report.find("audit-history-rewritten", position=seal.position, number=seal.number)
        if self.last > covered:
            self.report.find("audit-entries-not-covered", first=covered + 1, last=self.last)

    def _witnesses(self) -> list[Seal]:
        return [*self.seals, *([self.kept] if self.kept else [])]

    def _algorithm(self, position: int) -> Algorithm:
        while self._sealing < len(self.seals) - 1 and self.seals[self._sealing].position < position:
            self._sealing += 1
        return self.seals[self._sealing].algorithm if self.seals else "sha256"


def _check_seals(seals: list[Seal], keys: Mapping[str, Ed25519PublicKey], report: Report) -> None:
    for expected, seal in enumerate(seals, 1):
        if not seal.is_signed_by(keys):
            report.find("audit-seal-forged", number=seal.number, key=seal.key)
        if seal.number != expected:
            report.find("audit-seal-misplaced", number=seal.number, expected=expected)


def _read_anchor(text: str | None, keys: Mapping[str, Ed25519PublicKey], report: Report) -> Seal | None:
    if text is None:
        return None
    seal = _read(text)
    if not isinstance(seal, Seal) or not seal.is_signed_by(keys):
        report.find("audit-anchor-forged")
        return None
    return seal


def _read(text: str) -> Seal | EntryLine | None:
    try:
        line = json.loads(text, object_pairs_hook=_no_key_twice)
        kind = line.get("kind") if isinstance(line, dict) else None
        return Seal.model_validate(line) if kind == "seal" else EntryLine.model_validate(line)
    except (ValueError, RecursionError):
        return None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(read := dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")  # a reader could be shown another value than the one that is hashed
    return read


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _public_keys(pem: str) -> dict[str, Ed25519PublicKey]:
    blocks = re.findall(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", pem, re.DOTALL)
    try:
        keys = [load_pem_public_key(block.encode()) for block in blocks]
    except ValueError:
        keys = []
    found = {key_id(key): key for key in keys if isinstance(key, Ed25519PublicKey)}
    if not found:
        raise BadPublicKey()
    return found
