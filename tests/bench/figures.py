"""The statistics: figures in, figures out. Times are seconds, rates are per second."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_CLOCK_S = 1e-3


class Spread(NamedTuple):
    median: float
    low: float
    high: float


class Request(NamedTuple):
    """One request as the server logged it; `at` is seconds since the epoch."""

    at: float
    status: int
    agent: str


class Cost(NamedTuple):
    """What a process took for `ids`: its CPU time and wall time, in seconds."""

    ids: int
    cpu_s: float
    wall_s: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Round by round, so that what slows a whole round down falls out."""
    return [value / base for value, base in zip(values, bases, strict=False) if base]


def within(requests: Sequence[Request], start: float, seconds: float) -> list[Request]:
    return [request for request in requests if start <= request.at < start + seconds]


def accepted_per_s(requests: Sequence[Request], window_s: float) -> float:
    """Accepted per second from the first request to the last one within `window_s` of it.

    Gaps are counted, not requests: n even requests span n - 1 gaps.
    """
    if not requests:
        return 0.0
    seen = within(requests, requests[0].at, window_s)
    span_s = seen[-1].at - seen[0].at
    accepted = sum(request.status == 200 for request in seen)
    return (accepted - 1) / span_s if span_s > 0 and accepted > 1 else 0.0


def refused_share(requests: Sequence[Request]) -> float:
    if not requests:
        return 0.0
    return sum(request.status == 429 for request in requests) / len(requests)


def cpu_us_per_id(small: Cost, large: Cost) -> float:
    """The slope between two sizes: what starting and ending cost falls out."""
    return (large.cpu_s - small.cpu_s) / (large.ids - small.ids) * 1e6


def ids_per_s(small: Cost, large: Cost) -> float:
    return (large.ids - small.ids) / max(large.wall_s - small.wall_s, _CLOCK_S)


def bytes_per_id(small: tuple[int, int], large: tuple[int, int]) -> float:
    """Of two pairs of ids and bytes."""
    return (large[1] - small[1]) / (large[0] - small[0])


def recovery_s(accepted: Sequence[float], since: float, rate: float, window_s: float) -> float:
    """Seconds from `since` until a window begins in which `rate` is held; inf where none does."""
    needed = math.ceil(rate * window_s)
    times = [at for at in accepted if at >= since]
    for index in range(len(times) - needed + 1):
        if times[index + needed - 1] - times[index] <= window_s:
            return times[index] - since
    return math.inf


def next_success_s(successes: Sequence[float], after: float) -> float:
    """Seconds from `after` to the next success; inf where none came."""
    return min((at - after for at in successes if at >= after), default=math.inf)
