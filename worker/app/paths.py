"""Where a run's results go, and which of its files must not be one."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from worker.core.errors import UsageError
from worker.ledger.journal import JOURNAL_SUFFIX
from worker.ledger.lines import trace_of
from worker.ledger.results import TORN_SUFFIX
from worker.settings import Settings
from worker.sources import Shard

STDIN = "-"
_LONGEST_LINE = 1 << 20
_is_put_away = re.compile(r"(\.\d{1,3}|-\d{8})?(\.(gz|bz2|xz|zst|old|bak))?").fullmatch
"""Truthy for what tools that rotate, compress or copy put behind a log's name."""

names_stream = re.compile(r"-|/dev/(stdin|tty|fd/.*)|/proc/.*", re.DOTALL).fullmatch
"""Whether a source can only be a stream, by its name alone."""


def results_path(source: str, settings: Settings, shard: Shard | None = None) -> Path:
    """The results log that the settings name, or the one beside the source: one for each shard.

    Raises UsageError where there is none to find, or where it is the source itself.
    """
    results = settings.results or _beside(source, shard)
    if _is_source(source, results):
        raise UsageError(
            f"{results} is the source and the results log at once",
            "Name another results log with --results FILE",
        )
    _refuse_log_as_source(source)
    _refuse_put_away(results)
    return results


def _refuse_log_as_source(source: str) -> None:
    path = Path(source)
    with suppress(OSError, ValueError):
        if names_stream(source) or not path.is_file():
            return
        with path.open("rb") as file:
            if trace_of(file.readline(_LONGEST_LINE).rstrip()) is not None:
                raise UsageError(
                    f"{source} is a results log, and no list of ids",
                    f"Take ids out of it: complete-sessions ids {shlex.quote(source)} "
                    "--outcome failed | complete-sessions run - --results FILE",
                )


def _refuse_put_away(results: Path) -> None:
    """What settled the ids must not be overlooked because somebody has put it away."""
    with suppress(OSError, ValueError):
        if results.exists():
            return
        for each in sorted(results.parent.iterdir()):
            begins, _, ending = each.name.partition(results.name)
            if not begins and ending and _is_put_away(ending):
                raise UsageError(
                    f"there is no {results}, but {each} stands beside it: what it settled would be "
                    "sent again",
                    f"Put it back as {results}, uncompressed, or name another with --results",
                )


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


def check_metrics_path(source: str | None, settings: Settings, shard: Shard | None = None) -> None:
    """Raise UsageError where the metrics file, which is replaced, is a file that the run needs."""
    metrics = settings.metrics_file
    if metrics is None:
        return
    if source is not None and _is_source(source, metrics):
        raise _two_at_once(metrics, "the source")
    for name, path in _own_files(source or STDIN, settings, shard):
        if _is_same(metrics, path):
            raise _two_at_once(metrics, name)


def _own_files(source: str, settings: Settings, shard: Shard | None) -> Iterator[tuple[str, Path]]:
    if settings.api.key_file is not None:
        yield "the key file", settings.api.key_file
    # Where there can be no log the run will say so.
    with suppress(UsageError, ValueError):
        log = os.path.realpath(settings.results or _beside(source, shard))
        yield "the results log", Path(log)
        yield "the journal of the results log", Path(log + JOURNAL_SUFFIX)
        yield "the torn end of the results log", Path(log + TORN_SUFFIX)


def _two_at_once(metrics: Path, name: str) -> UsageError:
    return UsageError(
        f"{metrics} is {name} and the metrics file at once",
        "Name another metrics file with --metrics-file FILE",
    )


def _is_source(source: str, path: Path) -> bool:
    if source != STDIN:
        return _is_same(Path(source), path)
    try:
        return os.path.samestat(os.fstat(0), path.stat())
    except (OSError, ValueError):  # One of them does not exist, or cannot.
        return False


def _is_same(one: Path, other: Path) -> bool:
    """Whether both name one file, which need not be there yet."""
    try:
        if os.path.realpath(one) == os.path.realpath(other):
            return True
        return one.samefile(other)
    except (OSError, ValueError):  # One of them does not exist, or cannot.
        return False
