"""What a run shares with others, put together; and the way to Redis for the other commands."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from worker.core.clock import Clock
from worker.core.errors import UsageError, how_to_install
from worker.core.events import Event
from worker.core.redis_url import without_secrets
from worker.core.secrets import redact
from worker.pacing.pacer import MakePacer
from worker.settings import ApiKey, Settings, format_duration

if TYPE_CHECKING:
    from worker.cluster.connection import Connection
    from worker.cluster.consumer import Consumer
    from worker.cluster.queue import Queue
    from worker.cluster.shared_ledger import SharedLedger
    from worker.ledger import Ledger

COMMAND_PATIENCE_S: Final = 10.0
"""What commands that somebody waits for have; a run has its own."""

_SLACK_S: Final = 0.5
"""What a request may take beyond its timeouts. A choice: no loop that is of use is later."""


class QueueShare(NamedTuple):
    """A run's part in a queue. `make_pacer` makes its pacer from the arguments of any pacer: one
    that grants nothing while the leases of `source` are not sure."""

    source: Consumer
    ledger: SharedLedger
    make_pacer: MakePacer


class ClusterSession:
    """A run's part in what it shares with others. `member` tells them apart."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        key: ApiKey,
        member: str,
        clock: Clock,
        warn: Callable[[str], None] = lambda _: None,
    ):
        from worker.cluster.budget import Budget, default_account  # noqa: PLC0415
        from worker.cluster.shared_pacer import shared_pacer  # noqa: PLC0415

        account = settings.shared.account or default_account(key.reveal())
        self._connection = connection
        self._settings = settings
        self._member = member
        self._budget = Budget(connection, account, member, clock, warn)
        self._make_pacer = partial(shared_pacer, self._budget)
        self.make_pacer: MakePacer = partial(self._make_pacer, is_sure=None)
        """Makes the pacer of a run with a source of its own, from the arguments of any pacer."""

    async def work_on(self, name: str, log: Ledger, *, stays: bool = False) -> QueueShare:
        """The run's part in a queue. Raises UsageError where there is none."""
        from worker.cluster.consumer import Consumer, LeaseClock  # noqa: PLC0415 - Redis
        from worker.cluster.queue import Queue  # noqa: PLC0415 - Redis
        from worker.cluster.shared_ledger import SharedLedger  # noqa: PLC0415 - Redis

        request_s = longest_request_s(self._settings)
        consumer = Consumer(
            await existing(Queue(self._connection, name)),
            self._member,
            slots=self._settings.pace.most_leased,
            lease_s=self._settings.shared.lease,
            request_s=request_s,
            stays=stays,
            clock=LeaseClock(),
        )
        make_pacer = partial(self._make_pacer, is_sure=consumer.is_sure)
        return QueueShare(consumer, SharedLedger(log, consumer), make_pacer)

    async def aclose(self) -> None:
        """Leave the others: nothing is asked of Redis any more."""
        await self._budget.aclose()

    async def shortcomings(self) -> list[str]:
        """Why a queue is not safe in this Redis."""
        from worker.cluster.requirements import shortcomings  # noqa: PLC0415 - Redis

        return await shortcomings(self._connection)


@asynccontextmanager
async def cluster_session(
    settings: Settings,
    key: ApiKey,
    run: str,
    clock: Clock,
    notify: Callable[[Event], None],
    warn: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[ClusterSession]:
    """Meet the others in Redis; waits while it is away, with the run's patience.

    `warn` is told what the run would not expect of them.
    """
    async with connected(settings, settings.stop.patience, notify) as connection:
        # Host and process too: leases depend on no two runs having one name.
        member = f"{socket.gethostname()}.{os.getpid()}.{run}"
        session = ClusterSession(connection, settings, key, member, clock, warn)
        async with aclosing(session):
            yield session


async def describe(settings: Settings, queue: str | None) -> tuple[str, list[str]]:
    """Where the shared Redis is, and what it lacks for a queue; raises what a run would."""
    async with connected(settings, COMMAND_PATIENCE_S) as connection:
        from worker.cluster.queue import Queue  # noqa: PLC0415 - Redis
        from worker.cluster.requirements import shortcomings  # noqa: PLC0415 - Redis

        if queue is not None:
            longest_request_s(settings)
            await existing(Queue(connection, queue))
        return f"{connection.name} answers", await shortcomings(connection)


async def existing(queue: Queue) -> Queue:
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
    from worker.cluster.consumer import RENEWALS  # noqa: PLC0415 - Redis

    needed_s = request_s * RENEWALS / (RENEWALS - 1)
    if settings.shared.lease <= needed_s:
        raise UsageError(
            f"--lease is {format_duration(settings.shared.lease)}, and a request may take"
            f" {format_duration(request_s)}: another host could begin before it has ended",
            f"It must be longer than {RENEWALS / (RENEWALS - 1):g} times api.connect_timeout and"
            f" api.timeout together: more than {format_duration(needed_s)}, or shorten those",
        )
    return request_s


@asynccontextmanager
async def connected(
    settings: Settings, patience_s: float, notify: Callable[[Event], None] = lambda _: None
) -> AsyncIterator[Connection]:
    """The Redis that the settings name, after it has answered.

    Raises UsageError where none is named, where the address is none, or where the library is
    missing, and UnavailableError where nothing has answered for `patience_s` seconds.
    """
    if settings.shared.url is None:
        raise UsageError("no Redis is named", "Say where it is with --shared URL")
    url = settings.shared.url
    try:
        from redis.exceptions import ResponseError  # noqa: PLC0415 - an extra

        from worker.cluster.connection import Connection  # noqa: PLC0415 - it needs that extra
    except ImportError:
        raise UsageError(
            "sharing needs a library that is not installed",
            how_to_install("shared"),
        ) from None
    try:
        connection = Connection(url, clock=Clock(), patience_s=patience_s, notify=notify)
    except (TypeError, ValueError) as error:
        raise _wrong_address(url, error) from None
    async with connection:
        try:
            await connection.ask(lambda redis: redis.ping())
        except (TypeError, ValueError, LookupError, ResponseError) as error:
            raise _wrong_address(url, error) from None
        yield connection


def _wrong_address(url: str, error: Exception) -> UsageError:
    """For what only the library or Redis itself finds: an option, or a database that is not."""
    said = redact(str(error)).rstrip(".")
    return UsageError(
        f"the Redis of --shared cannot be used by the address {without_secrets(url)}: {said}",
        "Correct the database and the options in it",
    )
