"""Holds results logs against the API's own account of the sessions: what agrees and what does not.

It changes nothing, neither at the API nor in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from worker.api.verdict import Settled, Transient, Unfinished
from worker.core.outcomes import Outcome
from worker.reading.statuses import ReadStatus, StatusReader


class Disagreement(StrEnum):
    """How a log and the API can differ about a session."""

    LOST = "lost"
    GONE = "gone"
    ENDED = "ended"
    DONE = "done"
    FOUND = "found"
    UNREAD = "unread"


class Remark(NamedTuple):
    """What a disagreement means, and what to do about it."""

    meaning: str
    what_to_do: str


_COMPLETE = "Complete them after all: audit ... --ids {} | run - --force --check-first ..."
REMARKS = {
    Disagreement.LOST: Remark(
        "the log says processing, the API says started", _COMPLETE.format("lost")
    ),
    Disagreement.GONE: Remark(
        "the log says processing, the API knows no such session",
        "Is it the same account, and the same kind of key? Were sessions deleted?",
    ),
    Disagreement.ENDED: Remark(
        "the log says processing, the API says cancelled or abandoned",
        "Nothing can be completed there any more.",
    ),
    Disagreement.DONE: Remark(
        "the log says failed, and it was completed",
        "Nothing is left to do: a run with --check-first records them as processing.",
    ),
    Disagreement.FOUND: Remark(
        "the log says not_found, and it is there", _COMPLETE.format("found")
    ),
    Disagreement.UNREAD: Remark(
        "the API does not say, or names a status that is not known", "Ask again later."
    ),
}


class Audit(msgspec.Struct):
    """What came of it: `ids` were asked for, `agree` of them as their log says."""

    ids: int = 0
    agree: int = 0
    lost: list[str] = []
    gone: list[str] = []
    ended: list[str] = []
    done: list[str] = []
    found: list[str] = []
    unread: list[str] = []
    requests: int = 0

    def of(self, kind: Disagreement) -> list[str]:
        """The ids that differ in this way."""
        ids: list[str] = getattr(self, kind.value)
        return ids


def compare(outcome: Outcome, status: ReadStatus) -> Disagreement | None:
    """How a log's latest outcome of an id differs from its session; None where they agree."""
    verdict = status.verdict
    if isinstance(verdict, Transient) or _tells_nothing(verdict):
        return Disagreement.UNREAD
    match outcome:
        case Outcome.PROCESSING:
            return _compare_with_processing(verdict)
        case Outcome.NOT_FOUND:
            return None if _is_missing(verdict) else Disagreement.FOUND
        case Outcome.FAILED:
            is_done = isinstance(verdict, Settled) and _is_done(verdict)
            return Disagreement.DONE if is_done else None


def _compare_with_processing(verdict: Settled | Unfinished) -> Disagreement | None:
    if isinstance(verdict, Unfinished):
        return Disagreement.LOST
    if _is_done(verdict):
        return None
    return Disagreement.GONE if _is_missing(verdict) else Disagreement.ENDED


def _tells_nothing(verdict: Settled | Unfinished) -> bool:
    """Whether the answer named no status, or one that is not known."""
    if isinstance(verdict, Unfinished) or verdict.outcome is not Outcome.FAILED:
        return False
    return verdict.session_status not in ("cancelled", "abandoned")


def _is_done(verdict: Settled) -> bool:
    return verdict.outcome is Outcome.PROCESSING


def _is_missing(verdict: Settled | Unfinished) -> bool:
    return isinstance(verdict, Settled) and verdict.outcome is Outcome.NOT_FOUND


async def compare_with_api(
    batches: Iterable[Mapping[str, Outcome]],
    statuses: StatusReader,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Audit:
    """Read the session of each id, and compare.

    Args:
        batches: each id's latest outcome; no id stands in two of them. Sessions that were created
            one after the other are best read in one batch.
        statuses: reads the sessions.
        on_progress: is told how many ids have been compared.

    Returns:
        What agrees and what does not; `requests` is left at 0.

    Raises:
        RefusedError, UnavailableError: as `statuses` does.
    """
    result = Audit()
    for outcomes in batches:
        to_confirm: list[str] = []
        async for read in statuses.read(outcomes):
            to_confirm += _enter(result, outcomes, read)
            result.ids += len(read)
            on_progress(result.ids)
        # The list may show a session as it was before its completion: nobody is accused by it.
        if to_confirm:
            _enter(result, outcomes, await statuses.read_singly(to_confirm))
    return result


def _enter(
    result: Audit, outcomes: Mapping[str, Outcome], batch: Iterable[ReadStatus]
) -> list[str]:
    """Enter what was read; returns the ids that are to be read by themselves first."""
    to_confirm = []
    for status in batch:
        kind = compare(outcomes[status.id], status)
        if kind is None:
            result.agree += 1
        elif kind is Disagreement.LOST and status.is_listed:
            to_confirm.append(status.id)
        else:
            result.of(kind).append(status.id)
    return to_confirm
