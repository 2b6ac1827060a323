"""One request at a time that changes nothing, through the pacer, until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Protocol

from worker.api.verdict import (
    Answer,
    Foreign,
    Refused,
    Reply,
    StaleKey,
    Throttled,
    Transient,
    judge_check,
)
from worker.core.clock import Clock
from worker.core.errors import RefusedError, WorkerError
from worker.core.outcomes import Error, ErrorType
from worker.pacing.backoff import throttle_delay, transient_delay
from worker.pacing.pacer import Pacer, Signal
from worker.reading.sessions import ListedSession, Page, parse_page
from worker.reading.walk import Span, Walk


class Lister(Protocol):
    """Asks for one page of the list, and returns what came back, or that nothing did."""

    async def list_sessions(self, query: Mapping[str, str]) -> Reply: ...


class Backoff(Protocol):
    """The settings of waits, in seconds."""

    @property
    def backoff_initial(self) -> float: ...

    @property
    def backoff_max(self) -> float: ...

    @property
    def throttle_initial(self) -> float: ...

    @property
    def throttle_max(self) -> float: ...


class Reader:
    """Reads the list. `requests` counts what left, retries included."""

    def __init__(
        self, client: Lister, pacer: Pacer, clock: Clock, backoff: Backoff, random: Random
    ) -> None:
        self.requests = 0
        self._address_proven = False
        self._client = client
        self._pacer = pacer
        self._clock = clock
        self._backoff = backoff
        self._random = random

    async def pages(self, span: Span) -> AsyncIterator[tuple[list[ListedSession], int]]:
        """Pages of the span, newest first: their sessions, each once, and how many are to come.

        Raises RefusedError where the API refuses its list, the key or the account, and
        UnavailableError when patience has ended.
        """
        walk = Walk(span)
        while not walk.finished:
            page = await self._page(walk)
            yield walk.take(page), page.total

    async def _page(self, walk: Walk) -> Page:
        failures = 0
        while True:
            sent_at = await self._pacer.permit()
            assert sent_at is not None
            self.requests += 1
            page = self._hear(await self._client.list_sessions(walk.query()), sent_at)
            if isinstance(page, Page):
                return page
            failures += 1
            await self._wait(page, failures)

    def _hear(self, reply: Reply, sent_at: float) -> Page | Transient | Throttled:
        page = parse_page(reply.body) if isinstance(reply, Answer) and reply.status == 200 else None
        if page is not None:
            self._address_proven = True
            self._pacer.heard(Signal.ANSWERED, sent_at=sent_at)
            return page
        verdict = _judge(reply, self._address_proven)
        if isinstance(verdict, WorkerError):
            self._pacer.heard(Signal.ANSWERED, sent_at=sent_at)
            raise verdict
        signal = Signal.THROTTLED if isinstance(verdict, Throttled) else Signal.FAILED
        self._pacer.heard(
            signal, sent_at=sent_at, retry_after_s=verdict.retry_after_s, error=verdict.error
        )
        return verdict

    async def _wait(self, verdict: Transient | Throttled, failures: int) -> None:
        settings = self._backoff
        if isinstance(verdict, Throttled) and verdict.retry_after_s is None:
            seconds = throttle_delay(
                failures,
                initial=settings.throttle_initial,
                maximum=settings.throttle_max,
                random=self._random,
            )
        else:
            seconds = transient_delay(
                failures,
                initial=settings.backoff_initial,
                maximum=settings.backoff_max,
                random=self._random,
            )
        seconds = max(seconds, verdict.retry_after_s or 0.0)
        await self._clock.wait(asyncio.Event(), self._clock.now() + seconds)


def _judge(reply: Reply, address_proven: bool) -> Transient | Throttled | WorkerError:
    """What an answer means that is no page of the list.

    Where the API has answered before, one that is not its own is a proxy's: an outage. What was
    refused for a key that is replaced by now is asked again.
    """
    verdict = judge_check(reply)
    if isinstance(verdict, StaleKey) or (isinstance(verdict, Foreign) and address_proven):
        return Transient(verdict.error, ambiguous=False, http_status=verdict.http_status)
    if isinstance(verdict, Transient | Throttled):
        return verdict
    error = verdict.error if hasattr(verdict, "error") and verdict.error else _NO_LIST
    if isinstance(verdict, Refused) and verdict.http_status is None:
        return RefusedError(
            f"the server's TLS certificate is not valid: {error.message}",
            "Correct the base URL, or this machine's clock and certificate authorities",
        )
    return RefusedError(
        f"the API refuses its list: {error.type}: {error.message}",
        "Mend the key, the plan or --base-url",
    )


_NO_LIST = Error(ErrorType.UNEXPECTED_RESPONSE.value, "the answer is one session, and no list")
