"""What the sandbox has seen: the evidence that limits were kept and nothing was done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from worker.sandbox.faults import FaultKind

MAX_FOREIGN: Final = 100
_MAX_PATH_LENGTH: Final = 200
NO_ANSWER: Final = "none"


class Visit:
    """One request; `status` is what it was answered, as long as it was."""

    status = NO_ANSWER


class RequestCounts:
    """RequestCounts of requests. Those for the statistics themselves do not count."""

    def __init__(self) -> None:
        self.by_method: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.faults: Counter[FaultKind] = Counter()
        self.accepted = 0
        self.throttled = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.foreign: list[str] = []

    @contextmanager
    def visit(self, method: str) -> Iterator[Visit]:
        """Count one request from its arrival until it is answered, or its client has left."""
        visit = Visit()
        self.by_method[method] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield visit
        finally:
            self.in_flight -= 1
            self.by_status[visit.status] += 1

    def note_foreign(self, method: str, path: str) -> None:
        """Remember a request for a path that the API does not have; the first 100 are kept."""
        if len(self.foreign) < MAX_FOREIGN:
            self.foreign.append(f"{method} {path}"[:_MAX_PATH_LENGTH])

    def summary(self) -> dict[str, Any]:
        """The counts under the names that /sandbox/stats gives them."""
        return {
            "requests": {
                "total": self.by_method.total(),
                "by_method": dict(self.by_method),
                "by_status": dict(self.by_status),
            },
            "accepted": self.accepted,
            "throttled": self.throttled,
            "in_flight": self.in_flight,
            "max_in_flight": self.most_in_flight,
            "faults": dict(self.faults),
            "foreign": list(self.foreign),
        }
