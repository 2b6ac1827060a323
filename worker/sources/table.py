"""CSV (RFC 4180) with a header: from blocks of lines to the items of one column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final, Literal

from worker.core.errors import UsageError
from worker.core.outcomes import Item, is_valid_id
from worker.core.secrets import holds_secret
from worker.sources.items import (
    BLANKS,
    decode,
    item_of,
    problem_item,
    reads_like_id,
    unwrapped,
)
from worker.sources.parsers import COMMENT
from worker.sources.rows import NEVER_CLOSED, RowError, RowFeed
from worker.sources.text import MAX_LINE

DELIMITERS: Final = ",;\t|"
_find_separator: Final = re.compile(r'"?sep=([^\w\s"\'-]|\t)"?', re.IGNORECASE).fullmatch
_MAX_COLUMNS_SHOWN: Final = 20
_IF_ID: Final = (
    "; if that is an id already, say --format lines",
    "; if it holds an id already, put a line above it that names the columns",
)
"""Behind the advice for a first row of one cell, and of several."""
_OTHER_HEADER: Final = "It is a header, and another one than that of the file"
_SWALLOWED: Final = (
    "It stands within a quoted cell of the row that begins on line {}: mend the quotes"
)
_CLOSED_AMISS: Final = "A quote opens in this row, and where it closes, lines below, text follows"


def separator_of(line: str) -> str | None:
    """The delimiter that a spreadsheet program names in a first line such as `sep=;`."""
    match = _find_separator(line.strip("\ufeff \r\n"))
    return None if match is None else match[1]


def cells_of(header: str, delimiter: str) -> list[str]:
    """The cells of a header, which may stand on several lines."""
    csv.field_size_limit(2 * MAX_LINE)
    lines = header.splitlines(keepends=True)
    row = next(csv.reader(lines, delimiter=delimiter, skipinitialspace=True), [])
    return names_of(row)


def delimiter_of(header: str, field: str) -> str:
    """The delimiter that makes a cell of `field`, or else the one that makes most cells."""

    def fitness(delimiter: str) -> tuple[bool, bool, int]:
        cells = cells_of(header, delimiter)
        return field in cells, field.casefold() in map(str.casefold, cells), len(cells)

    return max(DELIMITERS, key=fitness)


class InputTable:
    """One id a row, in the column `field` of the header; the case of its letters may differ where
    only one column is called so.

    Blank rows are skipped, and rows that equal the header, as in files put together. So are rows
    whose line begins with '#', but where an id stands in the column. A quote that is not closed
    within 1,000 lines or 1 MiB, or is closed on another line amid text, spoils its own line only:
    the lines after it are rows of their own. A line within a quoted cell that reads like a row may
    have been swallowed by a stray quote: it is no row, and it is reported.
    """

    header_lines = 1

    def __init__(self, field: str, delimiter: str) -> None:
        # The limit is the process's own; lines are bounded before they come here.
        csv.field_size_limit(2 * MAX_LINE)
        self._field = field
        self._delimiter = delimiter
        self._column: int | None = None
        self._names: list[str] = []
        self._width = 0
        self._notes: list[str] = []
        self._headers_again = 0
        self._open: list[str] = []
        self._next_line = 1

    def parse(self, block: bytes, first: int) -> list[Item]:
        lines = [f"{text}\n" for text in decode(block).split("\n")]
        self._next_line = first + len(lines)
        return self._parse_rows([*self._open, *lines], is_last=False)

    def finish(self) -> list[Item]:
        return self._parse_rows(self._open, is_last=True)

    @property
    def notes(self) -> list[str]:
        """What was taken or skipped without being asked for, in sentences."""
        return self._notes + notes_on_headers(self._headers_again)

    def _parse_rows(self, lines: list[str], *, is_last: bool) -> list[Item]:
        first = self._next_line - len(lines)
        feed = RowFeed(lines, self._is_comment)
        reader = csv.reader(feed, delimiter=self._delimiter, skipinitialspace=True)
        items: list[Item] = []
        while feed.begin_row():
            try:
                row = next(reader, None)
                self._check_quotes(feed, is_last=is_last)
            except (RowError, csv.Error) as error:
                items.append(self._spoilt(feed.row_text, first + feed.start, str(error)))
                feed.give_up_row()
                continue
            if row is None or feed.is_open:
                break
            found = self._parse_row(row, feed, first)
            items += found
            if feed.row_spans_lines:
                items += self._swallowed(feed.row_lines, first + feed.start, found)
        self._open = lines[feed.start :] if feed.is_open else []
        return items

    def _check_quotes(self, feed: RowFeed, *, is_last: bool) -> None:
        """Raise RowError for a row over several lines that no program would have written so."""
        if feed.is_open:
            if is_last:
                raise RowError(NEVER_CLOSED)
        elif feed.row_spans_lines:
            try:
                next(self._cells(feed.row_lines, strict=True), None)
            except csv.Error:
                raise RowError(_CLOSED_AMISS) from None

    def _cells(
        self,
        lines: Sequence[str],
        *,
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL,
        strict: bool = False,
    ) -> Iterator[list[str]]:
        return csv.reader(
            lines, delimiter=self._delimiter, skipinitialspace=True, quoting=quoting, strict=strict
        )

    def _swallowed(self, lines: Sequence[str], first: int, found: Sequence[Item]) -> list[Item]:
        """Reports of those lines of a row that read like rows of their own."""
        own = next((item.id for item in found if item.problem is None), None)
        # Where the row has no id of its own, an item stands for its first line already.
        return [
            problem_item(text, line, _SWALLOWED.format(first))
            for line, text in enumerate(lines, first)
            if self._reads_like_row(text, own) and (own is not None or line > first)
        ]

    def _reads_like_row(self, text: str, own: str | None) -> bool:
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            cells = next(self._cells([text], quoting=quoting), [])
            if self._column is None or len(cells) != self._width:
                continue
            found = cells[self._column].strip(BLANKS + '"')
            is_id = is_valid_id(found) and found not in {own, self._names[self._column]}
            if is_id and (own is None or len(found) == len(own)):
                return True
        return False

    def _spoilt(self, text: str, line: int, problem: str) -> Item:
        if self._column is None:
            raise UsageError(
                f"line {line} is not the header of a CSV file: {problem}",
                "Mend it, or say how the source is written with --format",
            )
        return problem_item(text, line, problem)

    def _parse_row(self, row: list[str], feed: RowFeed, first: int) -> list[Item]:
        column = self._column
        line = first + feed.start
        if self._is_plain(row):
            return [Item(row[self._column or 0], line)]
        names = names_of(row)
        if not any(names):
            return []
        if column is None:
            self._column = self._find_column(names, first + feed.start)
            self._names, self._width = names, len(row)
            return []
        if names == self._names:
            self._headers_again += 1
            return []
        if column < len(names) and names[column] == self._names[column]:
            return [problem_item(feed.row_text, line, _OTHER_HEADER)]
        if column < len(row):
            return [item_of(unwrapped(row[column]), line, context=feed.row_text)]
        problem = f"The row has {len(row)} of {self._width} cells, and none for '{self._field}'"
        return [problem_item(feed.row_text, line, problem)]

    def _is_plain(self, row: list[str]) -> bool:
        """Whether an id, and no header again, stands in the column as it is to be taken."""
        column = self._column
        if column is None or column >= len(row) or row[column] == self._names[column]:
            return False
        return bool(is_valid_id(row[column])) and not holds_secret(row[column])

    def _is_comment(self, line: str) -> bool:
        if not line.startswith(COMMENT):
            # Put together with `cat`, files bring theirs along; the delimiter stays the first one.
            return separator_of(line) is not None
        cells = next(self._cells([line]), [])
        column = self._column
        if column is None or len(cells) != self._width:
            return True
        return not is_valid_id(unwrapped(cells[column]))

    def _find_column(self, names: list[str], line: int) -> int:
        found = names.count(self._field)
        if found > 1:
            raise UsageError(
                f"{found} columns are called '{self._field}'", "Rename all but the one with the ids"
            )
        if found == 1:
            return names.index(self._field)
        alike = [name for name in names if name.casefold() == self._field.casefold()]
        if len(alike) == 1:
            self._notes.append(f"The column {alike[0]!a} is taken for '{self._field}'")
            return names.index(alike[0])
        raise no_column(self._field, names, line)


def notes_on_headers(count: int) -> list[str]:
    """A notice of rows that were skipped, if there are any."""
    if not count:
        return []
    rows = "1 line that equals" if count == 1 else f"{count} lines that equal"
    return [f"{rows} the header {'was' if count == 1 else 'were'} skipped"]


def no_column(field: str, names: list[str], line: int) -> UsageError:
    """The error for a header without the column; its advice never makes a header of an id."""
    shown = ", ".join(ascii(name) for name in names[:_MAX_COLUMNS_SHOWN])
    more = ", …" if len(names) > _MAX_COLUMNS_SHOWN else ""
    if any(map(reads_like_id, names)):
        how = (
            "If it holds one id a line, say so with --format lines"
            if len(names) == 1
            else f"Put a first line above it that names the columns, with '{field}' over the ids"
        )
        return UsageError(
            f"it has no header: line {line} reads like data ({shown}{more})",
            how,
        )
    is_doubtful = any(is_valid_id(name) and any(map(str.isdigit, name)) for name in names)
    may_be_id = _IF_ID[len(names) > 1] if is_doubtful else ""
    by_key = {name.casefold(): name for name in names if name}
    close = get_close_matches(field.casefold(), by_key, n=1, cutoff=0.3)
    nearest = by_key[close[0]] if close else next(iter(by_key.values()))
    return UsageError(
        f"no column is called '{field}'; the columns are {shown}{more}",
        f"Name the one with the ids, for instance --field {nearest!a}{may_be_id}",
    )


def names_of(row: Sequence[str]) -> list[str]:
    """Cells as they are compared: a name may be broken over lines."""
    return [" ".join(cell.strip(BLANKS).split()) for cell in row]
