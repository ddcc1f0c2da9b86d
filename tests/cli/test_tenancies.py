"""Tenancies at the terminal: what is handed over, and what their owners are told."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from cloudctl.kernel.secrets import Vault
from tenancy import projects
from tenancy.callers import SYSTEM
from tenancy.tenancies import Tenancy
from tests.cli.conftest import Cloud
from tests.world import in_use

KUBECONFIG = "apiVersion: v1\nkind: Config\n"


@pytest.fixture
def tenancy(cloud: Cloud) -> Iterator[str]:
    """An active tenancy whose access waits to be read."""
    project = projects.listed(cloud.session, SYSTEM, department="522300-jyj")[0]
    made = in_use(cloud.session, project, "exam-web", {"vcpu": 1})
    made.access = Vault(cloud.settings).seal(json.dumps({"how": {"server": "https://k8s"}, "secret": KUBECONFIG}))
    cloud.session.commit()
    yield made.id
    cloud.session.execute(delete(Tenancy).where(Tenancy.id == made.id))
    cloud.session.commit()


def test_a_kubeconfig_is_saved_as_it_is(cloud: Cloud, tenancy: str) -> None:
    clerk = cloud.terminal("jyj-clerk")
    assert clerk("tenancy", "access", tenancy, "--secret").out == KUBECONFIG
    again = clerk("tenancy", "access", tenancy, "--secret")
    assert (again.code, again.out) == (1, "")


def test_the_owner_sees_that_a_tenancy_is_held_and_until_when(cloud: Cloud, tenancy: str) -> None:
    words = ("tenancy", "hold", tenancy, "--until", "2099-03-02T18:00", "--reason", "换盘")
    assert cloud.terminal("operator")(*words).code == 0
    shown = cloud.terminal("jyj-clerk")("tenancy", "show", tenancy, CLOUDCTL_LANG="zh").out
    (line,) = [line for line in shown.splitlines() if line.startswith("自动修复")]
    assert "2099-03-0" in line
    assert "换盘" in line
