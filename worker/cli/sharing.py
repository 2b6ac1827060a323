"""What a run shares with others, put together; and the way to Redis for the other commands."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from worker.cli.options import given_flags
from worker.clock import Clock
from worker.errors import UsageError
from worker.events import Event
from worker.observers.wording import redacted
from worker.settings import ApiKey, Loaded, Settings, format_duration, load
from worker.settings.engine import secrets_of, without_secrets
from worker.settings.redact import shown
from worker.settings.syntax import is_plain_name

if TYPE_CHECKING:
    from worker.ledger import Ledger
    from worker.shared.link import Link
    from worker.shared.queue import Queue
    from worker.shared.shift import SharedLedger, Shift

T = TypeVar("T")

_PATIENCE_S: Final = 10.0
"""What commands that somebody waits for have; a run has its own."""

_SLACK_S: Final = 0.5


def queue_option(required: bool) -> Callable[[Any], Any]:
    return click.option(
        "--queue",
        metavar="NAME",
        required=required,
        callback=_checked_name,
        help="A queue of ids in the Redis of --shared.",
    )


def _checked_name(ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    if name is not None and not is_plain_name(name):
        raise UsageError(
            f"--queue is {shown(name)}; it must be made of letters, digits, '_', '.' and '-',"
            " 100 at most"
        )
    return name


def warnings(loaded: Loaded) -> tuple[str, ...]:
    """What is unwise in the way the settings were given."""
    url = loaded.settings.shared.url
    if url is None or loaded.origins["shared.url"] != "--shared" or not secrets_of(url):
        return ()
    return (
        "the password in --shared stands in the list of processes: WORKER_SHARED_URL keeps it out",
    )


class Team:
    """A run's part in what it shares with others. `member` tells them apart."""

    def __init__(self, link: Link, settings: Settings, key: ApiKey, member: str, clock: Clock):
        from worker.shared.budget import Budget, SharedPacer, default_account  # noqa: PLC0415

        account = settings.shared.account or default_account(key.reveal())
        self._link = link
        self._settings = settings
        self._member = member
        self.pacer = partial(SharedPacer, Budget(link, account, member, clock))
        """What makes the run's pacer, from the arguments of any pacer."""

    async def work_on(self, name: str, log: Ledger) -> tuple[Shift, SharedLedger]:
        """The run's source and ledger over a queue. Raises UsageError where there is none."""
        from worker.shared.queue import Queue  # noqa: PLC0415 - Redis
        from worker.shared.shift import SharedLedger, Shift  # noqa: PLC0415 - Redis

        request_s = longest_request_s(self._settings)
        shift = Shift(
            await _existing(Queue(self._link, name)),
            self._member,
            slots=self._settings.pace.concurrency,
            lease_s=self._settings.shared.lease,
            request_s=request_s,
        )
        self.pacer = partial(self.pacer, is_sure=shift.is_sure)
        return shift, SharedLedger(log, shift)

    async def shortcomings(self) -> list[str]:
        """Why a queue is not safe in this Redis."""
        from worker.shared.fitness import shortcomings  # noqa: PLC0415 - Redis

        return await shortcomings(self._link)


@asynccontextmanager
async def team(
    settings: Settings, key: ApiKey, run: str, clock: Clock, notify: Callable[[Event], None]
) -> AsyncIterator[Team]:
    """Meet the others in Redis; waits while it is away, with the run's patience."""
    async with _linked(settings, settings.stop.patience, notify) as link:
        # Host and process too: leases depend on no two runs having one name.
        member = f"{socket.gethostname()}.{os.getpid()}.{run}"
        yield Team(link, settings, key, member, clock)


def ask_queue(
    values: dict[str, Any],
    config: Path | None,
    name: str,
    ask: Callable[[Queue, Settings], Awaitable[T]],
    *,
    must_exist: bool = True,
) -> T:
    """Ask something of a queue, for a command that somebody waits for."""
    loaded = load(flags=given_flags(values), environ=os.environ, config=config)
    for warning in warnings(loaded):
        click.echo(f"note: {warning}", err=True)

    async def answer() -> T:
        async with _linked(loaded.settings, _PATIENCE_S) as link:
            from worker.shared.queue import Queue  # noqa: PLC0415 - Redis

            queue = Queue(link, name)
            return await ask(await _existing(queue) if must_exist else queue, loaded.settings)

    return asyncio.run(answer())


async def describe(settings: Settings, queue: str | None) -> tuple[str, list[str]]:
    """Where the shared Redis is, and what it lacks for a queue; raises what a run would."""
    async with _linked(settings, _PATIENCE_S) as link:
        from worker.shared.fitness import shortcomings  # noqa: PLC0415 - Redis
        from worker.shared.queue import Queue  # noqa: PLC0415 - Redis

        if queue is not None:
            longest_request_s(settings)
            await _existing(Queue(link, queue))
        return f"{link.name} answers", await shortcomings(link)


async def _existing(queue: Queue) -> Queue:
    """The queue, or UsageError where there is none of its name."""
    if await queue.exists():
        return queue
    raise UsageError(
        f"there is no queue {queue.name!r}",
        f"`complete-sessions enqueue SOURCE --queue {queue.name}` makes it",
    )


def longest_request_s(settings: Settings) -> float:
    """From the permit to the end of its request, whatever happens. Raises UsageError where leases
    are too short for it."""
    request_s = settings.api.connect_timeout + settings.api.timeout + _SLACK_S
    from worker.shared.shift import RENEWALS  # noqa: PLC0415 - Redis

    needed_s = request_s * RENEWALS / (RENEWALS - 1)
    if settings.shared.lease <= needed_s:
        raise UsageError(
            f"--lease is {format_duration(settings.shared.lease)}, and a request may take"
            f" {format_duration(request_s)}: another host could begin before it has ended",
            f"Make it longer than {format_duration(needed_s)}, or shorten api.timeout",
        )
    return request_s


@asynccontextmanager
async def _linked(
    settings: Settings, patience_s: float, notify: Callable[[Event], None] = lambda _: None
) -> AsyncIterator[Link]:
    if settings.shared.url is None:
        raise UsageError("no Redis is named", "Say where it is with --shared URL")
    url = settings.shared.url
    try:
        from redis.exceptions import ResponseError  # noqa: PLC0415 - an extra

        from worker.shared.link import Link  # noqa: PLC0415 - it needs that extra
    except ImportError:
        raise UsageError(
            "sharing needs a library that is not installed",
            "pip install 'complete-sessions[shared]'",
        ) from None
    try:
        link = Link(url, clock=Clock(), patience_s=patience_s, notify=notify)
    except (TypeError, ValueError) as error:
        raise _wrong_address(url, error) from None
    async with link:
        try:
            await link.ask(lambda redis: redis.ping())
        except (TypeError, ValueError, LookupError, ResponseError) as error:
            raise _wrong_address(url, error) from None
        yield link


def _wrong_address(url: str, error: Exception) -> UsageError:
    """For what only the library or Redis itself finds: an option, or a database that is not."""
    said = redacted(str(error), secrets_of(url)).rstrip(".")
    return UsageError(
        f"the Redis of --shared cannot be used by the address {without_secrets(url)}: {said}",
        "Correct the database and the options in it",
    )
