"""What every call of the API stands on; the roof puts it together once a process."""

from dataclasses import dataclass

from sqlalchemy import Engine

from cloudctl.kernel.secrets import Vault
from cloudctl.kernel.settings import Settings
from tenancy.rules import Rules


@dataclass(frozen=True)
class Platform:
    """The parts of one authority's platform.

    `url` is the address of the database as the application's role; only listening for events needs it beside `engine`.
    """

    settings: Settings
    engine: Engine
    rules: Rules
    vault: Vault
    url: str
