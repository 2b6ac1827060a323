"""A whole run at rates by the time of day, on the night when clocks go back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.run_harness import DONE
from tests.support.virtual_runs import run_by_default
from tests.support.virtual_time import VirtualClock
from worker.api.verdict import Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.events import Event, RateChanged
from worker.settings import Settings
from worker.settings.model import PaceSettings

TEN_IN_THE_EVENING = datetime(2026, 10, 24, 20, tzinfo=UTC)
"""22:00 in central Europe; at 03:00, five hours later, the clock goes back to 02:00."""


class NightClock(VirtualClock):
    def utc(self) -> datetime:
        return TEN_IN_THE_EVENING + timedelta(seconds=self.now())


class CountingApi:
    """Completes everything at once, and counts by the hour since the start."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.by_hour = [0] * 10

    async def complete(self, id: str, departure: Departure) -> Reply:
        del id
        self.by_hour[int(self._clock.now() // 3600)] += 1
        return DONE

    async def check(self, id: str, departure: Departure) -> Reply:
        raise AssertionError(id)


class RateLog:
    """When the rate changed, in hours since the start."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.changes: list[tuple[float, float]] = []

    def notice(self, event: Event) -> None:
        if isinstance(event, RateChanged):
            self.changes.append((round(self._clock.now() / 3600, 2), event.rate))


@pytest.mark.usefixtures("central_europe")
def test_a_run_keeps_to_its_timetable_on_the_night_when_clocks_go_back(tmp_path: Path) -> None:
    clock = NightClock()
    api, log = CountingApi(clock), RateLog(clock)
    rates = Settings(pace=PaceSettings(rate="22:00,0.1 23:00,0 02:30,0.2 05:00,0.1"))
    finished = run_by_default(tmp_path, 2880, api, rates, clock=clock, observers=[log])
    assert finished.exit_code is ExitCode.OK
    # 02:30 comes first after four and a half hours, and 05:00 after eight.
    assert log.changes == [(1.0, 0), (4.5, 0.2), (8.0, 0.1)]
    assert api.by_hour == pytest.approx([360, 0, 0, 0, 360, 720, 720, 720, 0, 0], abs=15)
    assert finished.tally.paused_s == pytest.approx(3.5 * 3600, abs=10)
