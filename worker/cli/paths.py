"""Where a run's results go."""

from __future__ import annotations

import os
from pathlib import Path

from worker.errors import UsageError
from worker.settings import Settings

STDIN = "-"


def results_path(source: str, settings: Settings) -> Path:
    """The results log that the settings name, or the one beside the source.

    Raises UsageError where there is none to find, or where it is the source itself.
    """
    if settings.results is None and source == STDIN:
        raise UsageError(
            "ids from standard input need a results log", "Say where it is with --results FILE"
        )
    results = settings.results or Path(source).with_suffix(".results.jsonl")
    if source != STDIN and _same_file(Path(source), results):
        raise UsageError(
            f"{results} is the source and the results log at once",
            "Name another results log with --results FILE",
        )
    return results


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return os.path.abspath(one) == os.path.abspath(other)  # noqa: PTH100 - no links to resolve
