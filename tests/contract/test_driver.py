"""What every driver must do, on its real back end: converge, tell the truth, leave nothing."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from cloudctl.kernel.operations import GiveUp, RetryLater

WITHIN = timedelta(seconds=60)


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
    assert (seen.size, seen.suspended, list(seen.damaged)) == (tenancy.size, False, [])
    assert seen.keys == (tenancy.keys if backend.keeps_keys else None)
    assert {limit.resource: limit.amount for limit in access.limits} == tenancy.size
    assert access.how

    log.told.clear()
    assert replace(backend.driver.provision(tenancy, log, WITHIN), secret=access.secret) == access
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
    assert set(backend.driver.usage(tenancy).used) <= set(size)
    backend.driver.remove(tenancy, log, WITHIN)
    assert list(backend.remains()) == []


def test_what_cannot_be_offered_is_refused_with_its_name(backend, log):
    with pytest.raises(GiveUp) as refused:
        backend.driver.provision(backend.tenancy(size={"warp_cores": 1}), log, WITHIN)
    assert refused.value.reason == "not-offered"
    assert refused.value.figures["resource"] == "warp_cores"
    assert list(backend.remains()) == []


def test_usage_is_told_of_each_class_and_within_the_size(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    used = backend.driver.usage(tenancy).used
    assert "storage_gib.ssd" in used
    assert all(0 <= amount <= tenancy.size[resource] for resource, amount in used.items())


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
        assert (seen.suspended, seen.size) == (True, tenancy.size)
        assert not seen.keys
    backend.driver.resume(replace(tenancy, suspended=True), log, WITHIN)
    assert backend.driver.observe(tenancy) == before


def test_after_rotation_exactly_the_new_keys_get_in(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    before = backend.driver.observe(tenancy)
    backend.driver.rotate(replace(tenancy, keys=(backend.other_key,)), log, WITHIN)
    assert backend.driver.observe(tenancy) == replace(before, keys=(backend.other_key,) if backend.keeps_keys else None)


def test_removed_it_leaves_nothing_and_removing_it_again_is_no_error(backend, log):
    before, tenancy = list(backend.remains()), backend.tenancy()
    assert backend.driver.observe(tenancy) is None
    backend.driver.provision(tenancy, log, WITHIN)
    assert list(backend.remains()) != before
    erasure = backend.driver.remove(tenancy, log, WITHIN)
    assert (erasure.verified, erasure.bytes > 0) == (True, backend.overwrites)
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
        backend.tenancy("ten_01b", size={"vcpu": 1, "storage_gib.ssd": 2}, keys=(backend.other_key,)),
    )
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tenancy: backend.driver.provision(tenancy, log, WITHIN), (one, two)))
    both = {tenancy.id: backend.driver.observe(tenancy) for tenancy in (one, two)}
    assert backend.driver.survey(backend.place) == both
    backend.driver.remove(one, log, WITHIN)
    assert backend.driver.observe(one) is None
    assert list(backend.driver.survey(backend.place)) == [two.id]
    seen = backend.driver.observe(two)
    assert (seen.size, seen.keys) == (two.size, two.keys if backend.keeps_keys else None)


def test_what_was_damaged_behind_our_back_is_seen_and_made_good(backend, log):
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    before = backend.driver.observe(tenancy)
    backend.damage(tenancy)
    assert backend.driver.observe(tenancy) != before
    backend.driver.provision(tenancy, log, WITHIN)
    assert backend.driver.observe(tenancy) == before


def test_a_back_end_that_is_down_makes_operations_wait(backend, log):
    if backend.down is None:
        pytest.skip("this machine itself is never down while it runs tests")
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    with backend.down():
        for call in (
            lambda: backend.driver.provision(tenancy, log, WITHIN),
            lambda: backend.driver.observe(tenancy),
            lambda: backend.driver.survey(backend.place),
            lambda: backend.driver.inventory(backend.place),
            lambda: backend.driver.usage(tenancy),
            lambda: backend.driver.remove(tenancy, log, WITHIN),
        ):
            with pytest.raises(RetryLater) as later:
                call()
            assert later.value.figures["message"]
    assert backend.driver.observe(tenancy).size == tenancy.size


def test_credentials_open_ones_own_tenancy_and_no_other(backend, log):
    if backend.may_enter is None:
        pytest.skip("nobody logs in to this machine itself")
    one, two = backend.tenancy("ten_01a"), backend.tenancy("ten_01b", keys=(backend.other_key,))
    my_key, their_key = backend.key, backend.other_key
    mine, theirs = (backend.driver.provision(tenancy, log, WITHIN) for tenancy in (one, two))
    assert [backend.may_enter(mine, one, my_key), backend.may_enter(mine, two, my_key)] == [True, False]
    assert [backend.may_enter(theirs, one, their_key), backend.may_enter(theirs, two, their_key)] == [False, True]


def test_shut_out_is_shut_out_and_an_old_access_opens_nothing(backend, log):
    if backend.may_enter is None:
        pytest.skip("nobody logs in to this machine itself")
    tenancy = backend.tenancy()
    first = backend.driver.provision(tenancy, log, WITHIN)
    backend.driver.suspend(tenancy, log, WITHIN)
    assert not backend.may_enter(first, tenancy, backend.key)
    backend.driver.resume(replace(tenancy, suspended=True), log, WITHIN)
    assert backend.may_enter(first, tenancy, backend.key)
    second = backend.driver.rotate(replace(tenancy, keys=(backend.other_key,)), log, WITHIN)
    assert backend.may_enter(second, tenancy, backend.other_key)
    deadline = time.monotonic() + 2  # the back end tells its own parts
    while backend.may_enter(first, tenancy, backend.key):
        assert time.monotonic() < deadline, "the old access still opens it"
        time.sleep(0.1)


def test_the_back_ends_own_tools_do_not_go_beyond_the_size(backend, log):
    if backend.may_exceed is None:
        pytest.skip("a volume cannot outgrow its image: see the cases of this back end's own")
    tenancy = backend.tenancy()
    backend.driver.provision(tenancy, log, WITHIN)
    assert not backend.may_exceed(tenancy)


def test_an_answer_that_got_lost_leads_to_one_tenancy_and_not_two(backend, log):
    """The connection dies after the back end did it: whoever asks again finds it and adopts it."""
    tenancy = backend.tenancy()

    def dies_at_the_end(slug, **figures):
        log(slug, **figures)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        backend.driver.provision(tenancy, dies_at_the_end, WITHIN)
    backend.driver.provision(tenancy, log, WITHIN)
    assert list(backend.driver.survey(backend.place)) == [tenancy.id]
    assert list(backend.remains()) == [tenancy.id]
    assert backend.driver.observe(tenancy).size == tenancy.size
