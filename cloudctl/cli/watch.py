"""Waiting with live progress: events as they come; where no stream can be had, the list is asked again."""

import time
from collections.abc import Callable
from typing import Any

import typer

from cloudctl.cli.client import Client
from cloudctl.cli.failures import UNREACHABLE, Failure
from cloudctl.cli.output import text

_OVER = {"finished", "refused", "withdrawn"}
_ENDED = {"done", "undone", "parked"}
_PAUSE = 1.0  # seconds between two looks where there is no stream


def operation(client: Client, id: str) -> dict[str, Any]:
    """Tell an operation's steps until it has ended.

    Raises:
        Failure: it was undone, or is parked for an operator.
    """
    found = _follow(client, lambda: client.get("operations", id), lambda one: one["state"] in _ENDED, lambda _: [id])
    if found["state"] != "done":
        raise Failure(f"operation-ended-{found['state']}", operation=id, reason=text(found["reason"]))
    return found


def operations(client: Client, names: dict[str, str]) -> list[str]:
    """Tell the steps of several operations, each by its name, until all have ended; those that were not done.

    None of them waits for another: they are asked in turn, as a stream tells of one alone.
    """
    seen, left, failed = dict.fromkeys(names, 0), list(names), []
    while left:
        states = {id: client.get("operations", id)["state"] for id in left}
        for id in left:
            for event in client.events(id, seen[id]):
                seen[id] = event["sequence"]
                typer.echo(f"{text(event['at'])}  {names[id]}  {event['text']}", err=True)
        failed += [id for id in left if states[id] in _ENDED and states[id] != "done"]
        left = [id for id in left if states[id] not in _ENDED]
        if left:
            time.sleep(_PAUSE)
    return failed


def request(client: Client, id: str) -> dict[str, Any]:
    """Tell what becomes of a request and of the operations that carry it out, until it is over."""
    return _follow(
        client,
        lambda: client.get("requests", id),
        lambda one: one["state"] in _OVER,
        lambda one: [one["id"], *_operations(client, one)],
    )


def run(client: Client, id: str) -> dict[str, Any]:
    """Tell how a run of a load test goes until it is over."""
    return _follow(client, lambda: client.get("runs", id), lambda one: one["outcome"] is not None, _of_run)


def forever(client: Client, subject: str) -> None:
    """Tell the events of a subject until the user stops it."""
    _follow(client, dict, lambda _: False, lambda _: [subject])


def _operations(client: Client, request: dict[str, Any]) -> list[str]:
    """The operations that now carry out an item."""
    working = [item["subject"] for item in request["items"] if item["state"] == "working"]
    found = [one for subject in working for one in client.items("operations", subject=subject, limit=1)]
    return [one["id"] for one in found if one["state"] not in _ENDED]


def _of_run(run: dict[str, Any]) -> list[str]:
    """What tells of a run: the operation that carries it out, and itself."""
    return [one for one in (run["operation"], run["id"]) if one]


def _follow(
    client: Client,
    look: Callable[[], dict[str, Any]],
    is_over: Callable[[dict[str, Any]], bool],
    subjects: Callable[[dict[str, Any]], list[str]],
) -> dict[str, Any]:
    """Tell new events of the subjects, and look again after each, until it is over."""
    told: dict[str, int] = {}
    while True:
        thing = look()
        going_on = subjects(thing)
        for subject in going_on:
            told.setdefault(subject, 0)
        news = [event for subject in told for event in client.events(subject, told[subject])]
        for event in sorted(news, key=lambda one: str(one["at"])):
            told[event["subject"]] = event["sequence"]
            typer.echo(f"{text(event['at'])}  {event['text']}", err=True)
        if is_over(thing):
            return thing
        if not news:
            latest = going_on[-1]  # the newest operation that has not ended, or the request itself
            _until_something_happens(client, latest, told[latest])


def _until_something_happens(client: Client, subject: str, seen: int) -> None:
    """Return with the next event of the subject, or after a while."""
    try:
        client.wait(subject, seen)
    except Failure as failure:
        if failure.code != UNREACHABLE:
            raise
        time.sleep(_PAUSE)
