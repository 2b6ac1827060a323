"""The sessions that the sandbox holds, and how often the checks of each were triggered."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from worker.core.errors import UsageError
from worker.core.outcomes import is_valid_id

_OBJECT_ID: Final = re.compile(r"[0-9a-f]{24}").fullmatch
_DEFAULT_CREATED_MS: Final = 1_767_225_600_000  # 2026-01-01
_LINE_ADVICE: Final = "A line holds an id, `id,status` or a JSON object"


class Status(StrEnum):
    """A workflow session's status."""

    STARTED = "started"
    PROCESSING = "processing"
    COMPLETE = "complete"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"


COMPLETABLE: Final = frozenset({Status.STARTED, Status.PROCESSING, Status.COMPLETE})
"""Completing one of these triggers its checks, and bills them: each time, not only the first."""


class Visits(msgspec.Struct):
    """How many requests of each method an id has seen, and how many of them met a fault."""

    posts: int = 0
    gets: int = 0
    faults: int = 0

    def count(self, method: str) -> int:
        """Count a request; returns how many of this method there were before it."""
        if method == "POST":
            self.posts += 1
            return self.posts - 1
        self.gets += 1
        return self.gets - 1


class SessionSnapshot(NamedTuple):
    """A session as it was at some moment. Times are milliseconds since 1970."""

    id: str
    status: Status
    created_ms: int
    updated_ms: int


class Session(Visits, kw_only=True):
    """`changed_at` is when the status last changed, in seconds of the sandbox's clock.

    `updated_ms` is the same moment since 1970. `past` holds the changes before: when each ceased
    to be true, and what was true until then.
    """

    id: str
    created_ms: int
    updated_ms: int
    status: Status = Status.STARTED
    triggers: int = 0
    changed_at: float = 0.0
    past: list[tuple[float, SessionSnapshot]] = []

    def change(self, status: Status, now: float, utc_ms: int) -> None:
        """Be of another status from now on, and remember the one before."""
        self.past.append((now, self.snapshot()))
        self.status, self.changed_at, self.updated_ms = status, now, utc_ms

    def snapshot(self, at: float = float("inf")) -> SessionSnapshot:
        """The session as it was at a time of the sandbox's clock."""
        for until, before in self.past:
            if at < until:
                return before
        return SessionSnapshot(self.id, self.status, self.created_ms, self.updated_ms)


def created_ms(session_id: str) -> int:
    """When a session was made: an ObjectId begins with the seconds since 1970, in hexadecimal."""
    return int(session_id[:8], 16) * 1000 if _OBJECT_ID(session_id) else _DEFAULT_CREATED_MS


def _begin(session_id: str, status: Status = Status.STARTED) -> Session:
    made = created_ms(session_id)
    return Session(id=session_id, status=status, created_ms=made, updated_ms=made)


class Sessions:
    """Sessions by id. With `any_id` every well-formed id is one, begun when it is first named.

    A session that is processing becomes complete after `processing_s` seconds; None: never.
    """

    def __init__(
        self,
        statuses: Mapping[str, Status],
        *,
        any_id: bool = False,
        processing_s: float | None = None,
    ) -> None:
        self.held = {key: _begin(key, status) for key, status in statuses.items()}
        self.triggered = 0
        self.triggered_twice: dict[str, int] = {}
        self._any_id = any_id
        self._processing_s = processing_s
        self._oldest_first: list[Session] = []
        self._strangers: dict[str, Visits] = {}

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, session_id: str) -> Session:
        return self.held[session_id]

    def visits(self, session_id: str) -> Visits:
        """The counters of an id, whether it is held or not; "" is the list of all sessions."""
        if session_id in self.held:
            return self.held[session_id]
        if self._any_id and is_valid_id(session_id):
            self.held[session_id] = _begin(session_id)
            return self.held[session_id]
        return self._strangers.setdefault(session_id, Visits())

    def read(self, session_id: str, now: float) -> Session | None:
        """A session with the status that time has brought it to; None where there is none."""
        session = self.held.get(session_id)
        if session is not None:
            self._settle(session, now)
        return session

    def trigger(self, session: Session, now: float, utc_ms: int) -> None:
        """Run the checks of a session once more."""
        session.triggers += 1
        session.change(Status.PROCESSING, now, utc_ms)
        if session.triggers == 1:
            self.triggered += 1
        else:
            self.triggered_twice[session.id] = session.triggers

    def created_between(self, after_ms: float, before_ms: float) -> list[Session]:
        """The sessions that were created within, both times left out; newest first."""
        if len(self._oldest_first) != len(self.held):
            self._oldest_first = sorted(self.held.values(), key=_created_ms)
        first = bisect_right(self._oldest_first, after_ms, key=_created_ms)
        end = bisect_left(self._oldest_first, before_ms, key=_created_ms)
        return self._oldest_first[first:end][::-1]

    def snapshots(
        self, sessions: Iterable[Session], now: float, lag_s: float
    ) -> Iterator[SessionSnapshot]:
        """The sessions as they were `lag_s` ago."""
        for session in sessions:
            self._settle(session, now)
            yield session.snapshot(now - lag_s)

    def _settle(self, session: Session, now: float) -> None:
        if session.status is not Status.PROCESSING or self._processing_s is None:
            return
        if now - session.changed_at >= self._processing_s:
            done_ms = session.updated_ms + round(self._processing_s * 1000)
            session.change(Status.COMPLETE, session.changed_at + self._processing_s, done_ms)


def _created_ms(session: Session) -> int:
    return session.created_ms


class _SessionLine(msgspec.Struct):
    id: str
    status: Status = Status.STARTED


def read_sessions(path: Path) -> dict[str, Status]:
    """Sessions from a file: an id, `id,status` or `{"id": ..., "status": ...}` on each line.

    Without a status a session is started. Blank lines, comments (#) and a CSV header are skipped.
    Raises UsageError where the file cannot be read, or a line of it cannot be understood.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the sessions in {path}: {error}", "Name a file of text with --sessions"
        ) from error
    return dict(_parse_lines(lines, path))


def _parse_lines(lines: Iterable[str], path: Path) -> Iterator[tuple[str, Status]]:
    for number, text in enumerate(map(str.strip, lines), start=1):
        if not text or text.startswith("#") or (number == 1 and text.startswith("id,")):
            continue
        try:
            line = _parse_line(text)
        except msgspec.ValidationError as error:
            raise UsageError(f"{path}, line {number}: {error}", _LINE_ADVICE) from error
        except msgspec.DecodeError as error:
            raise UsageError(f"{path}, line {number} is not JSON: {error}", _LINE_ADVICE) from error
        yield line.id, line.status


def _parse_line(text: str) -> _SessionLine:
    if text.startswith("{"):
        return msgspec.json.decode(text, type=_SessionLine)
    session_id, _, status = text.partition(",")
    fields = {"id": session_id.strip(), "status": status.strip() or Status.STARTED}
    return msgspec.convert(fields, _SessionLine)
