"""An event loop whose clock jumps instead of sleeping: hours of waiting pass in milliseconds."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

import pytest
from asyncio_throttle import throttler

from worker.core.clock import Clock

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is set and no thread is at work: the test would wait for ever."""


class _JumpingSelector(selectors.BaseSelector):
    """Never sleeps: the loop's time goes forward by what it would have slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        self.threads_at_work = 0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if self.threads_at_work:
            # Time stands still while a thread works: how long it takes must not matter.
            return self._real.select(0 if timeout == 0 else None)
        events = self._real.select(0)
        if events:
            return events
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set")
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0; real file descriptors work, but nobody outside waits in its time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @property
    def turns(self) -> int:
        """How often the loop went round."""
        return self._jumping.turns

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._jumping.now += max(seconds, 1e-9)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._jumping.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_is_done)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._jumping.threads_at_work += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jumping.threads_at_work -= 1

    def _thread_is_done(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads_at_work -= 1


class VirtualClock(Clock):
    """The clock of the running virtual loop; its wall clock starts at `EPOCH`."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def nap(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.skip(seconds)

    def utc(self) -> datetime:
        return EPOCH + timedelta(seconds=self.now())


def turns() -> int:
    """How often the running virtual loop went round so far."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.turns


@contextmanager
def _throttler_on(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throttler, "time", SimpleNamespace(monotonic=loop.time))
        yield


def run_virtually(work: Awaitable[T]) -> T:
    """Run `work` to its end on a fresh virtual loop, and asyncio-throttle on its time."""

    async def main() -> T:
        return await work

    with (
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        _throttler_on(runner.get_loop()),
    ):
        return runner.run(main())


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a plain test function of a coroutine function: it runs on a fresh virtual loop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtually(test(*args, **kwargs))

    return run
