"""A rate for each time of day: `07:00,4 22:00,10`, in the form that rclone's --bwlimit has."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Final

import msgspec

from worker.core.durations import DAY_S
from worker.core.secrets import shown

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_match_slot: Final = re.compile(
    r"(?:([A-Za-z]+)-)?([01]?[0-9]|2[0-3]):([0-5][0-9]),([0-9]{1,15}(?:\.[0-9]{1,15})?)"
).fullmatch
_DAY: Final = timedelta(days=1)
_WEEK_DAYS: Final = 7
_LONGEST_FORECAST_S: Final = 10 * 366.0 * DAY_S


class Slot(msgspec.Struct, frozen=True):
    """From this time of day on, `rate` requests a second; `day` is 0 for Monday, None for every
    day."""

    day: int | None
    at: time_of_day
    rate: float

    def __str__(self) -> str:
        day = "" if self.day is None else f"{DAYS[self.day]}-"
        # All digits and no exponent, so that it is read back as the same rate.
        rate = format(Decimal(repr(self.rate)), "f").removesuffix(".0")
        return f"{day}{self.at:%H:%M},{rate}"


class Period(msgspec.Struct, frozen=True):
    """One rate, until `ends_at` in seconds since 1970 (inf where it never ends)."""

    rate: float
    ends_at: float


class Timetable:
    """Which rate holds when, by the local clock.

    Each slot holds until the next one begins, over midnight and from one week to the next. On the
    nights when clocks change a slot begins once: at the first of two readings of its time, or when
    the clock passes over it.

    Args:
        slots: at least one. A slot of a day and one of every day at the same time may both stand:
            that of the day counts.
    """

    def __init__(self, slots: tuple[Slot, ...]) -> None:
        self.slots = slots
        self._starts: list[tuple[float, float]] = []
        self._known_until = -math.inf
        self._known_from = math.inf

    @classmethod
    def constant(cls, rate: float) -> Timetable:
        """One rate, in requests a second, for always."""
        return cls((Slot(None, time_of_day(), rate),))

    def __str__(self) -> str:
        return " ".join(map(str, self.slots))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timetable) and self.slots == other.slots

    def __hash__(self) -> int:
        return hash(self.slots)

    @property
    def is_constant(self) -> bool:
        """Whether one rate holds always."""
        return len({slot.rate for slot in self.slots}) == 1

    @property
    def highest_rate(self) -> float:
        """The highest rate of all slots, in requests a second."""
        return max(slot.rate for slot in self.slots)

    def period(self, utc_s: float) -> Period:
        """Return the rate that holds at `utc_s`, in seconds since 1970, and until when."""
        if not self._known_from <= utc_s < self._known_until:
            self._look_around(utc_s)
        nth = bisect_left(self._starts, (utc_s, math.inf)) - 1
        rate = self._starts[nth][1]
        ends_at = next((start for start, other in self._starts[nth + 1 :] if other != rate), None)
        return Period(rate, math.inf if ends_at is None else ends_at)

    def seconds_for(self, requests: float, utc_s: float) -> float:
        """Return how many seconds so many requests take from `utc_s` on; inf beyond years."""
        began_at, at = utc_s, utc_s
        while requests > 0:
            if at - began_at > _LONGEST_FORECAST_S:
                return math.inf
            period = self.period(at)
            left_s = period.ends_at - at
            if period.rate * left_s >= requests or math.isinf(left_s):
                return at - began_at + (requests / period.rate if period.rate else math.inf)
            requests -= period.rate * left_s
            at = period.ends_at
        return at - began_at

    def _look_around(self, utc_s: float) -> None:
        """Work out the starts from the week before to the week after."""
        today = self._local(utc_s).date()
        self._known_from = self._moment(datetime.combine(today, time_of_day()))
        self._known_until = self._moment(datetime.combine(today + _DAY, time_of_day()))
        days = (today + _DAY * ahead for ahead in range(-_WEEK_DAYS, _WEEK_DAYS + 2))
        # Of slots that begin at once, as where the clock passes over them, the last one holds.
        self._starts = sorted(dict(start for day in days for start in self._starts_on(day)).items())

    def _starts_on(self, day: date) -> Iterator[tuple[float, float]]:
        slots = [slot for slot in self.slots if slot.day in (None, day.weekday())]
        # The slot of a day comes later, and so counts where one of every day has the same time.
        by_time = {slot.at: slot for slot in sorted(slots, key=lambda slot: slot.day is not None)}
        for at, slot in sorted(by_time.items()):
            yield self._moment(datetime.combine(day, at)), slot.rate

    def _moment(self, local: datetime) -> float:
        """When the local clock first shows `local` or, where that is passed over, a later time.

        Source: PEP 495.
        """
        first, second = (local.replace(fold=fold).timestamp() for fold in (0, 1))
        if second >= first:
            return first
        instants = range(math.floor(second), math.ceil(first) + 1)
        nth = bisect_left(instants, local, key=self._local)
        return float(instants[nth])

    @staticmethod
    def _local(utc_s: float) -> datetime:
        return datetime.fromtimestamp(utc_s, UTC).astimezone().replace(tzinfo=None, fold=0)


def parse_timetable(text: str, *, lowest: float = 0.0, highest: float = math.inf) -> Timetable:
    """Return the timetable that `text` writes: slots with blanks between them.

    Raises ValueError, whose text completes "it must be ...": no slot, a slot that cannot be read,
    one that stands twice, a rate above `highest` or below `lowest` but not 0, or no rate above 0.
    """
    slots: list[Slot] = []
    for word in text.split():
        slot = _parse_slot(word, lowest, highest)
        if any((slot.day, slot.at) == (other.day, other.at) for other in slots):
            raise ValueError(f"a timetable in which {_when(slot)} stands once")
        slots.append(slot)
    if not any(slot.rate for slot in slots):
        raise ValueError("a timetable with a rate above 0 in it")
    return Timetable(tuple(slots))


def _parse_slot(word: str, lowest: float, highest: float) -> Slot:
    match = _match_slot(word)
    if match is None:
        known = "a timetable such as `07:00,4 22:00,10`"
        raise ValueError(f"{known}, which {shown(word)} is no slot of")
    day, hour, minute, rate = match.groups()
    if day is not None and day.capitalize() not in DAYS:
        raise ValueError(f"a timetable whose days are {', '.join(DAYS)}, and not {shown(day)}")
    per_second = float(rate)
    if per_second > highest:
        raise ValueError(f"a timetable of rates from 0 to {highest:g} requests a second")
    if 0 < per_second < lowest:
        raise ValueError(f"a timetable of rates from {lowest:g} requests a second on, or 0")
    number = None if day is None else DAYS.index(day.capitalize())
    return Slot(number, time_of_day(int(hour), int(minute)), per_second)


def _when(slot: Slot) -> str:
    return str(slot).partition(",")[0]
