"""Lateness: made up where bursts may pass, and nowhere else."""

from __future__ import annotations

from itertools import pairwise

import pytest

from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.burst_probe import BurstProbe
from worker.pacing.permits import Permit
from worker.pacing.spacing import Spacing


def sent(spacing: Spacing, count: int, *, late_s: float, is_answered: bool = True) -> list[float]:
    """When requests leave that are each so late; their limiter lets all of them through."""
    now, times = 0.0, []
    for number in range(count):
        now = max(now, spacing.next_at(now)) + late_s
        spacing.departed(number, now)
        if is_answered:
            spacing.answered(Permit(number, now), now)
        times.append(now)
    return times


def spacing_at(rate: float, first_probe: int | None) -> Spacing:
    return Spacing(AdaptiveRate(rate), BurstProbe(int(rate), first_probe))


@pytest.mark.parametrize("rate", [10.0, 100.0])
def test_where_bursts_may_pass_a_little_lateness_costs_nothing(rate: float) -> None:
    times = sent(spacing_at(rate, first_probe=10), 3000, late_s=0.002)[1000:]
    assert len(times) / (times[-1] - times[0]) == pytest.approx(rate, rel=0.005)


def test_where_that_is_not_known_each_gap_is_counted_from_when_the_last_one_left() -> None:
    times = sent(spacing_at(10.0, first_probe=None), 500, late_s=0.002)
    assert min(after - at for at, after in pairwise(times[1:])) >= 0.1


def test_idleness_is_not_made_up() -> None:
    spacing = spacing_at(10.0, first_probe=10)
    now = sent(spacing, 1000, late_s=0.0)[-1] + 60.0
    spacing.departed(1000, now)
    assert spacing.next_at(now) > now
