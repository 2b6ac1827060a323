"""A run from its plan to its exit code: what is opened for it, shown of it, and kept at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from worker.api.client import check_environment
from worker.app.assembly import RunParts, run_in_loop
from worker.app.control.last import keep_account
from worker.app.ending import conclude
from worker.app.identity import command_line, identify
from worker.app.paths import RunFiles
from worker.app.plan import Plan
from worker.app.process.loop import open_loop
from worker.app.process.resources import allow_connections, allow_threads
from worker.app.process.streams import tell
from worker.app.screen import Screen
from worker.app.target import target_of
from worker.core.clock import Clock
from worker.core.errors import ExitCode, UsageError, WorkerError, how_to_install
from worker.core.events import RunFinished
from worker.core.identity import RunIdentity
from worker.core.target import Target
from worker.ledger import Ledger
from worker.observers.account import account_of, account_of_failure
from worker.sources import AsyncSource, ShardedSource, open_source

if TYPE_CHECKING:
    from worker.observers.metrics import RunMetrics


def carry_out(plan: Plan) -> int:
    """Run to the end; returns the exit code. Raises WorkerError where nothing was begun: that is
    for `conclude_failure`."""
    allow_threads()
    plan.files.check_summary()
    check_environment(plan.settings.api.base_url)
    clock = Clock()
    target = target_of(plan.settings, plan.key)
    identity = identify(clock.utc(), target)
    command = command_line(sys.argv[1:])
    screen = Screen(
        plan.settings.log, plan.progress, clock=clock, command=command, identity=identity
    )
    made = (make(plan.files, screen.warn, clock) for make in _METRICS)
    metrics = [each for each in made if each is not None]
    try:
        finished, results = _run(plan, target, screen, metrics, clock, identity)
    except (WorkerError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is accounted for
        for each in metrics:
            each.write_failed(ExitCode.DEFECT)
        screen.show_defect(error)
        account = account_of_failure(error, ExitCode.DEFECT, identity, command)
    else:
        screen.summarize(finished)
        account = account_of(finished, identity, command)
        keep_account(results, account)
    finally:
        screen.close()
    exit_code = conclude(plan.settings.ending, account, screen.warn)
    screen.close()
    return exit_code


def conclude_failure(files: RunFiles, error: WorkerError) -> int:
    """Do what is to be done at the end, for a run that has not begun; returns the exit code."""
    clock = Clock()
    for make in _METRICS:
        # Metrics that cannot be delivered are no second reason.
        with suppress(UsageError):
            if (metrics := make(files, _warn, clock)) is not None:
                metrics.write_failed(error.exit_code)
    identity = msgspec.structs.replace(identify(clock.utc(), None), run="")
    command = command_line(sys.argv[1:])
    account = account_of_failure(error, error.exit_code, identity, command)
    return conclude(files.settings.ending, account, _warn)


def _warn(text: str) -> None:
    tell(f"complete-sessions: {text}")


def _metrics_file(
    files: RunFiles, warn: Callable[[str], None], clock: Clock
) -> RunMetrics[Any] | None:
    """What writes the run's metrics, if the settings ask for that. Raises UsageError."""
    if files.settings.metrics_file is None:
        return None
    files.check_metrics()
    from worker.observers.metrics import MetricsFile  # noqa: PLC0415 - an extra

    return MetricsFile(files.settings.metrics_file, warn, clock)


def _metrics_push(
    files: RunFiles, warn: Callable[[str], None], clock: Clock
) -> RunMetrics[Any] | None:
    """What pushes the run's metrics, if the settings ask for that. Raises UsageError."""
    if files.settings.metrics_push is None:
        return None
    try:
        from worker.observers.metrics_push import MetricsPush  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "--metrics-push needs prometheus-client", how_to_install("metrics")
        ) from error
    return MetricsPush(files.settings.metrics_push, files.results().name, warn, clock)


_METRICS: Final = (_metrics_file, _metrics_push)


def _run(
    plan: Plan,
    target: Target,
    screen: Screen,
    metrics: Sequence[RunMetrics[Any]],
    clock: Clock,
    identity: RunIdentity,
) -> tuple[RunFinished, Path]:
    """How the run ended, and the results log that it wrote."""
    settings = plan.settings
    results = plan.files.results()
    allow_connections(settings.pace.most_in_flight)
    for warning in plan.warnings:
        screen.warn(warning)
    with ExitStack() as stack:
        source = _source(plan, screen, stack)
        ledger = Ledger.open(results, identity.run, force=plan.force, target=target)
        stack.callback(ledger.close)
        for note in ledger.notes:
            tell = screen.note if note.is_routine else screen.warn
            tell(note.text)
        observers = [*screen.observers, *metrics]
        work = RunParts(plan, identity, results, clock, source, ledger, observers)
        screen.open()
        with open_loop() as loop:
            finished = loop.run(run_in_loop(work, screen))
    # What a pipe holds is known only once the log is open: a run that it ends leaves none behind.
    if finished.exit_code is ExitCode.USAGE:
        ledger.discard_empty()
    return finished, ledger.path


def _source(plan: Plan, screen: Screen, stack: ExitStack) -> AsyncSource | ShardedSource | None:
    files = plan.files
    if files.source is None:
        return None
    written = files.settings.source
    retry = files.settings.retry
    source = AsyncSource(
        open_source(files.source, format=written.format, field=written.field),
        ahead=retry.check_ahead if retry.check_first else 0,
    )
    stack.callback(_tell_notes, source, screen)
    if files.shard is None:
        stack.callback(source.close)
        return source
    part = ShardedSource(source, files.shard)
    stack.callback(part.close)
    stack.callback(lambda: screen.note(f"{part.passed_over} lines belong to other shards"))
    return part


def _tell_notes(source: AsyncSource, screen: Screen) -> None:
    for note in source.notes:
        screen.note(note)
