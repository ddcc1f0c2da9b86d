"""Leases and other clocks, moment by moment."""

import random

import pytest

from loadtests.clocks import OtherClock
from loadtests.leases import EVERY, LEASE, PATIENCE, Lease


def test_a_lease_lasts_from_the_exchange_after_which_a_new_sign_was_given():
    lease = Lease(10.0)
    lease.heard(7, 11.0)
    assert lease.ends_at == 10 + PATIENCE  # how old that sign is nobody knows
    lease.heard(8, 11.1)
    assert lease.ends_at == 11.0 + LEASE
    lease.heard(8, 11.2)
    lease.heard(8, 11.3)
    assert lease.ends_at == 11.0 + LEASE
    lease.heard(9, 11.4)
    assert lease.ends_at == 11.3 + LEASE


@pytest.mark.parametrize("seed", range(20))
def test_whenever_a_driver_dies_its_engines_end_within_a_second_and_never_while_all_is_well(seed):
    chance = random.Random(seed)
    died, beat, asked = 5.0 + chance.random(), 0.0, 0.0
    lease = Lease(0.0)
    while asked < lease.ends_at:
        read = asked + chance.uniform(0, 0.1)  # when the API looks
        beats = int(min(read, died) / EVERY)
        lease.heard(beats, asked)
        asked = read + chance.uniform(0, 0.1) + EVERY / 2
        beat = max(beat, beats * EVERY)
        assert asked < lease.ends_at or asked > died
    assert died - EVERY < lease.ends_at <= died + LEASE < died + 1


def test_another_clock_is_told_to_half_the_round_trip_and_the_quickest_answer_counts():
    clock, ahead = OtherClock(), 1234.5
    assert clock.error == float("inf")
    clock.heard(10.0, 10.3 + ahead, 10.4)
    assert clock.error == pytest.approx(0.2)
    clock.heard(11.0, 11.004 + ahead, 11.01)
    clock.heard(12.0, 12.0 + ahead, 12.8)
    assert clock.error == pytest.approx(0.005)
    assert clock.there(20.0) == pytest.approx(20 + ahead, abs=0.005)
    assert clock.here(clock.there(20.0)) == pytest.approx(20.0)
