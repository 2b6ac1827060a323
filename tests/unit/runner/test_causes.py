"""Why a run ended, and its exit code, from that and from what it counted."""

from __future__ import annotations

from worker.core.errors import ExitCode, UnavailableError
from worker.core.outcomes import Outcome
from worker.core.tally import Tally
from worker.runner.causes import exit_code


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
