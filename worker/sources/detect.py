"""Tells the format of a source by its name, or else by its first line."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

import msgspec

from worker.core.errors import UsageError
from worker.sources.items import BLANKS, unwrapped
from worker.sources.parsers import COMMENT, JsonLines, Lines, Parser
from worker.sources.table import DELIMITERS, Table, cells_of, delimiter_of

FORMATS: Final = ("auto", "lines", "csv", "jsonl")

_BY_SUFFIX: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
# One value spread over many lines; an id cannot look like that, a line of JSON Lines neither.
_ONE_JSON_VALUE: Final = re.compile(r'\{$|\[\s*(["{\[]|$)')
_find_separator: Final = re.compile(r'"?sep=([^\w\s"\'-]|\t)"?', re.IGNORECASE).fullmatch
_HEADER_WORDS: Final = frozenset(
    {"id", "ids", "uuid", "guid", "sessionid", "sessionids"}
    | {"workflowsessionid", "workflowsessionids"}
)
"""Above a list of ids, in any case of letters and with any blanks, `_` or `-` between the words."""


def format_by_name(name: str) -> str:
    """The format that a file's suffix tells, that of `.gz` aside; `auto` where it tells none."""
    path = PurePath(name.lower())
    if path.suffix == ".gz":
        path = path.with_suffix("")
    return _BY_SUFFIX.get(path.suffix, "auto")


def is_skipped(line: str, format: str) -> bool:
    """Whether a line before the first one that counts is blank or a comment."""
    text = line.strip(BLANKS)
    may_be_indented = format in {"auto", "lines"}
    return not text or (text if may_be_indented else line).startswith(COMMENT)


def separator_of(line: str) -> str | None:
    """The delimiter that a spreadsheet program names in a first line such as `sep=;`."""
    match = _find_separator(line.strip(" \r"))
    return None if match is None else match[1]


def parser_for(
    first_line: str, format: str, field: str, *, delimiter: str | None = None, rest: str = ""
) -> Parser:
    """A parser for what begins with `first_line`; `rest` is what is known of the lines after it.

    Raises UsageError for one whole JSON value.
    """
    if delimiter is not None:
        return Table(field, delimiter)
    known = _format_by_content(first_line, field) if format == "auto" else format
    if known == "lines":
        return Lines(_header_word(first_line) if format == "auto" else None)
    if known == "csv":
        return Table(field, delimiter_of(first_line, field))
    _refuse_json_value(first_line.strip(BLANKS), field, rest)
    return JsonLines(field)


def _refuse_json_value(line: str, field: str, rest: str) -> None:
    if _is_api_list(line, field) or (line == "{" and '"items"' in rest):
        wanted = ".items[]"
    elif line == "{":
        wanted = ".items[]? // ."
    elif _ONE_JSON_VALUE.match(line):
        wanted = ".[]"
    else:
        return
    raise UsageError(
        "it is one JSON value, not one on each line",
        f"Turn it into JSON Lines: jq -c '{wanted}' FILE > FILE.jsonl;"
        f" each needs the key '{field}'",
    )


def _is_api_list(line: str, field: str) -> bool:
    try:
        value = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return False
    is_object = isinstance(value, dict) and field not in value
    return is_object and isinstance(value.get("items"), list)


def _header_word(line: str) -> str | None:
    word = unwrapped(line)
    return word if re.sub(r"[\W_]+", "", word).casefold() in _HEADER_WORDS else None


def _format_by_content(line: str, field: str) -> str:
    text = line.strip(BLANKS)
    if text.startswith("{") or _ONE_JSON_VALUE.match(text):
        return "jsonl"
    # In any case of letters: `ID` above a column is no id, and the parser says how to name it.
    key = field.casefold()
    headers = (cells_of(line, delimiter) for delimiter in DELIMITERS)
    is_header = any(key == cell.casefold() for cells in headers for cell in cells)
    return "csv" if is_header else "lines"
