"""From the text of a line to an item: an id, or why it cannot be one."""

from __future__ import annotations

import re
from typing import Final

from worker.core.outcomes import MAX_ID_LENGTH, MAX_INVALID_ID_LENGTH, Item, is_valid_id
from worker.core.secrets import HIDDEN, holds_secret, redact
from worker.sources.text import MAX_LINE

_UNSEEN: Final = (
    0xAD,
    0x180E,
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
)
BLANKS: Final = "".join(
    [*filter(str.isspace, map(chr, range(0x3001))), *map(chr, _UNSEEN), "\ufeff"]
)
"""What is taken off around ids: all that shows as nothing, such as copied no-break spaces, soft
hyphens and marks of direction."""

_find_wrapped: Final = re.compile(
    r"""=?(["'])([A-Za-z0-9_-]+)\1[,;]*|([A-Za-z0-9_-]+)[,;]+""", re.ASCII
).fullmatch
"""`"id"`, `'id',`, `id;` and a spreadsheet's `="id"`: the id in them is beyond doubt."""
_is_rounded: Final = re.compile(r"\d+([.,]\d+)?E[+-]?\d+", re.IGNORECASE).fullmatch
_is_address: Final = re.compile(r"https?://", re.IGNORECASE).match

_LEAST_ID: Final = 12
_HELD_BACK: Final = "The line is or holds a secret, such as the API key, and is not shown"

TOO_LONG: Final = f"The line is longer than {MAX_LINE} bytes"


def decode(line: bytes) -> str:
    """Bytes that are not UTF-8 become lone surrogates, which `item_of` finds and writes out."""
    return line.decode("utf-8", "surrogateescape")


def is_too_long(text: str) -> bool:
    """Whether a line is longer than `MAX_LINE` bytes, so that its end may not be known."""
    return len(text) > MAX_LINE // 4 and len(text.encode("utf-8", "surrogateescape")) > MAX_LINE


def item_of(text: str, line: int, *, context: str = "") -> Item:
    """The item for an id as it was written; `context` is shown instead of an id that is empty."""
    stripped = text.strip(BLANKS)
    if is_valid_id(stripped):
        if holds_secret(stripped):
            return problem_item(HIDDEN, line, _HELD_BACK)
        return Item(stripped, line)
    return problem_item(stripped or context, line, _why_not(stripped))


def unwrapped(text: str) -> str:
    """The text without blanks around it, and without quotes or commas around an id."""
    stripped = text.strip(BLANKS)
    match = _find_wrapped(stripped)
    return stripped if match is None else match[2] or match[3]


def reads_like_id(name: str) -> bool:
    """Whether a text looks more like an id than like a name: keys and columns seldom do."""
    return len(name) >= _LEAST_ID and bool(is_valid_id(name)) and any(map(str.isdigit, name))


def problem_item(text: str, line: int, problem: str) -> Item:
    """The item of a line that can be no id: a text that none can be taken for, without secrets."""
    shown = _shown(redact(text.strip(BLANKS)))
    # The results log goes by ids: what is none must not be recorded under the name of one.
    return Item(f"{shown}…" if is_valid_id(shown) else shown, line, problem)


def _shown(text: str) -> str:
    # Four characters at most stand for one byte, so this cuts before it grows.
    written_out = text[:MAX_INVALID_ID_LENGTH].encode("utf-8", "surrogateescape")
    return written_out.decode("utf-8", "backslashreplace")[:MAX_INVALID_ID_LENGTH]


def _why_not(text: str) -> str:
    if not text:
        return "The id is empty"
    if _is_rounded(text):
        return "A spreadsheet made a number of the id, and its digits are lost: export it as text"
    if _is_address(text):
        return "It is a web address: give the id alone"
    wrong = next((sign for sign in text if not is_valid_id(f"0{sign}")), None)
    if wrong is None and not any(map(str.isalnum, text)):
        return "It is a ruler: an id has a letter or a digit"
    if wrong is None:
        return f"An id has at most {MAX_ID_LENGTH} characters, this one has {len(text)}"
    if wrong == "\0":
        return "The id contains a NUL byte"
    if "\udc80" <= wrong <= "\udcff":
        return "The id contains bytes that are not UTF-8"
    return f"An id has only letters A to Z, digits, '_' and '-', this one contains {wrong!a}"
