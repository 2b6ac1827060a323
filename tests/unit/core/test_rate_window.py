from __future__ import annotations

import pytest

from worker.core.rate_window import RateWindow


def test_knows_no_rate_before_time_has_passed() -> None:
    window = RateWindow(5.0)
    assert (window.per_second, window.seconds) == (0.0, 0.0)
    window.read(1.0, 7)
    window.read(1.0, 9)
    assert window.per_second == 0.0


def test_counts_what_came_within_the_window_alone() -> None:
    window = RateWindow(5.0)
    for second in range(11):
        window.read(float(second), 100 if second <= 5 else 100 + 2 * (second - 5))
    assert window.seconds == 5.0
    assert window.per_second == pytest.approx(2.0)


def test_a_long_gap_between_two_readings_makes_the_window_longer() -> None:
    window = RateWindow(5.0)
    window.read(0.0, 0)
    window.read(60.0, 120)
    assert (window.seconds, window.per_second) == (60.0, 2.0)


def test_forgets_what_it_has_read() -> None:
    window = RateWindow(5.0)
    window.read(0.0, 0)
    window.clear()
    window.read(1.0, 50)
    assert window.per_second == 0.0
