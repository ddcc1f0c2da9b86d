"""Policy: which approvals an item needs, and what needs no human. The rules are data; here is what they mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from cloudctl.kernel.errors import Invalid
from cloudctl.kernel.settings import Settings

Reason = dict[str, Any]
"""Why something is so: slug and figures."""


class BadPolicy(Invalid):
    """The policy file breaks its own schema; nothing starts with it."""


@dataclass(frozen=True)
class Facts:
    """What policy may look at for one item. Sizes are absolute; `use` is evidence, absent where none is fresh."""

    kind: str
    size: Mapping[str, int] = field(default_factory=dict)
    current: Mapping[str, int] | None = None
    approved: Mapping[str, int] | None = None
    level: int = 1
    use: Mapping[str, float] | None = None


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Either(_Rule):
    """Holds if one of its parts does."""

    size_over: dict[str, int] = {}
    level_at_least: PositiveInt | None = None

    def holds(self, facts: Facts) -> bool:
        over = any(facts.size.get(resource, 0) > limit for resource, limit in self.size_over.items())
        return over or (self.level_at_least is not None and facts.level >= self.level_at_least)


class When(_Rule):
    """Holds if every part that is given does."""

    kinds: list[str] | None = None
    any: Either | None = None

    def holds(self, facts: Facts) -> bool:
        return (self.kinds is None or facts.kind in self.kinds) and (self.any is None or self.any.holds(facts))


class Approval(_Rule):
    """A step of approval: whose approvers decide, within how many working days."""

    name: str
    by: Literal["own", "parent", "authority"]
    days: PositiveInt
    when: When = When()


class Accept(_Rule):
    by: Literal["own", "parent", "authority"]
    days: PositiveInt


class Automatic(_Rule):
    """A published rule by which no human is asked."""

    rule: str
    kinds: list[str]
    shrinks: bool = False
    use_at_most_percent_of_new: PositiveInt | None = None
    grows_at_most_percent: PositiveInt | None = None
    use_at_least_percent: dict[str, int] = {}

    def hindrance(self, facts: Facts) -> Reason | None:
        """Why the rule does not apply to these facts; None if it does."""
        current = facts.current or {}
        grown = [resource for resource in facts.size if facts.size[resource] > current.get(resource, 0)]
        shrunk = [resource for resource in facts.size if facts.size[resource] < current.get(resource, 0)]
        if self.shrinks and grown:
            return _because(self.rule, "rule-grows", resources=grown)
        if self.grows_at_most_percent and shrunk:
            return _because(self.rule, "rule-shrinks", resources=shrunk)
        found = chain(self._too_large(facts, grown), self._too_full(facts, shrunk), self._too_idle(facts, grown))
        return next(found, None)

    def _too_large(self, facts: Facts, grown: Sequence[str]) -> Iterator[Reason]:
        """What grows beyond the published share of the size that a human last approved."""
        percent = self.grows_at_most_percent
        for resource in grown if percent else ():
            approved = (facts.approved or {}).get(resource, 0)
            most = approved * (100 + (percent or 0)) // 100
            if facts.size[resource] > most:
                figures = {"wanted": facts.size[resource], "approved": approved, "most": most, "percent": percent}
                yield _because(self.rule, "rule-above-approved", resource=resource, **figures)

    def _too_full(self, facts: Facts, shrunk: Sequence[str]) -> Iterator[Reason]:
        """What is used so much that the smaller size would be tight, or is not known to be used little."""
        percent = self.use_at_most_percent_of_new
        for resource in shrunk if percent else ():
            use, most = (facts.use or {}).get(resource), facts.size[resource] * (percent or 0) / 100
            if use is None:
                yield _because(self.rule, "rule-no-evidence", resource=resource)
            elif use > most:
                yield _because(self.rule, "rule-use-too-high", resource=resource, use=use, most=most)

    def _too_idle(self, facts: Facts, grown: Sequence[str]) -> Iterator[Reason]:
        """What is used so little that it need not grow, or is not known to be used."""
        for resource in grown if self.use_at_least_percent else ():
            percent, use = self.use_at_least_percent.get(resource), (facts.use or {}).get(resource)
            least = (facts.current or {}).get(resource, 0) * (percent or 0) / 100
            if percent is None:
                yield _because(self.rule, "rule-not-for-class", resource=resource)
            elif use is None:
                yield _because(self.rule, "rule-no-evidence", resource=resource)
            elif use < least:
                yield _because(self.rule, "rule-use-too-low", resource=resource, use=use, least=least)


def _because(rule: str, slug: str, **figures: Any) -> Reason:
    return {"slug": slug, "figures": {"rule": rule, **figures}}


@dataclass(frozen=True)
class Judgement:
    """What policy says of one item: the rule that approves it, or the steps it needs and why no rule did."""

    automatic: str | None
    steps: tuple[Approval, ...]
    hindrances: tuple[Reason, ...]


class Policy(_Rule):
    """The rules of one authority, at one version."""

    version: str
    accept: Accept
    steps: list[Approval]
    automatic: list[Automatic] = []

    def judge(self, facts: Facts) -> Judgement:
        """Which rule approves an item of these facts, or who must."""
        hindrances = []
        for rule in self.automatic:
            if facts.kind in rule.kinds:
                hindrance = rule.hindrance(facts)
                if hindrance is None:
                    return Judgement(rule.rule, (), ())
                hindrances.append(hindrance)
        accept = Approval(name="accept", by=self.accept.by, days=self.accept.days)
        steps = tuple(step for step in self.steps if step.when.holds(facts))
        return Judgement(None, (accept, *steps), tuple(hindrances))


def load(settings: Settings) -> Policy:
    """The authority's policy, or the shipped one.

    Raises:
        BadPolicy: the file cannot be read or breaks the schema; names the place and the rule.
    """
    shipped = resources.files("tenancy") / "policies" / "default.yaml"
    file: Path | Any = settings.policy_file or shipped
    try:
        return Policy.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise BadPolicy(file=str(file), fault=str(error)) from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise BadPolicy(file=str(file), fault="; ".join(faults)) from None
