"""Outcomes that together say that the run itself is wrong."""

from __future__ import annotations

import pytest

from worker.api.verdict import Settled
from worker.core.errors import ExitCode
from worker.core.outcomes import Error, Outcome
from worker.runner.suspicion import MaxFailures, Suspicion

DONE = Settled(Outcome.PROCESSING, 200, "processing")
MISSING = Settled(Outcome.NOT_FOUND, 404, None, Error("resource_not_found", "no"))
INVALID = Settled(Outcome.FAILED, 400, None, Error("invalid_request", "no such thing"))
CANCELLED = Settled(Outcome.FAILED, 200, "cancelled", Error("session_cancelled", ""))
BLOCKED = Settled(Outcome.FAILED, 403, None, Error("unexpected_response", "a page of HTML"))
LATE = Settled(Outcome.FAILED, None, None, Error("timeout", "no answer"))
ANY = MaxFailures()


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(MISSING, "in this account"), (INVALID, "no such thing"), (BLOCKED, "the firewall")],
)
def test_the_first_twenty_alike_stop_the_run(outcome: Settled, said: str) -> None:
    suspicion = Suspicion(20, ANY)
    assert [suspicion.judge(outcome) for _ in range(19)] == [None] * 19
    cause = suspicion.judge(outcome)
    assert cause is not None
    assert cause.exit_code is ExitCode.REFUSED
    assert said in str(cause)


@pytest.mark.parametrize("other", [DONE, MISSING])
@pytest.mark.parametrize("place", [0, 10, 19])
def test_a_mixture_goes_through(other: Settled, place: int) -> None:
    suspicion, row = Suspicion(20, ANY), [INVALID] * 40
    row[place] = other
    assert not any(suspicion.judge(outcome) for outcome in row)


@pytest.mark.parametrize("outcome", [DONE, CANCELLED, LATE])
def test_what_is_no_sign_of_a_wrong_key_is_not_suspicious(outcome: Settled) -> None:
    suspicion = Suspicion(20, ANY)
    assert not any(suspicion.judge(outcome) for _ in range(100))


def test_none_suspects_nothing() -> None:
    suspicion = Suspicion(None, ANY)
    assert not any(suspicion.judge(MISSING) for _ in range(100))


def test_more_failures_than_allowed_stop_the_run() -> None:
    suspicion = Suspicion(None, MaxFailures.parse("3"))
    assert [suspicion.judge(INVALID) is None for _ in range(4)] == [True, True, True, False]


def test_a_share_of_failures_counts_from_a_thousand_outcomes_on() -> None:
    suspicion = Suspicion(None, MaxFailures.parse("50%"))
    row = [INVALID] * 501 + [DONE] * 499
    causes = [suspicion.judge(outcome) for outcome in row]
    assert causes[:-1] == [None] * 999
    assert causes[-1] is not None
    assert "501 of 1000 ids failed" in causes[-1].message
