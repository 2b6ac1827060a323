"""One JSON value over a whole source, and the line of jq that makes JSON Lines of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from worker.core.errors import UsageError
from worker.sources.items import BLANKS, reads_like_id

# One value spread over many lines; an id cannot look like that, a line of JSON Lines neither.
is_spread: Final = re.compile(r'\{$|\[\s*(["{\[]|$)').match
_match_key: Final = re.compile(r'(\s*)"([^"\\]+)"\s*:\s*(\S)').match
_is_plain: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


def refuse_whole_value(line: str, field: str, rest: str) -> None:
    """Raise UsageError where the first line begins one JSON value; `rest` is what follows it."""
    text = line.strip(BLANKS)
    wanted = (
        _wanted_of_spread(text, field, rest)
        if is_spread(text)
        else _wanted_of_one(text, field, is_alone=not rest.strip(BLANKS))
    )
    if wanted is not None:
        raise UsageError(
            "it is one JSON value, not one on each line",
            f"Turn it into JSON Lines: jq -c '{wanted}' FILE > FILE.jsonl;"
            f" each needs the key '{field}'",
        )


def _wanted_of_spread(text: str, field: str, rest: str) -> str:
    if text.startswith("["):
        return ".[]"
    opens = dict(_keys_of_first_level(rest))
    if not opens:
        return ".items[]? // ."
    if field.casefold() in map(str.casefold, opens):
        return "."
    lists = [key for key, sign in opens.items() if sign == "["]
    if lists:
        return _elements_of(lists)
    is_map = any(reads_like_id(key) for key, sign in opens.items() if sign == "{")
    return "keys[]" if is_map else "."


def _keys_of_first_level(rest: str) -> Iterator[tuple[str, str]]:
    """Each key with the sign its value begins with, as far as the indentation tells."""
    matches = [match for match in map(_match_key, rest.split("\n")) if match is not None]
    for match in matches:
        if match[1] == matches[0][1]:
            yield match[2], match[3]


def _wanted_of_one(text: str, field: str, *, is_alone: bool) -> str | None:
    """For an object on one line that holds a list where others hold the id, as the API's own.

    Where it is not alone, a list of any other name is a part of a session like those below it.
    """
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or field.casefold() in map(str.casefold, value):
        return None
    if isinstance(value.get("items"), list):
        return _elements_of(["items"])
    lists = [key for key, held in value.items() if isinstance(held, list) and held]
    return _elements_of(lists) if lists and is_alone else None


def _elements_of(lists: list[str]) -> str:
    key = "items" if "items" in lists else lists[0]
    return f".{key}[]" if _is_plain(key) else ".[] | arrays[]"
