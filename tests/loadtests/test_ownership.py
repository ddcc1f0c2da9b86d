"""A record of the name may prove a target too: a real name server is asked, and a wrong record proves nothing."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rrset
import pytest

from cloudctl.kernel.operations import GiveUp
from loadtests.ownership import Claim, proven

NAME = "_cloudctl-loadtest.127.0.0.1."


@contextmanager
def name_server(*texts: str) -> Iterator[str]:
    """One that knows this record alone; gives ADDRESS:PORT."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.1)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                try:
                    asked, whence = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                told = dns.message.make_response(dns.message.from_wire(asked))
                told.flags |= dns.flags.AA
                if texts and str(told.question[0].name) == NAME:
                    told.answer.append(dns.rrset.from_text(NAME, 60, "IN", "TXT", *texts))
                listening.sendto(told.to_wire(), whence)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("texts", "refused"),
    [
        (('"v=spf1 -all"', '"cloudctl-loadtest-1"'), None),
        (('"cloudctl-" "loadtest-1"',), None),
        (('"cloudctl-loadtest-2"',), "no-token-there"),
        ((), "no-token-there"),
    ],
    ids=["one of several", "in two strings", "another's", "no record"],
)
def test_a_record_of_the_name_proves_it_where_the_place_shows_nothing(target, texts, refused):
    there = target("instant")
    with name_server(*texts) as asked:
        claim = Claim(there.url, "cloudctl-loadtest-1", [("127.0.0.1", there.port)], name_server=asked)
        if not refused:
            assert proven(claim) == ["127.0.0.1"]
            return
        with pytest.raises(GiveUp) as told:
            proven(claim)
        assert told.value.reason == refused


def test_a_record_does_not_make_an_address_ones_own_nor_a_redirect_an_answer(target):
    there = target("instant")
    with name_server('"cloudctl-loadtest-1"') as asked:
        elsewhere = Claim(there.url, "cloudctl-loadtest-1", [("127.0.0.2", there.port)], name_server=asked)
        with pytest.raises(GiveUp) as told:
            proven(elsewhere)
        assert told.value.reason == "address-outside"
        there.say(away="http://127.0.0.1:1/")
        here = Claim(there.url, "cloudctl-loadtest-1", [("127.0.0.1", there.port)], name_server=asked)
        with pytest.raises(GiveUp) as told:
            proven(here)
        assert told.value.reason == "redirected"


def test_a_name_server_that_is_silent_proves_nothing(target, monkeypatch):
    there = target("instant")
    monkeypatch.setattr("loadtests.ownership.PATIENCE", 0.5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        asked = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(GiveUp):
            proven(Claim(there.url, "cloudctl-loadtest-1", [("127.0.0.1", there.port)], name_server=asked))
