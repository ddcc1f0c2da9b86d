"""Tenancies on servers of other architectures, by emulation: the same roles, the same promises."""

from datetime import timedelta

import pytest

from provisioning.drivers import Place, Tenancy
from provisioning.servers import ServersDriver
from tests.beds.servers import tenancies
from tests.beds.servers.server import ADMIN

WITHIN = timedelta(minutes=10)
SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}


@pytest.mark.parametrize(
    ("processor", "architecture", "machine"),
    [("kunpeng", "arm64", "aarch64"), ("loongson", "loong64", "loongarch64")],
)
def test_a_tenancy_lives_and_ends_there_as_anywhere(
    bed, server_with, short_folder, in_the_bed, processor, architecture, machine
):
    server = server_with(processor)
    tenancies.prepare(server)
    tenant, driver, told = tenancies.Tenant(server, short_folder), ServersDriver(short_folder / "jobs"), []

    def log(slug, **figures):
        told.append(figures.get("done", figures.get("status")))

    connection = {"connection": "ssh", "user": ADMIN, "private_key": str(bed.key), "folder": "/var/lib/cloudctl/there"}
    place = Place("pool_1", "servers", architecture, connection, server.name, server.address, server.host_key)
    tenancy = Tenancy("ten_01a", "考试门户", "prj_1", "dep_1", SIZE, place, (tenant.public_key,))
    try:
        access = driver.provision(tenancy, log, WITHIN)
        assert all(limit.enforced or limit.because for limit in access.limits)
        assert driver.observe(tenancy).size == SIZE
        assert machine in tenant.ssh("ten_01a", "uname -m; echo kept > ~/ssd/letter").stdout
        told.clear()
        driver.provision(tenancy, log, WITHIN)
        assert set(told) <= {"ok", "kept"}
        driver.suspend(tenancy, log, WITHIN)
        assert not tenant.may_enter(tenancy, tenant.public_key)
    finally:
        assert driver.remove(tenancy, log, WITHIN).bytes > 0
    assert driver.survey(place) == {}
