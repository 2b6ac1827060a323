"""Puts together what reads the API's list: client and pacer, by the settings of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from worker.api.client import Client
from worker.app.renewal import renewal
from worker.app.run import make_pacer
from worker.core.clock import Clock
from worker.core.events import Event, OutageBegan, OutageEnded
from worker.core.secrets import redact
from worker.core.text import duration
from worker.reading.reader import Reader
from worker.settings import ApiKey, RenewableKey, Settings


@asynccontextmanager
async def open_reader(
    settings: Settings, key: ApiKey, tell: Callable[[str], None], random: Random
) -> AsyncIterator[Reader]:
    """A reader with a client of its own; `tell` is told when the API is away, and back."""
    clock = Clock()

    def notify(event: Event) -> None:
        if isinstance(event, OutageBegan):
            tell(redact(_describe(event)))
        elif isinstance(event, OutageEnded):
            tell(f"the API answers again, after {duration(event.seconds)}")

    renewable = RenewableKey(key, settings.api.key_file)
    async with Client(
        settings.api.base_url,
        renewable.reveal,
        connect_timeout_s=settings.api.connect_timeout,
        timeout_s=settings.api.timeout,
        renew_key=renewal(renewable, tell),
    ) as client:
        pacer = make_pacer(settings, key, clock, notify)
        yield Reader(client, pacer, clock, settings.retry, random)


def _describe(event: OutageBegan) -> str:
    return (
        f"the API is away or refuses for the moment ({event.reason}: {event.error.type}); "
        f"waiting for it, {duration(event.patience_s)} at most"
    )
