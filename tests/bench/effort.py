"""How much is measured. Counts are of ids, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    rounds: int | None = None
    """Of every table; None leaves it to the table."""
    slow_ids: int = 300
    fast_ids: int = 10_000
    settle_s: float = 35.0
    scene_s: float = 60.0
    scenes: tuple[str, ...] | None = None
    """Which scenes of the limiters; None are all."""
    shared_s: float = 180.0
    alone_s: float = 32.0
    crowded_s: float = 60.0
    outage_s: float = 30.0
    before_outage_s: float = 10.0
    after_outage_s: float = 5.0
    default_timeout: bool = True
    """Whether a black hole is also met with the request timeout that stands in the settings."""
    cost_share: float = 1.0
    bulk_ids: int = 20_000
    single_ids: int = 2_000
    done_shares: tuple[str, ...] = ("none", "half", "most")
    settled_ids: int = 1_000_000
    memory_ids: int = 100_000
    starts: int = 15
    is_huge: bool = False

    def rounds_or(self, usual: int) -> int:
        return self.rounds or usual


FULL = Effort()
QUICK = Effort(
    rounds=1,
    slow_ids=10,
    fast_ids=200,
    settle_s=1.0,
    scene_s=2.0,
    scenes=("sliding, 30 ms", "no burst"),
    shared_s=4.0,
    alone_s=2.0,
    crowded_s=2.0,
    outage_s=2.0,
    before_outage_s=1.5,
    after_outage_s=1.0,
    default_timeout=False,
    cost_share=0.02,
    bulk_ids=2_000,
    single_ids=100,
    settled_ids=20_000,
    memory_ids=4_000,
    starts=3,
)
