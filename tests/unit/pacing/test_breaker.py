"""When a breaker opens, probes, closes and gives up."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.pacing.breaker import Breaker, Change


def open_breaker(at_least_s: float = 0.0) -> Breaker:
    """Opened at 2.0 by failures at 0, 1 and 2; pauses of 10, 20, 40, 40 s; patience until 100."""
    breaker = Breaker(3, initial_s=10.0, maximum_s=40.0, patience_s=100.0)
    changes = [breaker.failed(now, at_least_s) for now in (0.0, 1.0, 2.0)]
    assert changes == [None, None, Change.OPENED]
    return breaker


def fail_probe(breaker: Breaker, at_least_s: float = 0.0) -> float:
    """The next probe leaves as soon as it may and fails at once; returns when that was."""
    now = breaker.reopens_at
    breaker.begin_probe(now)
    assert breaker.failed(now, at_least_s) is Change.PROBE_FAILED
    return now


def test_it_opens_at_the_nth_failure_in_a_row() -> None:
    breaker = open_breaker()
    assert breaker.is_open
    assert (breaker.opened_at, breaker.reopens_at, breaker.gives_up_at) == (2.0, 12.0, 100.0)


def test_an_answer_between_failures_begins_the_row_anew() -> None:
    breaker = Breaker(3, 10.0, 40.0, 100.0)
    for now in (0.0, 1.0, 3.0, 4.0):
        breaker.failed(now)
        if now == 1.0:
            breaker.succeeded()
    assert not breaker.is_open
    assert breaker.gives_up_at == math.inf


def test_pauses_double_up_to_the_maximum_and_the_last_probe_goes_when_patience_ends() -> None:
    breaker = open_breaker()
    probes = []
    while not breaker.exhausted:
        probes.append(fail_probe(breaker))
    assert probes == [12.0, 32.0, 72.0, 100.0]
    assert breaker.gives_up_at == 100.0


def test_a_retry_after_is_a_lower_bound_of_the_pause_and_not_a_replacement() -> None:
    assert open_breaker(at_least_s=30.0).reopens_at == 32.0
    assert open_breaker(at_least_s=1.0).reopens_at == 12.0
    breaker = open_breaker()
    assert fail_probe(breaker, at_least_s=50.0) == 12.0
    assert breaker.reopens_at == 62.0


def test_a_retry_after_that_reaches_past_patience_is_not_waited_for() -> None:
    breaker = open_breaker()
    fail_probe(breaker, at_least_s=86400.0)
    assert breaker.exhausted
    assert breaker.gives_up_at == 12.0


def test_requests_in_flight_when_it_opened_do_not_make_the_pause_longer() -> None:
    breaker = open_breaker()
    assert breaker.failed(3.0, sent_at=1.9) is None
    assert breaker.reopens_at == 12.0
    breaker.begin_probe(12.0)
    assert breaker.failed(13.0, sent_at=1.9) is None
    assert breaker.probing
    assert breaker.failed(13.5, sent_at=12.0) is Change.PROBE_FAILED
    assert breaker.reopens_at == 33.5


def test_what_the_server_asks_of_a_request_in_flight_counts_all_the_same() -> None:
    breaker = open_breaker()
    breaker.failed(3.0, 30.0, sent_at=1.9)
    assert breaker.reopens_at == 33.0


def test_an_answer_closes_it_and_the_next_outage_begins_with_a_short_pause() -> None:
    breaker = open_breaker()
    fail_probe(breaker)
    breaker.begin_probe(32.0)
    assert breaker.succeeded() is Change.CLOSED
    assert (breaker.is_open, breaker.probing, breaker.gives_up_at) == (False, False, math.inf)
    for now in (200.0, 201.0, 202.0):
        breaker.failed(now)
    assert (breaker.reopens_at, breaker.gives_up_at) == (212.0, 300.0)


def test_an_answer_to_a_request_from_before_the_first_failure_is_no_news() -> None:
    breaker = Breaker(3, 10.0, 40.0, 100.0)
    for sent_at in (1.0, 2.0, 3.0):
        breaker.failed(5.0, sent_at=sent_at)
    assert breaker.succeeded(sent_at=0.5) is None
    assert breaker.is_open
    assert breaker.succeeded(sent_at=2.5) is Change.CLOSED


def test_while_a_probe_is_under_way_it_does_not_give_up() -> None:
    breaker = open_breaker()
    breaker.begin_probe(100.0)
    assert breaker.gives_up_at == math.inf
    breaker.failed(160.0, sent_at=100.0)
    assert breaker.exhausted
    assert breaker.gives_up_at == 100.0


def test_after_an_abandoned_probe_another_may_go_at_once() -> None:
    breaker = open_breaker()
    breaker.begin_probe(12.0)
    breaker.abandon_probe()
    assert not breaker.probing
    assert breaker.reopens_at == 12.0


def test_rare_failures_without_any_answer_use_up_patience_too() -> None:
    breaker = Breaker(10, 10.0, 40.0, 100.0)
    breaker.failed(0.0)
    assert breaker.failed(99.0) is None
    assert breaker.failed(101.0) is Change.OPENED
    assert breaker.exhausted


def test_one_failure_alone_never_opens_it_however_short_patience_is() -> None:
    breaker = Breaker(10, 10.0, 40.0, patience_s=0.0)
    assert breaker.failed(0.0) is None


@pytest.mark.parametrize("row", [1, 2, 10])
def test_the_number_in_a_row_is_exact(row: int) -> None:
    breaker = Breaker(row, 10.0, 40.0, 100.0)
    changes = [breaker.failed(0.0) for _ in range(row)]
    assert changes == [None] * (row - 1) + [Change.OPENED]


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order, as the pacer drives it."""

    @initialize(
        trips_after=st.integers(1, 12),
        initial_s=st.floats(0.1, 60.0),
        factor=st.floats(1.0, 100.0),
        patience_s=st.floats(0.0, 3600.0),
    )
    def begin(self, trips_after: int, initial_s: float, factor: float, patience_s: float) -> None:
        self.now = 0.0
        self.initial_s, self.maximum_s = initial_s, initial_s * factor
        self.patience_s = patience_s
        self.breaker = Breaker(trips_after, initial_s, self.maximum_s, patience_s)
        self.in_row = 0
        self.first_at = math.inf
        self.asked_until = -math.inf
        self.trips_after = trips_after
        self.probe_sent_at = math.inf
        self.probes = 0

    @rule(seconds=st.floats(0.0, 600.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(at_least_s=st.just(0.0) | st.floats(0.0, 5000.0), age_s=st.floats(0.001, 60.0))
    def fail_in_flight(self, at_least_s: float, age_s: float) -> None:
        assume(self.now - age_s < self.probe_sent_at)
        was_open, paused_until = self.breaker.is_open, self.breaker.reopens_at
        self._note_failure(at_least_s)
        change = self.breaker.failed(self.now, at_least_s, sent_at=self.now - age_s)
        assert change in (None, Change.OPENED)
        if was_open:
            assert self.breaker.reopens_at in (paused_until, self.asked_until)

    @precondition(lambda self: self.breaker.is_open and not self.breaker.probing)
    @precondition(lambda self: not self.breaker.exhausted)
    @rule()
    def probe(self) -> None:
        self.now = max(self.now, self.breaker.reopens_at)
        self.probe_sent_at = self.now
        self.probes += 1
        self.breaker.begin_probe(self.now)

    @precondition(lambda self: self.breaker.probing)
    @rule(at_least_s=st.just(0.0) | st.floats(0.0, 5000.0), took_s=st.floats(0.0, 60.0))
    def probe_fails(self, at_least_s: float, took_s: float) -> None:
        self.now += took_s
        self._note_failure(at_least_s)
        change = self.breaker.failed(self.now, at_least_s, sent_at=self.probe_sent_at)
        assert change is Change.PROBE_FAILED
        self.probe_sent_at = math.inf
        pause_s = self.breaker.reopens_at - self.now
        bounds = (self.initial_s, self.first_at + self.patience_s - self.now)
        assert self.breaker.exhausted or pause_s >= min(bounds) - 1e-6

    @precondition(lambda self: self.breaker.probing)
    @rule()
    def abandon(self) -> None:
        self.breaker.abandon_probe()
        self.probe_sent_at = math.inf
        self.probes -= 1

    @rule()
    def answer(self) -> None:
        was_open = self.breaker.is_open
        assert self.breaker.succeeded() is (Change.CLOSED if was_open else None)
        self.in_row, self.probes = 0, 0
        self.first_at, self.asked_until = math.inf, -math.inf
        self.probe_sent_at = math.inf

    def _note_failure(self, at_least_s: float) -> None:
        self.in_row += 1
        self.first_at = min(self.first_at, self.now)
        self.asked_until = max(self.asked_until, self.now + at_least_s)

    @invariant()
    def opens_after_the_row_and_not_before(self) -> None:
        over = self.in_row > 1 and self.breaker.is_open and self.breaker.exhausted
        assert self.breaker.is_open == (self.in_row >= self.trips_after) or over

    @invariant()
    def waits_as_long_as_the_server_asked_and_no_longer_than_patience(self) -> None:
        if self.breaker.is_open:
            deadline = self.first_at + self.patience_s
            assert self.breaker.reopens_at >= self.asked_until
            assert self.breaker.reopens_at in (self.asked_until, deadline) or (
                self.breaker.reopens_at < deadline
            )

    @invariant()
    def gives_up_only_while_open_and_no_later_than_patience(self) -> None:
        gives_up_at = self.breaker.gives_up_at
        if not self.breaker.is_open or self.breaker.probing:
            assert gives_up_at == math.inf
        else:
            assert self.first_at <= gives_up_at <= self.first_at + self.patience_s

    @invariant()
    def probes_are_few(self) -> None:
        doublings = math.ceil(math.log2(self.maximum_s / self.initial_s)) + 1
        assert self.probes <= doublings + self.patience_s / self.maximum_s + 2


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
