"""The commands there are, each in a module that is imported only when it is called."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from cloudctl.cli.failures import REFUSED, Failure

COMMANDS = {
    # command: (module, what it is about)
    "login": ("login", "Store a server and a token, and check that they work."),
    "context": ("contexts", "The servers and tokens that are stored; which one is used."),
    "department": ("departments", "The tree of departments: list, show, create, rename, move, import."),
    "quota": ("quotas", "How much a department may have, holds and uses; whose limit is short."),
    "project": ("projects", "Information systems and their codes."),
    "request": ("requests", "Applications: preview, create, show, supplement, withdraw."),
    "approval": ("approvals", "What waits for my decision: accept, approve, refuse, return, delegate."),
    "tenancy": ("tenancies", "What departments have: show, resize, return, restore, erase, access."),
    "pool": ("pools", "Where tenancies live: pools, their servers, and why one fits or not."),
    "server": ("servers", "Machines of pools: enrol, drain, open, retire."),
    "target": ("targets", "Public systems that load may be sent to: register, show, consent."),
    "locustfile": ("locustfiles", "Code for load tests that operators answer for: register, show, retire."),
    "campaign": ("campaigns", "Load tests: preview, submit, approve, run, watch, stop, report."),
    "freeze": ("freezes", "Times in which nothing is load-tested."),
    "operation": ("operations", "Work under way: watch, cancel, retry, resolve."),
    "status": ("status", "What is wrong now, worst first; whether to wake somebody."),
    "capacity": ("capacity", "How full pools are; a page of it to mail."),
    "silence": ("silences", "Alerts of which nobody is told for a while."),
    "user": ("users", "People, their roles and memberships."),
    "token": ("tokens", "Keys to the API: create, list, revoke."),
    "event": ("events", "What happened to something, as it happens."),
    "audit": ("audit", "Who did what: list, export, verify without a network."),
    "admin": ("admin", "On the server: serve, worker, dev, migrate, seed, doctor, token, stop."),
    "demo": ("demo", "The main job from end to end, on this machine, in four minutes."),
}


class LazyGroup(TyperGroup):
    """The root: lists its commands without importing them, and turns a failure into its line and exit code."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name not in COMMANDS:
            return None
        return get_command(import_module(f"cloudctl.cli.{COMMANDS[cmd_name][0]}").app)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except Failure as failure:
            typer.echo(failure.text(), err=True)
            raise typer.Exit(failure.code) from None
        except (typer.Abort, KeyboardInterrupt, EOFError):
            from cloudctl.cli.words import say

            typer.echo(f"\n{say('broken-off')}", err=True)
            raise typer.Exit(REFUSED) from None
