"""The run as a Prometheus textfile, for node_exporter to pick up."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from worker.clock import Clock
from worker.errors import ExitCode, UsageError
from worker.events import Event, RunFinished, RunStarted, Snapshot, Ticked

if TYPE_CHECKING:
    from worker.observers.exposition import RunState

_WRITE_EVERY_S = 15.0
_READABLE_BY_ALL = 0o644


class MetricsFile:
    """Replaces `path` at the start, every 15 s and at the end; readers see a whole file or none.

    A file that cannot be written is reported once through `warn` and ends nothing. The time of the
    last success is carried over from the former file.

    Raises UsageError where prometheus-client is not installed, or `path` is no regular file.
    """

    def __init__(self, path: Path, warn: Callable[[str], None], clock: Clock) -> None:
        self._exposition, last_success_in, new_state = _load_exposition()
        # A link stays a link; and a rename onto /dev/null would replace the device.
        self._path = path.resolve()
        if self._path.exists() and not self._path.is_file():
            raise UsageError(f"{path} is not a regular file", "Name a file for the metrics")
        self._warn = warn
        self._clock = clock
        self._warned = False
        self._written_at = clock.now()
        self._total: int | None = None
        self._state = new_state(started_at=clock.utc().timestamp())
        self._state.last_success_at = last_success_in(_text_of(self._path))

    def notice(self, event: Event) -> None:
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
        self._write()

    def _tick(self, snapshot: Snapshot) -> None:
        state = self._state
        self._total = snapshot.total
        state.tally = snapshot.tally
        state.duration_s = snapshot.elapsed_s
        state.in_flight = snapshot.in_flight
        state.rate_allowed = snapshot.rate_allowed
        state.ids_left = self._ids_left()
        if self._clock.now() - self._written_at >= _WRITE_EVERY_S:
            self._write()

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
        self._write()

    def _write(self) -> None:
        self._written_at = self._clock.now()
        try:
            _replace(self._path, self._exposition(self._state))
        except OSError as error:
            if not self._warned:
                self._warned = True
                self._warn(f"the metrics file cannot be written: {error}")


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
            "Install it: pip install 'complete-sessions[metrics]'",
        ) from error
    return exposition, last_success_in, RunState


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _replace(path: Path, content: bytes) -> None:
    # Beside the file, for the rename; not named *.prom, so that node_exporter passes it over.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # mkstemp lets only the owner read; node_exporter is another user.
            os.fchmod(file.fileno(), _READABLE_BY_ALL)
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
