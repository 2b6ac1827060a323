"""A circuit breaker: whether anything may be sent, and when to try again.

Its states are values, and each function here says which one follows. Time is an argument: seconds
of one monotonic clock. Requests are told apart by their numbers, which grow.
Source: M. Nygard, "Release It!" (2007), chapter 5.2.
"""

from __future__ import annotations

import math

import msgspec


class Rules(msgspec.Struct, frozen=True):
    """When a breaker opens, and how long it waits.

    It opens at the `trips_after`-th failure in a row, or at any later failure than the first once
    the row has lasted `patience_s`. The pause before a probe is `initial_s`, doubled with each
    probe that fails up to `maximum_s`, and never shorter than what the server asked for. The last
    probe goes when the row has lasted `patience_s`; a server that asks for more than that is not
    waited for.
    """

    trips_after: int
    initial_s: float
    maximum_s: float
    patience_s: float


class Row(msgspec.Struct, frozen=True):
    """Failures with no answer between them. `first` is the number of the first request that failed,
    `deadline` when patience ends, `not_before` until when the server asked to wait."""

    failures: int
    first: int
    deadline: float
    not_before: float


class Closed(msgspec.Struct, frozen=True):
    """Everything may be sent; `row` is None where the last request was answered."""

    row: Row | None = None


class Open(msgspec.Struct, frozen=True):
    """Nothing may be sent before `reopens_at`, and then one probe."""

    row: Row
    opened_at: float
    pause_s: float
    reopens_at: float


class Exhausted(msgspec.Struct, frozen=True):
    """No further probe is allowed, since `at`."""

    last: Open
    at: float


class HalfOpen(msgspec.Struct, frozen=True):
    """The request number `probe` decides what happens next; `resting` is what it has left."""

    resting: Open | Exhausted
    probe: int


State = Closed | Open | HalfOpen | Exhausted

NEW = Closed()


def failed(
    state: State, rules: Rules, *, number: int, now: float, at_least_s: float = 0.0
) -> State:
    """The state after a failure of the request `number`.

    `at_least_s` is what the server asked to wait. While open only the probe's failure makes the
    pause longer; that of a request which left before the probe does not.
    """
    match state:
        case Closed():
            row = _grown(state.row, rules, number, now, at_least_s)
            return _resting(_open(row, rules, now), now) if _trips(row, rules, now) else Closed(row)
        case HalfOpen() if number >= state.probe:
            return _lengthened(state.resting, rules, number, now, at_least_s)
        case HalfOpen():
            rested = failed(state.resting, rules, number=number, now=now, at_least_s=at_least_s)
            assert isinstance(rested, Open | Exhausted)
            return HalfOpen(rested, state.probe)
        case Open():
            row = _grown(state.row, rules, number, now, at_least_s)
            return _resting(msgspec.structs.replace(state, row=row), now)
        case Exhausted():
            return state


def answered(state: State, *, number: float = math.inf) -> State:
    """The state after an answer to the request `number`.

    That of a request which left before the row's first failure did is no news.
    """
    row = row_of(state)
    return state if row is None or number < row.first else NEW


def probing(state: State, number: int) -> State:
    """The state while the request `number` decides what happens next."""
    return HalfOpen(state, number) if isinstance(state, Open | Exhausted) else state


def abandoned(state: State, number: int) -> State:
    """The state where the request `number` was not sent after all: after a probe another may go."""
    is_probe = isinstance(state, HalfOpen) and state.probe == number
    return state.resting if isinstance(state, HalfOpen) and is_probe else state


def postponed(state: State, seconds: float) -> State:
    """The state after so many seconds in which nothing could be sent: they cost no patience.

    Negative ones take patience away, as where somebody wants an end.
    """
    match state:
        case Closed():
            return state if state.row is None else Closed(_later(state.row, seconds))
        case Exhausted():
            return state
        case Open():
            reopens_at = state.reopens_at + seconds
            return msgspec.structs.replace(
                state, row=_later(state.row, seconds), reopens_at=reopens_at
            )
        case HalfOpen():
            rested = postponed(state.resting, seconds)
            assert isinstance(rested, Open | Exhausted)
            return HalfOpen(rested, state.probe)


def _later(row: Row, seconds: float) -> Row:
    return msgspec.structs.replace(row, deadline=row.deadline + seconds)


def pause_of(state: State) -> Open | None:
    """What keeps everything but probes back; None while closed."""
    match state:
        case Closed():
            return None
        case Open():
            return state
        case HalfOpen():
            return pause_of(state.resting)
        case Exhausted():
            return state.last


def row_of(state: State) -> Row | None:
    """The failures since the last answer."""
    if isinstance(state, Closed):
        return state.row
    pause = pause_of(state)
    return None if pause is None else pause.row


def deadline_of(state: State) -> float:
    """When patience ends, counted from the first failure in the row; inf before it."""
    row = row_of(state)
    return math.inf if row is None else row.deadline


def gives_up_at(state: State) -> float:
    """When there is nothing left to wait for; inf while closed or a probe is under way."""
    match state:
        case Open():
            return state.row.deadline
        case Exhausted():
            return min(state.at, state.last.row.deadline)
        case _:
            return math.inf


def _grown(row: Row | None, rules: Rules, number: int, now: float, at_least_s: float) -> Row:
    if row is None:
        return Row(1, number, now + rules.patience_s, now + at_least_s)
    not_before = max(row.not_before, now + at_least_s)
    return Row(row.failures + 1, row.first, row.deadline, not_before)


def _trips(row: Row, rules: Rules, now: float) -> bool:
    if row.failures >= rules.trips_after:
        return True
    return row.failures > 1 and now >= row.deadline


def _open(row: Row, rules: Rules, now: float) -> Open:
    return Open(row, now, rules.initial_s, now + rules.initial_s)


def _lengthened(
    resting: Open | Exhausted, rules: Rules, number: int, now: float, at_least_s: float
) -> Open | Exhausted:
    if isinstance(resting, Exhausted):
        return resting
    row = _grown(resting.row, rules, number, now, at_least_s)
    pause_s = min(resting.pause_s * 2.0, rules.maximum_s)
    return _resting(Open(row, resting.opened_at, pause_s, now + pause_s), now)


def _resting(open: Open, now: float) -> Open | Exhausted:
    """What is left of a pause once patience and the server's own wish bound it."""
    row = open.row
    reopens_at = max(min(open.reopens_at, row.deadline), row.not_before)
    bounded = msgspec.structs.replace(open, reopens_at=reopens_at)
    is_over = now >= row.deadline or row.not_before > row.deadline
    return Exhausted(bounded, now) if is_over else bounded
