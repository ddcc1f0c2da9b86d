"""Sentences for people: whatever carries a slug and figures becomes a sentence here, in Chinese or English.

`zh.toml` and `en.toml` have the same keys: `[resources.<class>]` with the name of a resource class and how an amount
of it is written, and for each room `[<room>.sentences]` (slug -> sentence) and `[<room>.words]` (the names of states,
moves, steps, roles). A sentence names the rule, the figures and what to do. Its placeholders:

    {figure}            as it is; a size, a list and a reason with figures of its own are written out
    {figure:word}       a state or other name, as the words say it
    {figure:resource}   the name of a resource class
    {figure:time}       a moment, to the minute, with its zone
    {figure:{class}}    an amount of the resource class that another figure names
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from importlib import resources
from string import Formatter
from typing import Any, Literal

Language = Literal["zh", "en"]
DEFAULT: Language = "zh"

_ABSENT = "…"  # where a figure is missing: better a sentence with a hole than none


def render(slug: str, figures: Mapping[str, Any], language: Language = DEFAULT) -> str:
    """The sentence of `slug` with these figures. Never fails: an unknown slug is written as it is, with its figures."""
    book = _book(language)
    if slug not in book.sentences:
        told = ", ".join(f"{name}={_Sentence(book).text(value)}" for name, value in figures.items())
        return f"{slug} ({told})" if told else slug
    return _Sentence(book).vformat(book.sentences[slug], (), figures)


def word(name: str, language: Language = DEFAULT) -> str:
    """What a state, a move, a step or a role is called; what has no other name is called by its own."""
    return _book(language).words.get(name, name)


def written(value: Any, language: Language = DEFAULT) -> str:
    """A figure as people read it: a size, a list or a reason is written out."""
    return _Sentence(_book(language)).text(value)


def choose(accept_language: str | None) -> Language:
    """The language that an Accept-Language header (RFC 9110, 12.5.4) prefers of ours; Chinese where it prefers none."""
    best, best_quality = DEFAULT, 0.0
    for range_ in (accept_language or "").split(","):
        tag, *parameters = (part.strip().lower() for part in range_.split(";"))
        language = {"zh": "zh", "en": "en", "*": DEFAULT}.get(tag.partition("-")[0])
        quality = _quality(parameters)
        if language and quality > best_quality:
            best, best_quality = ("en" if language == "en" else "zh"), quality
    return best


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if match := re.fullmatch(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameter):
            return min(float(match[1]), 1.0)
        if parameter.startswith("q"):
            return 0.0
    return 1.0


@dataclass(frozen=True)
class Book:
    """All that one language says."""

    sentences: Mapping[str, str]
    words: Mapping[str, str]
    resources: Mapping[str, Mapping[str, str]]
    comma: str


@cache
def _book(language: Language) -> Book:
    read = tomllib.loads((resources.files(__name__) / f"{language}.toml").read_text(encoding="utf-8"))
    classes = read.pop("resources")
    sentences = {slug: one for room in read.values() for slug, one in room.get("sentences", {}).items()}
    words = {name: one for room in read.values() for name, one in room.get("words", {}).items()}
    return Book(sentences, words, classes, comma="、" if language == "zh" else ", ")


class _Sentence(Formatter):
    """Fills in one sentence; a figure is never looked into and never taken for a sentence itself."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(field_name, _ABSENT), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, list | tuple) and value:
            return self._book.comma.join(self.format_field(one, format_spec) for one in value)
        match format_spec:
            case "word" if isinstance(value, str):
                return self._book.words.get(value, value)
            case "resource" if isinstance(value, str) and value in self._book.resources:
                return self._book.resources[value]["name"]
            case "time" if isinstance(value, str):
                return _minute(value)
            case _ if isinstance(value, int | float) and format_spec not in ("", "word", "resource", "time"):
                return self._amount(format_spec, value)
        return self.text(value)

    def text(self, value: Any) -> str:
        """A figure as people read it."""
        match value:
            case None | [] | ():
                return "—"
            case dict() if not value:
                return "—"
            case bool():
                return self._book.words["yes" if value else "no"]
            case float():
                return f"{value:.10g}"
            case {"slug": str(slug), "figures": dict(figures)}:
                sentence = self._book.sentences.get(slug)
                return self.vformat(sentence, (), figures) if sentence else slug
            case dict():
                order = [name for name in self._book.resources if name in value]
                names = order + [name for name in value if name not in order]
                return self._book.comma.join(self._amount(name, value[name]) for name in names)
            case list() | tuple():
                return self._book.comma.join(map(self.text, value))
        return str(value)

    def _amount(self, resource: str, amount: Any) -> str:
        form = self._book.resources.get(resource, {}).get("amount")
        return form.replace("{n}", self.text(amount)) if form else f"{resource} {self.text(amount)}"


_zone: tzinfo | None = None  # the machine's own


def tell_times_in(zone: tzinfo | None) -> None:
    """From now on sentences tell times in this zone; called by the roof at start, with the authority's."""
    global _zone
    _zone = zone


def moment(at: datetime, zone: tzinfo | None = None) -> str:
    """A moment as people read it: to the minute, in a zone (the machine's own where None) that is always named."""
    try:
        there = at.astimezone(zone)
    except OverflowError:  # at the ends of the calendar another zone has no such day
        there = at
    hours, minutes = (offset := there.strftime("%z"))[:3], offset[3:5]
    named = "UTC" if offset == "+0000" else f"{hours}:{minutes}" if minutes != "00" else hours
    return f"{there:%Y-%m-%d %H:%M} {named}"


def _minute(written: str) -> str:
    try:
        return moment(datetime.fromisoformat(written), _zone)
    except ValueError:
        return written
