"""What a run was told to keep to."""

from __future__ import annotations

import msgspec

from worker.runner.suspicion import MaxFailures


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a run may have in hand, and when it ends early; `deadline` on the run's clock.

    With `auto_concurrency` no more than `concurrency` are in flight, and as few as it takes.
    """

    concurrency: int
    auto_concurrency: bool
    window: int
    limit: int | None
    deadline: float | None
    deadline_name: str
    tick_s: float
    suspicious_after: int | None
    max_failures: MaxFailures

    def seconds_left(self, now: float) -> float | None:
        """Until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(self.deadline - now, 0.0)
