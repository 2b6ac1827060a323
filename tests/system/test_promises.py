"""The promises, held against an API that does whatever it likes and runs that end whenever."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.run_harness import DONE, Ended, RunHarness, ids
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode, WorkerError
from worker.core.outcomes import Error

STARTED = Answer(200, b'{"status": "started"}')
LOST = NoAnswer(Error("connection_reset", "gone"), may_have_arrived=True)
UNSENT = NoAnswer(Error("connect_failed", "nobody there"), may_have_arrived=False)
BUSY = Answer(429, b'{"type": "rate_limit_exceeded", "message": "slow"}')
BROKEN = Answer(500, b'{"type": "internal_server_error", "message": "oh"}')
EMPTY = Answer(200, b"")
PAGE = Answer(502, b"<html>Bad gateway</html>")

AMBIGUOUS = (LOST, BROKEN, EMPTY, PAGE)


class StopError(WorkerError):
    exit_code = ExitCode.TERMINATED


class Whimsical:
    """An API of sessions that acts or not, and tells or not, as its dice fall.

    It holds all ids to the rule that is being tested: whoever completes a session that may have
    been completed already, without having read it as started since, has done it twice.
    """

    def __init__(self, seed: int, malice: float, stop_after: int) -> None:
        self._dice = Random(seed)
        self._malice = malice
        self._stop_after = stop_after
        self.triggered: Counter[str] = Counter()
        self.in_doubt: set[str] = set()
        self.sins: list[str] = []
        self.requests = 0
        self.enough = asyncio.Event()

    async def complete(self, id: str, departure: Departure) -> Reply:
        if id in self.in_doubt:
            self.sins.append(f"{id} was sent again without being read")
        self._count()
        if self._dice.random() >= self._malice:
            self.triggered[id] += 1
            await self._dawdle()
            return DONE
        reply = self._dice.choice((*AMBIGUOUS, *AMBIGUOUS, UNSENT, BUSY))
        if reply in AMBIGUOUS:
            self.in_doubt.add(id)
            self.triggered[id] += self._dice.random() < 0.5
        await self._dawdle()
        return reply

    async def check(self, id: str, departure: Departure) -> Reply:
        self._count()
        await self._dawdle()
        if self._dice.random() < self._malice:
            return self._dice.choice((*AMBIGUOUS, UNSENT, BUSY))
        self.in_doubt.discard(id)
        return DONE if self.triggered[id] else STARTED

    def _count(self) -> None:
        self.requests += 1
        if self.requests == self._stop_after:
            self.enough.set()

    async def _dawdle(self) -> None:
        for _ in range(self._dice.randrange(4)):
            await asyncio.sleep(0)


async def runs_to_the_end(here: RunHarness, api: Whimsical, end: str) -> Ended:
    """Runs until one exits with 0; the first is stopped or aborted in its midst."""
    runs = 0
    while True:
        run = asyncio.create_task(here.run(client=api, retry_max_attempts=3))
        if runs == 0:
            enough = asyncio.create_task(api.enough.wait())
            await asyncio.wait([run, enough], return_when=asyncio.FIRST_COMPLETED)
            enough.cancel()
            getattr(here.runner, end)(StopError(end))
        ended = await run
        runs += 1
        if ended.code is ExitCode.OK:
            return ended
        assert ended.code in (ExitCode.SOME_FAILED, ExitCode.TERMINATED)
        assert runs < 60


@pytest.mark.parametrize("end", ["stop", "abort"])
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32),
    malice=st.sampled_from([0.1, 0.4, 0.7]),
    stop_after=st.integers(1, 60),
    slots=st.integers(1, 8),
    window=st.integers(8, 40),
)
async def test_nothing_is_lost_and_nothing_done_twice(
    end: str, seed: int, malice: float, stop_after: int, slots: int, window: int
) -> None:
    some = ids(24)
    with tempfile.TemporaryDirectory() as directory:
        here = RunHarness(Path(directory), pace_concurrency=slots, pace_window=window)
        here.backlog.write_text("\n".join([*some, *some[::5]]))
        api = Whimsical(seed, malice, stop_after)
        ended = await runs_to_the_end(here, api, end)
        assert api.sins == []
        assert api.triggered == Counter(some)
        assert ended.outcomes == {"processing": 24}
        assert not ended.journal_stays
