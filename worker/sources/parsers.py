"""Plain lines and JSON Lines: from blocks of lines to items."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from worker.core.outcomes import Item, is_valid_id
from worker.core.secrets import holds_secret
from worker.sources.items import (
    BLANKS,
    TOO_LONG,
    decode,
    is_too_long,
    item_of,
    problem_item,
    unwrapped,
)
from worker.sources.text import MAX_LINE

COMMENT: Final = "#"
_MOST_NOTES: Final = 5


class Parser(Protocol):
    """Is fed every line of a source, in order. Raises UsageError where nothing can be read."""

    header_lines: int

    @property
    def notes(self) -> list[str]:
        """What was taken or skipped without being asked for, in sentences."""
        ...

    def parse(self, block: bytes, first: int) -> list[Item]:
        """The items in a block of whole lines, of which the first one has the number `first`."""
        ...

    def finish(self) -> list[Item]:
        """The items in what was kept back."""
        ...


class Lines:
    """One id a line. Blank lines, and lines whose first sign that shows is '#', are skipped; so is
    each line that is the `header` word."""

    header_lines = 0

    def __init__(self, header: str | None = None) -> None:
        self._header = header
        self._headers = 0

    @property
    def notes(self) -> list[str]:
        if not self._headers:
            return []
        again = f", {self._headers} times" if self._headers > 1 else ""
        return [f"The header word {self._header!a} was skipped{again}: it is no id"]

    def parse(self, block: bytes, first: int) -> list[Item]:
        items = []
        for line, text in enumerate(decode(block).split("\n"), first):
            if self._header is not None and unwrapped(text) == self._header:
                self._headers += 1
            elif is_valid_id(text) and not holds_secret(text):
                items.append(Item(text, line))
            else:
                items += _parse_odd(text, line)
        return items

    def finish(self) -> list[Item]:
        return []


def _parse_odd(text: str, line: int) -> list[Item]:
    stripped = text.strip(BLANKS)
    if stripped.startswith(COMMENT):
        return []
    if is_too_long(text):
        return [problem_item(stripped, line, TOO_LONG)]
    return [item_of(unwrapped(stripped), line)] if stripped else []


class JsonLines:
    """A JSON object with the key `field`, or a JSON string, on each line.

    Blank lines, and lines that begin with '#', are skipped.
    """

    header_lines = 0

    def __init__(self, field: str) -> None:
        self._field = field
        self._taken: dict[str, None] = {}

    @property
    def notes(self) -> list[str]:
        return [f"The key {key!a} is taken for '{self._field}'" for key in self._taken]

    def parse(self, block: bytes, first: int) -> list[Item]:
        items = []
        for line, text in enumerate(block.split(b"\n"), first):
            items += self._parse_line(text, line)
        return items

    def finish(self) -> list[Item]:
        return []

    def _parse_line(self, text: bytes, line: int) -> list[Item]:
        if len(text) > MAX_LINE:
            return _unreadable(text, line, TOO_LONG)
        try:
            value = msgspec.json.decode(text.strip())
        except (ValueError, RecursionError) as error:
            return _unreadable(text, line, f"The line is not JSON: {error}")
        found, problem = self._find_id(value)
        if problem:
            return [problem_item(decode(text), line, problem)]
        return [item_of(found, line, context=decode(text))]

    def _find_id(self, value: Any) -> tuple[str, str | None]:
        if isinstance(value, str):
            return value, None
        if not isinstance(value, dict):
            return "", f"The line is {_kind(value)}, neither a JSON object nor a JSON string"
        key = self._key_in(value)
        if key not in value:
            return "", f"The JSON object has no key '{self._field}'"
        found = value[key]
        if not isinstance(found, str):
            return "", f"The key '{key}' holds {_kind(found)}, not a JSON string"
        return found, None

    def _key_in(self, value: dict[str, Any]) -> str:
        """The key itself, or the one that is like it but for the case of its letters."""
        if self._field in value:
            return self._field
        alike = [key for key in value if key.casefold() == self._field.casefold()]
        if len(alike) != 1:
            return self._field
        if len(self._taken) < _MOST_NOTES:
            self._taken[alike[0]] = None
        return alike[0]


def _unreadable(text: bytes, line: int, problem: str) -> list[Item]:
    shown = decode(text)
    is_skipped = shown.startswith(COMMENT) or not shown.strip(BLANKS)
    return [] if is_skipped else [problem_item(shown, line, problem)]


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a JSON array"
        case dict():
            return "a JSON object"
        case _:
            return "a JSON string"
