"""Ownership: a target is whose it says to be when its address is one of the owner's tenancy and it shows the owner's
token, at its well-known place or in a TXT record of its name.

It is looked at before each run, at the address that the run will use: what a name means may change in between.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from dns.nameserver import Do53Nameserver

from cloudctl.kernel.operations import GiveUp, RetryLater
from loadtests.targets import WELL_KNOWN

PATIENCE = 5.0  # seconds
MOST = 4096  # bytes of an answer that are read
RECORD = "_cloudctl-loadtest"
"""Name of the TXT record, before the name of the target."""
UNSHOWN = ("no-token-there", "another-token-there")  # at the well-known place: then the record may show it


@dataclass(frozen=True)
class Claim:
    """What a target says of itself. `endpoints` are the addresses of its tenancy that count: (host, port or any)."""

    base_url: str
    token: str
    endpoints: Sequence[tuple[str, int | None]]
    authority: str | None = None  # file with the certificates that are trusted; None: the system's
    name_server: str | None = None  # ADDRESS:PORT that is asked for the record; None: the system's


def proven(claim: Claim) -> list[str]:
    """See that the target is the owner's; returns the addresses that load may be sent to, and no others.

    Raises:
        GiveUp: `address-outside`, `no-token-there`, `another-token-there`, `redirected`, `not-trusted`.
        RetryLater: `not-resolved`, `target-silent`.
    """
    parts = urlsplit(claim.base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _resolved(host, port)
    for address in addresses:
        if not any(_same(address, endpoint) and at in (None, port) for endpoint, at in claim.endpoints):
            known = sorted(f"{endpoint}:{at or '*'}" for endpoint, at in claim.endpoints)
            raise GiveUp("address-outside", host=host, address=f"{address}:{port}", endpoints=known)
    try:
        for address in addresses:
            _must_answer_token(claim, host, port, address, secure=parts.scheme == "https")
    except GiveUp as refused:
        if refused.reason not in UNSHOWN or claim.token not in _recorded(claim, host):
            raise
    return addresses


def _recorded(claim: Claim, host: str) -> list[str]:
    """The texts of the record; none where there is no record, or nobody who answers for it."""
    try:
        resolver = dns.resolver.Resolver(configure=claim.name_server is None)
        if claim.name_server:
            address, _, port = claim.name_server.rpartition(":")
            resolver.nameservers = [Do53Nameserver(address.strip("[]"), int(port))]
        found = resolver.resolve(f"{RECORD}.{host}.", "TXT", lifetime=PATIENCE, search=False)
    except dns.exception.DNSException:
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in found]


def _resolved(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RetryLater("not-resolved", host=host, message=str(error)) from None
    return sorted({str(address[4][0]) for address in found})


def _same(address: str, endpoint: str) -> bool:
    try:
        return ipaddress.ip_address(address) == ipaddress.ip_address(endpoint)
    except ValueError:  # an endpoint by name means whatever somebody lets it mean
        return False


def _must_answer_token(claim: Claim, host: str, port: int, address: str, *, secure: bool) -> None:
    connection = _Pinned(host, port, address, ssl.create_default_context(cafile=claim.authority) if secure else None)
    try:
        connection.request("GET", WELL_KNOWN, headers={"Host": host if port in (80, 443) else f"{host}:{port}"})
        answer = connection.getresponse()
        said = answer.read(MOST).decode("utf-8", "replace").strip()
    except ssl.SSLError as error:
        raise GiveUp("not-trusted", host=host, message=str(error)[:300]) from None
    except (OSError, http.client.HTTPException) as error:
        raise RetryLater("target-silent", host=host, address=address, message=str(error)[:300] or "-") from None
    finally:
        connection.close()
    if 300 <= answer.status < 400:
        raise GiveUp("redirected", host=host, status=answer.status, to=(answer.getheader("Location") or "-")[:200])
    if answer.status != 200:
        raise GiveUp("no-token-there", address=f"{claim.base_url}{WELL_KNOWN}", status=answer.status)
    if said != claim.token:
        raise GiveUp("another-token-there", address=f"{claim.base_url}{WELL_KNOWN}")


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, whatever the name means by now; the certificate must be the name's."""

    def __init__(self, host: str, port: int, address: str, trust: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=PATIENCE)
        self._address, self._trust = address, trust

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._trust:
            self.sock = self._trust.wrap_socket(self.sock, server_hostname=self.host)
