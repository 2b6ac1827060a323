"""Which files a run works with, and which of them must not be one."""

from __future__ import annotations

import gzip
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from worker.app.neighbours import refuse_other_parts, refuse_put_away
from worker.core.errors import UsageError
from worker.ledger import GZIP_MAGIC, JOURNAL_SUFFIX, TORN_SUFFIX, trace_of
from worker.observers.account import may_hold_account
from worker.settings import Settings
from worker.sources import Shard

STDIN: Final = "-"

_LINES_LOOKED_AT: Final = 10
"""A choice: a log has a record among so many, even where lines are spoilt; a backlog has none."""

_LONGEST_LINE: Final = 1 << 20
"""As of a log's lines no more is read."""

names_stream = re.compile(r"-|/dev/(stdin|tty|fd/.*)|/proc/.*", re.DOTALL).fullmatch
"""Whether a source can only be a stream, by its name alone."""

_Named = tuple[str, str | Path]
"""What a file is to a run, and its path, or `-` for whatever the standard input is."""


class RunFiles(msgspec.Struct, frozen=True):
    """What names the files of a run; `source` is None where a queue holds the ids."""

    settings: Settings
    source: str | None = None
    shard: Shard | None = None
    settings_file: Path | None = None

    def results(self) -> Path:
        """The results log that the settings name, or the one beside the source: one for each shard.

        Raises UsageError where there is none to find, where it is another file of the run, and
        where what another log beside it settled would be sent again.
        """
        results = self._log()
        _refuse_one_of(self._inputs(), results, "results log", "--results")
        _refuse_log_as_source(self.source)
        refuse_put_away(results)
        refuse_other_parts(results, self.shard)
        return results

    def check_metrics(self) -> None:
        """Raise UsageError where the metrics file, which is replaced, is one that the run needs."""
        if (metrics := self.settings.metrics_file) is not None:
            needed = (*self._inputs(), *self._own())
            _refuse_one_of(needed, metrics, "metrics file", "--metrics-file")

    def check_summary(self) -> None:
        """Raise UsageError where the summary would replace a file that is none."""
        if (summary := self.settings.ending.summary_json) is None:
            return
        needed = [*self._inputs(), *self._own()]
        if self.settings.metrics_file is not None:
            needed.append(("the metrics file", self.settings.metrics_file))
        _refuse_one_of(needed, summary, "summary", "--summary-json")
        with suppress(OSError):
            if summary.is_file() and not may_hold_account(summary):
                raise UsageError(
                    f"{summary} is there and is no summary: it is not overwritten",
                    "Give --summary-json another name",
                )

    def _log(self) -> Path:
        return self.settings.results or _beside(self.source or STDIN, self.shard)

    def _inputs(self) -> Iterator[_Named]:
        if self.source is not None:
            yield "the source", STDIN if self.source == STDIN else Path(self.source)
        if self.settings_file is not None:
            yield "the settings file", self.settings_file
        if self.settings.api.key_file is not None:
            yield "the key file", self.settings.api.key_file

    def _own(self) -> Iterator[_Named]:
        # Where there can be no log the run will say so.
        with suppress(UsageError, ValueError):
            log = os.path.realpath(self._log())
            yield "the results log", Path(log)
            yield "the journal of the results log", Path(log + JOURNAL_SUFFIX)
            yield "the torn end of the results log", Path(log + TORN_SUFFIX)


def _refuse_one_of(files: Iterable[_Named], path: Path, role: str, flag: str) -> None:
    for name, other in files:
        if _is_same(other, path):
            raise UsageError(
                f"{path} is {name} and the {role} at once", f"Name another {role} with {flag} FILE"
            )


def _is_same(one: str | Path, other: Path) -> bool:
    """Whether both are one file, which need not be there yet."""
    try:
        if one == STDIN:
            return os.path.samestat(os.fstat(0), other.stat())
        if os.path.realpath(one) == os.path.realpath(other):
            return True
        return other.samefile(one)
    except (OSError, ValueError):  # One of them does not exist, or cannot.
        return False


def _beside(source: str, shard: Shard | None) -> Path:
    if names_stream(source):
        raise UsageError(
            "ids from standard input or a pipe need a results log",
            "Say where it is with --results FILE",
        )
    if not Path(source).name:
        raise UsageError(f"{source!r} is not a file", "Name a file of ids, or - for standard input")
    part = "" if shard is None else f".{shard.number}-of-{shard.parts}"
    return Path(source).with_suffix(f"{part}.results.jsonl")


def _refuse_log_as_source(source: str | None) -> None:
    """A pipe is left to whoever made it: it may well hold records that somebody has chosen."""
    path = Path("/dev/stdin" if source == STDIN else source or "")
    with suppress(OSError, ValueError, EOFError):
        if path.is_file() and _holds_record(path):
            written = "FILE" if source == STDIN else shlex.quote(str(source))
            raise UsageError(
                f"{source} is a results log, and no list of ids",
                f"Take ids out of it: complete-sessions ids {written} "
                "--outcome failed | complete-sessions run - --results FILE",
            )


def _holds_record(path: Path) -> bool:
    with path.open("rb") as raw:
        is_gzip = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        file = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        lines = islice(iter(lambda: file.readline(_LONGEST_LINE), b""), _LINES_LOOKED_AT)
        return any(trace_of(line.rstrip()) is not None for line in lines)
