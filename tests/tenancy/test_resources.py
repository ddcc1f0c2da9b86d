"""What a size may say, and what is told about a bad one."""

import pytest

from cloudctl.kernel.errors import Several
from tenancy import resources
from tenancy.resources import BadAmount, EmptySize, UnknownResource, checked


@pytest.mark.parametrize("amount", [0, -1, 1.5, "4", True, None, 10**9 + 1])
def test_an_amount_that_is_not_a_sane_integer_is_refused_with_its_field_and_bounds(amount):
    with pytest.raises(BadAmount) as refused:
        checked({"vcpu": amount}, field="items.0.size")
    assert refused.value.field == "items.0.size.vcpu"
    figures = {key: refused.value.figures[key] for key in ("resource", "least", "most", "unit")}
    assert figures == {"resource": "vcpu", "least": 1, "most": 10**9, "unit": "vCPU"}


def test_storage_alone_is_a_size():
    assert checked({"storage_gib.hdd": 10}) == {"storage_gib.hdd": 10}


def test_nothing_is_not_a_size():
    with pytest.raises(EmptySize):
        checked({})


def test_an_unknown_class_is_refused_with_those_there_are():
    with pytest.raises(UnknownResource) as refused:
        checked({"ram": 4})
    assert "memory_gib" in refused.value.figures["known"]


def test_everything_wrong_is_told_at_once():
    with pytest.raises(Several) as refused:
        checked({"ram": 4, "vcpu": 0, "memory_gib": 1})
    assert [problem.field for problem in refused.value.problems] == ["size.ram", "size.vcpu"]


def test_a_class_that_a_site_declares_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(resources, "UNITS", dict(resources.UNITS))
    resources.declare({"npu": "NPU"})
    assert checked({"npu": 1}) == {"npu": 1}
