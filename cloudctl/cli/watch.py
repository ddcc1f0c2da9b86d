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
    found = _follow(client, lambda: client.get("operations", id), lambda one: one["state"] in _ENDED, lambda one: [id])
    if found["state"] != "done":
        raise Failure(f"operation-ended-{found['state']}", operation=id, reason=found["reason"])
    return found


def request(client: Client, id: str) -> dict[str, Any]:
    """Tell what becomes of a request and of the operations that carry it out, until it is over."""
    return _follow(
        client,
        lambda: client.get("requests", id),
        lambda one: one["state"] in _OVER,
        lambda one: [one["id"], *_operations(client, one)],
    )


def forever(client: Client, subject: str) -> None:
    """Tell the events of a subject until the user stops it."""
    _follow(client, dict, lambda _: False, lambda _: [subject])


def _operations(client: Client, request: dict[str, Any]) -> list[str]:
    working = [item["subject"] for item in request["items"] if item["state"] == "working"]
    return [one["id"] for subject in working for one in client.list("operations", subject=subject) if one["state"] == "running"]


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
        news = [event for subject in subjects(thing) for event in _news(client, subject, told)]
        for event in sorted(news, key=lambda one: one["at"]):
            typer.echo(f"{text(event['at'])}  {event['message']}", err=True)
        if is_over(thing):
            return thing
        if not news:
            _sleep_until_something_happens(client, subjects(thing), told)


def _news(client: Client, subject: str, told: dict[str, int]) -> list[dict[str, Any]]:
    found = client.list("events", subject=subject, after=told.get(subject))
    for event in found:
        told[subject] = max(told.get(subject, 0), event["sequence"])
    return found


def _sleep_until_something_happens(client: Client, subjects: list[str], told: dict[str, int]) -> None:
    try:
        for _ in client.watch(subjects, None):
            return
    except Failure as failure:
        if failure.code != UNREACHABLE:
            raise
    time.sleep(_PAUSE)
