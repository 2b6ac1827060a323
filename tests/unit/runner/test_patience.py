"""How long one id is waited for, in virtual time: to the end of patience, and no longer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.virtual_runs import run_by_default
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.outcomes import Error
from worker.settings import Settings
from worker.settings.model import StopSettings

AWAY = NoAnswer(Error("connect_failed", "no route"), may_have_arrived=False)
BUSY = Answer(429, b'{"type": "rate_limit_exceeded"}')


class Always:
    """Gives every request the same reply."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.asked_at: list[float] = []

    async def complete(self, id: str, departure: Departure | None = None) -> Reply:
        assert departure is not None
        if self._reply is AWAY or departure.leaves_at_once() or await departure(lambda: True):
            self.asked_at.append(asyncio.get_running_loop().time())
        return self._reply

    check = complete


def patience(seconds: float) -> Settings:
    return Settings(stop=StopSettings(patience=seconds))


@pytest.mark.parametrize("reply", [AWAY, BUSY])
@pytest.mark.parametrize("seconds", [5.0, 10.0, 25.0, 45.0, 60.0])
def test_while_nothing_is_let_through_the_last_try_is_made_when_patience_ends(
    tmp_path: Path, seconds: float, reply: Reply
) -> None:
    api = Always(reply)
    finished = run_by_default(tmp_path, 1, api, patience(seconds))
    assert finished.exit_code is ExitCode.UNAVAILABLE
    assert api.asked_at[-1] - api.asked_at[0] == pytest.approx(seconds, abs=0.1)
