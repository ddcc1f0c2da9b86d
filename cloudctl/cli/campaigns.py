"""`cloudctl campaign`: load tests, from the curve before to the report after."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli import files, requests, watch
from cloudctl.cli.client import api
from cloudctl.cli.failures import Failure
from cloudctl.cli.output import Format, Limit, Output, for_programs, show, show_list, text

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Load tests: know before the day of the surge.")
CampaignId = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Id of the campaign.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
FIELDS = (
    "id name state target locustfile profile=profile.kind forecast generators on cron zone next_run_at expires_at "
    "reason submitted_by approved_by"
)
RUN = (
    "id campaign outcome capacity=result.capacity planning=result.planning offered=result.offered "
    "goodput=result.goodput bad=result.bad p50_ms=result.p50_ms p99_ms=result.p99_ms "
    "recovery_seconds=result.recovery_seconds bytes_per_second=result.bytes_per_second bandwidth=result.bandwidth "
    "over_forecast=proposal.headroom wanted=proposal.size "
    "compared started_at finished_at"
)
PARTS = {"reasons": "because=text"}
BAD = ("fail", "unlikely", "invalid", "aborted", "lost", "refused", "missed")


@app.command("list")
def list_(
    target: Annotated[str | None, typer.Option(help="Only on this target (its id).")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, as in waiting.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List campaigns; operators see everybody's.

    Example: cloudctl campaign list --state waiting
    """
    found = api().items("campaigns", limit=limit, target=target, state=state)
    show_list(found, output, "id name state profile=profile.kind forecast next_run_at")


@app.command("show")
def show_(campaign: CampaignId, output: Output = Format.TABLE) -> None:
    """Show a campaign and its runs.

    Example: cloudctl campaign show cmp_01kc…
    """
    found = api().get("campaigns", campaign)
    if output is Format.TABLE:
        found["runs"] = api().items("runs", campaign=campaign, limit=10)
    show(found, output, FIELDS, runs="id outcome capacity=result.capacity bad=result.bad finished_at")


@app.command()
def preview(file: files.YamlFile, output: Output = Format.TABLE) -> None:
    """Draw the curve of a campaign before anything is sent, and say whether somebody must approve it.

    Example: cloudctl campaign preview -f exam.yaml
    """
    document = files.read(file)
    with files.blamed(document):
        found = api().post("campaigns", "preview", body=document.content)
    if output is not Format.TABLE:
        for_programs(found, output)
        return
    for line in found["drawn"]:
        typer.echo(line)
    show(found, output, "highest seconds requests forecast approval")


@app.command()
def submit(file: files.YamlFile, output: Output = Format.TABLE) -> None:
    """Submit a campaign. On a production target it waits until somebody else approves it.

    \b
    Example
      cloudctl campaign submit -f exam.yaml
    exam.yaml
      target: tgt_01kc…
      name: exam scores 2026
      journeys:
        journeys:
          - name: look up a score
            data: candidates
            requests:
              - path: /scores?number={number}
                check: {status: [200], contains: total}
                busy: {status: [503]}              a declared busy page: neither good nor an error
        data: {candidates: "number\\n1001\\n1002"}
                                                   or instead of journeys  locustfile: loc_01kc…
      level: {latency_ms: 300, bad: 0.01}
      peak: {population: 480000, share: 0.6, requests: 4, minutes: 30, arrival: release}
      profile: {kind: search}                      looks for the capacity; or smoke, step, ramp, spike, soak,
                                                   exam-release, morning-peak, tax-deadline, coupons, retry-storm
      generators: 3                                engines that share the load;
      on: kunpeng                                  as Jobs on this generator pool, else beside the platform
      cron: "30 6 * * 1"                           or at: 2026-06-20T22:00:00Z; or neither, and: cloudctl campaign run
    """
    document = files.read(file)
    with files.blamed(document):
        show(api().post("campaigns", body=document.content), output, FIELDS)


