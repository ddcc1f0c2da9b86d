"""The bell: watchers are woken by what is committed, also after the connection was lost, and are not without number."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cloudctl.api import bell
from cloudctl.api.bell import Bell, TooManyWatchers
from cloudctl.api.events import Watching, stream
from cloudctl.kernel import events
from tenancy import tokens
from tests.api.world import World

SUBJECT = "ten_1"


def happen(engine: Engine, subject: str = SUBJECT) -> None:
    with Session(engine) as session, session.begin():
        events.record(session, subject, "tenancy-succeed")


def listeners(owner: Engine) -> list[int]:
    with owner.connect() as connection:
        query = text("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()")
        return list(connection.execute(query).scalars())


async def until(found: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(found):
            await asyncio.sleep(0.05)


def with_bell(url: str, watch: Callable[[Bell], Awaitable[None]]) -> None:
    async def run() -> None:
        one = Bell(url)
        async with one.ringing():
            await watch(one)

    asyncio.run(run())


def watching(api: World, subject: str) -> Watching:
    with Session(api.platform.engine) as session:
        caller = tokens.authenticate(session, api.platform.settings, api.secrets["clerk"])
    return Watching(api.platform, subject, api.secrets["clerk"], "en", caller)


def heard(api: World, subject: str) -> list[str | None]:
    """What a stream tells until it ends by itself, with the token looked at again before each look."""

    async def run(url: str) -> list[str | None]:
        one = Bell(url)
        async with one.ringing(), asyncio.timeout(10):
            return [event.event async for event in stream(one, watching(api, subject), 0, trusted_for=-1)]

    return asyncio.run(run(api.platform.url))


def test_a_stream_ends_when_its_token_is_revoked(api: World) -> None:
    one = watching(api, api.a["request"])
    assert one.may_go_on()
    for token in api.call("clerk", "GET", "/v1/tokens").json()["items"]:
        api.call("security", "DELETE", f"/v1/tokens/{token['id']}")
    assert not one.may_go_on()


def test_a_stream_ends_when_its_subject_is_no_longer_the_watchers_to_see(api: World) -> None:
    one = watching(api, api.a["request"])
    api.call("security", "DELETE", f"/v1/users/clerk-a/memberships/{api.a['department']}/clerk")
    assert not one.may_go_on()
    assert heard(api, api.a["request"]) == []


def test_a_watcher_is_woken_by_its_own_subject_only(engine: Engine, urls: dict[str, str]) -> None:
    async def watch(one: Bell) -> None:
        with one.watching(SUBJECT) as mine, one.watching("ten_2") as other:
            await until(lambda: listeners(engine))
            await asyncio.wait_for(other.wait(), 10)  # everybody looks once it listens
            other.clear()
            mine.clear()
            await asyncio.to_thread(happen, engine)
            await asyncio.wait_for(mine.wait(), 10)
            assert not other.is_set()

    with_bell(urls["application"], watch)


def test_one_connection_hears_for_all_watchers(engine: Engine, urls: dict[str, str]) -> None:
    async def watch(one: Bell) -> None:
        with one.watching("ten_1"), one.watching("ten_2"), one.watching("ten_3"):
            await until(lambda: listeners(engine))
            assert len(listeners(engine)) == 1

    with_bell(urls["application"], watch)


def test_a_lost_connection_is_made_anew_and_everybody_is_told_to_look(engine: Engine, urls: dict[str, str]) -> None:
    async def watch(one: Bell) -> None:
        with one.watching(SUBJECT) as rung:
            await until(lambda: listeners(engine))
            await asyncio.wait_for(rung.wait(), 10)
            rung.clear()
            (first,) = listeners(engine)
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
            await asyncio.wait_for(rung.wait(), 20)
            assert listeners(engine) != [first]

    with_bell(urls["application"], watch)


def test_who_watches_nothing_costs_no_connection(
    engine: Engine, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "_LINGER", 0.2)

    async def watch(one: Bell) -> None:
        assert listeners(engine) == []
        for _ in range(2):
            with one.watching(SUBJECT):
                await until(lambda: listeners(engine))
            await until(lambda: not listeners(engine))

    with_bell(urls["application"], watch)


def test_watchers_are_counted_and_no_longer_counted_once_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "MOST", 1)
    one = Bell("unused")
    with one.watching(SUBJECT), pytest.raises(TooManyWatchers):
        one.must_have_room()
    one.must_have_room()
