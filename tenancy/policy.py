"""Policy: which approvals an item needs, and what needs no human. The rules are data; here is what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from cloudctl.kernel.errors import Invalid
from cloudctl.kernel.settings import Settings


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

    def hindrance(self, facts: Facts) -> dict[str, Any] | None:
        """Why the rule does not apply to these facts, as slug and figures; None if it does."""
        current = facts.current or {}
        grown = [resource for resource in facts.size if facts.size[resource] > current.get(resource, 0)]
        shrunk = [resource for resource in facts.size if facts.size[resource] < current.get(resource, 0)]
        if self.shrinks and grown:
            return self._because("rule-grows", resources=grown)
        if self.grows_at_most_percent and shrunk:
            return self._because("rule-shrinks", resources=shrunk)
        reasons = [self._too_much(facts, resource) for resource in grown]
        reasons += [self._still_needed(facts, resource) for resource in shrunk]
        reasons += [self._not_used(facts, resource) for resource in grown]
        return next(filter(None, reasons), None)

    def _too_much(self, facts: Facts, resource: str) -> dict[str, Any] | None:
        """It grows beyond the share of what a human last approved."""
        approved, percent = (facts.approved or {}).get(resource, 0), self.grows_at_most_percent
        most = approved * (100 + (percent or 0)) // 100
        if not percent or facts.size[resource] <= most:
            return None
        figures = {"wanted": facts.size[resource], "approved": approved, "percent": percent, "most": most}
        return self._because("rule-above-approved", resource=resource, **figures)

    def _still_needed(self, facts: Facts, resource: str) -> dict[str, Any] | None:
        """It shrinks, and what is used does not fit with room to spare, as far as anybody has measured."""
        percent = self.use_at_most_percent_of_new
        if not percent:
            return None
        if facts.use is None or resource not in facts.use:
            return self._because("rule-no-evidence", resource=resource)
        use, most = facts.use[resource], facts.size[resource] * percent / 100
        return self._because("rule-use-too-high", resource=resource, use=use, most=most) if use > most else None

    def _not_used(self, facts: Facts, resource: str) -> dict[str, Any] | None:
        """It grows, and what there is is hardly used, as far as anybody has measured."""
        if not self.use_at_least_percent:
            return None
        if resource not in self.use_at_least_percent:
            return self._because("rule-not-for-class", resource=resource)
        if facts.use is None or resource not in facts.use:
            return self._because("rule-no-evidence", resource=resource)
        use, least = (
            facts.use[resource],
            (facts.current or {}).get(resource, 0) * self.use_at_least_percent[resource] / 100,
        )
        return self._because("rule-use-too-low", resource=resource, use=use, least=least) if use < least else None

    def _because(self, slug: str, **figures: Any) -> dict[str, Any]:
        return {"slug": slug, "figures": {"rule": self.rule, **figures}}


@dataclass(frozen=True)
class Judgement:
    """What policy says of one item: the rule that approves it, or the steps it needs and why no rule did."""

    automatic: str | None
    steps: tuple[Approval, ...]
    hindrances: tuple[dict[str, Any], ...]


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
