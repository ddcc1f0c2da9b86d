"""The rules of one authority, read once at start and passed along: its policy, its calendar, its settings."""

from dataclasses import dataclass

from cloudctl.kernel.clock import Calendar
from cloudctl.kernel.settings import Settings
from tenancy import policy


@dataclass(frozen=True)
class Rules:
    policy: policy.Policy
    calendar: Calendar
    settings: Settings


def read(settings: Settings) -> Rules:
    """The rules that these settings name.

    Raises:
        BadPolicy, BadCalendar: a file of the authority breaks its schema.
    """
    return Rules(policy.load(settings), Calendar(settings), settings)
