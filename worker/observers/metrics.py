"""The run in Prometheus's terms, delivered while it lasts; as a textfile for node_exporter."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from worker.core.clock import Clock
from worker.core.errors import ExitCode, UsageError, how_to_install
from worker.core.events import Event, RunFinished, RunStarted, Snapshot, Ticked
from worker.core.files import replace_file
from worker.observers.background import Background

if TYPE_CHECKING:
    from worker.observers.exposition import RunState

_DELIVER_EVERY_S = 15.0
# node_exporter is another user.
_READABLE_BY_ALL = 0o644


Shot = TypeVar("Shot")
"""The metrics of one moment, as they are delivered."""


class RunMetrics(ABC, Generic[Shot]):
    """Delivers a run's metrics at the start, every 15 s and at the end, in a thread of its own.

    What cannot be delivered is reported once through `warn` and ends nothing; a place that hangs
    holds up nothing but the end, for 2 s.

    Args:
        place: what the place is called that does not answer.
        failing: what is told where delivering fails, before the reason.
        new_state: makes the state that `started_at` begins.
    """

    def __init__(
        self,
        place: str,
        failing: str,
        new_state: type[RunState],
        warn: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._place = place
        self._failing = failing
        self._background = Background(self._deliver_last)
        self._problem = ""
        self._warn = warn
        self._clock = clock
        self._warned = False
        self._delivered_at = clock.now()
        self._total: int | None = None
        self._state = new_state(started_at=clock.utc().timestamp())

    @abstractmethod
    def _take(self, state: RunState) -> Shot:
        """What is to be delivered of a state, which changes later."""

    @abstractmethod
    def _deliver(self, shot: Shot) -> None:
        """Deliver it, in the thread. Raises OSError."""

    def notice(self, event: Event) -> None:
        self._warn_once()
        match event:
            case RunStarted():
                self._start(event)
            case Ticked():
                self._tick(event.snapshot)
            case RunFinished():
                self._finish(event)

    def write_failed(self, exit_code: ExitCode) -> None:
        """Write that it ended with `exit_code`, whether or not a run had begun.

        Nothing where another run holds the results log: the file tells of that one.
        """
        if exit_code is not ExitCode.LOCKED:
            self._end(exit_code)

    def _start(self, event: RunStarted) -> None:
        self._total = event.total
        self._state.ids_left = event.total
        self._state.rate_allowed = event.rate
        self._put()

    def _tick(self, snapshot: Snapshot) -> None:
        state = self._state
        self._total = snapshot.total
        state.tally = snapshot.tally
        state.duration_s = snapshot.elapsed_s
        state.in_flight = snapshot.in_flight
        state.rate_allowed = snapshot.rate_allowed
        state.ids_left = self._ids_left()
        is_due = self._clock.now() - self._delivered_at >= _DELIVER_EVERY_S
        if is_due and not self._background.is_behind:
            self._put()

    def _finish(self, event: RunFinished) -> None:
        state = self._state
        state.tally = event.tally
        state.duration_s = event.elapsed_s
        state.in_flight = 0
        state.ids_left = event.tally.not_attempted if event.complete_input else self._ids_left()
        self._end(event.exit_code)

    def _ids_left(self) -> int | None:
        return None if self._total is None else max(self._total - self._state.tally.done, 0)

    def _end(self, exit_code: ExitCode) -> None:
        state = self._state
        state.exit_code = exit_code
        state.ended_at = self._clock.utc().timestamp()
        if exit_code is ExitCode.OK:
            state.last_success_at = state.ended_at
        self._put()
        if not self.drain():
            self._problem = self._problem or f"{self._place} does not answer"
        self._warn_once()

    def drain(self) -> bool:
        """Wait until all is delivered, for 2 s at most; whether it is."""
        return self._background.drain()

    def _put(self) -> None:
        self._delivered_at = self._clock.now()
        self._background.put(self._take(self._state))

    def _deliver_last(self, shots: Sequence[Shot]) -> int:
        """Deliver the last of them: the others are old."""
        try:
            self._deliver(shots[-1])
        except OSError as error:
            self._problem = str(error)
        return len(shots)

    def _warn_once(self) -> None:
        if self._problem and not self._warned:
            self._warned = True
            self._warn(f"{self._failing}: {self._problem}")


class MetricsFile(RunMetrics[bytes]):
    """Replaces `path`: readers see a whole file or none. The time of the last success is carried
    over from the former file.

    Raises UsageError where prometheus-client is not installed, or `path` is no regular file.
    """

    def __init__(self, path: Path, warn: Callable[[str], None], clock: Clock) -> None:
        self._exposition, last_success_in, new_state = _load_exposition()
        # A rename onto /dev/null would replace the device.
        if _is_something_else(path):
            raise UsageError(f"{path} is not a regular file", "Name a file for the metrics")
        failing = "the metrics file cannot be written"
        super().__init__(str(path), failing, new_state, warn, clock)
        self._path = path
        self._state.last_success_at = last_success_in(_text_of(path))

    def _take(self, state: RunState) -> bytes:
        return self._exposition(state)

    def _deliver(self, shot: bytes) -> None:
        replace_file(self._path, shot, mode=_READABLE_BY_ALL)


def _load_exposition() -> tuple[
    Callable[[RunState], bytes], Callable[[str], float | None], type[RunState]
]:
    try:
        from worker.observers.exposition import (  # noqa: PLC0415 - needs an extra
            RunState,
            exposition,
            last_success_in,
        )
    except ImportError as error:
        raise UsageError(
            "--metrics-file needs prometheus-client",
            how_to_install("metrics"),
        ) from error
    return exposition, last_success_in, RunState


def _is_something_else(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
