"""The schema of the database, revision by revision."""

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from cloudctl.kernel.errors import Unavailable


class WrongRevision(Unavailable):
    """The database is at another revision than this program; `cloudctl admin migrate` brings it up."""


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` (as its owner) up to `revision`."""
    command.upgrade(_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database at `url` (as its owner) back to `revision`; `base` is empty."""
    command.downgrade(_config(url), revision)


def require_current(engine: Engine) -> None:
    """Refuse to run on a schema that is not this program's.

    Raises:
        WrongRevision: names both revisions.
    """
    wanted = ScriptDirectory.from_config(_config("")).get_current_head()
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted:
        raise WrongRevision(found=found or "none", wanted=wanted)


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files(__name__)))
    config.attributes["url"] = url
    return config
