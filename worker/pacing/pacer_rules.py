"""How long a pacer waits for an API that is down, or throttles everything."""

from __future__ import annotations

from typing import Final

import msgspec

from worker.core.breaker import Rules

THROTTLED_AFTER: Final = 5
"""Round trips in a row that brought 429s and no success pause everyone. Found by
`test_when_the_quota_ends_in_full_run_few_requests_are_wasted`."""


class PacerRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a pacer lets nothing but probes leave, and for how long; times in seconds.

    An outage begins with `outage_after` failures in a row; the waits before probes are those of the
    backoff, and `patience_s` is how long either pause is waited for. A permit that is older than
    `valid_s` is not used.
    """

    outage_after: int
    backoff_initial_s: float
    backoff_max_s: float
    throttle_initial_s: float
    throttle_max_s: float
    patience_s: float
    valid_s: float

    def on_outage(self) -> Rules:
        """The rules of the breaker for an API that is down."""
        return Rules(self.outage_after, self.backoff_initial_s, self.backoff_max_s, self.patience_s)

    def on_throttling(self) -> Rules:
        """The rules of the breaker for an API that throttles everything."""
        return Rules(THROTTLED_AFTER, self.throttle_initial_s, self.throttle_max_s, self.patience_s)
