"""The worker: runs operations and does what is due. Any number may run; any may be killed at any moment."""

from cloudctl import app
from cloudctl.kernel import engine
from cloudctl.kernel.settings import Settings


def run(settings: Settings) -> None:
    """Work until told to stop (SIGTERM, SIGINT).

    Raises:
        WrongRevision: the database is at another revision than this program.
    """
    platform = app.prepare(settings)
    engine.work(engine.application(platform.engine, platform.url, settings, app.DUTIES), settings)
