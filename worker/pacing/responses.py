"""What became of requests at each rate, lately. Times are seconds of any one clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

# Each was found by simulation; the scene of tests/unit/pacing/test_adaptive_scenes.py, or the test,
# that is named beside it fails where it is far from that.

# Fine enough to tell a rate from one that jitter makes too fast: "10 in any second, 30 ms".
_STEPS_PER_E: Final = 50

# Steps that count as one rate, and that are surely others: "1 % shed".
_NEAR: Final = 2
_AFAR: Final = 4

# Longer than a climb, so that what was refused at its end is known at the next: "5 % shed".
_HALF_LIFE_S: Final = 40.0

# Less than the 1 % that may be refused, and one by chance: test_a_few_among_hundreds_are_tolerated.
_TOLERATED: Final = 0.007
_DOUBT: Final = 1.0

# What the API sheds at any rate. More than a twentieth is no such thing: then others use up the
# account's limit, and they come first. "1 % shed" and "5 % shed".
_SLOWER: Final = 0.92
_MOST_SHED: Final = 0.06

# What is shed varies: "5 % shed" fails without a margin.
_SHED_MARGIN: Final = 1.25

# As many as it takes for a share of a few per cent to be no chance. Where they are many more, what
# is shed holds the rate down: "5 % shed". With a quarter of the first, customers do:
# test_half_a_minute_after_the_customers_have_gone_it_is_back.
_REQUESTS_TO_TELL: Final = 60
_REQUESTS_TO_RETURN: Final = 30
_REFUSALS_TO_TELL: Final = 2.5


def step_of(rate: float) -> int:
    """Rates are told apart in steps of 2 %."""
    return round(math.log(rate) * _STEPS_PER_E)


def rate_of(step: int) -> float:
    """The rate, in requests a second, in the middle of a step."""
    return math.exp(step / _STEPS_PER_E)


class ResponseCounts(NamedTuple):
    """How many were sent, and how many of them refused; fractions, as older ones count for less."""

    sent: float
    refused: float

    @property
    def share(self) -> float:
        return self.refused / self.sent if self.sent else 0.0


@dataclass(slots=True)
class _Cell:
    sent: float
    refused: float
    at: float

    def tally(self, now: float) -> ResponseCounts:
        left = math.exp2((self.at - now) / _HALF_LIFE_S)
        return ResponseCounts(self.sent * left, self.refused * left)


class Responses:
    """How many were sent and refused at each rate; half of that is forgotten in 40 s."""

    def __init__(self) -> None:
        self._cells: dict[int, _Cell] = {}

    def add(self, step: int, now: float, *, refused: bool) -> None:
        """Count a request that was sent at `now` seconds, at the rate of a step."""
        cell = self._cells.get(step)
        if cell is None:
            cell = self._cells[step] = _Cell(0.0, 0.0, now)
        elif now - cell.at >= 1.0:
            cell.sent, cell.refused = cell.tally(now)
            cell.at = now
        cell.sent += 1.0
        cell.refused += refused

    def replace(self, step: int, now: float, sent: float, refused: float, *, above: int) -> None:
        """Forget all that was known of the steps beyond `above` but this: it holds no more."""
        self._cells = {kept: cell for kept, cell in self._cells.items() if kept <= above}
        self._cells[step] = _Cell(sent, refused, now)

    def from_step(self, step: int, now: float) -> ResponseCounts:
        """What was refused at about this rate, and at higher ones."""
        return self._sum(now, step - _NEAR, math.inf)

    def is_too_fast(self, step: int, now: float) -> bool:
        """Whether more is refused at about this rate than is tolerated, or shed anyway."""
        return self._is_too_much(step, self.from_step(step, now), now)

    def returning(self, step: int, now: float) -> int | None:
        """A higher step that was left because of refusals, where going slower bought nothing."""
        for higher in sorted(self._cells, reverse=True):
            if higher < step + _AFAR:
                break
            tally = self.from_step(higher, now)
            if tally.sent < _REQUESTS_TO_RETURN or tally.refused < 1.0:
                continue
            is_shed = self._shed_below(higher, tally, now) > 0.0
            if is_shed and not self._is_too_much(higher, tally, now):
                return higher
        return None

    def _is_too_much(self, step: int, tally: ResponseCounts, now: float) -> bool:
        tolerated = _TOLERATED + _SHED_MARGIN * self._shed_below(step, tally, now)
        return tally.refused > tolerated * tally.sent + _DOUBT

    def _shed_below(self, step: int, tally: ResponseCounts, now: float) -> float:
        """The share that is surely refused even at rates where no limit would refuse anything.

        If a limit refused a share of what is sent at this rate, it would let the rest through: at
        that rate and below it nothing is refused but what is shed.
        """
        through = max(min(1.0 - tally.share, _SLOWER), 0.01)
        slower = self._sum(now, -math.inf, step + math.log(through) * _STEPS_PER_E + 0.5)
        if slower.sent < _REQUESTS_TO_TELL or slower.refused < _REFUSALS_TO_TELL:
            return 0.0
        surely = max(slower.refused - math.sqrt(slower.refused), 0.0)
        return min(surely / slower.sent, _MOST_SHED)

    def _sum(self, now: float, lowest: float, highest: float) -> ResponseCounts:
        tallies = [
            cell.tally(now) for step, cell in self._cells.items() if lowest <= step <= highest
        ]
        return ResponseCounts(
            sum(each.sent for each in tallies), sum(each.refused for each in tallies)
        )

    def dump(self, now: float) -> str:
        """`step:sent:refused` of each step that is not forgotten yet."""
        tallies = {step: cell.tally(now) for step, cell in sorted(self._cells.items())}
        return " ".join(
            f"{step}:{tally.sent:.3g}:{tally.refused:.3g}"
            for step, tally in tallies.items()
            if tally.sent >= 1.0
        )

    @classmethod
    def load(cls, dumped: list[str], now: float) -> Responses:
        """What `dump` told, as of `now`. Raises ValueError where it is something else."""
        responses = cls()
        for cell in dumped:
            step, sent, refused = cell.split(":")
            responses._cells[int(step)] = _Cell(float(sent), float(refused), now)
        return responses
