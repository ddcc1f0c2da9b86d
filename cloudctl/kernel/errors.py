"""What can go wrong, in the domain's words: seven kinds that know no transport.

A leaf error lives beside the code that raises it and subclasses one of the kinds. It carries
figures, never a sentence: the sentence stands in `messages/`, keyed by the slug.
"""

import re
from typing import Any, ClassVar


class Problem(Exception):
    """Something that is the caller's to know about.

    `figures` are JSON values that the sentence and the machine reader need; `field` names the
    input that is to blame, as a dotted path (`items.0.size.vcpu`), where there is one.
    """

    slug: ClassVar[str]

    def __init__(self, *, field: str | None = None, **figures: Any) -> None:
        super().__init__(f"{self.slug}: {figures}" if figures else self.slug)
        self.field = field
        self.figures = figures

    @property
    def reason(self) -> dict[str, Any]:
        """As it is kept in rows and events: slug and figures."""
        return {"slug": self.slug, "figures": self.figures}

    def __init_subclass__(cls) -> None:
        cls.slug = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.field, self.figures)


def _rebuild(kind: type[Problem], field: str | None, figures: dict[str, Any]) -> Problem:
    problem = kind.__new__(kind)
    Problem.__init__(problem, field=field, **figures)
    return problem


class Invalid(Problem):
    """The input breaks a rule; the same input will break it again."""


class Unauthenticated(Problem):
    """Nobody we know is calling."""


class Forbidden(Problem):
    """The caller may see it, but may not do this to it."""


class NotFound(Problem):
    """It does not exist, or the caller may not know that it does."""


class Conflict(Problem):
    """The thing is not in a state, or at a version, that allows this now."""


class Exhausted(Problem):
    """A limit has no room for this."""


class Unavailable(Problem):
    """Something we need does not answer; the same call may work later."""


class Several(Invalid):
    """More than one field is wrong; each of them is told."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(count=len(problems))
        self.problems = problems


def all_or_none(problems: list[Problem]) -> None:
    """Raise what was found: nothing, the one problem, or Several."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Several(problems)


class Outdated(Conflict):
    """It was changed since the version that the caller has seen; look again, then decide again."""

    def __init__(self, expected: int, version: int) -> None:
        super().__init__(expected=expected, version=version)


def must_be_at(expected: int | None, version: int) -> None:
    """Raise Outdated where the caller expects another version than there is; None expects none."""
    if expected is not None and expected != version:
        raise Outdated(expected, version)
