"""What a run has counted so far, and whether it adds up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from worker.core.outcomes import Outcome, Record

_BUCKETS_PER_DOUBLING = 16
_SMALLEST = 1e-6

MAX_ERROR_TYPES: Final = 200
"""A choice: several times as many as the API has; foreign text must not fill the memory."""

OTHER_ERRORS: Final = "(other types)"
"""What those error types are counted as that are too many."""


class Histogram:
    """Counts of values from 1e-6 up, in buckets 3 to 6 % wide: percentiles in constant memory.

    Each doubling is divided evenly, as in HdrHistogram.
    """

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.total = 0
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.total += 1
        self.sum += value
        self.counts[_bucket(value)] += 1

    def percentile(self, percent: float) -> float | None:
        """The value at `percent` (0 to 100), within 3.2 %; None where nothing was counted."""
        rank = math.ceil(self.total * percent / 100)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= max(rank, 1):
                return _middle(bucket)
        return None

    def at_most(self, bound: float) -> int:
        """How many values were at most `bound`, within a bucket's width."""
        last = _bucket(bound)
        return sum(count for bucket, count in self.counts.items() if bucket <= last)


def _bucket(value: float) -> int:
    mantissa, exponent = math.frexp(max(value, _SMALLEST))
    return math.floor((exponent + 2.0 * mantissa) * _BUCKETS_PER_DOUBLING)


def _middle(bucket: int) -> float:
    position = (bucket + 0.5) / _BUCKETS_PER_DOUBLING
    exponent = math.floor(position - 1.0)
    return math.ldexp((position - exponent) / 2.0, exponent)


class Tally:
    """A run's counts. Outcomes count once their lines are on disk.

    `input` is every line of the source that is neither blank nor a comment; each of them ends in
    exactly one of `outcomes`, `settled` (by an earlier run), `duplicates` and `not_attempted`.
    `requests` counts answers by HTTP status, and requests without one by error type.
    `short_of_slots_s`: seconds that only the bound of requests in flight has cost the run.
    """

    def __init__(self) -> None:
        self.input = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.settled = 0
        self.duplicates = 0
        self.not_attempted = 0
        self.errors: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.checks = 0
        self.retries = 0
        self.throttled = 0
        self.paused_s = 0.0
        self.short_of_slots_s = 0.0
        self.latency_ms = Histogram()

    def count_request(self, label: str, latency_ms: float, *, is_check: bool) -> None:
        """Count an answer, or what came instead; `is_check`: the request only read sessions."""
        self.requests[label] += 1
        self.checks += is_check
        self.latency_ms.add(latency_ms)

    def count(self, records: Iterable[Record]) -> None:
        """Count outcomes that are on disk."""
        for record in records:
            self.outcomes[record.outcome] += 1
            if record.error is not None:
                self.errors[self._error_type(record.error.type)] += 1

    def _error_type(self, name: str) -> str:
        # The API's types are foreign text: if each is another, they must not fill the memory.
        is_room = name in self.errors or len(self.errors) < MAX_ERROR_TYPES
        return name if is_room else OTHER_ERRORS

    @property
    def recorded(self) -> int:
        """How many outcomes this run has written."""
        return self.outcomes.total()

    @property
    def done(self) -> int:
        """Lines of input that need nothing more."""
        return self.recorded + self.settled + self.duplicates

    @property
    def balanced(self) -> bool:
        """Whether input = outcomes (of all three kinds) + settled + duplicates + not attempted."""
        return self.input == self.done + self.not_attempted
