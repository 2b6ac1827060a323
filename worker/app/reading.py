"""Commands that only read the API: a client and a pacer by the settings of a run, and their end."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, TypeVar

from worker.api.client import Client
from worker.app.composition import make_pacer
from worker.app.process.loop import open_loop
from worker.app.process.signals import stop_on_signals
from worker.app.renewal import renewal
from worker.core.clock import Clock
from worker.core.errors import WorkerError
from worker.core.events import Event, OutageBegan, OutageEnded, RateChanged
from worker.core.secrets import redact
from worker.core.text import visible
from worker.observers.estimate import moment_in
from worker.observers.messages import message_of
from worker.pacing.pacer import MakePacer, Pacer
from worker.reading.reader import Reader
from worker.settings import ApiKey, RenewableKey, Settings

T = TypeVar("T")


def read_to_end(
    work: Callable[[Reader], Coroutine[Any, Any, T]],
    settings: Settings,
    key: ApiKey,
    tell: Callable[[str], None],
) -> T:
    """Do the work with a reader, in an event loop of its own; a signal ends it.

    Args:
        work: what is done, once.
        tell: is told in sentences of outages, of other rates and of a new key.

    Returns:
        What the work returns.

    Raises:
        WorkerError: a signal, an API that refuses, or one that stayed away beyond patience.
    """

    async def carry_out() -> T:
        async with _open_reader(settings, key, tell) as reader:
            return await work(reader)

    with open_loop() as runner:
        return runner.run(_until_signalled(carry_out()))


async def _until_signalled(work: Coroutine[Any, Any, T]) -> T:
    causes: list[WorkerError] = []
    task = asyncio.ensure_future(work)

    def stop(cause: WorkerError) -> None:
        causes.append(cause)
        task.cancel()

    with stop_on_signals(stop, stop):
        try:
            return await task
        except asyncio.CancelledError:
            if not causes:
                raise
            raise causes[0] from None


@asynccontextmanager
async def _open_reader(
    settings: Settings, key: ApiKey, tell: Callable[[str], None]
) -> AsyncIterator[Reader]:
    clock = Clock()

    def notify(event: Event) -> None:
        match event:
            case OutageBegan():
                until = moment_in(event.patience_s, clock)
            case RateChanged():
                until = moment_in(event.lasts_s, clock)
            case OutageEnded():
                until = None
            case _:
                return
        tell(visible(redact(message_of(event, until))))

    async with AsyncExitStack() as stack:
        make = await _kind_of_pacer(settings, key, clock, notify, stack)
        renewable = RenewableKey(key, settings.api.key_file)
        client = Client(
            settings.api.base_url,
            renewable.reveal,
            connect_timeout_s=settings.api.connect_timeout,
            timeout_s=settings.api.timeout,
            renew_key=renewal(renewable, tell),
        )
        await stack.enter_async_context(client)
        pacer = make_pacer(settings, key, clock, notify, make, first_probe=None)
        yield Reader(client, pacer, clock, settings.retry, Random())


async def _kind_of_pacer(
    settings: Settings,
    key: ApiKey,
    clock: Clock,
    notify: Callable[[Event], None],
    stack: AsyncExitStack,
) -> MakePacer:
    """What makes the pacer: its own, or one that takes its permits from the shared budget."""
    if settings.shared.url is None:
        return Pacer
    from worker.app.cluster_session import cluster_session  # noqa: PLC0415 - Redis

    name = f"reading-{os.getpid()}-{secrets.token_hex(2)}"
    met = await stack.enter_async_context(cluster_session(settings, key, name, clock, notify))
    return met.make_pacer
