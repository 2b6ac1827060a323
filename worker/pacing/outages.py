"""The two breakers of a run: one for an API that is down, one for an API that throttles all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

from worker.core import breaker
from worker.core.breaker import Closed, Exhausted, HalfOpen, Open, Rules, State
from worker.core.durations import format_duration
from worker.core.errors import UnavailableError
from worker.core.events import Event, OutageBegan, OutageEnded, Pause, PauseReason, ProbeFailed
from worker.core.outcomes import Error, ErrorType

_log: Final = logging.getLogger(__name__)


class Outages:
    """What failures and 429s in a row mean for the run: wait, probe, or give up.

    `notify` is told of `OutageBegan`, `ProbeFailed` and `OutageEnded`, with the reasons
    OUTAGE and THROTTLED. Times are seconds of one clock; requests are told apart by numbers, which
    grow.
    """

    def __init__(self, down: Rules, throttled: Rules, notify: Callable[[Event], None]) -> None:
        self._down = _Breaker(PauseReason.OUTAGE, down, notify)
        self._throttled = _Breaker(PauseReason.THROTTLED, throttled, notify)
        self._both = (self._down, self._throttled)

    @property
    def is_down(self) -> bool:
        """Whether the API is taken to be down: failures are then nobody's own."""
        return not self._down.is_closed

    @property
    def is_throttled(self) -> bool:
        """Whether the API is taken to throttle everything."""
        return not self._throttled.is_closed

    @property
    def is_open(self) -> bool:
        """Whether nothing but probes may leave."""
        return not self.are_untroubled and (self.is_down or self.is_throttled)

    @property
    def are_untroubled(self) -> bool:
        """Whether an answer is no news."""
        return self._down.state is breaker.NEW and self._throttled.state is breaker.NEW

    def on_answer(self, number: int, now: float) -> None:
        """The request `number` had any answer but a 429."""
        self._down.on_answer(now)
        self._throttled.on_answer(now, number)

    def on_throttled(
        self, number: int, now: float, at_least_s: float, error: Error, *, is_news: bool
    ) -> None:
        """The request `number` was answered 429; of a volley only one `is_news`."""
        self._down.on_answer(now)
        if is_news:
            self._throttled.on_failure(number, now, at_least_s, error)

    def on_failure(self, number: int, now: float, at_least_s: float, error: Error) -> None:
        """The request `number` was not answered, or not by the API."""
        self._down.on_failure(number, now, at_least_s, error)
        # A probe that failed for another reason does not end the throttling either.
        if self._throttled.is_probing:
            self._throttled.on_failure(number, now, at_least_s, error)

    def probe(self, number: int) -> None:
        """The request `number` leaves: while anything is open it is the probe."""
        for one in self._both:
            one.state = breaker.probing(one.state, number)

    def is_probe(self, number: int) -> bool:
        """Whether the request `number` is the probe that is under way."""
        states = (one.state for one in self._both)
        return any(isinstance(state, HalfOpen) and state.probe == number for state in states)

    def abandon_probe(self, number: int) -> None:
        """The request `number` did not leave after all: where it was the probe, another may go."""
        for one in self._both:
            one.state = breaker.abandoned(one.state, number)

    def postpone(self, seconds: float) -> None:
        """For so long nothing could be sent, for other reasons: that costs no patience."""
        for one in self._both:
            one.state = breaker.postponed(one.state, seconds)

    def next_at(self) -> float:
        """When the next request may leave: -inf where nothing is open, inf while a probe is under
        way. Raises UnavailableError where none may leave any more."""
        due = -math.inf
        for one in self._both:
            match one.state:
                case HalfOpen():
                    return math.inf
                case Exhausted():
                    raise one.give_up()
                case Open(reopens_at=at):
                    due = max(due, at)
        return due

    def check_patience(self, now: float) -> None:
        """Raise UnavailableError where there is nothing left to wait for."""
        for one in self._both:
            if now >= breaker.gives_up_at(one.state):
                raise one.give_up()

    @property
    def gives_up_at(self) -> float:
        """When patience ends; inf while nothing is open, and while a probe is under way."""
        return min(breaker.gives_up_at(one.state) for one in self._both)

    @property
    def last_probe_at(self) -> float:
        """When patience ends for the failures in a row that there are; inf where there are none."""
        return min(breaker.deadline_of(one.state) for one in self._both)

    def pause(self, now: float) -> Pause | None:
        """Why nothing leaves at the moment, and for how long (0: a probe is under way)."""
        for one in self._both:
            pause = breaker.pause_of(one.state)
            if pause is not None:
                left_s = 0.0 if one.is_probing else max(pause.reopens_at - now, 0.0)
                return Pause(one.reason, left_s)
        return None


class _Breaker:
    """A breaker's state, the last error, and what is told of them."""

    def __init__(self, reason: PauseReason, rules: Rules, notify: Callable[[Event], None]) -> None:
        self.reason = reason
        self.state: State = breaker.NEW
        self._rules = rules
        self._error = Error(reason.value, "")
        self._notify = notify

    @property
    def is_closed(self) -> bool:
        return isinstance(self.state, Closed)

    @property
    def is_probing(self) -> bool:
        return isinstance(self.state, HalfOpen)

    def on_failure(self, number: int, now: float, at_least_s: float, error: Error) -> None:
        before, self._error = self.state, error
        self.state = breaker.failed(
            before, self._rules, number=number, now=now, at_least_s=at_least_s
        )
        pause = breaker.pause_of(self.state)
        if pause is None:
            _log.debug("%s: %s in a row", self.reason, _failures(self.state))
        elif isinstance(before, Closed):
            self._tell_of(pause, now, began=True)
        elif isinstance(before, HalfOpen) and not self.is_probing:
            self._tell_of(pause, now, began=False)

    def on_answer(self, now: float, number: float = math.inf) -> None:
        pause = breaker.pause_of(self.state)
        self.state = breaker.answered(self.state, number=number)
        if pause is not None and self.is_closed:
            self._notify(OutageEnded(self.reason, now - pause.opened_at))

    def give_up(self) -> UnavailableError:
        """What ends the run when patience has ended."""
        return _unavailable(self.reason, self._error, format_duration(self._rules.patience_s))

    def _tell_of(self, pause: Open, now: float, *, began: bool) -> None:
        next_probe_s = pause.reopens_at - now
        patience_s = max(pause.row.deadline - now, 0.0)
        if began:
            count = pause.row.failures
            self._notify(OutageBegan(self.reason, count, self._error, next_probe_s, patience_s))
        else:
            self._notify(ProbeFailed(self.reason, self._error, next_probe_s, patience_s))


def _failures(state: State) -> int:
    row = breaker.row_of(state)
    return 0 if row is None else row.failures


def _unavailable(reason: str, error: Error, patience: str) -> UnavailableError:
    if reason == PauseReason.THROTTLED:
        return UnavailableError(
            f"the API throttled everything, and would go on beyond --patience ({patience}): "
            "the account's rate limit or its monthly quota is exhausted",
            "Look at the account and at what else uses it, then run the same command again",
            error.type,
        )
    if error.type == ErrorType.UNEXPECTED_RESPONSE:
        return UnavailableError(
            f"something else answered in the API's place for longer than --patience"
            f" ({patience}); the last answer was {error.message}",
            "Look at the proxy, the firewall or the ingress before the API, then run the same"
            " command again: it goes on where this run stopped",
            error.type,
        )
    return UnavailableError(
        f"the API stayed unavailable for longer than --patience ({patience}); "
        f"the last error was {error.type}: {error.message}",
        "Run the same command again when the API is back: it goes on where this run stopped",
        error.type,
    )
