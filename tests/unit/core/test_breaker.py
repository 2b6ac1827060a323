"""When a breaker opens, probes, closes and gives up."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.core.breaker import (
    NEW,
    Closed,
    Exhausted,
    HalfOpen,
    Open,
    Rules,
    State,
    abandoned,
    answered,
    deadline_of,
    failed,
    gives_up_at,
    pause_of,
    probing,
    row_of,
)

RULES = Rules(3, initial_s=10.0, maximum_s=40.0, patience_s=100.0)


def after_failures(
    *times: float, rules: Rules = RULES, at_least_s: float = 0.0, state: State = NEW
) -> State:
    """The state after one failure at each time, of the requests 1, 2, 3 and so on."""
    for number, now in enumerate(times, 1):
        state = failed(state, rules, number=number, now=now, at_least_s=at_least_s)
    return state


def opened(at_least_s: float = 0.0) -> State:
    """Opened at 2.0 by failures at 0, 1 and 2; pauses of 10, 20, 40, 40 s; patience until 100."""
    return after_failures(0.0, 1.0, 2.0, at_least_s=at_least_s)


def reopens_at(state: State) -> float:
    pause = pause_of(state)
    assert pause is not None
    return pause.reopens_at


def fail_probe(state: State, number: int, at_least_s: float = 0.0) -> State:
    """The next probe leaves as soon as it may and fails at once."""
    under_way = probing(state, number)
    assert isinstance(under_way, HalfOpen)
    return failed(under_way, RULES, number=number, now=reopens_at(state), at_least_s=at_least_s)


def test_it_opens_at_the_nth_failure_in_a_row() -> None:
    state = opened()
    assert isinstance(state, Open)
    assert (state.opened_at, state.reopens_at, gives_up_at(state)) == (2.0, 12.0, 100.0)


def test_an_answer_between_failures_begins_the_row_anew() -> None:
    state = after_failures(3.0, 4.0, state=answered(after_failures(0.0, 1.0)))
    assert isinstance(state, Closed)
    assert gives_up_at(state) == math.inf


def test_pauses_double_up_to_the_maximum_and_the_last_probe_goes_when_patience_ends() -> None:
    state, probes = opened(), []
    while not isinstance(state, Exhausted):
        probes.append(reopens_at(state))
        state = fail_probe(state, number=10 + len(probes))
    assert probes == [12.0, 32.0, 72.0, 100.0]
    assert gives_up_at(state) == 100.0


def test_a_retry_after_is_a_lower_bound_of_the_pause_and_not_a_replacement() -> None:
    assert reopens_at(opened(at_least_s=30.0)) == 32.0
    assert reopens_at(opened(at_least_s=1.0)) == 12.0
    assert reopens_at(fail_probe(opened(), 4, at_least_s=50.0)) == 62.0


def test_a_retry_after_that_reaches_past_patience_is_not_waited_for() -> None:
    state = fail_probe(opened(), 4, at_least_s=86400.0)
    assert isinstance(state, Exhausted)
    assert gives_up_at(state) == 12.0


def test_requests_in_flight_when_it_opened_do_not_make_the_pause_longer() -> None:
    state = failed(opened(), RULES, number=4, now=3.0)
    assert reopens_at(state) == 12.0
    state = failed(probing(state, 6), RULES, number=5, now=13.0)
    assert isinstance(state, HalfOpen)
    state = failed(state, RULES, number=6, now=13.5)
    assert isinstance(state, Open)
    assert state.reopens_at == 33.5


def test_what_the_server_asks_of_a_request_in_flight_counts_all_the_same() -> None:
    assert reopens_at(failed(opened(), RULES, number=4, now=3.0, at_least_s=30.0)) == 33.0


def test_an_answer_closes_it_and_the_next_outage_begins_with_a_short_pause() -> None:
    state = answered(probing(fail_probe(opened(), 4), 5))
    assert state == NEW
    assert gives_up_at(state) == math.inf
    again = after_failures(200.0, 201.0, 202.0, state=state)
    assert (reopens_at(again), gives_up_at(again)) == (212.0, 300.0)


def test_an_answer_to_a_request_from_before_the_first_failure_is_no_news() -> None:
    state: State = NEW
    for number in (4, 5, 6):
        state = failed(state, RULES, number=number, now=5.0)
    assert answered(state, number=3) is state
    assert answered(state, number=5) == NEW


def test_while_a_probe_is_under_way_it_does_not_give_up() -> None:
    state = probing(opened(), 4)
    assert gives_up_at(state) == math.inf
    state = failed(state, RULES, number=4, now=160.0)
    assert isinstance(state, Exhausted)
    assert gives_up_at(state) == 100.0


def test_after_an_abandoned_probe_another_may_go_at_once() -> None:
    state = opened()
    assert abandoned(probing(state, 4), 4) == state


def test_a_request_from_before_the_probe_that_was_not_sent_leaves_the_probe_under_way() -> None:
    state = probing(opened(), 4)
    assert abandoned(state, 3) is state


def test_rare_failures_without_any_answer_use_up_patience_too() -> None:
    rules = Rules(10, 10.0, 40.0, 100.0)
    assert isinstance(after_failures(0.0, 99.0, rules=rules), Closed)
    assert isinstance(after_failures(0.0, 99.0, 101.0, rules=rules), Exhausted)


def test_one_failure_alone_never_opens_it_however_short_patience_is() -> None:
    state = after_failures(0.0, rules=Rules(10, 10.0, 40.0, patience_s=0.0))
    assert isinstance(state, Closed)


@pytest.mark.parametrize("row", [1, 2, 10])
def test_the_number_in_a_row_is_exact(row: int) -> None:
    rules = Rules(row, 10.0, 40.0, 100.0)
    assert isinstance(after_failures(*[0.0] * (row - 1), rules=rules), Closed)
    assert isinstance(after_failures(*[0.0] * row, rules=rules), Open)


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order, as the pacer drives it."""

    @initialize(
        trips_after=st.integers(1, 12),
        initial_s=st.floats(0.1, 60.0),
        factor=st.floats(1.0, 100.0),
        patience_s=st.floats(0.0, 3600.0),
    )
    def begin(self, trips_after: int, initial_s: float, factor: float, patience_s: float) -> None:
        self.waits = Rules(trips_after, initial_s, initial_s * factor, patience_s)
        self.state: State = NEW
        self.now = 0.0
        self.number = 100
        self.in_row = 0
        self.first_at = math.inf
        self.asked_until = -math.inf
        self.probes = 0

    @rule(seconds=st.floats(0.0, 600.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(at_least_s=st.just(0.0) | st.floats(0.0, 5000.0), age=st.integers(1, 60))
    def fail_in_flight(self, at_least_s: float, age: int) -> None:
        before = self.state
        self._fail(self.number - age, at_least_s)
        if isinstance(before, HalfOpen):
            assert isinstance(self.state, HalfOpen)
        pause, now = pause_of(before), pause_of(self.state)
        if pause is not None and now is not None:
            assert now.pause_s == pause.pause_s
            assert now.reopens_at in (pause.reopens_at, self.asked_until)

    @precondition(lambda self: isinstance(self.state, Open))
    @rule()
    def probe(self) -> None:
        self.now = max(self.now, reopens_at(self.state))
        self.number += 1
        self.probes += 1
        self.state = probing(self.state, self.number)

    @precondition(lambda self: isinstance(self.state, HalfOpen))
    @rule(at_least_s=st.just(0.0) | st.floats(0.0, 5000.0), took_s=st.floats(0.0, 60.0))
    def probe_fails(self, at_least_s: float, took_s: float) -> None:
        self.now += took_s
        self._fail(self.number, at_least_s)
        assert isinstance(self.state, Open | Exhausted)
        pause_s = reopens_at(self.state) - self.now
        bounds = (self.waits.initial_s, self.first_at + self.waits.patience_s - self.now)
        assert isinstance(self.state, Exhausted) or pause_s >= min(bounds) - 1e-6

    @precondition(lambda self: isinstance(self.state, HalfOpen))
    @rule()
    def abandon(self) -> None:
        self.state = abandoned(self.state, self.number)
        assert not isinstance(self.state, HalfOpen)
        self.probes -= 1

    @rule(age=st.integers(0, 60))
    def answer(self, age: int) -> None:
        row = row_of(self.state)
        assume(row is None or self.number - age >= row.first)
        self.state = answered(self.state, number=self.number - age)
        assert self.state == NEW
        self.in_row, self.probes = 0, 0
        self.first_at, self.asked_until = math.inf, -math.inf

    def _fail(self, number: int, at_least_s: float) -> None:
        is_counted = not isinstance(self.state, Exhausted)
        self.in_row += is_counted
        self.first_at = min(self.first_at, self.now)
        if is_counted:
            self.asked_until = max(self.asked_until, self.now + at_least_s)
        self.state = failed(
            self.state, self.waits, number=number, now=self.now, at_least_s=at_least_s
        )

    @invariant()
    def opens_after_the_row_and_not_before(self) -> None:
        is_over = self.in_row > 1 and self.now >= deadline_of(self.state)
        is_open = not isinstance(self.state, Closed)
        assert is_open == (self.in_row >= self.waits.trips_after) or is_over

    @invariant()
    def waits_as_long_as_the_server_asked_and_no_longer_than_patience(self) -> None:
        if isinstance(self.state, Open):
            deadline = self.first_at + self.waits.patience_s
            assert self.state.reopens_at >= self.asked_until
            assert self.state.reopens_at in (self.asked_until, deadline) or (
                self.state.reopens_at < deadline
            )

    @invariant()
    def gives_up_only_while_open_and_no_later_than_patience(self) -> None:
        if isinstance(self.state, Closed | HalfOpen):
            assert gives_up_at(self.state) == math.inf
        else:
            until = self.first_at + self.waits.patience_s
            assert self.first_at <= gives_up_at(self.state) <= until

    @invariant()
    def probes_are_few(self) -> None:
        rules = self.waits
        doublings = math.ceil(math.log2(rules.maximum_s / rules.initial_s)) + 1
        assert self.probes <= doublings + rules.patience_s / rules.maximum_s + 2


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
