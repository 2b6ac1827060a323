"""What only reports write: shares, times, listings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.core.text import duration, visible

NOTHING: Final = "-"
"""Stands where there is no value."""


def share(part: int, whole: int) -> str:
    """A percentage that never rounds a few to none or most to all."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %"


def milliseconds(value: float | None) -> str:
    """How long something took, given in ms, for people."""
    return NOTHING if value is None else duration(value / 1000)


def moment(at: str | None) -> str:
    """An RFC 3339 time of UTC as `2026-11-23 01:02:03`."""
    return NOTHING if at is None else visible(at)[:19].replace("T", " ")


def listing(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last
