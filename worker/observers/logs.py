"""The log on stderr: one line for each event, a stable name with fields."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from worker.core.clock import Clock
from worker.core.errors import ExitCode
from worker.core.events import (
    Event,
    OutageBegan,
    OutageEnded,
    OutcomesRecorded,
    ProbeFailed,
    RateChanged,
    RunFinished,
    Snapshot,
    StopRequested,
    Ticked,
)
from worker.core.outcomes import Outcome, Record
from worker.observers.estimate import Estimate, moment_in
from worker.observers.lines import LogFormat, processors
from worker.observers.stream import QuietStream, guard

if TYPE_CHECKING:
    from rich.console import Console

Fields = dict[str, Any]

_TRACE = "trace"

_NO_BREAKDOWN = frozenset(
    {ExitCode.SOME_FAILED, ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
)


def configure(
    format: LogFormat,
    level: str,
    stream: IO[str] | QuietStream | None,
    console: Console | None = None,
) -> FilteringBoundLogger:
    """A logger that writes lines of `format` from `level` ("debug", "info", "warning") up.

    At the level "trace" the modules of this program say what they do, as `step`.
    They go to `stream`, or through `console` where one is given, so that they scroll above its
    bar. No secret appears in them. Warnings that libraries log through `logging` come as `library`.
    A stream that breaks ends the log, never the run; where nobody reads it for long, lines are left
    out, and the log says how many.
    """
    quiet = QuietStream.of(stream) if console is None else guard(console)
    write = _writer(quiet, console)

    def write_next(line: Any) -> None:
        if left_out := quiet.take_left_out():
            bound.warning("notice", message=f"nobody read this log: {left_out} lines were left out")
        write(line)

    logger = structlog.wrap_logger(
        _Lines(write_next),
        processors=processors(format, styled=console is not None),
        wrapper_class=structlog.make_filtering_bound_logger("debug" if level == _TRACE else level),
    )
    bound = cast("FilteringBoundLogger", logger.bind())
    _take_over_logging(bound)
    logging.getLogger("worker").setLevel(logging.DEBUG if level == _TRACE else logging.NOTSET)
    return bound


class _Lines:
    """What structlog calls with a finished line, under the name of any level."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        self.debug = self.info = self.warning = self.error = write


def _writer(stream: QuietStream, console: Console | None) -> Callable[[Any], None]:
    if console is None:

        def write(line: str) -> None:
            stream.write(line + "\n")

        return write
    # A line as wide as it is: the terminal breaks it, and it can be copied whole.
    return partial(console.print, soft_wrap=True, highlight=False, markup=False, emoji=False)


class _FromLogging(logging.Handler):
    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
        except (TypeError, ValueError, KeyError):
            message = f"{record.msg} {record.args}"
        if record.levelno < logging.WARNING:
            self._log.debug("step", logger=record.name, message=message)
            return
        method = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        method("library", logger=record.name, message=message)


def _take_over_logging(logger: FilteringBoundLogger) -> None:
    """Warnings of asyncio and others would write across the bar, and past the secrets' filter."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _FromLogging)]:
        root.removeHandler(handler)
    root.addHandler(_FromLogging(logger))


class LogObserver:
    """Logs every event; `progress` no more often than each `progress_every_s`.

    `progress_every_s` is None where a bar shows the progress. `command` is what goes on with the
    run, for the last line.
    """

    def __init__(
        self,
        logger: FilteringBoundLogger,
        progress_every_s: float | None,
        clock: Clock,
        command: str = "",
    ) -> None:
        self._log = logger
        self._debug = logger.is_enabled_for(logging.DEBUG)
        self._progress_every_s = progress_every_s
        self._clock = clock
        self._command = command
        self._estimate = Estimate()
        # The first one comes a whole interval after the start.
        self._progress_at = clock.now()
        self._patient_until: datetime | None = None

    # Cron mails what a job writes: under -q (level "warning") only what needs somebody to act may
    # show. An outage, a 429 or a retry that ended well does not, so all of them are "info".
    def notice(self, event: Event) -> None:
        match event:
            case OutcomesRecorded():
                self._log_outcomes(event.records)
            case Ticked():
                self._log_progress(event)
            case OutageBegan() | ProbeFailed():
                self._log_outage(event)
            case RateChanged():
                until = moment_in(event.lasts_s, self._clock)
                self._log.info(event.name, rate=event.rate, until=until)
            case OutageEnded():
                self._patient_until = None
                self._log.info(event.name, reason=event.reason, lasted_s=event.seconds)
            case StopRequested():
                self._log.info(event.name, cause=_cause(event.exit_code), **_fields(event))
            case RunFinished():
                method = _finish_method(self._log, event)
                method(event.name, **_finish_fields(event, self._command))
            case _:
                self._log.info(event.name, **_fields(event))

    def _log_outcomes(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.outcome is Outcome.FAILED:
                self._log.warning("outcome_failed", **_outcome_fields(record))
            elif self._debug:
                self._log.debug("outcome", **_outcome_fields(record))

    def _log_outage(self, event: OutageBegan | ProbeFailed) -> None:
        self._patient_until = moment_in(event.patience_s, self._clock)
        self._log.info(event.name, **_fields(event), patient_until=self._patient_until)

    def _log_progress(self, event: Ticked) -> None:
        if self._progress_every_s is None:
            return
        eta_s = self._estimate.update(event.snapshot)
        now = self._clock.now()
        if now - self._progress_at < self._progress_every_s:
            return
        self._progress_at = now
        fields = _progress_fields(event.snapshot)
        self._log.info(event.name, **fields, patient_until=self._patient_until, eta_s=eta_s)


def _fields(struct: msgspec.Struct) -> Fields:
    """The struct's own fields, an error as `error` (its type) and `message`."""
    fields = msgspec.structs.asdict(struct)
    error = fields.pop("error", None)
    if error is not None:
        fields.update(error=error.type, message=error.message)
    return fields


def _outcome_fields(record: Record) -> Fields:
    fields = _fields(record)
    # Each line has its own time, and run_started has named the run.
    del fields["at"], fields["run"]
    return fields


def _progress_fields(snapshot: Snapshot) -> Fields:
    tally, pause = snapshot.tally, snapshot.pause
    return {
        "done": tally.done,
        "total": snapshot.total,
        **{outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "settled": tally.settled,
        "in_flight": snapshot.in_flight,
        "waiting": snapshot.waiting,
        "rate": snapshot.rate_now,
        "rate_allowed": snapshot.rate_allowed,
        "elapsed_s": snapshot.elapsed_s,
        "draining": snapshot.draining,
        "paused": pause.reason if pause else None,
        "next_probe_s": pause.seconds_left if pause else None,
    }


def _finish_fields(event: RunFinished, command: str) -> Fields:
    tally = event.tally
    return {
        "cause": _cause(event.exit_code),
        "exit_code": event.exit_code,
        "reason": event.reason or None,
        "input": tally.input,
        **{outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "settled": tally.settled,
        "duplicates": tally.duplicates,
        "not_attempted": tally.not_attempted,
        "balanced": tally.balanced,
        "complete_input": event.complete_input,
        "elapsed_s": event.elapsed_s,
        "advice": event.advice or None,
        "go_on_with": command if command and event.exit_code is not ExitCode.OK else None,
        "run": event.run,
    }


def _cause(code: ExitCode) -> str:
    return code.name.lower()


def _finish_method(logger: FilteringBoundLogger, event: RunFinished) -> Callable[..., Any]:
    if event.needs_nobody:
        return logger.info
    return logger.warning if event.exit_code in _NO_BREAKDOWN else logger.error
