"""Page's CUSUM (Biometrika 41, 1954): whether many more are refused than before, and since when."""

from __future__ import annotations

import math
from typing import Final

_MANY: Final = 0.3
"""The share refused that is looked for: a limit of 7 where 10 are sent. Held by
`test_every_other_one_refused_is_a_change` and `test_isolated_refusals_are_none`."""

_CERTAIN: Final = 7.0
"""By chance alone this is reached about once in e^7 requests. Held by
`test_it_hardly_ever_takes_chance_for_a_change` and `test_every_other_one_refused_is_a_change`."""

_FEWEST: Final = 3
"""Fewer may be chance whatever the sum says. A choice: two may be one hiccup."""

_DOUBT: Final = 2
"""As if so many more had been let through: a choice, so that what three refusals tell is no rate of
next to nothing."""


class Cusum:
    """The sum of log likelihood ratios, many refused to as few as usual, which never falls below 0.

    Where it last was 0 is where the change most likely began: what was sent since tells how much
    is refused now.
    """

    def __init__(self) -> None:
        self._refusal = self._answer = 0.0
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._sum = 0.0
        self._sent = self._refused = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing was refused since the sum last was 0."""
        return self._sent == 0

    @property
    def is_certain(self) -> bool:
        """Whether it is no chance that so much was refused."""
        return self._sum > _CERTAIN and self._refused >= _FEWEST

    @property
    def share(self) -> float:
        """The share refused since the change, a little less as long as there is little to go by."""
        return self._refused / (self._sent + _DOUBT)

    @property
    def counts(self) -> tuple[int, int]:
        """What was sent since the change, and how much of it was refused."""
        return self._sent, self._refused

    def refused(self, usual: float) -> None:
        """A request was refused; `usual` is the share that was so before, more than 0."""
        if self.is_idle:
            self._refusal = math.log(_MANY / usual)
            self._answer = math.log((1.0 - _MANY) / (1.0 - usual))
        self._sum += self._refusal
        self._sent += 1
        self._refused += 1

    def answered(self) -> None:
        """A request was let through. Nothing has begun before one is refused."""
        if self.is_idle:
            return
        self._sum += self._answer
        self._sent += 1
        if self._sum <= 0.0:
            self.reset()
