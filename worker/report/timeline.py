"""A run over time, in bounded memory: what was recorded when, how fast, and where nothing was.

Lines are counted in bins, which become wider as a run grows longer; and the longest stretches
without a line are kept.
"""

from __future__ import annotations

import heapq
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import msgspec

from worker.core.durations import DAY_S
from worker.core.outcomes import Record, Via
from worker.core.tally import Histogram

_WIDTHS_S: Final = (
    *(1, 5, 10, 30, 60, 120, 600, 1200, 3600, 7200, 21600, 43200),
    *(DAY_S * days for days in (1, 10, 100, 1_000, 10_000)),
)
_MAX_BINS = 480
_MAX_GAPS = 100
_SHORTEST_PAUSE_S = 5.0
_PAUSE_IN_MEAN_INTERVALS = 10.0
_INTERRUPTION_S = 1.0
_MANY_ATTEMPTS = 100
_LONGEST_MS = 366 * 1000.0 * DAY_S


def parse_time(at: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 time; None where the text is no time."""
    try:
        moment = datetime.fromisoformat(at)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def format_time(moment: float | None) -> str | None:
    """The reverse of `parse_time`, in whole seconds of UTC; None for no time or none a calendar
    knows."""
    if moment is None:
        return None
    try:
        text = datetime.fromtimestamp(round(moment), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
    return text.replace("+00:00", "Z")


class Standstill(msgspec.Struct, frozen=True):
    """A stretch in which nothing was recorded; seconds since the epoch.

    `retried` says that an id which was begun before it was settled after it: the run was waiting
    (an outage, throttling), not out of work.
    """

    began: float
    ended: float
    retried: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Bin:
    """What was recorded in one stretch of time. `states` counts lines by their state's number;
    `requests` counts each line's attempts at the time of its outcome."""

    __slots__ = ("latency_ms", "requests", "states")

    def __init__(self) -> None:
        self.states: Counter[int] = Counter()
        self.latency_ms = Histogram()
        self.requests = 0

    @property
    def lines(self) -> int:
        return self.states.total()

    def pour_in(self, other: Bin) -> None:
        """Add what another bin holds."""
        self.states.update(other.states)
        self.latency_ms.counts.update(other.latency_ms.counts)
        self.latency_ms.total += other.latency_ms.total
        self.latency_ms.sum += other.latency_ms.sum
        self.requests += other.requests


class _Gap:
    __slots__ = ("began", "ended", "retried")

    def __init__(self, began: float, ended: float) -> None:
        self.began = began
        self.ended = ended
        self.retried = False

    def __lt__(self, other: _Gap) -> bool:
        return self.ended - self.began < other.ended - other.began


class RunTrace:
    """One run of one log. `began` is the first attempt's time, `ended` the last outcome's.

    Lines whose time cannot be read count, but have no place in time.
    """

    def __init__(self, log: str, run: str, number: int) -> None:
        self.log = log
        self.run = run
        self.number = number
        self.attempts: Counter[int] = Counter()
        self.checks = 0
        self.began: float | None = None
        self.ended: float | None = None
        self.undated = Bin()
        self.bins: dict[int, Bin] = {}
        self._width = 0
        self._best_minute_per_s: float | None = None
        self._gaps: list[_Gap] = []
        self._last_gap: _Gap | None = None

    @property
    def width_s(self) -> int:
        """How long a bin is; bin n begins `n * width_s` seconds after the epoch."""
        return _WIDTHS_S[self._width]

    @property
    def duration_s(self) -> float:
        return self.ended - self.began if self.began is not None and self.ended is not None else 0.0

    def add(self, record: Record, state: int) -> None:
        # A log may have been edited by hand: no number in it may break the sums.
        """Count a line of the run; `state` is the number of its state."""
        attempts = min(max(record.attempts, 0), _MANY_ATTEMPTS)
        self.attempts[attempts] += 1
        if record.via is Via.CHECK:
            self.checks += 1
        moment = parse_time(record.at)
        if moment is None:
            place = self.undated
        else:
            self._watch_gaps(moment, min(max(record.elapsed_ms, 0.0), _LONGEST_MS) / 1000)
            place = self._place(moment)
        place.states[state] += 1
        place.requests += attempts
        if record.latency_ms > 0:
            place.latency_ms.add(min(record.latency_ms, _LONGEST_MS))

    def total(self) -> Bin:
        """All bins in one."""
        total = Bin()
        for part in (self.undated, *self.bins.values()):
            total.pour_in(part)
        return total

    def best_minute_per_s(self) -> float | None:
        """Requests a second in the best minute (or bin, where bins are longer); None for a run
        of less than a minute."""
        if self._best_minute_per_s is not None or self.duration_s < 60:
            return self._best_minute_per_s
        width_s = max(self.width_s, 60)
        requests: Counter[int] = Counter()
        for index, part in self.bins.items():
            requests[index * self.width_s // width_s] += part.requests
        return max(requests.values(), default=0) / width_s

    def pauses(self) -> list[Standstill]:
        """Stretches without a line, long for this run, in order; the longest 100 at most.

        Where a lone line breaks one, as of an id that is given up meanwhile, it counts as one.
        """
        lines = sum(part.lines for part in self.bins.values())
        mean_interval_s = self.duration_s / max(lines, 1)
        shortest_s = max(_SHORTEST_PAUSE_S, _PAUSE_IN_MEAN_INTERVALS * mean_interval_s)
        pauses: list[Standstill] = []
        for gap in sorted(self._gaps, key=lambda gap: gap.began):
            if gap.ended - gap.began < shortest_s:
                continue
            pause = Standstill(gap.began, gap.ended, gap.retried)
            if pauses and pause.began - pauses[-1].ended <= _INTERRUPTION_S:
                last = pauses.pop()
                pause = Standstill(last.began, pause.ended, last.retried or pause.retried)
            pauses.append(pause)
        return pauses

    def binned(self, at_most: int) -> tuple[int, dict[int, Bin]]:
        """Bins poured together until there are no more than `at_most` places from the first to the
        last; with their width in seconds."""
        for width in _WIDTHS_S[self._width :]:
            factor = width // self.width_s
            indexes = [index // factor for index in self.bins]
            if not indexes or max(indexes) - min(indexes) < at_most or width == _WIDTHS_S[-1]:
                return width, _pour_together(self.bins, factor)
        raise AssertionError("the widest bins are always taken")

    def forget_detail(self) -> None:
        """Keep one bin, and what it cannot tell: all that a run in a long history needs."""
        self._best_minute_per_s = self.best_minute_per_s()
        while len(self.bins) > 1 and self._width < len(_WIDTHS_S) - 1:
            self._widen()

    def _place(self, moment: float) -> Bin:
        place = self.bins.get(int(moment // _WIDTHS_S[self._width]))
        if place is not None:
            return place
        if len(self.bins) >= _MAX_BINS and self._width < len(_WIDTHS_S) - 1:
            self._widen()
            return self._place(moment)
        return self.bins.setdefault(int(moment // _WIDTHS_S[self._width]), Bin())

    def _watch_gaps(self, moment: float, elapsed_s: float) -> None:
        began = moment - elapsed_s
        if self.ended is None or self.began is None:
            self.began, self.ended = began, moment
            return
        if moment - self.ended >= _SHORTEST_PAUSE_S:
            self._last_gap = _Gap(self.ended, moment)
            self._keep(self._last_gap)
        if self._last_gap is not None and began <= self._last_gap.began:
            self._last_gap.retried = True
        self.began = min(self.began, began)
        self.ended = max(self.ended, moment)

    def _keep(self, gap: _Gap) -> None:
        heapq.heappush(self._gaps, gap)
        if len(self._gaps) > _MAX_GAPS:
            heapq.heappop(self._gaps)

    def _widen(self) -> None:
        factor = _WIDTHS_S[self._width + 1] // _WIDTHS_S[self._width]
        self._width += 1
        self.bins = _pour_together(self.bins, factor)


def _pour_together(bins: dict[int, Bin], factor: int) -> dict[int, Bin]:
    fewer: dict[int, Bin] = {}
    for index, part in bins.items():
        fewer.setdefault(index // factor, Bin()).pour_in(part)
    return fewer
