"""How the rate comes back after it was lowered. Ages are seconds in which requests were sent."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

# Each was found by simulation; the scene of tests/unit/pacing/test_adaptive_scenes.py, or the test,
# that is named beside it fails where it is far from that.

# Less takes too long to come back, more costs refusals: "no burst, 30 ms".
_RISE: Final = 0.05

_STEEPEST: Final = 50.0
"""An exponent that no float overflows at, and no rate is ever held up by."""

# Longer ones cost the way back up: "no burst, 30 ms". That it is no shorter is a choice: each climb
# costs refusals.
_SHORTEST_HOLD_S: Final = 8.0

# Near what is asked for there is little to be won: "10 in any second, 30 ms".
_LONGEST_HOLD_S: Final = 40.0

# One refusal in so many, and no longer: "2 in any second".
_REQUESTS_HELD: Final = 60
_LONGEST_HOLD_FOR_REQUESTS_S: Final = 14.0

# The part that is to be won from which on holds are short: "10 in any second, 100 ms".
_FAR: Final = 0.8


class Climb(NamedTuple):
    """The rate by age, in requests a second.

    It begins at `start`, is at `plateau` after `recovery_s`, and 5 % above that after another
    `hold_s`. As in CUBIC (RFC 9438) it is steep at first, flat around the plateau, and the steeper
    the longer nothing is refused.
    """

    start: float
    plateau: float
    recovery_s: float
    hold_s: float

    @property
    def is_possible(self) -> bool:
        """Whether there is a rate above 0 at each age."""
        return min(self.start, self.plateau, self.hold_s) > 0.0 and all(map(math.isfinite, self))

    def rate(self, age_s: float) -> float:
        """Requests a second, `age_s` seconds after the climb began."""
        if age_s < self.recovery_s:
            left = 1.0 - age_s / self.recovery_s
            return self.plateau - (self.plateau - self.start) * left**3
        holds = (age_s - self.recovery_s) / self.hold_s
        return self.plateau * math.exp(min(_RISE * holds**4, _STEEPEST))


def hold_s(plateau: float, ceiling: float) -> float:
    """For how long a plateau is kept: the longer, the less there is to be won above it.

    Every climb ends with refusals: they are to be few beside what is sent meanwhile.
    """
    for_requests_s = min(_REQUESTS_HELD / plateau, _LONGEST_HOLD_FOR_REQUESTS_S)
    to_be_won = max(ceiling / plateau - 1.0, 0.01)
    stretch = max(_FAR / to_be_won, 1.0)
    return min(max(for_requests_s, _SHORTEST_HOLD_S) * stretch, _LONGEST_HOLD_S)
