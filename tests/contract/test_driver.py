"""What every driver must do, on its real back end: converge, tell the truth, leave nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from cloudctl.kernel.operations import GiveUp

WITHIN = timedelta(seconds=60)
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmI1oCq0e1KfqqNfC3sTbfjDZ3pWl2jzTn6T1mWyQxS other"


def test_a_place_knows_what_it_has(backend):
    found = backend.driver.inventory(backend.place)
    assert found.amounts["vcpu"] >= 1
    assert found.amounts["memory_gib"] >= 1
    assert found.architecture
    assert found.cpu_family != "unknown"


def test_what_is_provisioned_is_what_was_asked_for_and_asking_again_changes_nothing(backend, log):
    tenancy = backend.tenancy()
    access = backend.driver.provision(tenancy, log, WITHIN)
    assert log.changed
    seen = backend.driver.observe(tenancy)
    assert (seen.size, tuple(seen.keys), seen.suspended) == (tenancy.size, tenancy.keys, False)
    assert {limit.resource: limit.amount for limit in access.limits} == tenancy.size
    assert access.how
    assert access.secret is None

    log.told.clear()
    assert backend.driver.provision(tenancy, log, WITHIN) == access
    assert log.told
    assert log.changed == []


def test_a_limit_that_is_not_enforced_says_why(backend, log):
    access = backend.driver.provision(backend.tenancy(), log, WITHIN)
    assert all(limit.enforced or limit.because for limit in access.limits)
    assert {limit.resource for limit in access.limits if limit.enforced} >= {"storage_gib.ssd"}


@pytest.mark.parametrize("size", [{"storage_gib.hdd": 2}, {"vcpu": 1, "memory_gib": 1}], ids=["storage", "compute"])
def test_storage_alone_and_compute_alone_are_tenancies(backend, log, size):
    tenancy = backend.tenancy(size=size)
    backend.driver.provision(tenancy, log, WITHIN)
    assert backend.driver.observe(tenancy).size == size
    assert set(backend.driver.usage(tenancy).used) == {name for name in size if name.startswith("storage")}
    backend.driver.remove(tenancy, log, WITHIN)
    assert list(backend.remains()) == []


def test_what_cannot_be_offered_is_refused_with_its_name(backend, log):
    with pytest.raises(GiveUp) as refused:
        backend.driver.provision(backend.tenancy(size={"warp_cores": 1}), log, WITHIN)
    assert refused.value.reason == "not-offered"
    assert refused.value.figures["resource"] == "warp_cores"
    assert list(backend.remains()) == []


def test_usage_is_above_nothing_and_below_the_size(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    assert 0 < backend.driver.usage(tenancy).used["storage_gib.ssd"] < 1


def test_it_grows_and_shrinks_to_the_size_asked_for(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    for size in (
        {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 3},
        {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 2},
    ):
        backend.driver.resize(replace(tenancy, size=size), log, WITHIN)
        assert backend.driver.observe(tenancy).size == size


def test_suspended_it_lets_nobody_in_and_resumed_it_is_as_before(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    before = backend.driver.observe(tenancy)
    for _ in range(2):
        backend.driver.suspend(tenancy, log, WITHIN)
        seen = backend.driver.observe(tenancy)
        assert (seen.suspended, tuple(seen.keys), seen.size) == (True, (), tenancy.size)
    backend.driver.resume(replace(tenancy, suspended=True), log, WITHIN)
    assert backend.driver.observe(tenancy) == before


def test_after_rotation_exactly_the_new_keys_get_in(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    backend.driver.rotate(replace(tenancy, keys=(OTHER,)), log, WITHIN)
    assert tuple(backend.driver.observe(tenancy).keys) == (OTHER,)


def test_removed_it_leaves_nothing_and_removing_it_again_is_no_error(backend, log):
    before, tenancy = list(backend.remains()), backend.tenancy()
    assert backend.driver.observe(tenancy) is None
    backend.driver.provision(tenancy, log, WITHIN)
    assert list(backend.remains()) != before
    erasure = backend.driver.remove(tenancy, log, WITHIN)
    assert (erasure.verified, erasure.bytes > 0) == (True, True)
    assert backend.driver.observe(tenancy) is None
    assert list(backend.remains()) == before
    assert backend.driver.remove(tenancy, log, WITHIN).bytes == 0


def test_what_was_made_suspended_lets_nobody_in(backend, log):
    tenancy = replace(backend.tenancy(), suspended=True)
    backend.driver.provision(tenancy, log, WITHIN)
    seen = backend.driver.observe(tenancy)
    assert (seen.suspended, seen.size) == (True, tenancy.size)


def test_two_tenancies_at_once_do_not_touch_each_other(backend, log):
    one, two = (
        backend.tenancy("ten_01a"),
        backend.tenancy("ten_01b", size={"vcpu": 1, "storage_gib.ssd": 2}, keys=(OTHER,)),
    )
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tenancy: backend.driver.provision(tenancy, log, WITHIN), (one, two)))
    both = {tenancy.id: backend.driver.observe(tenancy) for tenancy in (one, two)}
    assert backend.driver.survey(backend.place) == both
    backend.driver.remove(one, log, WITHIN)
    assert backend.driver.observe(one) is None
    assert list(backend.driver.survey(backend.place)) == [two.id]
    seen = backend.driver.observe(two)
    assert (seen.size, tuple(seen.keys)) == (two.size, two.keys)
