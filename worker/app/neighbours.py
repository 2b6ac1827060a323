"""Logs beside the one that a run is to write: what they settled must not be sent again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from worker.core.errors import UsageError
from worker.ledger import JOURNAL_SUFFIX
from worker.sources import Shard

_NUMBER_OR_DATE: Final = r"([.-]\d{1,3}|[.-]\d{4}-?\d\d-?\d\d([-_.T]?\d{2,10})*)"
_PACKED: Final = r"(\.(gz|bz2|xz|zst|lz4|zip|Z|old|orig|save|bak)|~)"
_PUT_AWAY: Final = rf"{_NUMBER_OR_DATE}?{_PACKED}?"
"""What tools that rotate, compress or copy put behind a log's name."""
_match_log: Final = re.compile(
    rf"(?P<stem>.*?)(\.(?P<number>[1-9]\d*)-of-(?P<parts>[1-9]\d*))?\.results\.jsonl{_PUT_AWAY}",
    re.DOTALL,
).fullmatch
"""The names that a run gives to its logs, whole or in parts."""


def refuse_put_away(results: Path) -> None:
    """Raise UsageError where the log is missing, and one that somebody has put away is there."""
    with suppress(OSError, ValueError):
        if results.exists():
            return
        # Some put a number or a date before the suffix.
        stem, suffix = re.escape(results.stem), re.escape(results.suffix)
        is_put_away = re.compile(
            rf"{stem}({suffix}{_PUT_AWAY}|{_NUMBER_OR_DATE}{suffix}{_PACKED}?)"
        )
        for each in _in_order(results.parent):
            # Its own name is there as well, where it is a link to a log that is yet to be made.
            if each.name != results.name and is_put_away.fullmatch(each.name):
                raise UsageError(
                    f"there is no {results}, but {each} stands beside it: what it settled would be "
                    "sent again",
                    f"Put it back as {results}, uncompressed, or name another with --results",
                )


def refuse_other_parts(results: Path, shard: Shard | None) -> None:
    """Raise UsageError where another run has shared the source out in other parts, or in none.

    That can be told only where both logs have the names that runs give them.
    """
    own = _match_log(results.name)
    if own is None:
        return
    parts = None if shard is None else str(shard.parts)
    with suppress(OSError, ValueError):
        for each in _in_order(results.parent):
            other = _match_log(each.name)
            if other is None or other["stem"] != own["stem"] or other["parts"] == parts:
                continue
            if each.name != results.name and _holds_something(each):
                raise _shared_out_otherwise(each, results, other["parts"])


def _shared_out_otherwise(other: Path, results: Path, parts: str | None) -> UsageError:
    before = "without --shard" if parts is None else f"with --shard K/{parts}"
    return UsageError(
        f"{other} stands beside {results}: what a run {before} settled would be sent again",
        f"Go on {before}, or let each new log begin with all that the old ones hold "
        "(cat OLD... > NEW), and move those elsewhere",
    )


def _holds_something(log: Path) -> bool:
    """A run that came to nothing leaves an empty log, and no journal."""
    return log.stat().st_size > 0 or log.with_name(log.name + JOURNAL_SUFFIX).exists()


def _in_order(directory: Path) -> Iterator[Path]:
    return iter(sorted(directory.iterdir()))
