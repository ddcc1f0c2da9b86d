"""A pool that is a cluster: what its connection may say, what it has, and the worked example of our documentation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from sqlalchemy.orm import Session

from cloudctl.kernel.operations import GiveUp
from cloudctl.kernel.settings import Settings
from provisioning import pools, reconcile
from provisioning.kubernetes import connection
from tests.beds.kubernetes import rights
from tests.provisioning.kubernetes.conftest import DRIVER
from tests.world import World

DOCS = Path(__file__).parents[3] / "docs"
RIGHT = {"kubeconfig": "/etc/cloudctl/one.kubeconfig"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kubeconfig": None}, "kubeconfig"),
        ({"kubeconfig": "relative/path"}, "kubeconfig"),
        ({"kubeconfg": "/etc/x"}, "kubeconfg"),
        ({"storage_classes": ["ssd"]}, "storage_classes"),
        ({"storage_classes": {"ssd": "a,b"}}, "storage_classes"),
        ({"storage_classes": {"ssd": "one", "hdd": "one"}}, "storage_classes"),
        ({"cpu_family": "kunpeng-"}, "cpu_family"),
        ({"gpu_resource": "gpu"}, "gpu_resource"),
        ({"entrance": "ingress"}, "domain"),
        ({"domain": "apps.gov.cn"}, "entrance"),
        ({"entrance": "ingress", "domain": "*.gov.cn"}, "domain"),
        ({"context": 3}, "context"),
    ],
)
def test_a_connection_that_cannot_be_right_names_the_field(wrong, field):
    with pytest.raises(GiveUp) as refused:
        connection.read({**RIGHT, **wrong})
    assert (refused.value.reason, refused.value.figures) == ("bad-connection", {"field": field})


def test_a_kubeconfig_that_is_not_there_is_given_up(place):
    gone = {**place.connection, "kubeconfig": "/nowhere/at/all"}
    with pytest.raises(GiveUp, match="bad-kubeconfig"):
        DRIVER.inventory(replace(place, connection=gone))


def test_a_pool_has_what_the_nodes_of_its_architecture_and_family_have(place):
    found = DRIVER.inventory(place)
    assert (found.amounts, found.architecture) == ({"vcpu": 128, "memory_gib": 512, "gpu": 0}, "arm64")
    assert set(DRIVER.inventory(replace(place, architecture="sw64")).amounts.values()) == {0}
    assert DRIVER.inventory(replace(place, architecture="aarch64")).amounts["vcpu"] == 128


@pytest.fixture
def example():
    """The pool of the worked example in our documentation."""
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "drivers.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [pool for pool in map(yaml.safe_load, blocks) if pool.get("driver") == "kubernetes"]
    return found


def test_the_worked_example_of_the_documentation_is_a_pool_that_gives_tenancies(
    engine, settings: Settings, tmp_path, cluster, example
):
    world = World(engine, settings, tmp_path / "servers")
    way_in = {"kubeconfig": str(rights.platform(cluster)), "storage_classes": {"ssd": "ssd", "hdd": "hdd"}}
    with Session(engine) as session, session.begin():
        pools.add(session, world.operator, **{**example, "connection": {**example["connection"], **way_in}})
    tenancy = world.create({"vcpu": 1, "memory_gib": 1}, architectures=[example["architecture"]])
    reconcile.sweep(engine, settings)
    with Session(engine) as session:
        condition = pools.seen_by(session, world.operator, example["name"]).condition
    assert (world.tenancy(tenancy).state, condition["unreachable"], condition["short"]) == ("active", {}, {})
    cluster.core.delete_namespace(tenancy.replace("_", "-"))


def test_a_connection_that_cannot_be_right_is_refused_when_the_pool_is_added_or_changed(
    engine, settings: Settings, tmp_path, example
):
    world = World(engine, settings, tmp_path / "servers")
    wrong = {**example["connection"], "kubeconfig": "kunpeng.kubeconfig"}
    with Session(engine) as session, session.begin():
        with pytest.raises(pools.BadPoolField) as refused:
            pools.add(session, world.operator, **{**example, "connection": wrong})
        assert (refused.value.field, refused.value.figures["given"]) == ("connection.kubeconfig", "kunpeng.kubeconfig")
        pools.add(session, world.operator, **example)
        with pytest.raises(pools.BadPoolField) as refused:
            pools.update(session, world.operator, example["name"], connection={**example["connection"], "token": "x"})
        assert refused.value.field == "connection.token"
