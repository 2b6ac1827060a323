"""Requests that change nothing, through the pacer, each repeated until it is answered."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from random import Random
from typing import Final, Protocol, TypeVar

from worker.api.refusals import refusal
from worker.api.verdict import (
    Answer,
    Foreign,
    Refused,
    Reply,
    Settled,
    StaleKey,
    Throttled,
    Transient,
    Unfinished,
    Verdict,
    judge_check,
)
from worker.core.clock import Clock
from worker.core.departure import Departure
from worker.core.durations import format_duration
from worker.core.errors import RefusedError, UnavailableError
from worker.core.outcomes import Error, ErrorType
from worker.pacing.backoff import throttle_delay, transient_delay
from worker.pacing.pacer import Pacer
from worker.pacing.permits import Permit
from worker.reading.sessions import ListedSession, Page, parse_page
from worker.reading.walk import Span, Walk

_log: Final = logging.getLogger(__name__)
_MEND: Final = "Mend the key, the plan or --base-url"

T = TypeVar("T")
Trouble = Transient | Throttled
AskAgain = Trouble | StaleKey
Send = Callable[[Departure], Awaitable[Reply]]


class ReadingClient(Protocol):
    """Sends one request when `departure` says so, once it is connected; returns what came back, or
    that nothing did."""

    async def list_sessions(self, query: Mapping[str, str], departure: Departure) -> Reply:
        """Read a page of the list, by the parameters of `query`."""
        ...

    async def check(self, id: str, departure: Departure) -> Reply:
        """Read one session."""
        ...


class Backoff(Protocol):
    """The settings of retries; times in seconds."""

    @property
    def max_attempts(self) -> int: ...

    @property
    def backoff_initial(self) -> float: ...

    @property
    def backoff_max(self) -> float: ...

    @property
    def throttle_initial(self) -> float: ...

    @property
    def throttle_max(self) -> float: ...


class ReadingStoppedError(Exception):
    """Nothing more is to be sent."""


class ForeignAnswerError(RefusedError):
    """Before the API has answered anything, something else answers in its place."""


class Reader:
    """Reads the list and single sessions. `requests` counts what left, retries included.

    `on_reply` is told what came back for each request, and after how many milliseconds. Every
    method raises RefusedError where the API refuses the key or the account, ForeignAnswerError
    where what answers first is not the API, UnavailableError when patience has ended, and
    ReadingStoppedError after `stop`.
    """

    def __init__(
        self,
        client: ReadingClient,
        pacer: Pacer,
        clock: Clock,
        backoff: Backoff,
        random: Random,
        on_reply: Callable[[Reply, float], None] = lambda reply, latency_ms: None,
    ) -> None:
        self.requests = 0
        self._on_reply = on_reply
        self._stopped = asyncio.Event()
        self._address_proven = False
        self._client = client
        self._pacer = pacer
        self._clock = clock
        self._backoff = backoff
        self._random = random

    def stop(self) -> None:
        """Send nothing more; what is in flight is waited for."""
        self._stopped.set()

    async def pages(self, span: Span) -> AsyncIterator[tuple[list[ListedSession], int]]:
        """Pages of the span, newest first: their sessions, each once, and how many are to come.

        Raises RefusedError where the API refuses its list, too.
        """
        walk = Walk(span)
        while not walk.finished:
            page = await self._page(walk.query(), math.inf)
            assert isinstance(page, Page)
            yield walk.take(page), page.total

    async def page(self, query: Mapping[str, str], witness: str) -> Page:
        """One page of the list.

        Where it fails or is throttled again and again, the session `witness` is read, which is
        waited for: an outage ends with it. Raises RefusedError where the API refuses its list, or
        goes on to fail it while it shows sessions.
        """
        attempts = self._backoff.max_attempts
        page = await self._page(query, attempts, is_at_first=False)
        if not isinstance(page, Page):
            await self._session(witness, math.inf)
            again = attempts if isinstance(page, Throttled) else 1
            page = await self._page(query, again, is_at_first=False)
        if isinstance(page, Page):
            return page
        raise RefusedError(f"the API does not give its list: {page.error.type}", page.error.message)

    async def session(self, session_id: str) -> Settled | Unfinished | Transient:
        """What a session's status means; Transient where it cannot be read, however often."""
        return await self._session(session_id, self._backoff.max_attempts)

    async def _session(self, session_id: str, attempts: float) -> Settled | Unfinished | Transient:
        def judge(reply: Reply) -> Settled | Unfinished | AskAgain:
            verdict = judge_check(reply, session_id)
            if isinstance(verdict, Settled | Unfinished):
                return verdict
            return self._trouble(verdict, "the API refuses to show a session")

        def send(departure: Departure) -> Awaitable[Reply]:
            return self._client.check(session_id, departure)

        answer: Settled | Unfinished | Transient | Throttled
        answer = await self._ask(send, judge, attempts, counts_all=False)
        assert not isinstance(answer, Throttled), "429s are waited out"
        return answer

    async def _page(
        self, query: Mapping[str, str], attempts: float, *, is_at_first: bool = True
    ) -> Page | Trouble:
        def judge(reply: Reply) -> Page | AskAgain:
            page = None
            if isinstance(reply, Answer) and reply.status == 200:
                page = parse_page(reply.body)
            if page is not None:
                return page
            verdict = judge_check(reply)
            if isinstance(verdict, Foreign) and not is_at_first:
                return _as_outage(verdict)
            return self._trouble(verdict, "the API refuses its list")

        def send(departure: Departure) -> Awaitable[Reply]:
            return self._client.list_sessions(query, departure)

        return await self._ask(send, judge, attempts, counts_all=True)

    async def _ask(
        self,
        send: Send,
        judge: Callable[[Reply], T | AskAgain],
        attempts: float,
        *,
        counts_all: bool,
    ) -> T | Trouble:
        """The first answer that is no trouble, or the last trouble after so many failures; an
        outage's and 429s count where `counts_all` says so."""
        failures = troubles = 0
        while True:
            answer = await self._attempt(send, judge)
            if isinstance(answer, StaleKey):
                continue
            if not isinstance(answer, Trouble):
                return answer
            troubles += 1
            is_own = isinstance(answer, Transient) and not self._pacer.is_down
            failures += counts_all or is_own
            if failures >= attempts:
                return answer
            _log.debug("read again after %s: %s", answer.error.type, answer.error.message)
            await self._wait(answer, troubles)

    async def _attempt(self, send: Send, judge: Callable[[Reply], T | AskAgain]) -> T | AskAgain:
        reply, permit = await self._exchange(send)
        try:
            answer = judge(reply)
        except ForeignAnswerError as error:
            self._pacer.failed(permit, error=Error(error.error_type or "", error.message))
            raise
        except RefusedError:
            self._pacer.answered(permit)
            raise
        self._learn(answer, permit)
        return answer

    async def _exchange(self, send: Send) -> tuple[Reply, Permit]:
        """What a request brought, and the permit with which it left."""
        while not self._stopped.is_set():
            permit = await self._pacer.permit()
            if permit is None:
                break
            departure = self._pacer.departure(permit)
            reply = await send(departure)
            if not departure.is_refused:
                self.requests += 1
                self._on_reply(reply, (self._clock.now() - departure.permit.at) * 1000)
                return reply, departure.permit
            self._pacer.release(permit)
        raise ReadingStoppedError

    def _learn(self, answer: object, permit: Permit) -> None:
        match answer:
            case Throttled(error=error, retry_after_s=told_s):
                self._pacer.throttled(permit, error=error, retry_after_s=told_s)
            case Transient(error=error, retry_after_s=told_s):
                self._pacer.failed(permit, error=error, retry_after_s=told_s)
            case _:
                self._address_proven = True
                self._pacer.answered(permit)

    async def _wait(self, trouble: Trouble, troubles: int) -> None:
        """Wait for the next attempt; raises UnavailableError where that is beyond patience."""
        pacer, now = self._pacer, self._clock.now()
        told_s = trouble.retry_after_s
        if told_s is not None and told_s > pacer.patience_s:
            raise UnavailableError(
                f"the API asks to wait {format_duration(round(told_s))}, which is longer than"
                f" --patience ({format_duration(pacer.patience_s)})",
                "Run the same command again then",
            )
        due = now + max(self._delay(trouble, troubles), told_s or 0.0)
        if told_s is None and now < pacer.last_probe_at:
            due = min(due, pacer.last_probe_at)
        while now < due and not self._stopped.is_set():
            pacer.check_patience(now)
            await self._clock.wait(self._stopped, min(due, pacer.gives_up_at))
            now = self._clock.now()

    def _delay(self, trouble: Trouble, troubles: int) -> float:
        settings = self._backoff
        if isinstance(trouble, Throttled) and trouble.retry_after_s is None:
            return throttle_delay(
                troubles,
                initial=settings.throttle_initial,
                maximum=settings.throttle_max,
                random=self._random,
            )
        return transient_delay(
            troubles,
            initial=settings.backoff_initial,
            maximum=settings.backoff_max,
            random=self._random,
        )

    def _trouble(self, verdict: Verdict, refused: str) -> AskAgain:
        """What an answer means that is not what was asked for; raises RefusedError.

        Where the API has answered before, one that is not its own is a proxy's: an outage. What was
        refused for a key that is replaced by now is asked again.
        """
        if isinstance(verdict, Transient | Throttled | StaleKey):
            return verdict
        if isinstance(verdict, Foreign):
            if self._address_proven:
                return _as_outage(verdict)
            raise ForeignAnswerError(_told(refused, verdict.error), _MEND, verdict.error.type)
        if isinstance(verdict, Refused) and verdict.http_status is None:
            raise refusal(verdict)
        error = None if isinstance(verdict, Unfinished) else verdict.error
        error = error or _ONE_SESSION
        raise RefusedError(_told(refused, error), _MEND, error.type)


def _as_outage(verdict: Foreign) -> Transient:
    return Transient(verdict.error, ambiguous=False, http_status=verdict.http_status)


def _told(refused: str, error: Error) -> str:
    return f"{refused}: {error.type}: {error.message}"


_ONE_SESSION = Error(ErrorType.UNEXPECTED_RESPONSE.value, "the answer is one session, and no list")
