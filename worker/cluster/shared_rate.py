"""What the API lets through, as all runs on an account have learnt it. Time is an argument."""

from __future__ import annotations

from collections.abc import Callable

from worker.pacing.adaptive import AdaptiveRate


class SharedRate(AdaptiveRate):
    """The adaptive rate as all runs on the account see it: whoever is throttled cuts it for all."""

    def __init__(self, ceiling: float, on_cut: Callable[[int, str], None]) -> None:
        super().__init__(ceiling)
        self.asked = ceiling
        self.limit = ceiling
        """The lowest rate that any run on the account is asked for."""
        self._on_cut = on_cut
        self._cuts = 0

    @property
    def cuts(self) -> int:
        """Of how many cuts of the account's rate this run knows."""
        return self._cuts

    def rate(self, now: float) -> float:
        return min(super().rate(now), self.limit)

    def limit_to(self, ceiling: float, now: float) -> None:
        super().limit_to(ceiling, now)
        self.asked = ceiling

    def throttled(self, sent_at: float, now: float, *, was_early: bool = False) -> bool:
        changes = self.changes
        is_news = super().throttled(sent_at, now, was_early=was_early)
        if self.changes != changes:
            self._on_cut(self._cuts, self.state(now))
            # As it is counted there, unless another run was first: then its next one is adopted.
            self._cuts += 1
        return is_news

    def follow(self, now: float, cuts: int, curve: str, age_s: float) -> None:
        """Adopt what the account's runs had learnt at the last cut, if that is news."""
        if cuts == self._cuts:
            return
        self._cuts = cuts
        # Where Redis has lost its data the curve is empty: what this run has learnt still holds.
        self.adopt(curve, now - age_s)
