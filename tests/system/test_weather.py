"""Whole runs at the default settings, through outages and throttles, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.run_harness import DONE
from tests.support.virtual_runs import run_by_default
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.outcomes import Error, Outcome

Weather = Callable[[float], Reply | None]
"""What the API answers at a time of the run; None where it does its work."""

DOWN = Answer(503, b"<html>down</html>")
PROXY = Answer(404, b"<html>no backend</html>")
NOBODY = NoAnswer(Error("connect_failed", "connection refused"), may_have_arrived=False)
FAR_503 = Answer(503, b"<html>down</html>", "3600")
FAR_429 = Answer(429, b'{"type":"rate_limit_exceeded","message":"slow down"}', "3600")
BUSY = Answer(429, b'{"type":"rate_limit_exceeded","message":"slow down"}')


class Api:
    """Completes sessions in 50 ms, weather permitting; counts what it was sent, and when."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self.sent_at: list[float] = []
        self.done_at: list[float] = []
        self.completed: dict[str, int] = {}

    async def complete(self, id: str, departure: Departure) -> Reply:
        answer = await self._answer()
        if answer is None:
            self.completed[id] = self.completed.get(id, 0) + 1
            return DONE
        return answer

    async def check(self, id: str, departure: Departure) -> Reply:
        status = "processing" if id in self.completed else "started"
        return await self._answer() or Answer(200, f'{{"status":"{status}"}}'.encode())

    async def _answer(self) -> Reply | None:
        now = asyncio.get_running_loop().time()
        self.sent_at.append(now)
        answer = self._weather(now)
        await asyncio.sleep(0.05)
        if answer is None:
            self.done_at.append(now)
        return answer


class Stuck(Api):
    """Answers whoever reads, and never completes anything."""

    async def complete(self, id: str, departure: Departure) -> Reply:
        await self._answer()
        return DOWN


def between(begin: float, end: float, answer: Reply) -> Weather:
    return lambda now: answer if begin <= now < end else None


TROUBLE = pytest.mark.parametrize(
    "answer", [DOWN, NOBODY, PROXY], ids=["503", "refused", "a proxy's page"]
)


@TROUBLE
def test_an_outage_costs_time_and_few_requests(tmp_path: Path, answer: Reply) -> None:
    api = Api(between(20, 50, answer))
    finished = run_by_default(tmp_path, 400, api)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 400}
    assert finished.exit_code is ExitCode.OK
    assert len([at for at in api.sent_at if 20 <= at < 50]) < 40
    assert min(at for at in api.done_at if at >= 50) < 55
    assert set(api.completed.values()) == {1}


@pytest.mark.parametrize("down_s", [1.5, 2.0, 3.0])
@TROUBLE
def test_an_api_that_comes_and_goes_costs_no_session(
    tmp_path: Path, answer: Reply, down_s: float
) -> None:
    api = Api(lambda now: answer if 20 < now < 80 and now % (2 * down_s) < down_s else None)
    finished = run_by_default(tmp_path, 500, api)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 500}
    assert set(api.completed.values()) == {1}


def test_an_outage_without_end_ends_the_run_and_gives_nobody_up(tmp_path: Path) -> None:
    api = Api(between(20, 1e9, NOBODY))
    finished = run_by_default(tmp_path, 400, api)
    assert finished.exit_code is ExitCode.UNAVAILABLE
    assert finished.tally.balanced
    assert finished.elapsed_s == pytest.approx(20 + 900, abs=70)
    assert len([at for at in api.sent_at if at >= 20]) < 60
    # Those that had been sent are recorded, for the next run to send; the others were never tried.
    assert finished.tally.outcomes[Outcome.FAILED] <= 32


def test_a_quota_that_is_used_up_ends_the_run_at_its_patience(tmp_path: Path) -> None:
    api = Api(between(20, 1e9, BUSY))
    finished = run_by_default(tmp_path, 400, api)
    assert finished.exit_code is ExitCode.UNAVAILABLE
    assert "quota" in f"{finished.reason} {finished.advice}"
    assert finished.elapsed_s == pytest.approx(20 + 900, abs=70)
    assert finished.tally.throttled == len([at for at in api.sent_at if at >= 20]) < 60


def test_a_completion_that_never_answers_ends_though_reads_do(tmp_path: Path) -> None:
    """Answers close the breaker each time: the attempts must run out all the same."""
    finished = run_by_default(tmp_path, 40, Stuck(lambda _: None))
    assert finished.tally.outcomes == {Outcome.FAILED: 40}
    assert finished.exit_code is ExitCode.SOME_FAILED


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("answer", "ambiguous"),
    [(NOBODY, False), (DOWN, True), (BUSY, False), (FAR_503, True), (FAR_429, False)],
    ids=["refused", "503", "429", "503 for an hour", "429 for an hour"],
)
def test_an_outage_costs_time_however_few_the_ids(
    tmp_path: Path, count: int, answer: Reply, ambiguous: bool
) -> None:
    finished = run_by_default(tmp_path, count, Api(lambda _: answer))
    assert finished.exit_code is ExitCode.UNAVAILABLE
    assert finished.elapsed_s < 910
    recorded = finished.tally.outcomes[Outcome.FAILED]
    assert recorded == (count if ambiguous else 0)
    assert finished.tally.not_attempted == count - recorded
    assert set(finished.tally.errors) <= {"ambiguous"}


def test_one_far_retry_after_among_answered_ids_makes_that_one_wait(tmp_path: Path) -> None:
    api = Api(lambda now: Answer(429, b"{}", "600") if now < 0.1 else None)
    finished = run_by_default(tmp_path, 50, api)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 50}
    assert 600 <= finished.elapsed_s < 760
