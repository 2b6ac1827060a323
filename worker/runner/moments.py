"""Moments, the spans between two answers: how an outage is told from an id's own failures."""

from __future__ import annotations

from collections.abc import Iterable


class Moments:
    """Counts answers, so that a failure can be remembered by the moment, a number, it fell into;
    `current` is that of now.

    Failures of one moment have no answer between them. Those of a moment in which an outage began
    are nobody's own, but for an id that has more than `refunds` of them: an API that answers some
    requests and never others must not keep a run going for ever.
    """

    def __init__(self, refunds: int = 0) -> None:
        self.current = 0
        self._refunds = refunds
        self._outages: set[int] = set()

    def answered(self) -> None:
        """Something was answered: another moment begins."""
        self.current += 1

    def begin_outage(self) -> None:
        """The failures of this moment are an outage's."""
        self._outages.add(self.current)

    def own(self, moments: Iterable[int]) -> int:
        """How many of these failures are an id's own."""
        failures = list(moments)
        refunded = sum(moment in self._outages for moment in failures)
        return len(failures) - min(refunded, self._refunds)

    def are_earlier(self, moments: Iterable[int]) -> bool:
        """Whether anything was answered since the first of an id's own failures."""
        return self.own(moment for moment in moments if moment != self.current) > 0
