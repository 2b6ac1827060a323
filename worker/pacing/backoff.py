"""How long an id waits for its retry. Pure: numbers in, seconds out."""

from __future__ import annotations

from random import Random
from typing import Final

_MOST_DOUBLINGS: Final = 63
"""More than any bound needs, and far from where a float overflows: held by
`test_a_throttle_delay_doubles_and_is_at_most_a_quarter_longer`."""

_SHORTEST_SHARE: Final = 0.1
"""Full jitter (Exponential Backoff And Jitter, AWS Architecture Blog) allows no wait at all, which
would hammer an API that has just failed; a higher share would bunch retries. Held by
`test_transient_delays_are_spread_over_the_whole_range`."""

_THROTTLE_JITTER: Final = 0.25
"""A choice: enough to spread ids that were throttled together over seconds
(`test_ids_that_were_throttled_together_do_not_wake_together`), and never less than was asked for
(RFC 9110, 10.2.3)."""


def _doubled(initial: float, times: int, maximum: float) -> float:
    return min(maximum, initial * 2.0 ** min(max(times, 0), _MOST_DOUBLINGS))


def transient_delay(failures: int, *, initial: float, maximum: float, random: Random) -> float:
    """Seconds to wait after the `failures`-th transient failure of an id (1 for the first).

    Full jitter: uniform between 0 and `initial`, doubled with each failure up to `maximum`; at
    least a tenth of `initial`.
    """
    bound = _doubled(initial, failures - 1, maximum)
    return max(initial * _SHORTEST_SHARE, random.uniform(0.0, bound))


def throttle_delay(throttles: int, *, initial: float, maximum: float, random: Random) -> float:
    """Seconds to wait after the `throttles`-th 429 of an id (1 for the first) that names no time.

    `initial`, doubled with each 429 up to `maximum`; plus jitter.
    """
    return with_jitter(_doubled(initial, throttles - 1, maximum), random)


def with_jitter(delay: float, random: Random) -> float:
    """Up to 25 % more, so that many ids that were throttled together do not wake together."""
    return delay * random.uniform(1.0, 1.0 + _THROTTLE_JITTER)
