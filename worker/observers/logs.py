"""The log on stderr: one line for each event, a stable name with fields."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

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
    RetryScheduled,
    RunFinished,
    RunStarted,
    Ticked,
)
from worker.core.identity import RunIdentity
from worker.core.outcomes import Outcome, Record
from worker.observers import messages
from worker.observers.digest import Digest, NoticeLimit
from worker.observers.estimate import Estimate, moment_in
from worker.observers.fields import (
    Fields,
    fields_of,
    finish_fields,
    identity_fields,
    outcome_fields,
    progress_fields,
)
from worker.observers.lines import LogFormat, processors
from worker.observers.stream import QuietStream, guard

if TYPE_CHECKING:
    from rich.console import Console

_TRACE = "trace"

_NO_BREAKDOWN = frozenset(
    {ExitCode.SOME_FAILED, ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
)


def configure(
    format: LogFormat,
    level: str,
    stream: IO[str] | QuietStream | None,
    console: Console | None = None,
    *,
    run: str = "",
    limit: NoticeLimit | None = None,
) -> FilteringBoundLogger:
    """A logger that writes lines of `format` from `level` ("debug", "info", "warning") up.

    At the level "trace" the modules of this program say what they do, as `step`.
    They go to `stream`, or through `console` where one is given, so that they scroll above its
    bar. No secret appears in them. Each names `run`, where one is given; `limit` drops what is too
    much. Warnings that libraries log through `logging` come as `library`. A stream that breaks ends
    the log, never the run; where nobody reads it for long, lines are left out, and the log says how
    many.
    """
    quiet = QuietStream.of(stream) if console is None else guard(console)
    write = _writer(quiet, console)

    def write_next(line: Any) -> None:
        if left_out := quiet.take_left_out():
            bound.warning("notice", message=f"nobody read this log: {left_out} lines were left out")
        write(line)

    made = processors(format, styled=console is not None)
    logger = structlog.wrap_logger(
        _EventLines(write_next),
        processors=made if limit is None else [limit, *made],
        wrapper_class=structlog.make_filtering_bound_logger("debug" if level == _TRACE else level),
    )
    bound = cast("FilteringBoundLogger", logger.bind(**({"run": run} if run else {})))
    _take_over_logging(bound)
    logging.getLogger("worker").setLevel(logging.DEBUG if level == _TRACE else logging.NOTSET)
    return bound


class _EventLines:
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
    run, for the last line. With a `digest` only the first failures are shown one by one.
    """

    def __init__(
        self,
        logger: FilteringBoundLogger,
        progress_every_s: float | None,
        clock: Clock,
        command: str = "",
        *,
        identity: RunIdentity | None = None,
        digest: Digest | None = None,
    ) -> None:
        self._log = logger
        self._debug = logger.is_enabled_for(logging.DEBUG)
        self._progress_every_s = progress_every_s
        self._clock = clock
        self._command = command
        self._identity = identity
        self._digest = digest
        self._estimate = Estimate()
        # The first one comes a whole interval after the start.
        self._progress_at = clock.now()
        self._outages: dict[str, datetime | None] = {}

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
                message = messages.message_of(event, until)
                self._log.info(event.name, message=message, **fields_of(event), until=until)
            case OutageEnded():
                self._log_outage_end(event)
            case RetryScheduled():
                # While the API is away each of hundreds of ids has one: they say nothing new.
                log = self._log.debug if self._outages else self._log.info
                log(event.name, **fields_of(event), message=messages.message_of(event))
            case RunFinished():
                self._log_end(event)
            case _:
                self._log.info(event.name, **self._fields(event))

    @property
    def _patient_until(self) -> datetime | None:
        return min((until for until in self._outages.values() if until is not None), default=None)

    def _fields(self, event: Event) -> Fields:
        fields = fields_of(event) | {"message": messages.message_of(event)}
        if isinstance(event, RunStarted) and self._identity is not None:
            fields |= identity_fields(self._identity)
        return fields

    def _log_outcomes(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.outcome is Outcome.FAILED:
                if self._digest is None or self._digest.shows_failure(record):
                    message = messages.failed(record)
                    self._log.warning("outcome_failed", message=message, **outcome_fields(record))
            elif self._debug:
                message = messages.settled(record)
                self._log.debug("outcome", message=message, **outcome_fields(record))

    def _log_outage(self, event: OutageBegan | ProbeFailed) -> None:
        until = moment_in(event.patience_s, self._clock)
        self._outages[event.reason] = until
        if self._digest is not None and isinstance(event, OutageBegan):
            self._digest.outage_began(event, self._clock.utc())
        message = messages.message_of(event, until)
        self._log.info(event.name, message=message, **fields_of(event), patient_until=until)

    def _log_outage_end(self, event: OutageEnded) -> None:
        self._outages.pop(event.reason, None)
        if self._digest is not None:
            self._digest.outage_ended(event, self._clock.utc())
        self._log.info(event.name, message=messages.message_of(event), **fields_of(event))

    def _log_progress(self, event: Ticked) -> None:
        if self._progress_every_s is None:
            return
        eta_s = self._estimate.update(event.snapshot)
        now = self._clock.now()
        if now - self._progress_at < self._progress_every_s:
            return
        self._progress_at = now
        self._log.info(
            event.name,
            message=messages.progress(event.snapshot, eta_s),
            **progress_fields(event.snapshot),
            patient_until=self._patient_until,
            eta_s=eta_s,
        )

    def _log_end(self, event: RunFinished) -> None:
        if self._digest is not None and not event.needs_nobody:
            for name, fields in self._digest.lines():
                self._log.warning(name, **fields)
        message = messages.message_of(event)
        method = _finish_method(self._log, event)
        method(event.name, message=message, **finish_fields(event, self._command))


def _finish_method(logger: FilteringBoundLogger, event: RunFinished) -> Callable[..., Any]:
    if event.needs_nobody:
        return logger.info
    return logger.warning if event.exit_code in _NO_BREAKDOWN else logger.error
