"""A pool that is a cluster: what its connection may say, what it has, and the worked example of our documentation."""

from dataclasses import replace
from pathlib import Path

import pytest

from cloudctl.kernel.operations import GiveUp
from provisioning.kubernetes import connection
from tests.provisioning.kubernetes.conftest import DRIVER

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
