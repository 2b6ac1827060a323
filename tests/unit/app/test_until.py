"""--until on ordinary nights, and on those on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.app.until import seconds_until

MINUTE = 60


pytestmark = pytest.mark.usefixtures("central_europe")


def minutes(utc: str, hour: int, minute: int) -> float:
    now = datetime.fromisoformat(utc).replace(tzinfo=UTC).astimezone()
    return seconds_until(hour, minute, now) / MINUTE


@pytest.mark.parametrize(
    ("utc", "until", "expected"),
    [
        ("2026-06-10 00:00", (6, 0), 4 * 60),
        ("2026-06-10 04:00", (6, 0), 24 * 60),
        # 2026-10-25: 02:30 comes at 00:30 and at 01:30 UTC.
        ("2026-10-25 00:00", (2, 30), 30),
        ("2026-10-25 00:45", (2, 30), 45),
        ("2026-10-25 01:15", (2, 30), 15),
        ("2026-10-25 01:45", (2, 30), 23 * 60 + 45),
        ("2026-10-24 23:00", (6, 0), 6 * 60),
        # 2026-03-29: the clock goes from 02:00 to 03:00 at 01:00 UTC.
        ("2026-03-29 00:30", (2, 30), 60),
        ("2026-03-29 01:45", (2, 30), 22 * 60 + 45),
        ("2026-03-28 23:00", (6, 0), 5 * 60),
    ],
)
def test_the_time_of_day_is_the_next_that_the_clock_shows(
    utc: str, until: tuple[int, int], expected: float
) -> None:
    assert minutes(utc, *until) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 366 * 24 * 60), st.integers(0, 23), st.integers(0, 59))
def test_it_is_never_past_and_never_much_more_than_a_day_away(
    minute_of_year: int, hour: int, minute: int
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    now = (start + timedelta(minutes=minute_of_year)).astimezone()
    assert 0 < seconds_until(hour, minute, now) <= 25 * 60 * MINUTE
