"""The lines of one row of a table, which may be several where a cell is quoted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker.sources.items import TOO_LONG, is_too_long
from worker.sources.text import MAX_LINE

NEVER_CLOSED: Final = "A quote opens in this row and is not closed"
_MAX_ROW_LINES: Final = 1000


class RowError(Exception):
    """The row at hand cannot be read; says why."""


class RowFeed:
    """Gives lines to csv.reader, which asks for another one while a quoted cell is open."""

    def __init__(self, lines: list[str], is_comment: Callable[[str], bool]) -> None:
        self.start = 0
        self._is_comment = is_comment
        self.is_open = False
        self._lines = lines
        self._next = 0
        self._size = 0
        self._in_row = False

    def __iter__(self) -> RowFeed:
        return self

    def __next__(self) -> str:
        if self._next >= len(self._lines):
            self.is_open = self._in_row
            raise StopIteration
        text = self._lines[self._next]
        self._next += 1
        if self._in_row:
            self._check_open_row(text)
            return text
        self._in_row = True
        if is_too_long(text):
            raise RowError(TOO_LONG)
        self._size = len(text)
        return text

    def begin_row(self) -> bool:
        """Go to the next row that is no comment; False where there is none."""
        lines = self._lines
        while self._next < len(lines) and self._is_comment(lines[self._next]):
            self._next += 1
        self.start = self._next
        self._in_row = self.is_open = False
        return self._next < len(lines)

    def give_up_row(self) -> None:
        """Take the lines after the row's first one for rows of their own."""
        self._next = self.start + 1

    @property
    def row_text(self) -> str:
        """The first line of the row, with its end."""
        return self._lines[self.start]

    @property
    def row_spans_lines(self) -> bool:
        return self._next - self.start > 1

    @property
    def row_lines(self) -> list[str]:
        """The lines of the row so far, with their ends."""
        return self._lines[self.start : self._next]

    def _check_open_row(self, text: str) -> None:
        self._size += len(text)
        if self._next - self.start > _MAX_ROW_LINES or self._size > MAX_LINE:
            raise RowError(NEVER_CLOSED)
