"""A lifecycle is a table: state -> {event: next state}. What is not in it cannot happen."""

from collections.abc import Mapping

from cloudctl.kernel.errors import Conflict


class NotAllowed(Conflict):
    """The thing is in a state from which this move does not lead anywhere."""

    def __init__(self, lifecycle: str, state: str, event: str, allowed: list[str]) -> None:
        super().__init__(lifecycle=lifecycle, state=state, event=event, allowed=allowed)


class Lifecycle:
    """The states of one kind of thing and the moves between them. The first state is the initial one."""

    def __init__(self, name: str, table: Mapping[str, Mapping[str, str]]) -> None:
        unknown = {end for moves in table.values() for end in moves.values()} - set(table)
        if unknown:
            raise ValueError(f"{name}: moves lead to states that are not in the table: {sorted(unknown)}")
        self.name, self.table = name, table
        self.initial = next(iter(table))

    def next(self, state: str, event: str) -> str:
        """The state that `event` leads to.

        Raises:
            NotAllowed: no such move from here; names the moves there are.
        """
        try:
            return self.table[state][event]
        except KeyError:
            raise NotAllowed(self.name, state, event, sorted(self.table[state])) from None

    def allows(self, state: str, event: str) -> bool:
        return event in self.table[state]

    @property
    def final(self) -> frozenset[str]:
        return frozenset(state for state, moves in self.table.items() if not moves)

    def mermaid(self) -> str:
        """The diagram of the table, for the documentation."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        for state, moves in self.table.items():
            lines += [f"    {state} --> {end}: {event}" for event, end in moves.items()]
            lines += [] if moves else [f"    {state} --> [*]"]
        return "\n".join(lines)
