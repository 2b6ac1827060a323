"""A breaker that tells observers what it does, and what it has to say when it gives up."""

from __future__ import annotations

import math
from collections.abc import Callable

from worker.core.durations import format_duration
from worker.core.errors import UnavailableError
from worker.core.events import Event, OutageBegan, OutageEnded, ProbeFailed
from worker.core.outcomes import Error, ErrorType
from worker.pacing.breaker import Breaker, Change


class Gate:
    """`reason` is what the events call it: "outage" or "throttled"."""

    def __init__(self, reason: str, breaker: Breaker, notify: Callable[[Event], None]) -> None:
        self.reason = reason
        self.breaker = breaker
        self._error = Error(reason, "")
        self._notify = notify

    def failed(self, now: float, at_least_s: float, sent_at: float, error: Error | None) -> None:
        self._error = error or self._error
        change = self.breaker.failed(now, at_least_s, sent_at=sent_at)
        if change is None:
            return
        next_probe_s = self.breaker.reopens_at - now
        patience_s = max(self.breaker.deadline - now, 0.0)
        if change is Change.OPENED:
            failures = self.breaker.failures
            self._notify(OutageBegan(self.reason, failures, self._error, next_probe_s, patience_s))
        else:
            self._notify(ProbeFailed(self.reason, self._error, next_probe_s, patience_s))

    def succeeded(self, now: float, *, sent_at: float = math.inf) -> None:
        opened_at = self.breaker.opened_at
        if self.breaker.succeeded(sent_at=sent_at) is Change.CLOSED:
            self._notify(OutageEnded(self.reason, now - opened_at))

    def give_up(self) -> UnavailableError:
        """What ends the run when patience has ended."""
        patience = format_duration(self.breaker.patience_s)
        if self.reason == "throttled":
            return UnavailableError(
                f"the API throttled everything, and would go on beyond --patience ({patience}): "
                "the account's rate limit or its monthly quota is exhausted",
                "Look at the account and at what else uses it, then run the same command again",
            )
        if self._error.type == ErrorType.UNEXPECTED_RESPONSE:
            return UnavailableError(
                f"something else answered in the API's place for longer than --patience"
                f" ({patience}); the last answer was {self._error.message}",
                "Look at the proxy, the firewall or the ingress before the API, then run the same"
                " command again: it goes on where this run stopped",
            )
        return UnavailableError(
            f"the API stayed unavailable for longer than --patience ({patience}); "
            f"the last error was {self._error.type}: {self._error.message}",
            "Run the same command again when the API is back: it goes on where this run stopped",
        )
