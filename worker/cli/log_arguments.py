"""Results logs as arguments: found, read once each, and what is wrong with them said on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click

from worker.app.process.streams import say
from worker.core.errors import LedgerError, UsageError
from worker.core.outcomes import Record
from worker.core.text import count, shorten, visible
from worker.ledger import read_records

_BAD_LINES_SHOWN: Final = 10
_BAD_LINE_LENGTH: Final = 60
_LARGE_LOG_BYTES: Final = 100_000_000
_LINES_BETWEEN_SIGNS: Final = 250_000

logs_argument = click.argument(
    "results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS..."
)


def find_logs(paths: tuple[Path, ...]) -> list[Path]:
    """The logs in the order in which they were given, each once, whatever names it has.

    Raises UsageError for one that is missing or a directory.
    """
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(
                f"cannot read the results log {visible(str(path))}: {reason}",
                "`run` writes it beside its source, or where --results says",
            ) from error
        if path.is_dir():
            raise UsageError(
                f"{visible(str(path))} is a directory, not a results log",
                "Give the file in it that `run` wrote",
            )
        found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def name_of(path: Path) -> str:
    """The log's name as text: a byte of it that is not UTF-8 is shown as an escape."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class LogLines:
    """Goes through one log's records. `bad_lines` counts the lines that are none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad_lines = 0
        self._records = 0
        self._held: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        """Raises UsageError where the file cannot be read, or is not a results log at all."""
        try:
            records = read_records(self.path, self._notice)
            yield from self._with_signs(records) if self._takes_long() else self._counted(records)
        except LedgerError as error:
            raise UsageError(error.message, error.advice) from error
        self._conclude()

    def _counted(self, records: Iterator[Record]) -> Iterator[Record]:
        # Whether there is any is all that is asked: counting each would slow long logs down.
        for first in islice(records, 1):
            self._records = 1
            yield first
        yield from records

    def _takes_long(self) -> bool:
        return sys.stderr.isatty() and self.path.stat().st_size >= _LARGE_LOG_BYTES

    def _with_signs(self, records: Iterator[Record]) -> Iterator[Record]:
        for self._records, record in enumerate(records, 1):
            if self._records % _LINES_BETWEEN_SIGNS == 0:
                say(f"\rreading: {count(self._records)} lines", err=True, nl=False)
            yield record
        say("\r\x1b[K", err=True, nl=False)

    def _notice(self, number: int, line: bytes) -> None:
        self.bad_lines += 1
        if self.bad_lines > _BAD_LINES_SHOWN:
            return
        text = line[: 4 * _BAD_LINE_LENGTH].decode("utf-8", "replace")
        shown = shorten(visible(text.strip()), _BAD_LINE_LENGTH)
        self._held.append(f"line {number} is not a record: {shown or 'it is blank'}")
        # Of a file that is no log at all, each of its lines is none: nobody need be told of each.
        if self._records:
            self._say_held()

    def _say_held(self) -> None:
        for text in self._held:
            self._say(text)
        self._held.clear()

    def _conclude(self) -> None:
        if self.bad_lines and not self._records:
            raise UsageError(
                f"{visible(str(self.path))} is not a results log: none of its lines is a record",
                "Give the file that `run` wrote, which ends in .results.jsonl",
            )
        self._say_held()
        if self.bad_lines > _BAD_LINES_SHOWN:
            rest = self.bad_lines - _BAD_LINES_SHOWN
            self._say(f"{count(rest, 'more line')} {'is' if rest == 1 else 'are'} not records")

    def _say(self, text: str) -> None:
        say(f"{visible(str(self.path))}: {text}", err=True)
