"""What ends a command early: a line for stderr, what to do about it, and an exit code."""

from typing import Any

REFUSED, USAGE, UNREACHABLE, NOT_LOGGED_IN, WAKE = 1, 2, 3, 4, 5


class Failure(Exception):
    """A command cannot go on. `slug` and `figures` become a sentence in the user's language."""

    def __init__(self, slug: str, code: int = REFUSED, **figures: Any) -> None:
        super().__init__(slug)
        self.slug, self.code, self.figures = slug, code, figures

    def text(self) -> str:
        """What stands on stderr."""
        from cloudctl.cli.words import say

        return f"cloudctl: {say(self.slug, **self.figures)}"


class Refused(Failure):
    """The server said no: a problem document (RFC 9457). `lines` tells where in a file a field stands."""

    def __init__(self, problem: dict[str, Any]) -> None:
        code = {401: NOT_LOGGED_IN, 503: UNREACHABLE}.get(problem.get("status", 0), REFUSED)
        super().__init__(problem.get("slug") or "refused", code)
        self.problem = problem
        self.lines: dict[str, int] = {}
        self.file = ""

    def text(self) -> str:
        told = [self._line(one) for one in self.problem.get("errors") or [self.problem]]
        return "\n".join([*told, *self._what_to_do()])

    def _line(self, problem: dict[str, Any]) -> str:
        field = problem.get("field")
        place = f"{self.file}:{self._line_of(field)}: " if self.file and field else ""
        sentence = problem.get("detail") or problem.get("title") or problem.get("slug") or str(problem.get("status"))
        return f"cloudctl: {place}{sentence}" + (f" [{field}]" if field else "")

    def _line_of(self, field: str) -> int:
        """The line of a field, or of the nearest thing around it that stands in the file."""
        while field and field not in self.lines:
            field = field.rpartition(".")[0]
        return self.lines.get(field, 1)

    def _what_to_do(self) -> list[str]:
        from cloudctl.cli.words import say

        figures = self.problem.get("figures") or {}
        hints = []
        if self.code == NOT_LOGGED_IN:
            hints.append(say("hint-login"))
        if wanted := figures.get("quota_request"):
            import yaml

            hints += [say("hint-quota-request"), yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False).rstrip()]
        return hints
