"""What a run was told to keep to."""

from __future__ import annotations

import msgspec

from worker.runner.suspicion import MaxFailures


class Limits(msgspec.Struct, frozen=True):
    """How much a run may have in hand, and when it ends early; `deadline` on the run's clock."""

    concurrency: int = 32
    window: int = 256
    limit: int | None = None
    deadline: float | None = None
    deadline_name: str = ""
    tick_s: float = 1.0
    suspicious_after: int | None = 20
    max_failures: MaxFailures = MaxFailures(share=0.5)

    def seconds_left(self, now: float) -> float | None:
        """Until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(self.deadline - now, 0.0)
