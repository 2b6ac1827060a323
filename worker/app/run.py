"""Puts a run together: source, ledger, client, pacer, observers and signals around the runner."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from worker import __version__
from worker.api.client import Client, check_environment
from worker.app.composition import limits_of, make_pacer, policy_of, statuses_of
from worker.app.control.last import keep_account
from worker.app.control.server import LatestEta, RunControl, serving
from worker.app.ending import conclude
from worker.app.paths import RunFiles
from worker.app.process.limits import allow_connections, allow_threads
from worker.app.process.loop import open_loop
from worker.app.process.signals import show_on_signal, stop_on_signals
from worker.app.process.streams import tell
from worker.app.renewal import renewal
from worker.app.screen import Screen
from worker.app.target import target_of
from worker.core.clock import Clock
from worker.core.errors import ExitCode, UsageError, WorkerError, how_to_install
from worker.core.events import Event, Observer, RunFinished
from worker.core.identity import RunIdentity
from worker.core.secrets import redact
from worker.core.tally import Tally
from worker.core.target import Target
from worker.core.timetable import Timetable
from worker.ledger import Ledger
from worker.observers.account import account_of, account_of_failure
from worker.pacing.burst_probe import first_probe
from worker.pacing.pacer import Pacer
from worker.runner import EventDispatcher, Runner
from worker.settings import (
    OPTION_BY_PATH,
    ApiKey,
    EndingSettings,
    RenewableKey,
    Settings,
    resolve_rate,
)
from worker.sources import AsyncSource, ShardedSource, open_source

if TYPE_CHECKING:
    from worker.cluster.consumer import Consumer
    from worker.observers.metrics import RunMetrics
    from worker.runner import LedgerPort, SourcePort


class Plan(msgspec.Struct, frozen=True):
    """What a run was asked to do: `files.source` or `queue` says where its ids are.

    One that `stays` waits for more ids where the queue is worked off.

    `progress` is None where the terminal decides.
    """

    files: RunFiles
    key: ApiKey
    queue: str | None = None
    stays: bool = False
    force: bool = False
    progress: bool | None = None
    warnings: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        return self.files.settings


def carry_out(plan: Plan) -> int:
    """Run to the end; returns the exit code. Raises WorkerError where nothing was begun."""
    allow_threads()
    plan.files.check_metrics()
    plan.files.check_summary()
    check_environment(plan.settings.api.base_url)
    clock = Clock()
    target = target_of(plan.settings, plan.key)
    identity = identify(clock.utc(), target)
    command = command_line(sys.argv[1:])
    screen = Screen(
        plan.settings.log, plan.progress, clock=clock, command=command, identity=identity
    )
    metrics = _metrics(plan, screen, clock)
    try:
        finished, results = _run(plan, target, screen, metrics, clock, identity)
    except BaseException as error:
        code = _exit_code_of(error)
        for each in metrics:
            each.write_failed(code)
        if code is not ExitCode.DEFECT:
            raise
        screen.show_defect(error)
        account = account_of_failure(error, code, identity, command)
    else:
        screen.summarize(finished)
        account = account_of(finished, identity, command)
        keep_account(results, account)
    finally:
        screen.close()
    exit_code = conclude(plan.settings.ending, account, screen.warn)
    screen.close()
    return exit_code


def conclude_failure(ending: EndingSettings, error: WorkerError) -> int:
    """Do what is to be done at the end, for a run that has not begun."""
    identity = identify(Clock().utc(), None)
    identity = msgspec.structs.replace(identity, run="")
    command = command_line(sys.argv[1:])
    account = account_of_failure(error, error.exit_code, identity, command)
    return conclude(ending, account, lambda text: tell(f"complete-sessions: {text}"))


def identify(began: datetime, target: Target | None) -> RunIdentity:
    """A run of this process, under a name that no other run has."""
    return RunIdentity(
        run=f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        version=__version__,
        host=socket.gethostname(),
        pid=os.getpid(),
        target="" if target is None else str(target),
        began=began,
    )


def command_line(arguments: Sequence[str]) -> str:
    """What a shell takes, without any secret: quoting would rewrite one so that none finds it."""
    return shlex.join(redact(text) for text in ("complete-sessions", *arguments))


def _exit_code_of(error: BaseException) -> ExitCode:
    if isinstance(error, WorkerError):
        return error.exit_code
    return ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.DEFECT


def _metrics(plan: Plan, screen: Screen, clock: Clock) -> list[RunMetrics[Any]]:
    """What delivers the run's metrics, as the settings ask for. Raises UsageError."""
    metrics: list[RunMetrics[Any]] = []
    settings = plan.settings
    if settings.metrics_file is not None:
        from worker.observers.metrics import MetricsFile  # noqa: PLC0415 - an extra

        metrics.append(MetricsFile(settings.metrics_file, screen.warn, clock))
    if settings.metrics_push is not None:
        try:
            from worker.observers.metrics_push import MetricsPush  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UsageError(
                "--metrics-push needs prometheus-client", how_to_install("metrics")
            ) from error
        name = plan.files.results().name
        metrics.append(MetricsPush(settings.metrics_push, name, screen.warn, clock))
    return metrics


