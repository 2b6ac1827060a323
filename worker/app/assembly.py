"""A run put together on the event loop: client, pacer, what it shares, signals and control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec

from worker.api.client import Client
from worker.app.composition import limits_of, make_pacer, policy_of, statuses_of
from worker.app.control.server import LatestEta, RunControl, serving
from worker.app.plan import Plan
from worker.app.process.signals import show_on_signal, stop_on_signals
from worker.app.renewal import renewal
from worker.app.screen import Screen
from worker.app.target import target_of
from worker.core.clock import Clock
from worker.core.events import Event, Observer, RunFinished
from worker.core.identity import RunIdentity
from worker.core.tally import Tally
from worker.core.timetable import Timetable
from worker.ledger import Ledger
from worker.pacing.burst_probe import first_probe
from worker.pacing.pacer import MakePacer, Pacer
from worker.runner import EventDispatcher, Runner
from worker.settings import OPTION_BY_PATH, ApiKey, RenewableKey, resolve_rate
from worker.sources import AsyncSource, ShardedSource

if TYPE_CHECKING:
    from worker.cluster.consumer import Consumer
    from worker.runner import LedgerPort, SourcePort


class RunParts(msgspec.Struct, frozen=True):
    """What is open while a run lasts."""

    plan: Plan
    identity: RunIdentity
    results: Path
    clock: Clock
    source: AsyncSource | ShardedSource | None
    ledger: Ledger
    observers: Sequence[Observer]


async def run_in_loop(work: RunParts, screen: Screen) -> RunFinished:
    """Put a run together and carry it out, with its control socket and its signals.

    Defects are shown, not raised. Raises WorkerError where the run cannot begin.
    """
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
    work: RunParts, runner: Runner, pacer: Pacer, latest_eta: LatestEta, screen: Screen
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


def _client(work: RunParts, screen: Screen) -> Client:
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
    work: RunParts,
    client: Client,
    dispatcher: EventDispatcher,
    screen: Screen,
    stack: AsyncExitStack,
) -> tuple[Runner, Pacer]:
    settings, clock = work.plan.settings, work.clock
    source, ledger, make = await _meet(work, screen, dispatcher.notice, stack)
    probe = first_probe(_requests_ahead(work))
    pacer = make_pacer(settings, work.plan.key, clock, dispatcher.notice, make, first_probe=probe)
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
    work: RunParts, screen: Screen, notify: Callable[[Event], None], stack: AsyncExitStack
) -> tuple[SourcePort, LedgerPort, MakePacer]:
    """The run's source, ledger and kind of pacer: its own, or its part in what it shares."""
    plan = work.plan
    if plan.settings.shared.url is None:
        assert work.source is not None
        return work.source, work.ledger, Pacer
    from worker.app.cluster_session import cluster_session  # noqa: PLC0415 - Redis

    met = await stack.enter_async_context(
        cluster_session(plan.settings, plan.key, work.identity.run, work.clock, notify, screen.warn)
    )
    if plan.queue is None:
        assert work.source is not None
        return work.source, work.ledger, met.make_pacer
    share = await met.work_on(plan.queue, work.ledger, stays=plan.stays)
    for warning in await met.shortcomings():
        screen.warn(f"the Redis of --shared is not safe for a queue: {warning}")
    stack.callback(_note_on_handed_over, share.source, screen)
    return share


def _requests_ahead(work: RunParts) -> int | None:
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
