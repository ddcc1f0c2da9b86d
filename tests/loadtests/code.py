"""Locustfiles for tests, orders of runs with them, and what they leave running."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from loadtests.orders import digest

SOAK = {"kind": "soak", "rate": 50, "seconds": 3}
HEAD = "from locust import FastHttpUser, HttpUser, SequentialTaskSet, between, task\n"
LOOKS = f"""{HEAD}
class Visitor(FastHttpUser):
    @task
    def look(self):
        self.client.get("/scores")
"""


def ordered(there, text, profile=SOAK, **other):
    code = {"id": "loc_1", "text": text, "sha256": digest(text)}
    return there.order(profile, **{"journeys": None, "locustfile": code, "mark": "run_1.abc", "calm": 2, **other})


def doing(body: str, head: str = "") -> str:
    """A locustfile with a task that does this, once."""
    lines = "\n".join(f"        {line}" for line in body.strip("\n").split("\n"))
    return f"{HEAD}{head}\nclass Visitor(FastHttpUser):\n    @task\n    def act(self):\n{lines}\n"


NAMED = """
import ctypes
def be(name):
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
"""


def running(marker: str) -> list[str]:
    """Processes of this machine whose name or words say so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text() + (process / "comm").read_text()
        except OSError:
            continue
        if marker in words:
            found.append(process.name)
    return found


def stays(marker: str, within: float) -> bool:
    until = time.monotonic() + within
    while running(marker) and time.monotonic() < until:
        time.sleep(0.02)
    return bool(running(marker))


@contextmanager
def secured(folder: Path, name: str) -> Iterator[tuple[int, Path, list[str]]]:
    """A server on loopback with a certificate for a name: its port, the file to trust, and what it was asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "authority.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['X-Loadtest-Run']}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, certificate, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
