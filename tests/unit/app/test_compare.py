"""How an audit compares what a log says with what the API says."""

from __future__ import annotations

import pytest

from worker.api.verdict import Answer, Settled, judge_check
from worker.app.audit import Disagreement, compare
from worker.core.outcomes import Outcome
from worker.reading.statuses import ReadStatus

BAD_REQUEST = Answer(400, b'{"type": "invalid_request", "message": "no"}')
UNKNOWN = Answer(200, b'{"status": "under_review"}')
CANCELLED = Answer(200, b'{"status": "cancelled"}')


def read(answer: Answer) -> ReadStatus:
    verdict = judge_check(answer)
    assert isinstance(verdict, Settled)
    return ReadStatus("a", verdict, is_listed=False)


@pytest.mark.parametrize("answer", [BAD_REQUEST, UNKNOWN])
@pytest.mark.parametrize("outcome", Outcome)
def test_what_names_no_known_status_neither_accuses_nor_agrees(
    outcome: Outcome, answer: Answer
) -> None:
    assert compare(outcome, read(answer)) is Disagreement.UNREAD


def test_a_session_that_has_ended_agrees_with_a_failure_alone() -> None:
    status = read(CANCELLED)
    assert compare(Outcome.FAILED, status) is None
    assert compare(Outcome.NOT_FOUND, status) is Disagreement.FOUND
    assert compare(Outcome.PROCESSING, status) is Disagreement.ENDED
