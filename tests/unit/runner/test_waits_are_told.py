"""With `-v -v` a run says what it waits for while nothing is sent."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from tests.support.defaults import policy
from tests.support.run_harness import DONE, ids
from tests.support.virtual_runs import ListSource, run_by_default
from tests.support.virtual_time import VirtualClock, in_virtual_time
from worker.api.verdict import Answer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.outcomes import Item
from worker.core.tally import Tally
from worker.ledger import Ledger
from worker.runner.backlog import Backlog
from worker.runner.intake import Intake
from worker.settings import Settings
from worker.settings.model import PaceSettings, StopSettings

NO_ID = "no id is in hand: the source has yet to give one"


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "worker")
    return caplog


class OpenPipe(ListSource):
    """Gives one id at a time, each a minute after the one before."""

    async def take(self, most: int) -> list[Item]:
        await asyncio.sleep(60)
        return await super().take(1)


class Quick:
    """Answers at once."""

    async def complete(self, id: str, departure: Departure) -> Reply:
        return DONE

    async def check(self, id: str, departure: Departure) -> Reply:
        raise AssertionError(id)


class OneSettlesAsTheOtherFails(Quick):
    """The first id is settled a moment before the second is to be tried again."""

    def __init__(self) -> None:
        self._second_failed = False
        self._is_second_sent = asyncio.Event()

    async def complete(self, id: str, departure: Departure) -> Reply:
        if id == ids(1)[0]:
            await self._is_second_sent.wait()
        elif not self._second_failed:
            self._second_failed = True
            self._is_second_sent.set()
            await asyncio.sleep(0.001)
            return Answer(429, b"")
        return DONE


def test_a_pipe_that_stays_open_is_waited_for(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    run_by_default(tmp_path, OpenPipe(ids(1)), Quick())
    assert told.messages == [
        NO_ID,
        "writing ids into the journal: 1",
        "nothing is due; ids that wait: 0 for a retry, 1 for an answer, 0 for the disk",
        "writing lines into the results log: 1",
        NO_ID,
        "nothing more is sent; requests in flight: 0",
    ]


def test_an_answer_a_retry_and_the_disk_are_told_apart(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    run_by_default(tmp_path, 2, OneSettlesAsTheOtherFails())
    waits = [each.partition(";")[2] for each in told.messages if each.startswith("nothing is due")]
    assert " ids that wait: 0 for a retry, 2 for an answer, 0 for the disk" in waits
    assert " ids that wait: 1 for a retry, 0 for an answer, 1 for the disk" in waits


def test_a_retry_is_told_with_its_time(tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    run_by_default(tmp_path, 2, OneSettlesAsTheOtherFails())
    times = [each.partition(";")[0].split() for each in told.messages if "1 for a retry" in each]
    assert {(*each[:4], each[5]) for each in times} == {("nothing", "is", "due", "for", "s")}
    assert all(float(each[4]) > 0 for each in times)


def test_where_the_limit_is_used_up_it_is_asked_whether_there_is_more(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    limited = Settings(stop=StopSettings(limit=1))
    finished = run_by_default(tmp_path, OpenPipe(ids(2)), Quick(), limited)
    assert finished.exit_code is ExitCode.STOPPED
    assert "no id is in hand and the limit is used up: does the source hold more?" in told.messages


@in_virtual_time
async def test_a_full_window_and_a_slow_disk_are_told(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(tmp_path / "r.jsonl", "r")
    intake = Intake(
        ListSource(ids(20)),
        ledger,
        Tally(),
        policy(),
        limit=None,
        on_invalid=lambda _: None,
        look_ahead=None,
        ahead=0,
    )
    clock = VirtualClock()
    backlog = Backlog(intake, window=2, clock=clock, settle_s=0.0, doubt_since=None)
    filling = asyncio.create_task(backlog.fill())
    full = "no more ids are taken in: {} in hand, {} of them for the disk; the window is 2"
    for taken in range(8):
        await asyncio.sleep(1)
        assert told.messages[-1] == full.format(2 + taken, taken)
        assert backlog.take(clock.now()) is not None
        backlog.now_written()
        backlog.let_go(0)
    await asyncio.sleep(1)
    assert told.messages[-1] == full.format(9, 8)
    assert backlog.in_hand - backlog.unsynced == 1
    filling.cancel()
    ledger.close()


def test_at_full_speed_no_request_costs_a_line(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    run_by_default(tmp_path, 2_000, Quick(), Settings(pace=PaceSettings(rate=10_000.0)))
    told_here = [each for each in told.records if not each.name.startswith("worker.pacing")]
    assert len(told_here) < 500
