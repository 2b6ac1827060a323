"""Tells the format of a source by its name, or else by its first line."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from worker.core.errors import UsageError
from worker.sources.items import BLANKS
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


def parser_for(first_line: str, format: str, field: str) -> Parser:
    """A parser for what begins with `first_line`. Raises UsageError for one whole JSON value."""
    known = _format_by_content(first_line, field) if format == "auto" else format
    if known == "lines":
        return Lines()
    if known == "csv":
        return Table(field, delimiter_of(first_line, field))
    if _ONE_JSON_VALUE.match(first_line.strip(BLANKS)):
        raise UsageError(
            "it is one JSON value, not one on each line",
            f"Turn it into JSON Lines: jq -c '.[]' FILE > FILE.jsonl; each needs the key '{field}'",
        )
    return JsonLines(field)


def _format_by_content(line: str, field: str) -> str:
    text = line.strip(BLANKS)
    if text.startswith("{") or _ONE_JSON_VALUE.match(text):
        return "jsonl"
    # In any case of letters: `ID` above a column is no id, and the parser says how to name it.
    key = field.casefold()
    headers = (cells_of(line, delimiter) for delimiter in DELIMITERS)
    is_header = any(key == cell.casefold() for cells in headers for cell in cells)
    return "csv" if is_header else "lines"
