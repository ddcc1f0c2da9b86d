"""Chips: of which architecture, ABI and processor family a server is, and whether it is of its pool's kind."""

import re
from collections.abc import Mapping
from typing import Any

from cloudctl.kernel.errors import Invalid, Problem
from provisioning.models import Pool

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "loongarch64": "loong64", "sw_64": "sw64"}  # by `uname -m`
ABIS = {  # by architecture; first the usual name, then others under which pools may know it
    "amd64": ("x86-64", "amd64", "x86_64"),
    "arm64": ("aapcs64", "arm64", "aarch64"),
    "loong64": ("lp64d", "abi2.0", "2.0", "loong64"),
    "sw64": ("sw64",),
}
OLD_LOONG = ("lp64d-1.0", "abi1.0", "1.0")
ANY = "any"  # a pool that does not ask for a family


class UnlikeServer(Invalid):
    """A server has another architecture, ABI or processor family than its pool."""


def recognised(said: Mapping[str, Any]) -> dict[str, Any]:
    """The chip of a server by what it said of itself: architecture, ABI, and the names of its model."""
    architecture = ARCHITECTURES.get(said["machine"], said["machine"])
    return {"architecture": architecture, "abi": _abi(architecture, said), "processor": said["models"][0]}


def must_be_alike(pool: Pool, server: str, said: Mapping[str, Any]) -> None:
    """See that whatever runs on the pool's servers will run on this one.

    Raises:
        UnlikeServer: it is of another kind; tells the first thing that differs.
    """
    found = recognised(said)
    problems = differences(pool, server, {name: found[name] for name in ("architecture", "abi")})
    if not is_of_family(pool.cpu_family, said["models"]):
        named = {"server": server, "pool": pool.name, "wanted": pool.cpu_family}
        problems.append(UnlikeServer(field="cpu_family", given=", ".join(said["models"]), **named))
    for problem in problems:
        raise problem


def differences(pool: Pool, server: str, found: Mapping[str, str | None]) -> list[Problem]:
    """In what of `architecture` and `abi` a server differs from its pool; what was not found does not differ."""
    return [
        UnlikeServer(field=field, server=server, given=given, pool=pool.name, wanted=getattr(pool, field))
        for field, given in found.items()
        if given is not None and not _same(pool.architecture, given, getattr(pool, field))
    ]


def _same(architecture: str, given: str, wanted: str) -> bool:
    """Whether both are names of one thing; of one architecture an ABI has several."""
    names = next((names for names in (ABIS.get(architecture, ()), OLD_LOONG) if given in names), (given,))
    return given == wanted or wanted.lower() in names


def is_of_family(family: str, models: list[str]) -> bool:
    """Whether a processor that calls itself by these names is of the family: its name is part of one of them."""
    wanted = _letters(family)
    return wanted == ANY or any(wanted in _letters(model) for model in models)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def _abi(architecture: str, said: Mapping[str, Any]) -> str:
    """The usual name of its ABI. LoongArch's older one, which goes with nothing newer, has another dynamic loader."""
    if said["bits"] != 64:
        return f"{said['bits']}-bit"
    if architecture == "loong64" and "loongarch-lp64d" not in (said["loader"] or ""):
        return OLD_LOONG[0]
    return ABIS.get(architecture, (architecture,))[0]
