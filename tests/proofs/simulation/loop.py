"""An event loop without threads, selectors and real time; its seed decides what runs next."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple

from tests.proofs.simulation.process import Process

T = TypeVar("T")
Args = TypeVarTuple("Args")

_STEPS_IN_ONE_INSTANT: Final = 20_000
_LONGEST_JOB_S: Final = 0.02
_JITTER_S: Final = 0.0005


class DeadlockError(Exception):
    """Nothing is ready and no timer is set: the run would wait for ever."""


class LivelockError(Exception):
    """The loop goes round and round, and time stands still."""


class Call:
    """A callback that waits for its turn; what `call_soon` and `call_at` return."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "time")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        time: float,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context or contextvars.copy_context()
        self.time = time
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.args = ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.time


class _Job:
    """Work that was given to an executor."""

    __slots__ = ("act", "future")

    def __init__(self, act: Callable[[], object], future: asyncio.Future[Any]) -> None:
        self.act = act
        self.future = future


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs one process, from `start` seconds on, until its main coroutine ends or it dies.

    Of the callbacks that are ready the random generator picks the next, in no order. Executors
    work one job at a time, in the loop's own thread, each job at a later step of its own. Time
    passes only while nothing is ready; what falls due together fires in any order.
    """

    def __init__(self, process: Process, random: Random, start: float) -> None:
        self.steps = 0
        self.errors: list[dict[str, Any]] = []
        self._process = process
        self._random = random
        self._now = start
        self._ready: list[Call] = []
        self._timers: list[tuple[float, int, Call]] = []
        self._jobs: deque[_Job] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._signal_handlers: dict[int, Callable[[], object]] = {}
        self._order = 0
        self._steps_since_jump = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end; raises Died where the process dies before it."""
        asyncio._set_running_loop(self)
        try:
            main = self.create_task(work)
            while not main.done():
                self._step()
            return main.result()
        finally:
            asyncio._set_running_loop(None)
            if not self._process.is_alive:
                self._bury()

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing of the process runs."""
        self._now += seconds

    def send_signal(self, number: int) -> None:
        """What the kernel does: the handler runs between two callbacks, if there is one."""
        handler = self._signal_handlers.get(number)
        if handler is not None:
            self.call_soon(handler)

    def unfinished_tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks if not task.done()]

    def work_off_jobs(self) -> None:
        """Do at once what executors were given."""
        while self._jobs:
            self._do(self._jobs.popleft())

    # --- steps ----------------------------------------------------------------------------------

    def _step(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
            return
        index = int(self._random.random() * len(ready))
        call = ready[index]
        last = ready.pop()
        if last is not call:
            ready[index] = last
        if call.is_cancelled:
            return
        self.steps += 1
        self._process.before_step(self.steps)
        call.context.run(call.callback, *call.args)
        self._process.check()
        self._steps_since_jump += 1
        if self._steps_since_jump > _STEPS_IN_ONE_INSTANT:
            raise LivelockError(f"{_STEPS_IN_ONE_INSTANT} steps at {self._now} s")

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise DeadlockError(f"nothing is ready at {self._now} s, and no timer is set")
        due = timers[0][0]
        if due > self._now:
            # As on a real machine, timers fire a little late.
            self._now = due + self._random.random() * _JITTER_S
            self._steps_since_jump = 0
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

    def _bury(self) -> None:
        """Take the coroutines of a dead process apart here, and not whenever garbage is collected:
        nothing of it can act any more."""
        asyncio._set_running_loop(self)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some coroutines have never begun
                for task in self.unfinished_tasks():
                    _close(task)
        finally:
            asyncio._set_running_loop(None)
        self._ready.clear()
        self._timers.clear()
        self._jobs.clear()

    # --- executors ------------------------------------------------------------------------------

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Args], T], *args: *Args
    ) -> asyncio.Future[T]:
        del executor
        future: asyncio.Future[T] = self.create_future()
        self._jobs.append(_Job(lambda: func(*args), future))
        if len(self._jobs) == 1:
            self._call_worker()
        return future

    def _call_worker(self) -> None:
        delay = self._random.random() ** 3 * _LONGEST_JOB_S
        self.call_later(delay, self._work)

    def _work(self) -> None:
        if self._jobs:
            self._do(self._jobs.popleft())
        # What was cancelled while it stood behind another is never begun.
        while self._jobs and self._jobs[0].future.cancelled():
            self._jobs.popleft()
        if self._jobs:
            self._call_worker()

    def _do(self, job: _Job) -> None:
        try:
            result = job.act()
        except Exception as error:  # noqa: BLE001 - it is raised where the job is waited for
            if not job.future.done():
                job.future.set_exception(error)
        else:
            if not job.future.done():
                job.future.set_result(result)

    # --- what asyncio asks of a loop ------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        call = Call(callback, args, context, self._now)
        self._ready.append(call)
        return call

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        call = Call(callback, args, context, when)
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, call))
        return call

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        self._signal_handlers[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self._signal_handlers.pop(sig, None) is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._process.is_alive:
            self.errors.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return False


def _close(task: asyncio.Task[Any]) -> None:
    coroutine = task.get_coro()
    with suppress(BaseException):  # the last words of the dead
        coroutine.close()
