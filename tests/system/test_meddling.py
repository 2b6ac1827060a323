"""Sources that break off, and logs that somebody changes while a run lasts."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from tests.support.run_harness import DONE, Held, RunHarness, harness, ids, journal_of, sessions
from worker.api.verdict import Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.events import Event, OutcomesRecorded
from worker.sandbox.config import SandboxConfig


async def test_a_source_that_breaks_off_is_completed_as_far_as_it_goes(tmp_path: Path) -> None:
    some = ids(50_000)
    async with harness(tmp_path, SandboxConfig(any_id=True, limit=0)) as (here, sandbox):
        packed = gzip.compress("\n".join(some).encode())
        here.backlog.write_bytes(packed[: len(packed) // 100])
        ended = await here.run()
        assert ended.code is ExitCode.INPUT_UNREADABLE
        assert "cannot be read after line" in ended.finished.reason
        assert ended.outcomes["processing"] == sandbox.sessions.triggered > 0
        assert not ended.finished.complete_input


class Meddler:
    """Does something to the log as soon as it holds a first outcome."""

    def __init__(self, results: Path, deed: str) -> None:
        self._results = results
        self._deed = deed
        self.counted = 0

    def notice(self, event: Event) -> None:
        if not isinstance(event, OutcomesRecorded):
            return
        if not self.counted:
            self._act()
        self.counted += len(event.records)

    def _act(self) -> None:
        if self._deed == "remove":
            self._results.unlink()
        elif self._deed == "truncate":
            os.truncate(self._results, 0)
        else:
            self._results.rename(self._results.with_suffix(".away"))
            self._results.touch()


@pytest.mark.parametrize("deed", ["remove", "truncate", "replace"])
async def test_a_log_that_somebody_changes_stops_the_run(tmp_path: Path, deed: str) -> None:
    some = ids(1500)
    async with harness(tmp_path, sessions(some)) as (here, sandbox):
        meddler = Meddler(here.results, deed)
        ended = await here.run(some, observers=[meddler])
        assert ended.code is ExitCode.LOG_UNWRITABLE
        assert str(here.results) in ended.finished.reason
        assert here.runner.defects == []
        tally = ended.finished.tally
        assert tally.recorded == meddler.counted < 1500
        assert tally.not_attempted == tally.input - meddler.counted
        assert ended.journal_stays
        again = await here.run()
        assert (again.code, again.outcomes["processing"]) == (ExitCode.OK, 1500)
        assert sandbox.sessions.triggered_twice == {}


async def test_a_journal_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    some = ids(1500)

    class Remover:
        def notice(self, event: Event) -> None:
            if isinstance(event, OutcomesRecorded):
                journal_of(here.results).unlink(missing_ok=True)

    async with harness(tmp_path, sessions(some)) as (here, sandbox):
        ended = await here.run(some, observers=[Remover()])
        assert ended.code is ExitCode.LOG_UNWRITABLE
        assert "journal" in ended.finished.reason
        assert ended.finished.tally.recorded == ended.outcomes["processing"] < 1500
        assert sandbox.sessions.triggered < 1500


class Staggered(Held):
    """The first request is answered at once, the second when that is on disk, the others never."""

    def __init__(self, first_durable: asyncio.Event) -> None:
        super().__init__()
        self._first_durable = first_durable

    async def complete(self, id: str, departure: Departure) -> Reply:
        if id == ids(1)[0]:
            return DONE
        if id == ids(2)[1]:
            await self._first_durable.wait()
            return DONE
        return await super().complete(id, departure)


async def test_nothing_in_flight_is_waited_for_when_its_outcome_could_not_be_written(
    tmp_path: Path,
) -> None:
    durable = asyncio.Event()
    here = RunHarness(tmp_path)

    class Remover:
        def notice(self, event: Event) -> None:
            if isinstance(event, OutcomesRecorded):
                here.results.unlink()
                durable.set()

    ended = await here.run(ids(9), client=Staggered(durable), observers=[Remover()])
    assert ended.code is ExitCode.LOG_UNWRITABLE
    assert (ended.finished.tally.recorded, ended.finished.tally.not_attempted) == (1, 8)
    assert ended.journal_stays
