"""How long an id waits for its retry."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pacing.backoff import throttle_delay, transient_delay, with_jitter

_counts = st.integers(1, 10**9)
_seeds = st.integers(0, 2**32)
_seconds = st.floats(0.001, 1000.0)


@given(_counts, _seconds, st.floats(1.0, 1000.0), _seeds)
def test_a_transient_delay_lies_between_a_tenth_of_the_first_bound_and_the_doubled_bound(
    failures: int, initial: float, factor: float, seed: int
) -> None:
    maximum = initial * factor
    delay = transient_delay(failures, initial=initial, maximum=maximum, random=Random(seed))
    bound = min(maximum, initial * 2 ** min(failures - 1, 60))
    assert initial / 10 <= delay <= bound * (1 + 1e-9)


@pytest.mark.parametrize(("failures", "bound"), [(1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0)])
def test_transient_delays_are_spread_over_the_whole_range(failures: int, bound: float) -> None:
    random = Random(1)
    delays = [
        transient_delay(failures, initial=1.0, maximum=60.0, random=random) for _ in range(2000)
    ]
    assert min(delays) < bound * 0.11
    assert max(delays) > bound * 0.99
    assert sum(delays) / len(delays) == pytest.approx(bound / 2, rel=0.05)


@given(_counts, _seconds, st.floats(1.0, 1000.0), _seeds)
def test_a_throttle_delay_doubles_and_is_at_most_a_quarter_longer(
    throttles: int, initial: float, factor: float, seed: int
) -> None:
    maximum = initial * factor
    delay = throttle_delay(throttles, initial=initial, maximum=maximum, random=Random(seed))
    own = min(maximum, initial * 2 ** min(throttles - 1, 60))
    assert own <= delay <= own * 1.25 * (1 + 1e-9)


def test_ids_that_were_throttled_together_do_not_wake_together() -> None:
    random = Random(1)
    delays = {with_jitter(600.0, random) for _ in range(20)}
    assert len(delays) == 20
    assert max(delays) - min(delays) > 60.0
