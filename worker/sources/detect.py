"""Tells the format of a source by its name, or else by its first line."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from worker.sources.items import BLANKS, unwrapped
from worker.sources.json_values import is_spread, refuse_whole_value
from worker.sources.parsers import COMMENT, JsonLines, Lines, Parser
from worker.sources.table import DELIMITERS, InputTable, cells_of, delimiter_of

FORMATS: Final = ("auto", "lines", "csv", "jsonl")

_BY_SUFFIX: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_MOST_HEADER_LINES: Final = 10
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


def parser_for(
    first_line: str, format: str, field: str, *, delimiter: str | None = None, rest: str = ""
) -> Parser:
    """A parser for what begins with `first_line`; `rest` is what is known of the lines after it.

    Raises UsageError for one whole JSON value.
    """
    if delimiter is not None:
        return InputTable(field, delimiter)
    header = _whole_header(first_line, rest, is_table=format == "csv")
    known = _format_by_content(header, field) if format == "auto" else format
    if known == "lines":
        return Lines(_header_word(first_line) if format == "auto" else None)
    if known == "csv":
        return InputTable(field, delimiter_of(header, field))
    refuse_whole_value(first_line, field, rest)
    return JsonLines(field)


def _whole_header(line: str, rest: str, *, is_table: bool) -> str:
    """The first row of a table: a quoted cell may be broken over lines."""
    header, following = line, rest.lstrip("\n").split("\n")[:_MOST_HEADER_LINES]
    may_be_quoted = is_table or header.startswith('"')
    while may_be_quoted and header.count('"') % 2 and following:
        header += "\n" + following.pop(0)
    return header if header.count('"') % 2 == 0 else line


def _header_word(line: str) -> str | None:
    word = unwrapped(line)
    return word if re.sub(r"[\W_]+", "", word).casefold() in _HEADER_WORDS else None


def _format_by_content(line: str, field: str) -> str:
    text = line.strip(BLANKS)
    if text.startswith("{") or is_spread(text):
        return "jsonl"
    # In any case of letters: `ID` above a column is no id, and the parser says how to name it.
    key = field.casefold()
    headers = (cells_of(line, delimiter) for delimiter in DELIMITERS)
    is_header = any(key == cell.casefold() for cells in headers for cell in cells)
    return "csv" if is_header else "lines"
