"""The way to Redis: an address, and calls that outlast its troubles."""

from __future__ import annotations

import asyncio
import math
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from worker.cluster.address import NO_TLS_REASONS, check_tls_files, find_mistake
from worker.core.clock import Clock
from worker.core.durations import format_duration
from worker.core.errors import RefusedError, UnavailableError, UsageError, WorkerError
from worker.core.events import Event, OutageBegan, OutageEnded
from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error
from worker.core.redis_url import without_secrets

REASON: Final = "shared"
"""What the events call Redis being away."""

_CALL_TIMEOUT_S: Final = 5.0
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 2.0
_GRACE_S: Final = 5.0
"""How long a run that is told to stop still waits for a Redis that is away."""

_is_not_permitted: Final = re.compile(
    "NOPERM|ACL failure|can't (run|access)|has no permissions", re.IGNORECASE
).search
"""What a script's error says of a command that the user may not run; versions differ."""

_is_client_refused: Final = re.compile(
    r"alert (certificate required|bad certificate|unknown ca|handshake failure)", re.IGNORECASE
).search
"""What OpenSSL says where the server ends the handshake, or a connection after it."""

_PASSING_CODES: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY"}
)
"""Answers that another time may be better, when somebody has mended what they tell of."""


@dataclass(eq=False)
class _Call:
    """Since when a call fails, and how long it waits before it is made again."""

    failing_since: float = math.inf
    delay_s: float = _FIRST_DELAY_S


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
        check_tls_files(url)
        self.name = without_secrets(url)
        self._clock = clock
        self._patience_s = patience_s
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
        self._patience_s = min(self._patience_s, _GRACE_S)

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
            began_at = self._clock.now()
            try:
                return await attempt()
            except (RedisError, OSError, RuntimeError) as error:
                call.failing_since = min(call.failing_since, began_at)
                self._bear(call, error)
            await self._examine()
            await asyncio.sleep(call.delay_s)
            call.delay_s = min(call.delay_s * 2, _LONGEST_DELAY_S)

    async def _examine(self) -> None:
        """Where nothing was reached yet, tell a wrong address from a server that is away."""
        if self._was_reached or self._is_examined:
            return
        self._is_examined = True
        mistake = await find_mistake(self._url)
        if mistake is not None:
            raise mistake

    def _bear(self, call: _Call, error: Exception) -> None:
        """Take note of a failure that may pass; raises where it will not, or lasts too long."""
        fatal = self._fatal(error)
        if fatal is not None:
            raise fatal from None
        if not _may_pass(error):
            raise error
        now = self._clock.now()
        message = f"{self.name}: {error}".rstrip(".")
        shown = Error("redis_unavailable", message[:MAX_MESSAGE_LENGTH])
        self._failing.add(call)
        if not self.is_down:
            self._down_since = now
            self._notify(OutageBegan(REASON, 1, shown, call.delay_s, self._patience_s))
        failing_s = now - call.failing_since
        if failing_s >= self._patience_s:
            raise UnavailableError(
                f"Redis stayed unavailable for {format_duration(round(failing_s))};"
                f" the last error was {shown.message}",
                "Run the same command again when it is back: it goes on where this run stopped",
            ) from error

    def _recover(self) -> None:
        """One call was answered: that ends an outage where no other call still fails."""
        self._was_reached = True
        if self.is_down and not self._failing:
            seconds = self._clock.now() - self._down_since
            self._down_s += seconds
            self._down_since = math.inf
            self._notify(OutageEnded(REASON, seconds))

    def _fatal(self, error: Exception) -> WorkerError | None:
        """What no waiting mends, in a sentence."""
        causes, said = list(_causes(error)), str(error).rstrip(".")
        if isinstance(error, AuthenticationError | AuthorizationError):
            return RefusedError(
                f"{self.name} refuses the password or the user: {said}",
                "Correct the address: redis://USER:PASSWORD@HOST, or :PASSWORD@ without a user",
            )
        if isinstance(error, NoPermissionError) or _is_not_permitted(str(error)):
            return RefusedError(
                f"{self.name} does not let this user do what is needed: {said}",
                "Give the user the rights that config/redis.conf names",
            )
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return RefusedError(
                f"the TLS certificate of {self.name} is not valid: {said}",
                "Correct the address, or name the authority with ?ssl_ca_certs=FILE",
            )
        if _is_client_refused(str(error)):
            return RefusedError(
                f"{self.name} wants a client's certificate, or another one: {said}",
                "Name it and its key with ?ssl_certfile=FILE&ssl_keyfile=FILE",
            )
        if any(getattr(cause, "reason", None) in NO_TLS_REASONS for cause in causes):
            return UsageError(
                f"the server at {self.name} speaks no TLS: {said}",
                "Give the address as redis://, or the port that `tls-port` names",
            )
        if isinstance(error, ResponseError) and _code(error) == "WRONGTYPE":
            return UsageError(
                f"a key of the same name holds something else in {self.name}: {said}",
                "Another program or an older version made it: take another name for the queue or"
                " the account, another database, or delete the key",
            )
        if isinstance(error, InvalidResponse | MovedError):
            return UsageError(
                f"{self.name} is no Redis that stands alone: {said}",
                "Give the address of one Redis or Valkey server; a cluster will not do",
            )
        if not self._was_reached and any(isinstance(one, socket.gaierror) for one in causes):
            return UsageError(f"{self.name} names no host: {said}", "Correct the address")
        return None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, RuntimeError):
        # What uvloop says of a connection that is lost while it is being opened.
        return "closed" in str(error)
    return not isinstance(error, ResponseError) or _code(error) in _PASSING_CODES


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: ResponseError) -> str:
    """The word that an error of Redis begins with; redis-py takes some of them off."""
    kept = type(error).__name__.removesuffix("Error").upper()
    return {"OUTOFMEMORY": "OOM", "READONLY": "READONLY"}.get(kept, str(error).split(" ")[0])
