"""A pacer on virtual time, and requests that go through it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from enum import Enum
from itertools import pairwise
from typing import Any

import pytest

from tests.support.defaults import pacing
from tests.support.virtual_time import VirtualClock
from worker.core.errors import UnavailableError
from worker.core.events import Event
from worker.core.outcomes import Error
from worker.core.timetable import Timetable
from worker.pacing.pacer import Pacer
from worker.pacing.permits import Permit, Permits

DOWN = Error("connect_failed", "connection refused")
TOO_MANY = Error("rate_limit_exceeded", "Too many requests")


class Signal(Enum):
    """What becomes of a request."""

    ANSWERED = "answered"
    THROTTLED = "throttled"
    FAILED = "failed"


class Harness:
    """A pacer on virtual time, and what it told."""

    def __init__(
        self,
        rate: float | Timetable = 10.0,
        *,
        patience_s: float = 900.0,
        valid_s: float = math.inf,
        first_probe: int | None = None,
        shared: Permits | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.told: list[Event] = []
        self.pacer = Pacer(
            rate if isinstance(rate, Timetable) else Timetable.constant(rate),
            pacing(patience_s=patience_s, valid_s=valid_s),
            clock=self.clock,
            first_probe=first_probe,
            shared=shared,
            notify=self.told.append,
        )

    @property
    def is_paused(self) -> bool:
        """Whether nothing but probes may leave."""
        return self.pacer.pause(self.clock.now()) is not None

    async def permit(self) -> Permit:
        granted = await self.pacer.permit()
        assert granted is not None
        assert granted.at == self.clock.now()
        return granted

    def tell(self, signal: Signal, permit: Permit, retry_after_s: float | None = None) -> None:
        match signal:
            case Signal.ANSWERED:
                self.pacer.answered(permit)
            case Signal.THROTTLED:
                self.pacer.throttled(permit, error=TOO_MANY, retry_after_s=retry_after_s)
            case Signal.FAILED:
                self.pacer.failed(permit, error=DOWN, retry_after_s=retry_after_s)

    async def send(self, signal: Signal, retry_after_s: float | None = None) -> float:
        """One request that is answered at once; when it left."""
        granted = await self.permit()
        self.tell(signal, granted, retry_after_s)
        return granted.at

    async def send_many(self, signal: Signal, count: int) -> list[float]:
        return [await self.send(signal) for _ in range(count)]

    async def throttle_until_paused(self, retry_after_s: float | None = None) -> list[float]:
        """Requests that are all answered 429, until no more leave."""
        sent: list[float] = []
        while not self.is_paused:
            sent.append(await self.send(Signal.THROTTLED, retry_after_s))
        return sent

    async def send_until_it_gives_up(self, signal: Signal) -> tuple[list[float], UnavailableError]:
        sent: list[float] = []
        try:
            while True:
                sent.append(await self.send(signal))
        except UnavailableError as error:
            return sent, error

    async def drive(
        self, answer: Callable[[float], tuple[float, Signal]], *, requests: int, slots: int = 32
    ) -> list[tuple[float, Signal]]:
        """Many at once; `answer` says how long an answer takes and what it is. When each left."""
        free, sent, under_way = asyncio.Semaphore(slots), [], set()

        async def request(granted: Permit, latency_s: float, signal: Signal) -> None:
            await asyncio.sleep(latency_s)
            self.tell(signal, granted)
            free.release()

        try:
            for _ in range(requests):
                await free.acquire()
                granted = await self.permit()
                latency_s, signal = answer(granted.at)
                sent.append((granted.at, signal))
                under_way.add(asyncio.create_task(request(granted, latency_s, signal)))
        finally:
            await asyncio.gather(*under_way)
        return sent


def about(seconds: float) -> Any:
    """Equal to any number of seconds that is nearly the same."""
    return pytest.approx(seconds)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]
