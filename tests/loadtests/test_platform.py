"""Campaigns on the platform: what sends nothing, what is told, and the whole story on a real tenancy."""

import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events
from cloudctl.kernel.settings import Settings
from loadtests import campaigns, freezes, runs, targets, troubles
from loadtests.models import Campaign, Run, Target
from monitoring.status import Trouble
from tenancy import tenancies
from tests.loadtests.elsewhere import until
from tests.world import World

SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}
LOOK = {"journeys": [{"name": "look", "requests": [{"path": "/scores"}]}]}
SOAK = {"kind": "soak", "rate": 20, "seconds": 2}


class Stage:
    """A world with a tenancy, and a real server on loopback that says to be a target in it."""

    def __init__(self, world: World, there, tenancy: str) -> None:
        self.world, self.there, self.tenancy_id = world, there, tenancy
        with self.session() as session:
            self.target_id = self.registered(session).id

    @contextmanager
    def session(self):
        with Session(self.world.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def registered(self, session, **other):
        about = {
            "project": self.world.project.id,
            "tenancy": self.tenancy_id,
            "name": "scores",
            "base_url": self.there.url,
            "contacts": ["Wang"],
            "ceiling": 100.0,
            "production": False,
        }
        target = targets.register(session, self.world.clerk, **about | other)
        self.there.say(token=target.token)
        return target

    def confirm(self, host="127.0.0.1"):
        """An operator confirms the server's address as an endpoint of the tenancy."""
        with self.session() as session:
            made = tenancies.add_endpoint(session, self.world.clerk, self.tenancy_id, host, self.there.port)
            tenancies.confirm_endpoint(session, self.world.operator, self.tenancy_id, made.id)

    def campaign(self, profile=SOAK, **other) -> str:
        told = {"target": self.target_id, "name": "exam", "journeys": LOOK, "profile": profile, **other}
        with self.session() as session:
            return campaigns.submit(session, self.world.clerk, campaigns.Wanted.model_validate(told)).id

    def run(self, campaign: str) -> Run:
        with self.session() as session:
            run = runs.start(session, self.world.clerk, campaign)
        self.world.walk()
        return self.run_of(run.id)

    def run_of(self, run: str) -> Run:
        with self.session() as session:
            return session.get_one(Run, run)

    def troubles(self) -> list[Trouble]:
        with self.session() as session:
            return list(troubles.troubles(session))

    def target(self) -> Target:
        with self.session() as session:
            return session.get_one(Target, self.target_id)

    def told(self, subject: str) -> list[str]:
        with self.session() as session:
            return [event.slug for event in events.after(session, [subject])]

    @property
    def came(self) -> int:
        return self.there.told()["came"]


@pytest.fixture
def stage(engine: Engine, settings: Settings, tmp_path, target) -> Stage:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    return Stage(world, target("instant"), world.create(SIZE))


@pytest.mark.measures
def test_a_run_measures_and_is_told_from_its_promise_to_its_end(stage):
    stage.confirm()
    campaign = stage.campaign()
    run = stage.run(campaign)
    assert run.outcome in ("pass", "likely")
    assert run.result["requests"] == stage.came
    assert stage.target().proven_at is not None
    assert "run-progress" in stage.told(run.id)
    assert stage.told(campaign) == ["campaign-submitted", "campaign-approve", "run-promised", "run-over-told"]
    assert stage.told(run.id)[-1] == "run-over-told"
    again = stage.run(campaign)
    with stage.session() as session:
        assert runs.before(session, session.get_one(Run, again.id)).id == run.id


# -- nothing is sent


def another_token(stage):
    stage.confirm()
    stage.there.say(token="somebody-else")


def no_token(stage):
    stage.confirm()
    stage.there.say(token="")


def redirected(stage):
    stage.confirm()
    stage.there.say(away="http://127.0.0.1:1/.well-known/cloudctl-loadtest")


def address_of_a_neighbour(stage):
    stage.confirm("127.0.0.2")


def nobody_confirmed_the_address(stage):
    with stage.session() as session:
        tenancies.add_endpoint(session, stage.world.clerk, stage.tenancy_id, "127.0.0.1", stage.there.port)


def somebody_has_not_consented(stage):
    stage.confirm()
    needs = [{"name": "identity", "department": stage.world.root.code}]
    with stage.session() as session:
        targets.update(session, stage.world.clerk, stage.target_id, depends=needs)


@pytest.mark.parametrize(
    ("because", "reason"),
    [
        (another_token, "another-token-there"),
        (no_token, "no-token-there"),
        (redirected, "redirected"),
        (address_of_a_neighbour, "address-outside"),
        (nobody_confirmed_the_address, "address-outside"),
        (somebody_has_not_consented, "consent-missing"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_nothing_is_sent_when_it_is_not_proven_that_it_may_be(stage, because, reason):
    because(stage)
    run = stage.run(stage.campaign())
    assert (run.outcome, run.reason["slug"]) == ("refused", reason)
    assert stage.came == 0


def test_a_name_that_means_another_address_by_the_time_of_the_run_gets_nothing(stage):
    """It is looked up anew for each run: the address that was confirmed is another one than the name has now."""
    stage.confirm("127.0.0.9")
    with stage.session() as session:
        other = stage.registered(session, base_url=f"http://localhost:{stage.there.port}")
    stage.target_id = other.id
    assert stage.run(stage.campaign()).reason["slug"] == "address-outside"
    assert stage.came == 0


def test_nothing_is_sent_within_a_blackout_or_a_freeze(stage):
    stage.confirm()
    campaign, now = stage.campaign(), clock.now()
    with stage.session() as session:
        frozen = freezes.declare(session, stage.world.operator, now, now + timedelta(hours=1), "exam")
    with stage.session() as session, pytest.raises(freezes.Frozen):
        runs.start(session, stage.world.clerk, campaign)
    with stage.session() as session:
        freezes.lift(session, stage.world.operator, frozen.id)
        window = {"from": f"{now:%H:%M}", "to": f"{now + timedelta(hours=1):%H:%M}", "zone": "UTC"}
        targets.update(session, stage.world.clerk, stage.target_id, blackouts=[window])
    with stage.session() as session, pytest.raises(targets.InBlackout):
        runs.start(session, stage.world.clerk, campaign)
    assert stage.came == 0


def test_a_campaign_above_the_ceiling_is_refused_with_both_figures(stage):
    with pytest.raises(campaigns.AboveCeiling) as refused:
        stage.campaign({"kind": "soak", "rate": 101, "seconds": 2})
    assert (refused.value.figures["highest"], refused.value.figures["ceiling"]) == (101, 100)


def test_on_what_the_public_uses_a_second_person_approves_and_the_operator_may_forbid(stage):
    stage.confirm()
    with stage.session() as session:
        targets.update(session, stage.world.clerk, stage.target_id, production=True)
    campaign = stage.campaign()
    with stage.session() as session, pytest.raises(campaigns.NotReady):
        runs.start(session, stage.world.clerk, campaign)
    with stage.session() as session:
        campaigns.approve(session, stage.world.head, campaign)
    with stage.session() as session:
        promised = runs.start(session, stage.world.clerk, campaign)
        campaigns.veto(session, stage.world.operator, campaign, "its neighbours suffer")
    stage.world.walk()
    run = stage.run_of(promised.id)
    assert (run.outcome, run.reason["slug"], stage.came) == ("refused", "campaign-not-ready", 0)


def test_one_run_at_a_time_on_a_target(stage):
    stage.confirm()
    campaign = stage.campaign()
    with stage.session() as session:
        runs.start(session, stage.world.clerk, campaign)
    with stage.session() as session, pytest.raises(runs.TargetBusy):
        runs.start(session, stage.world.clerk, campaign)


# -- when it is due


@pytest.mark.measures
def test_what_is_due_runs_once_and_what_is_late_is_missed_and_not_fired(stage):
    stage.confirm()
    monday = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    with clock.at(monday):
        campaign = stage.campaign(cron="0 6 * * *", zone="UTC")
    due = monday + timedelta(hours=6)
    with clock.at(due + timedelta(seconds=5)):
        runs.fire(stage.world.engine, stage.world.settings)
        runs.fire(stage.world.engine, stage.world.settings)
    stage.world.walk()
    with clock.at(due + timedelta(days=1, minutes=5)):
        runs.fire(stage.world.engine, stage.world.settings)
    with stage.session() as session:
        found = runs.listed(session, stage.world.clerk, campaign=campaign)
        assert session.get_one(Campaign, campaign).next_run_at == due + timedelta(days=2)
    assert [(run.outcome, (run.reason or {}).get("slug")) for run in found[:1]] == [("missed", "too-late")]
    assert [run.outcome for run in found[1:]] in (["pass"], ["likely"])
    assert [(told.slug, told.wakes) for told in stage.troubles()] == [("trouble-run", False)]
    stage.run(campaign)
    assert stage.troubles() == []


@pytest.mark.measures
def test_a_target_that_did_not_recover_wakes_somebody_and_what_is_due_unapproved_is_told(stage):
    stage.confirm()
    run = stage.run(stage.campaign())
    with stage.session() as session:
        ended = session.get_one(Run, run.id)
        ended.result = {**ended.result, "recovery_seconds": 61.0}
        targets.update(session, stage.world.clerk, stage.target_id, production=True)
    stage.campaign(at=clock.now() + timedelta(hours=2))
    stage.campaign(at=clock.now() + timedelta(days=2))
    down, unapproved = stage.troubles()
    assert (down.slug, down.wakes, down.figures["seconds"]) == ("trouble-target-down", True, 61)
    assert (unapproved.slug, unapproved.wakes) == ("trouble-campaign-unapproved", False)


# -- the kill switch, and the death of a worker


WORKER = "from cloudctl import worker; from cloudctl.kernel.settings import Settings; worker.run(Settings())"


@contextmanager
def worker(stage, **more):
    environment = {
        **more,
        "CLOUDCTL_DATABASE_URL": stage.world.settings.database_url,
        "CLOUDCTL_DATA_DIR": str(stage.world.settings.data_dir),
        "CLOUDCTL_HEARTBEAT_SECONDS": "1",
        "CLOUDCTL_STALLED_SECONDS": "3",
        "PATH": "/usr/bin:/bin",
    }
    process = subprocess.Popen([sys.executable, "-c", WORKER], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_stop_ends_it_within_a_second_and_a_killed_workers_run_is_lost_and_never_repeated(stage):
    stage.confirm()
    campaign = stage.campaign({"kind": "soak", "rate": 40, "seconds": 600})
    with worker(stage):
        with stage.session() as session:
            stopped = runs.start(session, stage.world.clerk, campaign)
        until(lambda: stage.came > 20)
        with stage.session() as session:
            runs.stop(session, stage.world.clerk, stopped.id, "the hotline rings")
        pressed = time.monotonic()
        until(lambda: stage.run_of(stopped.id).outcome)
        assert stage.there.told()["last"] < pressed + 1
        assert stage.run_of(stopped.id).outcome == "aborted"
    before = stage.came
    with worker(stage) as first:
        with stage.session() as session:
            lost = runs.start(session, stage.world.clerk, campaign)
        until(lambda: stage.came > before + 20)
        first.kill()
        first.wait()
    killed, came = time.monotonic(), stage.came
    with worker(stage):
        until(lambda: stage.run_of(lost.id).outcome)
        assert stage.run_of(lost.id).outcome == "lost"
        assert stage.there.told()["last"] < killed + 1
        assert stage.came - came <= 5
