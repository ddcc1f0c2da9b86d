"""The cluster of a test process, started when the first test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.beds import missing

if TYPE_CHECKING:
    from tests.beds.kubernetes.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator["Cluster"]:
    """A control plane with nodes of three architectures that run nothing."""
    from tests.beds.kubernetes.cluster import Cluster  # only here: Kubernetes' client takes a second to import
    from tests.beds.kubernetes.programs import Lacking

    try:
        bed = Cluster()
    except Lacking as lacking:
        missing("Kubernetes", str(lacking))
    with bed:
        for architecture in ("amd64", "arm64", "loong64"):
            bed.add_nodes(2, architecture)
        yield bed
