"""Durations as people write them: `500ms`, `90s`, `15m`, `6h`, `1h30m`, or a number of seconds."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

DAY_S: Final = 86_400

_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_is_number: Final = re.compile(_NUMBER).fullmatch
_match_parts: Final = re.compile(
    rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?"
).fullmatch
_MS_PER_PART: Final = (3_600_000, 60_000, 1000, 1)
_UNITS: Final = ("h", "m", "s", "ms")

_LONGEST_TEXT: Final = 400
"""The smallest float, written out, fits; text without end does not reach the arithmetic."""

_LARGEST_IN_PARTS_S: Final = 1e12
"""Below it a float is exact to the millisecond, so that its parts add up to the same float."""


def parse_duration(text: str) -> float:
    """Seconds, finite and not negative; ValueError for anything else."""
    if len(text) > _LONGEST_TEXT:
        raise ValueError("too long")
    seconds = float(text) if _is_number(text) else _sum_of_parts(text)
    if not math.isfinite(seconds):
        raise ValueError("too large")
    return seconds


def _sum_of_parts(text: str) -> float:
    match = _match_parts(text)
    if match is None or not text:
        raise ValueError("not a duration")
    # Binary fractions would make 60.005 of `1m5ms` only nearly.
    parts = zip(match.groups(default="0"), _MS_PER_PART, strict=True)
    return float(sum((Decimal(number) * ms for number, ms in parts), Decimal()) / 1000)


def format_duration(seconds: float) -> str:
    """The shortest exact form, which `parse_duration` reads back as the same float."""
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"not a duration: {seconds}")
    total_ms = round(seconds * 1000) if seconds < _LARGEST_IN_PARTS_S else -1
    if total_ms / 1000 != seconds:
        return format(Decimal(repr(seconds)), "f")
    text = ""
    for unit, ms in zip(_UNITS, _MS_PER_PART, strict=True):
        count, total_ms = divmod(total_ms, ms)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
