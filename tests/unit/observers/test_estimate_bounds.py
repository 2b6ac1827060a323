"""The time left of a run that ends before its source does."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.sample_events import tally
from worker.core.events import Snapshot
from worker.observers.estimate import Estimate

# At 8 a second.
WHOLE = Snapshot(tally(), 0.0, 100_000, 12, 3, 8.0, 7.83, None, False)


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
