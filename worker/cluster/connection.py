"""The way to Redis: an address, and calls that outlast its troubles."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from worker.cluster.address import check_tls_files, find_mistake
from worker.cluster.address_options import check_options
from worker.cluster.refusals import may_pass, refusal
from worker.core import breaker
from worker.core.breaker import Exhausted, Open, Rules, State
from worker.core.clock import Clock
from worker.core.durations import format_duration
from worker.core.errors import UnavailableError
from worker.core.events import Event, OutageBegan, OutageEnded, PauseReason
from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error
from worker.core.redis_url import without_secrets

REASON: Final = PauseReason.SHARED
"""What the events call Redis being away."""

_CALL_TIMEOUT_S: Final = 5.0
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 2.0
_GRACE_S: Final = 5.0
"""How long a run that is told to stop still waits for a Redis that is away."""


class _Call:
    """One call's own breaker: open from its first failure on, and a probe whenever it is made."""

    def __init__(self) -> None:
        self._state: State = breaker.NEW
        self._times = 0

    @property
    def is_exhausted(self) -> bool:
        return isinstance(self._state, Exhausted)

    def begin(self) -> None:
        """It is made once more."""
        self._times += 1
        self._state = breaker.probing(self._state, self._times)

    def failed(self, rules: Rules, now: float) -> Open:
        """It was not answered; returns until when it waits."""
        self._state = breaker.failed(self._state, rules, number=self._times, now=now)
        pause = breaker.pause_of(self._state)
        assert pause is not None
        return pause

    def hasten(self, seconds: float) -> None:
        """Have so much less patience."""
        self._state = breaker.postponed(self._state, -seconds)


class Connection:
    """Runs scripts and commands, and waits while Redis is away, read-only or has no room.

    `notify` is told when that begins (`OutageBegan`) and when nothing fails any more. Each call
    has patience of its own: a Redis that goes on to answer others is of no use to it. It raises
    UnavailableError when it has failed for `patience_s`; RefusedError where Redis refuses the
    password, the user or a command, or its certificate is not valid; UsageError where no Redis is
    at the address, or a key is not ours; ResponseError where a script fails for a reason of its
    own. The password is in no message.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        patience_s: float,
        notify: Callable[[Event], None] = lambda _: None,
    ) -> None:
        check_options(url)
        check_tls_files(url)
        self.name = without_secrets(url)
        self._clock = clock
        self._rules = Rules(1, _FIRST_DELAY_S, _LONGEST_DELAY_S, patience_s)
        self._notify = notify
        self._client = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=_CALL_TIMEOUT_S,
            socket_connect_timeout=_CALL_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._url = url
        self._was_reached = False
        self._is_examined = False
        self._failing: set[_Call] = set()
        self._down_since = math.inf
        self._down_s = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What is not closed in time is closed by the end of the process.
        with suppress(RedisError, OSError):
            await self._client.aclose()

    @property
    def is_down(self) -> bool:
        return self._down_since != math.inf

    @property
    def down_s(self) -> float:
        """Seconds in which Redis was away, so far."""
        return self._down_s + max(self._clock.now() - self._down_since, 0.0)

    def stop(self) -> None:
        """Have no more patience than a few seconds: the run is to end."""
        less_s = max(self._rules.patience_s - _GRACE_S, 0.0)
        self._rules = replace(self._rules, patience_s=self._rules.patience_s - less_s)
        for call in self._failing:
            call.hasten(less_s)

    async def ask(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """What a command of the client returns. It may run more than once."""
        return await self._persist(lambda: command(self._client))

    async def call(self, script: str, keys: Sequence[str], *args: str | int) -> Any:
        """What the script returns. It may run more than once."""
        run = self._scripts.get(script)
        if run is None:
            run = self._scripts[script] = self._client.register_script(script)
        return await self._persist(lambda: run(keys, args))

    async def _persist(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        call = _Call()
        try:
            answer = await self._repeat(call, attempt)
        except UnavailableError:
            # What it needed is still not to be had, whatever other calls are answered.
            raise
        except BaseException:
            self._failing.discard(call)
            raise
        self._failing.discard(call)
        self._recover()
        return answer

    async def _repeat(self, call: _Call, attempt: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            call.begin()
            try:
                return await _cancellable(attempt)
            except (RedisError, OSError, RuntimeError) as error:
                pause = self._bear(call, error)
            await self._examine()
            await asyncio.sleep(pause.reopens_at - self._clock.now())

    async def _examine(self) -> None:
        """Where nothing was reached yet, tell a wrong address from a server that is away."""
        if self._was_reached or self._is_examined:
            return
        self._is_examined = True
        mistake = await find_mistake(self._url)
        if mistake is not None:
            raise mistake

    def _bear(self, call: _Call, error: Exception) -> Open:
        """Take note of a failure that may pass; raises where it will not, or lasts too long."""
        fatal = refusal(error, self.name, was_reached=self._was_reached)
        if fatal is not None:
            raise fatal from None
        if not may_pass(error):
            raise error
        now = self._clock.now()
        pause = call.failed(self._rules, now)
        message = f"{self.name}: {error}".rstrip(".")
        shown = Error("redis_unavailable", message[:MAX_MESSAGE_LENGTH])
        self._failing.add(call)
        if not self.is_down:
            self._down_since = now
            next_s = pause.reopens_at - now
            self._notify(OutageBegan(REASON, 1, shown, next_s, self._rules.patience_s))
        if call.is_exhausted:
            raise UnavailableError(
                f"Redis stayed unavailable for {format_duration(round(now - pause.opened_at))};"
                f" the last error was {shown.message}",
                "Run the same command again when it is back: it goes on where this run stopped",
                shown.type,
            ) from error
        return pause

    def _recover(self) -> None:
        """One call was answered: that ends an outage where no other call still fails."""
        self._was_reached = True
        if self.is_down and not self._failing:
            seconds = self._clock.now() - self._down_since
            self._down_s += seconds
            self._down_since = math.inf
            self._notify(OutageEnded(REASON, seconds))


async def _cancellable(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """What it returns, unless the task is cancelled meanwhile.

    The client may lose that: it sends with asyncio.wait_for, which before Python 3.12 goes on as if
    nothing had been where both come at once. Whoever waits for the task would do so for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled = task.cancelling()
    try:
        return await attempt()
    finally:
        if task.cancelling() > cancelled:
            raise asyncio.CancelledError
