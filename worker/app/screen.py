"""What a run shows, and where: a bar and logs on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import traceback
from typing import IO, TYPE_CHECKING, Final, cast

from worker.core.clock import Clock
from worker.core.events import Observer, RunFinished, Snapshot
from worker.core.identity import RunIdentity
from worker.core.text import count
from worker.observers import logs, messages, summary
from worker.observers.digest import Digest, NoticeLimit
from worker.observers.fields import progress_fields
from worker.observers.lines import LogFormat
from worker.observers.stream import QuietStream
from worker.settings import LogSettings

if TYPE_CHECKING:
    from rich.console import Console

    from worker.observers.progress import ProgressBar

_BAR_TICK_S: Final = 0.25
"""A choice: a bar that moves less often looks stuck."""

_TICK_S: Final = 1.0
"""A choice: nobody reads logs and metrics more often."""


class Screen:
    """Standard error, as this run uses it.

    `progress` is None where the terminal decides on the bar. `command` is what goes on with the
    run. `close` takes the bar away, and may be called twice. What a quiet run says is meant for a
    mail: it is bounded, and for people unless JSON is asked for.
    """

    def __init__(
        self,
        settings: LogSettings,
        progress: bool | None,
        *,
        clock: Clock,
        command: str,
        identity: RunIdentity,
    ) -> None:
        self._stream = QuietStream(sys.stderr)
        is_terminal = self._stream.isatty()
        self._is_quiet = settings.level in ("warning", "error")
        self._format: LogFormat = "console" if is_terminal or self._is_quiet else "json"
        if settings.format != "auto":
            self._format = settings.format
        self._limit = NoticeLimit() if self._is_quiet else None
        self._command = command
        self._console: Console | None = None
        wants_bar = is_terminal and not self._is_quiet if progress is None else progress
        self._bar = self._make_bar(clock) if wants_bar else None
        self._log = logs.configure(
            self._format,
            settings.level,
            self._stream,
            self._console,
            run=identity.run,
            limit=self._limit,
        )
        self._log_observer = logs.LogObserver(
            self._log,
            settings.progress_every if self._bar is None else None,
            clock,
            command,
            identity=identity,
            digest=Digest() if self._is_quiet else None,
        )

    @property
    def observers(self) -> list[Observer]:
        """What a run is to tell its events."""
        return [self._log_observer] if self._bar is None else [self._log_observer, self._bar]

    @property
    def tick_s(self) -> float:
        """Seconds between two looks at the run: often enough for a bar, where there is one."""
        return _TICK_S if self._bar is None else _BAR_TICK_S

    def note(self, text: str) -> None:
        """Say what is good to know; nothing under -q."""
        self._log.info("notice", message=text)

    def note_change(self, text: str, by: str) -> None:
        """Say what somebody has changed in mid-run."""
        self._log.info("controlled", message=f"{text}, says {by}", change=text, by=by)

    def show_status(self, snapshot: Snapshot, eta_s: float | None) -> None:
        """Say where the run stands: to whoever has asked, and so under -q as well."""
        message = messages.progress(snapshot, eta_s)
        self._log.warning("status", message=message, **progress_fields(snapshot), eta_s=eta_s)

    def warn(self, text: str) -> None:
        """Say what needs somebody to look, under -q too."""
        self._log.warning("notice", message=text)

    def show_defect(self, error: BaseException) -> None:
        """Show an exception that nobody foresaw, with its traceback."""
        lines = traceback.format_exception(error)
        message = f"a defect of the program: {lines[-1].strip()}"
        self._log.error("defect", message=message, traceback="".join(lines))

    def open(self) -> None:
        """Show the bar from now on, where there is one."""
        if self._bar is not None:
            self._bar.__enter__()

    def close(self) -> None:
        """Take the bar away, and wait until what was said is written."""
        if self._bar is not None:
            self._bar.close()
        self._stream.drain()

    def summarize(self, finished: RunFinished) -> None:
        """The summary in words where people read; elsewhere the log's last event holds it."""
        self.close()
        if self._limit is not None and self._limit.left_out:
            self._log.warning("left_out", message=f"{count(self._limit.left_out, 'more notice')}")
        if self._format != "console" or (self._is_quiet and finished.needs_nobody):
            return
        if self._console is not None:
            text = summary.styled(finished, self._console.width, self._command)
            self._console.print(text, soft_wrap=True)
        else:
            width = shutil.get_terminal_size().columns
            self._stream.write(summary.render(finished, width, self._command) + "\n")
        self._stream.drain()

    def _make_bar(self, clock: Clock) -> ProgressBar | None:
        """The bar, on the console that the log shares; none where no bar can be shown."""
        from rich.console import Console  # noqa: PLC0415 - a run without a bar needs no rich

        from worker.observers.progress import ProgressBar, can_show  # noqa: PLC0415 - the same

        self._console = Console(file=cast("IO[str]", self._stream))
        return ProgressBar(self._console, clock) if can_show(self._console) else None
