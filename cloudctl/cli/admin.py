"""`cloudctl admin`: on the server itself, with settings from the environment (CLOUDCTL_*)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cloudctl.cli.failures import REFUSED, UNREACHABLE, USAGE, Failure
from cloudctl.cli.words import say, word

if TYPE_CHECKING:
    from cloudctl.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="On the server itself.")
token = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Tokens, made without one.")
app.add_typer(token, name="token")


@app.command()
def serve() -> None:
    """Serve the API until told to stop (SIGTERM, Ctrl-C).

    Example: CLOUDCTL_PORT=8080 cloudctl admin serve
    """
    with told() as settings:
        from cloudctl.kernel import counting

        counting.share(settings)
        from cloudctl import app as roof
        from cloudctl.api import serve

        serve.run(settings, roof.prepare)


@app.command()
def worker() -> None:
    """Carry out operations until told to stop (SIGTERM, Ctrl-C). Run as many as there is work for.

    Example: cloudctl admin worker
    """
    with told() as settings:
        from cloudctl.kernel import counting

        counting.share(settings)
        from cloudctl import worker
        from cloudctl.kernel import telemetry

        telemetry.log_to()
        worker.run(settings)


@app.command()
def dev() -> None:
    """Run everything on this machine, with an example organisation, until Ctrl-C: for trying it out.

    Starts the embedded PostgreSQL, migrates it, loads the example where there is nothing yet, starts API and worker,
    and prints addresses and tokens.

    Example: cloudctl admin dev
    """
    with told() as settings:
        from cloudctl import dev

        with dev.running(settings) as (address, watching):
            people = dev.logins(settings)
            typer.echo(say("dev-running", address=address, folder=str(settings.data_dir)))
            for person in people:
                typer.echo(f"  {word(person.role)}\t{person.login}\t{person.secret}".expandtabs(28))
            typer.echo(say("dev-watched", **watching.urls) if watching else say("dev-unwatched"))
            typer.echo(say("dev-next", address=address))
            dev.wait_for_the_end(settings)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to this program's.

    Example: cloudctl admin migrate
    """
    with told() as settings:
        from cloudctl import migrations
        from cloudctl.kernel import database

        migrations.upgrade(database.owner_url(settings))


@app.command()
def seed() -> None:
    """Load the example organisation: Qianxinan prefecture. What is there already stays as it is.

    Example: cloudctl admin seed
    """
    with told() as settings:
        from cloudctl import dev

        typer.echo(say("seeded", **dev.seed(settings)))


@app.command()
def doctor() -> None:
    """Look whether everything is as it should be: schema, books, calendar, audit log, operations, pools.

    Changes and starts nothing. Exit code 1 where something is wrong; warnings alone leave it 0.

    Example: cloudctl admin doctor
    """
    with told() as settings:
        from cloudctl import doctor

        findings = doctor.examine(settings)
    for finding in findings:
        typer.echo(f"{word(finding.weight)}: {say(finding.slug, **finding.figures)}")
    if wrong := sum(finding.weight == "wrong" for finding in findings):
        raise Failure("doctor-found", REFUSED, count=wrong)
    typer.echo(say("doctor-warned", count=len(findings)) if findings else say("doctor-well"))


@app.command()
def stop() -> None:
    """End what `dev` or a broken-off demo left running here, and the embedded database.

    Example: cloudctl admin stop
    """
    with told() as settings:
        from cloudctl import dev

        for ended in dev.stop(settings) + dev.stop(dev.for_demo(settings)):
            typer.echo(say("stopped", what=ended))


@token.command("create")
def create_token(
    login: Annotated[str, typer.Argument(help="Whose token; with --role the person is registered if need be.")],
    role: Annotated[str | None, typer.Option(help="Make the person operator, security, auditor or monitor.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of somebody new; the login where absent.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
) -> None:
    """Make a token for somebody: how the first administrators come in. The secret alone is printed, this once.

    \b
    Examples
      cloudctl admin token create luo --role operator --name 罗志远
      cloudctl admin token create wang --days 7 | cloudctl login http://127.0.0.1:8080
    """
    with told() as settings:
        from cloudctl import dev

        typer.echo(dev.issue_token(settings, login, role=role, name=name, days=days))


@contextmanager
def told() -> Iterator["Settings"]:
    """The settings; whatever goes wrong with them or within is told in a line."""
    from pydantic import ValidationError

    from cloudctl.kernel.errors import Invalid, Problem, Several, Unavailable
    from cloudctl.kernel.settings import Settings

    try:
        yield Settings()
    except ValidationError as error:
        faults = [f"CLOUDCTL_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        raise Failure("bad-settings", USAGE, faults=faults) from None
    except Several as several:
        raise Failure(several.problems[0].slug, REFUSED, **several.problems[0].figures) from None
    except Problem as problem:
        code = UNREACHABLE if isinstance(problem, Unavailable) else USAGE if isinstance(problem, Invalid) else REFUSED
        raise Failure(problem.slug, code, **problem.figures) from None
