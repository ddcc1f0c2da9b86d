"""Every secret that the platform issues is looked for in the database, the logs and every file it wrote: not found."""

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from cloudctl import dev
from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from tests.conftest import ROOT_FOLDER
from tests.world import KEY

OWN_SECRETS = ("secret.key", "audit.key", "postgres.owner.password", "postgres.application.password")


@pytest.fixture
def settings() -> Iterator[Settings]:
    ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="secrets-", dir=ROOT_FOLDER))
    folder.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    yield Settings(data_dir=folder, port=port, processes=1)
    shutil.rmtree(folder, ignore_errors=True)


def client(address: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=f"{address}/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30)


def wait_for(get, done, seconds: float = 90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = get()
        if done(found):
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s: {found}")


def dump(settings: Settings) -> bytes:
    """Every row of every table, as text."""
    rows = bytearray()
    with psycopg.connect(database.owner_url(settings)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:  # type: ignore[arg-type]
                for chunk in copy:
                    rows += chunk
    return bytes(rows)


def files(settings: Settings) -> dict[str, bytes]:
    """Everything the platform wrote into its folder, but the database's own files and the keys themselves."""
    return {
        str(path.relative_to(settings.data_dir)): path.read_bytes()
        for path in settings.data_dir.rglob("*")
        if path.is_file()
        and path.name not in OWN_SECRETS
        and "postgres" not in path.parts
        and path.stat().st_size < 2**24
    }


def test_no_secret_is_written_anywhere(settings: Settings) -> None:
    with dev.running(settings) as (address, _):
        people = {login.login: login.secret for login in dev.logins(settings)}
        secrets = set(people.values())
        clerk, operator = client(address, people["jyj-clerk"]), client(address, people["operator"])
        made = clerk.post(
            "/tokens", json={"name": "robot", "scope": "read", "days": 1}, headers={"Idempotency-Key": "k"}
        )
        assert made.status_code == 201, made.text
        secrets.add(made.json()["secret"])
        again = clerk.post(
            "/tokens", json={"name": "robot", "scope": "read", "days": 1}, headers={"Idempotency-Key": "k"}
        )
        assert again.json().get("secret") is None
        assert client(address, "cct_" + "0" * 26 + "_wrong").get("/me").status_code == 401
        secrets.add("_wrong-secret-of-nobody")
        assert client(address, "cct_" + "0" * 26 + "_wrong-secret-of-nobody").get("/me").status_code == 401

        project = clerk.get("/projects").json()["items"][0]
        item = {"kind": "create", "name": "quiet", "size": {"vcpu": 1, "storage_gib.ssd": 1}, "keys": [KEY], "level": 1}
        application = {
            "department": project["department_id"],
            "project": project["code"],
            "purpose": "nothing to see",
            "items": [item],
        }
        submitted = clerk.post("/requests", json=application)
        assert submitted.status_code == 202, submitted.text
        request = submitted.json()["id"]
        for login in ("authority", "jyj-head", "authority"):
            approver = client(address, people[login])
            shown = approver.get(f"/requests/{request}").json()
            verb = "accept" if login == "authority" and shown["awaited"]["step"] == "accept" else "approve"
            decided = approver.post(f"/requests/{request}/{verb}", json={"digest": shown["digest"]})
            assert decided.status_code < 300, decided.text
        done = wait_for(
            lambda: clerk.get(f"/requests/{request}").json(), lambda view: view["state"] in ("finished", "refused")
        )
        tenancy = done["items"][0]["subject"]
        access = clerk.post(f"/tenancies/{tenancy}/access")
        assert access.status_code == 200, access.text
        with psycopg.connect(database.owner_url(settings)) as connection:
            sealed = connection.execute("SELECT memory ->> 'access' FROM operations").fetchall()
        assert sealed
        for name in OWN_SECRETS:
            secrets.add((settings.data_dir / name).read_text().strip().splitlines()[-2 if name == "audit.key" else 0])
        everything = {"database": dump(settings), **files(settings)}
        operator.close()
    assert any("logs" in name for name in everything)
    assert any(people["jyj-clerk"].split("_")[1].encode() in content for content in everything.values())
    for secret in secrets:
        body = secret.split("_", 2)[2] if secret.startswith("cct_") else secret
        assert [name for name, content in everything.items() if body.encode() in content] == []
