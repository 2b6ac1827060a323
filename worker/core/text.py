"""Numbers, durations and foreign text, written for people; the same words wherever they show."""

from __future__ import annotations


def visible(text: str) -> str:
    """Foreign text as one printable line: what could steer a terminal or forge a line (control
    characters, line separators, marks of direction) is shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten(text: str, length: int) -> str:
    """A text of at most `length` characters; what was cut off ends in `…`."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def count(number: int, noun: str = "") -> str:
    """`1,234`, or with a noun `1,234 lines`, `1 line`."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate(per_second: float) -> str:
    """`10`, `9.8`, `0.25`: three digits, or as many as stand before the point."""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def duration(seconds: float) -> str:
    """`850ms`, `31.9s`, `4m 10s`, `2h 47m`, `3d 4h`: two units at most."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.3g}s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest_s}s" if rest_s else f"{minutes}m"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours}h {minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days}d {hours}h" if hours else f"{days}d"
