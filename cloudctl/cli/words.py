"""The user's language on the command line, and sentences in it."""

import os
from typing import Any

from cloudctl.kernel import messages


def language() -> messages.Language:
    """CLOUDCTL_LANG, else the locale of the terminal; English where neither says Chinese."""
    for name in ("CLOUDCTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if chosen := os.environ.get(name):
            return "zh" if chosen.lower().startswith("zh") else "en"
    return "en"


def say(slug: str, **figures: Any) -> str:
    """The sentence of `slug` in the user's language."""
    return messages.render(slug, figures, language())


def word(name: str) -> str:
    """What a state, a step or a role is called in the user's language."""
    return messages.word(name, language())


def heading(field: str) -> str:
    """What a field is called where people read it."""
    return messages.word(f"column.{field}", language()).removeprefix("column.")