@app.command()
def approve(campaign: CampaignId, output: Output = Format.TABLE) -> None:
    """Allow a campaign that somebody else submitted.

    Example: cloudctl campaign approve cmp_01kc…
    """
    show(api().post("campaigns", campaign, "approve"), output, FIELDS)


@app.command()
def refuse(campaign: CampaignId, reason: Reason, output: Output = Format.TABLE) -> None:
    """Do not allow a campaign.

    Example: cloudctl campaign refuse cmp_01kc… --reason "not in the week of the exams"
    """
    show(api().post("campaigns", campaign, "refuse", body={"reason": reason}), output, FIELDS)


@app.command()
def veto(campaign: CampaignId, reason: Reason, output: Output = Format.TABLE) -> None:
    """Forbid a campaign, as whoever runs the pool; a run under way stops within a second.

    Example: cloudctl campaign veto cmp_01kc… --reason "its neighbours suffer"
    """
    show(api().post("campaigns", campaign, "veto", body={"reason": reason}), output, FIELDS)


@app.command()
def pause(campaign: CampaignId, output: Output = Format.TABLE) -> None:
    """Have a campaign not run by itself for a while.

    Example: cloudctl campaign pause cmp_01kc…
    """
    show(api().post("campaigns", campaign, "pause"), output, FIELDS)


@app.command()
def resume(campaign: CampaignId, output: Output = Format.TABLE) -> None:
    """Have a campaign run again when it is due next.

    Example: cloudctl campaign resume cmp_01kc…
    """
    show(api().post("campaigns", campaign, "resume"), output, FIELDS)


@app.command()
def run(campaign: CampaignId, wait: requests.Wait = False, output: Output = Format.TABLE) -> None:
    """Run a campaign now. Whose the target is is looked at before the first request.

    Example: cloudctl campaign run cmp_01kc… --wait
    """
    started = api().post("campaigns", campaign, "run")
    if wait:
        _followed(started["id"], output)
    else:
        show(started, output, RUN, **PARTS)


@app.command("watch")
def watch_(run: RunId, output: Output = Format.TABLE) -> None:
    """Tell how a run goes, each second, until it is over; then what came of it.

    Example: cloudctl campaign watch run_01kc…
    """
    _followed(run, output)


@app.command()
def stop(run: RunId, reason: Reason, output: Output = Format.TABLE) -> None:
    """The kill switch: the last request of a run leaves within a second.

    Example: cloudctl campaign stop run_01kc… --reason "the hotline rings"
    """
    show(api().post("runs", run, "stop", body={"reason": reason}), output, RUN, **PARTS)


@app.command()
def result(run: RunId, output: Output = Format.TABLE) -> None:
    """Show what came of a run: verdict, capacity, what it compares with, whether it is enough.

    Example: cloudctl campaign result run_01kc… -o json
    """
    show(api().get("runs", run), output, RUN, **PARTS)


@app.command()
def report(
    run: RunId,
    into: Annotated[Path, typer.Option("--into", help="File to write.")] = Path("report.html"),
) -> None:
    """Write the report of a run: one HTML page with its pictures, which needs no network.

    Example: cloudctl campaign report run_01kc… --into exam.html
    """
    into.write_text("\n".join(api().lines("runs", run, "report")), encoding="utf-8")
    typer.echo(str(into))


@app.command()
def resize(run: RunId, output: Output = Format.TABLE, wait: requests.Wait = False) -> None:
    """Ask for the size that a run proposes, as an application like any other.

    Example: cloudctl campaign resize run_01kc… --wait
    """
    requests.conclude(api().post("runs", run, "resize"), output, wait)


def _followed(run: str, output: Format) -> None:
    """Tell a run's events until it is over, and end with a failure unless it passed."""
    found: dict[str, Any] = watch.run(api(), run)
    show(found, output, RUN, **PARTS)
    if found["outcome"] in BAD:
        raise Failure("run-came-out", run=run, outcome=found["outcome"], reasons=text(found["reasons"]))
