"""Sweeps: the periodic duties look at many subjects, each in a transaction of its own."""

import logging
from collections.abc import Callable, Iterable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


def each(engine: Engine, subjects: Iterable[str], do: Callable[[Session, str], object]) -> None:
    """Do it to every subject; one that breaks is logged, changes nothing, and stalls no other."""
    for subject in subjects:
        try:
            with Session(engine) as session, session.begin():
                do(session, subject)
        except Exception:
            log.exception("%s.%s failed", do.__module__, do.__qualname__, extra={"subject": subject})
