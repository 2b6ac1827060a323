"""One cause for all: outcomes that together say that the run itself is wrong."""

from __future__ import annotations

from typing import Final

import msgspec

from worker.api.verdict import Settled
from worker.core.errors import RefusedError
from worker.core.outcomes import Error, ErrorType, Outcome

ENOUGH_FOR_A_SHARE: Final = 1000
"""S3 Batch Operations judges a share of failures after as many outcomes."""

_OWN_TYPES: Final = frozenset(ErrorType) - {ErrorType.UNEXPECTED_RESPONSE}
"""What a firewall answers in the API's place, it may answer to every completion."""


class MaxFailures(msgspec.Struct, frozen=True):
    """How many outcomes may be failures: a `count`, or a `share` of all once there are a thousand.

    None: no bound of that kind.
    """

    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> MaxFailures:
        """From `100` or `50%`; None is no bound. Raises ValueError for anything else."""
        if text is None:
            return cls()
        if text.endswith("%"):
            return cls(share=float(text[:-1]) / 100)
        return cls(count=int(text))

    def is_exceeded(self, failed: int, outcomes: int, failed_before: int = 0) -> bool:
        """`failed_before` counts for a number of failures alone."""
        if self.count is not None:
            return failed + failed_before > self.count
        if self.share is None or outcomes < ENOUGH_FOR_A_SHARE:
            return False
        return failed > self.share * outcomes


class Suspicion:
    """Looks at each outcome that a request had. `after` is how many alike are suspicious at the
    start of a run; None: any number may be."""

    def __init__(self, after: int | None, max_failures: MaxFailures) -> None:
        self._after = after
        self._max_failures = max_failures
        self._first: str | None = None
        self._are_alike = True
        self._outcomes = 0
        self._failed = 0
        self._failed_before = 0

    def count_ended(self, settled: Settled) -> RefusedError | None:
        """Count what a session had come to before the run, as a list told it; returns as `judge`.

        Such outcomes come before all others, and say nothing of how the run fares: they count for
        a number of failures, and for no share of them.
        """
        self._failed_before += settled.outcome is Outcome.FAILED
        most = self._max_failures.count
        failed = self._failed_before + self._failed
        return self._too_many_failures() if most is not None and failed > most else None

    def judge(self, settled: Settled) -> RefusedError | None:
        """Count one outcome; returns why the run must end, if it must."""
        self._outcomes += 1
        self._failed += settled.outcome is Outcome.FAILED
        if self._max_failures.is_exceeded(self._failed, self._outcomes, self._failed_before):
            return self._too_many_failures()
        kind = _kind_of(settled)
        if self._outcomes == 1:
            self._first = kind
        self._are_alike = self._are_alike and kind is not None and kind == self._first
        return self._all_alike(settled) if self._are_alike else None

    def _too_many_failures(self) -> RefusedError:
        failed = self._failed + self._failed_before
        of_how_many = f" of {self._outcomes}" if not self._failed_before else ""
        return RefusedError(
            f"{failed}{of_how_many} ids failed, more than --max-failures allows",
            "Look at the errors with `complete-sessions report RESULTS`. What failed is sent again"
            " by the same command; `--max-failures none` lets any number fail",
        )

    def _all_alike(self, settled: Settled) -> RefusedError | None:
        if self._outcomes != self._after:
            return None
        if settled.outcome is Outcome.NOT_FOUND:
            return RefusedError(
                f"none of the first {self._outcomes} ids was found in this account",
                "The ids belong to another account, or to the other kind of key (live or test)."
                " Where it is right so, set stop.suspicious_after to none",
            )
        error = settled.error
        said = f"{error.type}: {error.message}" if error is not None else "an error"
        return RefusedError(
            f"all of the first {self._outcomes} ids failed for one reason, {said}",
            f"{_mend(error)}, then run the same command again. Where it is right so, set"
            " stop.suspicious_after to none",
        )


def _mend(error: Error | None) -> str:
    if error is not None and error.type == ErrorType.UNEXPECTED_RESPONSE:
        return "Look at the proxy, the firewall or the ingress before the API"
    return "Mend what the API names"


def _kind_of(settled: Settled) -> str | None:
    """What outcomes that are alike have in common; None for those that are never suspicious."""
    if settled.outcome is Outcome.NOT_FOUND:
        return "not_found"
    if settled.outcome is Outcome.FAILED and settled.error is not None:
        kind = settled.error.type
        return None if kind in _OWN_TYPES or kind.startswith("http_") else f"failed {kind}"
    return None
