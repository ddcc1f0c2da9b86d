"""Ids sort by time, fit into 30 characters, and are told from anything else."""

import time
from uuid import UUID

import pytest

from cloudctl.kernel import ids

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def uuid_of(id: str) -> UUID:
    value = 0
    for digit in id.partition("_")[2]:
        value = value << 5 | _DIGITS.index(digit)
    return UUID(int=value)


def test_an_id_is_a_uuid_of_version_7_that_carries_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid_of(ids.new("ten"))
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_an_id_fits_where_a_linux_user_name_fits() -> None:
    assert {len(ids.new(prefix)) for prefix in ("op", "ten")} == {29, 30}


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    made = []
    for _ in range(20):
        made.append(ids.new("req"))
        time.sleep(0.002)
    assert made == sorted(made)


def test_no_two_ids_of_one_millisecond_are_the_same() -> None:
    assert len({ids.new("op") for _ in range(20_000)}) == 20_000


def test_an_id_is_known_by_its_prefix() -> None:
    made = ids.new("ten")
    assert ids.is_id(made, "ten")
    assert not ids.is_id(made, "req")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ten",
        "ten_",
        "ten_0r2v6ysm1fh0t8x4d3n9k5c7q",  # one too short
        "ten_0r2v6ysm1fh0t8x4d3n9k5c7qee",  # one too long
        "ten_8r2v6ysm1fh0t8x4d3n9k5c7qe",  # beyond 128 bits
        "ten_0R2V6YSM1FH0T8X4D3N9K5C7QE",
        "ten_0r2v6ysm1fh0t8x4d3n9k5c7qu",  # u is not a digit
        "ten_0r2v6ysm1fh0t8x4d3n9k5c7qe\n",
        "ten_0r2v6ysm1fh0t8x4d3n9k5c7q'",
    ],
)
def test_what_is_not_an_id_is_not_taken_for_one(text: str) -> None:
    assert not ids.is_id(text, "ten")