class _Work(msgspec.Struct, frozen=True):
    """What is open while a run lasts."""

    plan: Plan
    identity: RunIdentity
    results: Path
    clock: Clock
    source: AsyncSource | ShardedSource | None
    ledger: Ledger
    observers: Sequence[Observer]


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
        work = _Work(plan, identity, results, clock, source, ledger, observers)
        screen.open()
        with open_loop() as loop:
            finished = loop.run(_run_in_loop(work, screen))
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


async def _run_in_loop(work: _Work, screen: Screen) -> RunFinished:
    latest_eta = LatestEta()
    dispatcher = EventDispatcher([*work.observers, latest_eta])
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(work, screen))
        runner, pacer = await _runner(work, client, dispatcher, screen, stack)
        control = _control(work, runner, pacer, latest_eta, screen)
        await stack.enter_async_context(serving(control, work.results, screen.warn))
        stack.enter_context(show_on_signal(lambda: _show(runner, latest_eta, screen)))
        with stop_on_signals(runner.stop, runner.abort):
            finished = await runner.run()
    for error in runner.defects:
        screen.show_defect(error)
    return finished


def _control(
    work: _Work, runner: Runner, pacer: Pacer, latest_eta: LatestEta, screen: Screen
) -> RunControl:
    def parse_rate(text: str) -> Timetable:
        written = OPTION_BY_PATH["pace.rate"].syntax.parse(text)
        return resolve_rate(written, work.plan.key.kind)

    return RunControl(
        runner,
        pacer,
        latest_eta,
        work.clock,
        work.identity,
        work.results,
        parse_rate=parse_rate,
        tell=screen.note_change,
    )


def _show(runner: Runner, latest_eta: LatestEta, screen: Screen) -> None:
    screen.show_status(runner.snapshot(), latest_eta.eta_s)


def _client(work: _Work, screen: Screen) -> Client:
    """One that goes on with the key that the key file holds by then."""
    api = work.plan.settings.api
    renewable = RenewableKey(work.plan.key, api.key_file)

    def on_renewed(renewed: ApiKey) -> None:
        work.ledger.name_target(target_of(work.plan.settings, renewed))

    return Client(
        api.base_url,
        renewable.reveal,
        connect_timeout_s=api.connect_timeout,
        timeout_s=api.timeout,
        renew_key=renewal(renewable, screen.warn, on_renewed),
    )


async def _runner(
    work: _Work,
    client: Client,
    dispatcher: EventDispatcher,
    screen: Screen,
    stack: AsyncExitStack,
) -> tuple[Runner, Pacer]:
    settings, clock = work.plan.settings, work.clock
    source, ledger, make = await _meet(work, screen, dispatcher.notice, stack)
    pacer = make_pacer(settings, work.plan.key, clock, dispatcher.notice, make)
    tally = Tally()
    runner = Runner(
        run=work.identity.run,
        results=str(work.results),
        source=source,
        client=client,
        pacer=pacer,
        ledger=ledger,
        dispatcher=dispatcher,
        clock=clock,
        policy=policy_of(settings),
        limits=limits_of(settings, clock, tick_s=screen.tick_s),
        random=Random(),
        tally=tally,
        statuses=statuses_of(settings, client, pacer, clock, tally, screen.note),
    )
    return runner, pacer


async def _meet(
    work: _Work, screen: Screen, notify: Callable[[Event], None], stack: AsyncExitStack
) -> tuple[SourcePort, LedgerPort, Callable[..., Pacer]]:
    """The run's source, ledger and kind of pacer: its own, or its part in what it shares."""
    plan, probe = work.plan, first_probe(_requests_ahead(work))
    if plan.settings.shared.url is None:
        assert work.source is not None
        return work.source, work.ledger, partial(Pacer, first_probe=probe)
    from worker.app.cluster_session import cluster_session  # noqa: PLC0415 - Redis

    met = await stack.enter_async_context(
        cluster_session(plan.settings, plan.key, work.identity.run, work.clock, notify, screen.warn)
    )
    make = partial(met.pacer, first_probe=probe)
    if plan.queue is None:
        assert work.source is not None
        return work.source, work.ledger, make
    consumer, ledger = await met.work_on(plan.queue, work.ledger, stays=plan.stays)
    for warning in await met.shortcomings():
        screen.warn(f"the Redis of --shared is not safe for a queue: {warning}")
    stack.callback(_note_on_handed_over, consumer, screen)
    return consumer, ledger, make


def _requests_ahead(work: _Work) -> int | None:
    """About how many requests the run will send; None where the input's length is not known."""
    limit = work.plan.settings.stop.limit
    if work.source is None or work.source.total is None:
        return limit
    ahead = max(work.source.total - work.ledger.settled, 0)
    return ahead if limit is None else min(ahead, limit)


def _note_on_handed_over(consumer: Consumer, screen: Screen) -> None:
    if consumer.handed_over:
        count = consumer.handed_over
        screen.note(f"{count} ids were let go: their lease was over, and others may have them")
