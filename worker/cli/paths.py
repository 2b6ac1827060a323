"""Where a run's results go."""

from __future__ import annotations

import os
import re
from pathlib import Path

from worker.errors import UsageError
from worker.settings import Settings
from worker.sources import Shard

STDIN = "-"
names_stream = re.compile(r"-|/dev/(stdin|tty|fd/.*)|/proc/.*", re.DOTALL).fullmatch
"""Whether a source can only be a stream, by its name alone."""


def results_path(source: str, settings: Settings, shard: Shard | None = None) -> Path:
    """The results log that the settings name, or the one beside the source: one for each shard.

    Raises UsageError where there is none to find, or where it is the source itself.
    """
    results = settings.results or _beside(source, shard)
    if _same_file(source, results):
        raise UsageError(
            f"{results} is the source and the results log at once",
            "Name another results log with --results FILE",
        )
    return results


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


def _same_file(source: str, results: Path) -> bool:
    try:
        found = os.fstat(0) if source == STDIN else Path(source).stat()
        return os.path.samestat(found, results.stat())
    except (OSError, ValueError):  # One of them does not exist, or cannot.
        return False
