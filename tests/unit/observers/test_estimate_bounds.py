"""The time left of a run that ends before its source does."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.sample_events import EIGHT, tally
from worker.core.events import Snapshot
from worker.observers.estimate import Estimate
from worker.observers.progress import View, draw

# At 8 a second.
WHOLE = Snapshot(tally(), 0.0, 100_000, 12, 3, 8.0, 7.83, None, False, EIGHT, 0.0)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, (100_000 - WHOLE.tally.done) / 8),
        ({"limit": WHOLE.tally.recorded + 80}, 10),
        ({"limit": 10**9}, (100_000 - WHOLE.tally.done) / 8),
        ({"deadline_in_s": 30.0}, 30),
        ({"limit": WHOLE.tally.recorded + 80, "deadline_in_s": 30.0}, 10),
        ({"limit": 0}, 0),
    ],
)
def test_a_run_lasts_until_its_first_bound(bounds: dict[str, float], expected: float) -> None:
    assert Estimate().update(msgspec.structs.replace(WHOLE, **bounds)) == expected


@pytest.mark.parametrize(
    ("limit", "total"),
    [
        (None, 100_000),
        (WHOLE.tally.recorded + 200, WHOLE.tally.done + 200),
        (10**9, 100_000),
    ],
)
def test_the_bar_counts_up_to_the_limit(limit: int | None, total: int) -> None:
    done = WHOLE.tally.done
    text = draw(View(msgspec.structs.replace(WHOLE, limit=limit)), 200)[0].plain
    assert f"{done:,} of {total:,}" in text
    assert f"{100 * done // total} %" in text


def test_a_limited_run_that_is_done_says_so() -> None:
    at_end = msgspec.structs.replace(
        WHOLE, tally=tally(60), limit=tally(60).recorded, total=100_000
    )
    text = draw(View(at_end), 200)[0].plain
    assert f"{at_end.tally.done} of {at_end.tally.done}" in text
    assert "100 %" in text
