"""Engines as Jobs of a generator pool, on a real control plane whose pods are played: the test runs what they would."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import yaml
from kubernetes import client

from loadtests import engine_jobs, runs
from loadtests.crews import Pass
from provisioning import generator_pools
from provisioning.generator_pools import TRAIT, NoGeneratorPool
from provisioning.kubernetes import jobs
from provisioning.kubernetes.jobs import RUN, SPACE
from tests.beds.kubernetes import rights
from tests.loadtests.elsewhere import until
from tests.loadtests.test_platform import SIZE, Stage, worker
from tests.world import World

RIGHTS = Path(__file__).parents[2] / "docs" / "kubernetes-generators.yaml"
LONG = {"kind": "soak", "rate": 60, "seconds": 600}


class Generators:
    """The cluster as an administrator sees it, and what its nodes would run."""

    def __init__(self, cluster, there) -> None:
        self.cluster, self.there = cluster, there
        self.core, self.batch = client.CoreV1Api(cluster.api), client.BatchV1Api(cluster.api)
        self.seen: dict[str, client.V1Job] = {}

    def permit(self) -> None:
        """What docs/load-tests.md asks of an operator."""
        space, role = yaml.safe_load_all(RIGHTS.read_text())
        access = client.RbacAuthorizationV1Api(self.cluster.api)
        subject = {"kind": "User", "name": rights.PLATFORM, "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"kind": "Role", "name": "cloudctl", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": "cloudctl"}, "roleRef": reference, "subjects": [subject]}
        for create in (
            lambda: self.core.create_namespace(space),
            lambda: access.create_namespaced_role(SPACE, role),
            lambda: access.create_namespaced_role_binding(SPACE, binding),
        ):
            try:
                create()
            except client.ApiException as there:
                if there.status != 409:
                    raise
        until(lambda: self.core.list_namespaced_service_account(SPACE).items)

    def jobs(self, run: str) -> list[client.V1Job]:
        return self.batch.list_namespaced_job(SPACE, label_selector=f"{RUN}={run}").items

    def pods(self, run: str) -> list[client.V1Pod]:
        return self.core.list_namespaced_pod(SPACE, label_selector=f"{RUN}={run}").items

    def secrets(self, run: str) -> list[client.V1Secret]:
        return self.core.list_namespaced_secret(SPACE, label_selector=f"{RUN}={run}").items

    def is_clear(self, run: str) -> bool:
        """Whether nothing of a run is there any more."""
        return not (self.jobs(run) or self.pods(run) or self.secrets(run))

    @contextmanager
    def nodes(self) -> Iterator[None]:
        """Within it, an agent runs for every Job whose pod was given a node."""
        over = Event()

        def play() -> None:
            while not over.wait(0.2):
                for job in self.batch.list_namespaced_job(SPACE).items:
                    self.run(job)

        thread = Thread(target=play)
        thread.start()
        yield
        over.set()
        thread.join()

    def run(self, job: client.V1Job) -> None:
        name = job.metadata.name
        pods = self.core.list_namespaced_pod(SPACE, label_selector=f"job-name={name}").items
        if name in self.seen or not pods or not pods[0].spec.node_name:
            return
        try:
            secret = self.core.read_namespaced_secret(name, SPACE).data["token"]
        except client.ApiException:
            return
        self.seen[name] = job
        self.there.send_out(Pass(name.replace("-", "_"), base64.b64decode(secret).decode()))


@pytest.fixture
def generators(cluster, there) -> Generators:
    made = Generators(cluster, there)
    made.permit()
    return made


@pytest.fixture
def stage(cluster, generators, there, target, tmp_path) -> Stage:
    world = World(there.engine, there.settings, tmp_path / "servers")
    world.add_pool()
    world.add_cluster(str(rights.platform(cluster)), inventory={}, traits=[TRAIT])
    made = Stage(world, target("instant"), world.create(SIZE))
    made.confirm()
    return made


def of_worker(there) -> dict[str, str]:
    return {"CLOUDCTL_LOAD_IMAGE": "cloudctl-engine:1", "CLOUDCTL_LOAD_API_URL": there.url}


def started(stage, **campaign) -> str:
    made = stage.campaign(**campaign, generators=3, on="kunpeng")
    with stage.session() as session:
        return runs.start(session, stage.world.clerk, made).id


@pytest.mark.measures
def test_a_run_has_a_job_for_each_engine_and_measures_and_leaves_nothing(stage, generators, there):
    with worker(stage, **of_worker(there)), generators.nodes():
        run = started(stage, profile={"kind": "soak", "rate": 30, "seconds": 5})
        until(lambda: len([pod for pod in generators.pods(run) if pod.status.phase == "Running"]) == 3)
        made = generators.jobs(run)
        until(lambda: stage.run_of(run).outcome)
    found = stage.run_of(run)
    late = [reason["slug"] for reason in found.result["reasons"]] == ["generator-late"]  # of a machine that is busy
    assert found.outcome in ("pass", "likely") or late, (found.reason, found.result)
    assert found.result["requests"] == stage.came == pytest.approx(150, abs=60)
    assert len({job.spec.template.spec.volumes[0].secret.secret_name for job in made}) == 3
    for job in made:
        spec, pod = job.spec, job.spec.template.spec
        assert (spec.backoff_limit, pod.restart_policy, pod.automount_service_account_token) == (0, "Never", False)
        assert 300 < spec.active_deadline_seconds < 900
        assert pod.node_selector == {"kubernetes.io/arch": "arm64", "cloudctl/cpu-family": "kunpeng-920"}
        assert "cle_" not in str(job)  # the token is in the secret only
    labels = generators.core.read_namespace(SPACE).metadata.labels
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    until(lambda: generators.is_clear(run), 60)
    assert there.rows == 0


def test_a_killed_workers_load_ends_its_run_is_lost_and_its_jobs_go(stage, generators, there):
    with generators.nodes():
        with worker(stage, **of_worker(there)) as first:
            run = started(stage, profile=LONG)
            until(lambda: stage.came > 120, 90)
            first.kill()
            killed = time.monotonic()
            until(lambda: all(agent.poll() is not None for agent in there.agents), 10)
            assert stage.there.told()["last"] < killed + 1
        came = stage.came
        assert len(generators.jobs(run)) == 3
        with worker(stage, **of_worker(there)):
            until(lambda: stage.run_of(run).outcome)
        assert stage.run_of(run).outcome == "lost"
    assert stage.came == came
    until(lambda: generators.is_clear(run), 60)


def test_what_is_left_of_runs_that_are_not_under_way_is_swept_and_nothing_else(stage, generators):
    with stage.session() as session:
        place = generator_pools.named(session, "kunpeng")
    live = started(stage, profile=LONG)
    for run, name in ((live, "eng-live"), ("run_nobodys", "eng-left")):
        jobs.start(place, run, [jobs.Job(name, "cloudctl-engine:1", ["true"], "secret", 600)])
    assert jobs.runs(place) >= {live, "run_nobodys"}
    engine_jobs.sweep(stage.world.engine, stage.world.settings)
    until(lambda: generators.is_clear("run_nobodys"), 60)
    assert len(generators.jobs(live)) == 1
    jobs.remove(place, live)
    until(lambda: generators.is_clear(live), 60)


def test_what_cannot_run_there_is_refused_and_nothing_is_sent(stage):
    with pytest.raises(NoGeneratorPool) as refused:
        stage.campaign(on="local")
    assert refused.value.figures == {"given": "local", "allowed": ["kunpeng"]}
    run = stage.run(stage.campaign(on="kunpeng"))
    assert (run.outcome, run.reason["slug"]) == ("refused", "generators-not-set-up")
    assert run.reason["figures"]["names"] == ["CLOUDCTL_LOAD_IMAGE", "CLOUDCTL_LOAD_API_URL"]
    assert stage.came == 0
