"""Why a run ended, and its exit code, from that and from what it counted."""

from __future__ import annotations

import pytest

from worker.api.verdict import Refused
from worker.core.errors import ExitCode, UnavailableError
from worker.core.outcomes import Error, ErrorType, Outcome
from worker.core.tally import Tally
from worker.runner.causes import exit_code, refusal


def tally(**counts: int) -> Tally:
    it = Tally()
    for name, count in counts.items():
        setattr(it, name, count)
    return it


def test_a_sum_that_adds_up_is_no_defect() -> None:
    assert exit_code({}, tally(input=3, settled=2, duplicates=1)) is ExitCode.OK


def test_a_line_that_went_nowhere_is_a_defect_whatever_else_ended_the_run() -> None:
    lost = tally(input=3, settled=2)
    assert exit_code({}, lost) is ExitCode.DEFECT
    away = UnavailableError("it is away")
    assert exit_code({ExitCode.UNAVAILABLE: away}, lost) is ExitCode.DEFECT


def test_what_was_not_attempted_for_no_reason_is_a_defect() -> None:
    left = tally(input=3, settled=2, not_attempted=1)
    assert exit_code({}, left) is ExitCode.DEFECT
    away = UnavailableError("it is away")
    assert exit_code({ExitCode.UNAVAILABLE: away}, left) is ExitCode.UNAVAILABLE


def test_a_failed_id_gives_way_to_why_the_run_ended() -> None:
    failed = tally(input=1)
    failed.outcomes[Outcome.FAILED] = 1
    assert exit_code({}, failed) is ExitCode.SOME_FAILED


@pytest.mark.parametrize(
    ("verdict", "told", "mend"),
    [
        (
            Refused(Error(ErrorType.PROXY_REFUSED, "the proxy answered 407"), None),
            "the proxy answered 407",
            "HTTPS_PROXY",
        ),
        (
            Refused(Error(ErrorType.CERTIFICATE, "it has expired"), None),
            "the server's TLS certificate is not valid: it has expired",
            "certificate authorities",
        ),
        (
            Refused(Error("unauthorized", "No such key"), 401),
            "the API refuses this key or account: HTTP 401, unauthorized: No such key",
            "Mend the key",
        ),
    ],
)
def test_a_refusal_says_who_refuses_and_what_is_to_be_mended(
    verdict: Refused, told: str, mend: str
) -> None:
    cause = refusal(verdict)
    assert (cause.exit_code, cause.error_type) == (ExitCode.REFUSED, verdict.error.type)
    assert cause.message == told
    assert mend in cause.advice
