"""What a quiet run says in a mail: a little of everything, and under a hundred lines at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from structlog import DropEvent
from structlog.typing import EventDict, WrappedLogger

from worker.core.events import OutageBegan, OutageEnded
from worker.core.outcomes import Error, Record
from worker.core.tally import OTHER_ERRORS
from worker.core.text import count
from worker.observers import messages

FAILURES_SHOWN: Final = 10
_MOST_TYPES: Final = 20
_MOST_OUTAGES: Final = 20
_MOST_NOTICES: Final = 20
_LIMITED: Final = frozenset({"notice", "library", "defect"})

Line = tuple[str, dict[str, Any]]
"""An event's name and its fields."""


class _Outage(NamedTuple):
    reason: str
    error: Error
    began: datetime
    ended: datetime | None


class Digest:
    """Counts what is not shown one by one, and tells of it when the run has ended."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self._outages: list[_Outage] = []
        self._under_way: dict[str, tuple[OutageBegan, datetime]] = {}

    def shows_failure(self, record: Record) -> bool:
        """Count a failed id; whether it is one of the first, which are shown."""
        kind = "" if record.error is None else record.error.type
        is_known = kind in self._failures or len(self._failures) < 10 * _MOST_TYPES
        self._failures[kind if is_known else OTHER_ERRORS] += 1
        return self._failures.total() <= FAILURES_SHOWN

    def outage_began(self, event: OutageBegan, now: datetime) -> None:
        """Note an outage; `now` is the wall clock's."""
        self._under_way[event.reason] = (event, now)

    def outage_ended(self, event: OutageEnded, now: datetime) -> None:
        """Note the end of the outage for that reason."""
        if event.reason in self._under_way:
            began, _ = self._under_way.pop(event.reason)
            since = now - timedelta(seconds=event.seconds)
            self._outages.append(_Outage(event.reason, began.error, since, now))

    def lines(self) -> Iterator[Line]:
        """One for each type of failure, if not all failures were shown, and one for each outage."""
        if self._failures.total() > FAILURES_SHOWN:
            yield from _failures(self._failures)
        under_way = [
            _Outage(event.reason, event.error, began, None)
            for event, began in self._under_way.values()
        ]
        yield from _outages([*self._outages, *under_way])


def _failures(counts: Counter[str]) -> Iterator[Line]:
    ranked = counts.most_common()
    for kind, number in ranked[:_MOST_TYPES]:
        message = f"{count(number, 'id')} failed with {kind or 'no error type'}"
        yield "failures", {"message": message, "error": kind or None, "ids": number}
    if rest := ranked[_MOST_TYPES:]:
        ids = sum(number for _, number in rest)
        message = f"{count(ids, 'id')} failed with {count(len(rest), 'more error type')}"
        yield "failures", {"message": message, "error": None, "ids": ids}


def _outages(outages: list[_Outage]) -> Iterator[Line]:
    for outage in outages[-_MOST_OUTAGES:]:
        fields = outage._asdict() | {"error": outage.error.type}
        fields["error_message"] = outage.error.message
        yield "outage", {"message": messages.outage(*outage), **fields}
    if rest := outages[:-_MOST_OUTAGES]:
        yield "outage", {"message": f"{count(len(rest), 'outage')} before these"}


class NoticeLimit:
    """Lets the first 20 notices through, whoever they are from, and counts the others."""

    def __init__(self) -> None:
        self.left_out = 0
        self._shown = 0

    def __call__(self, _logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
        if fields["event"] not in _LIMITED:
            return fields
        if self._shown >= _MOST_NOTICES:
            self.left_out += 1
            raise DropEvent
        self._shown += 1
        return fields
