"""Sweeps: periodic duties look at many subjects; one that breaks is logged, changes nothing, and stalls no other."""

import logging
from collections.abc import Callable, Iterable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


def each(subjects: Iterable[str], do: Callable[[str], object]) -> None:
    """Do it to every subject."""
    for subject in subjects:
        try:
            do(subject)
        except Exception:
            log.exception("%s.%s failed", do.__module__, do.__qualname__, extra={"subject": subject})


def each_booked(engine: Engine, subjects: Iterable[str], do: Callable[[Session, str], object]) -> None:
    """Do it to every subject, in a transaction of its own."""

    def booked(subject: str) -> None:
        with Session(engine) as session, session.begin():
            do(session, subject)

    booked.__module__, booked.__qualname__ = do.__module__, do.__qualname__
    each(subjects, booked)
