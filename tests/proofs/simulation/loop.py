"""An event loop without threads, selectors and real time; its seed decides what runs next."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple

from tests.proofs.simulation.process import Died, Process

T = TypeVar("T")
Args = TypeVarTuple("Args")

_STEPS_IN_ONE_INSTANT: Final = 20_000
_LONGEST_RUN_S: Final = 200_000.0
_LONGEST_JOB_S: Final = 0.02
JITTER_S: Final = 0.0005
_LAST_WORDS: Final = 10


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


class Timeline:
    """The seconds since all began; loops that share one live in one time."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs one process until its main coroutine ends or it dies.

    Of the callbacks that are ready the random generator picks the next, in no order. Executors
    work one job at a time, in the loop's own thread, each job at a later step of its own. Time
    passes only while nothing is ready; what falls due together fires in any order.

    `run` is for a process that is alone in the world. Where several are, `start` begins, and then
    somebody calls `step` and `wake` in turn, until `is_over`.
    """

    def __init__(self, process: Process, random: Random, timeline: Timeline) -> None:
        self.steps = 0
        self.errors: list[dict[str, Any]] = []
        self.process = process
        self._random = random
        self._timeline = timeline
        self._ready: list[Call] = []
        self._timers: list[tuple[float, int, Call]] = []
        self._jobs: deque[_Job] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._signal_handlers: dict[int, Callable[[], object]] = {}
        self._main: asyncio.Task[object] | None = None
        self._order = 0
        self._steps_since_jump = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end; raises Died where the process dies before it."""
        asyncio._set_running_loop(self)
        ends_at = self.time() + _LONGEST_RUN_S
        try:
            main = self.create_task(work)
            while not main.done():
                if self.time() > ends_at:
                    raise LivelockError(f"no end after {_LONGEST_RUN_S:.0f} s")
                if self._ready:
                    self._step()
                else:
                    self._jump()
            return main.result()
        finally:
            asyncio._set_running_loop(None)
            if not self.process.is_alive:
                self._bury()

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin `work`, which `step` goes on with."""
        self._main = self.create_task(work)

    def step(self) -> None:
        """Run one callback. Raises Died where the process dies of it."""
        asyncio._set_running_loop(self)
        try:
            self._step()
        finally:
            asyncio._set_running_loop(None)
            if self.is_over:
                self._bury()

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    @property
    def is_over(self) -> bool:
        """Whether what was started has ended, or the process is dead."""
        return not self.process.is_alive or (self._main is not None and self._main.done())

    @property
    def next_due(self) -> float:
        """When the next timer fires; inf where none is set."""
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        return timers[0][0] if timers else math.inf

    def wake(self) -> None:
        """Let the timers fire that are due."""
        self._steps_since_jump = 0
        self._fire()

    def result(self) -> object:
        """What came of the work that was started; raises what it raised."""
        assert self._main is not None
        return self._main.result()

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing of the process runs."""
        self._timeline.now += seconds

    def send_signal(self, number: int) -> None:
        """What the kernel does: the handler runs between two callbacks; without one it kills."""
        handler = self._signal_handlers.get(number)
        if handler is None:
            self.process.die()
        else:
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
        index = int(self._random.random() * len(ready))
        call = ready[index]
        last = ready.pop()
        if last is not call:
            ready[index] = last
        if call.is_cancelled:
            return
        self.steps += 1
        self.process.before_step(self.steps)
        call.context.run(call.callback, *call.args)
        self.process.check()
        self._steps_since_jump += 1
        if self._steps_since_jump > _STEPS_IN_ONE_INSTANT:
            raise LivelockError(f"{_STEPS_IN_ONE_INSTANT} steps at {self.time()} s")

    def _jump(self) -> None:
        due, now = self.next_due, self.time()
        if due == math.inf:
            raise DeadlockError(f"nothing is ready at {now} s, and no timer is set")
        if due > now:
            # As on a real machine, timers fire a little late.
            self._timeline.now = due + self._random.random() * JITTER_S
            self._steps_since_jump = 0
        self._fire()

    def _fire(self) -> None:
        timers, now = self._timers, self.time()
        while timers and timers[0][0] <= now:
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
        return self._timeline.now

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        call = Call(callback, args, context, self._timeline.now)
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
        return self.call_at(self._timeline.now + delay, callback, *args, context=context)

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

    async def create_connection(self, *args: object, **options: object) -> Any:
        """There is no network beyond what is simulated."""
        raise ConnectionRefusedError

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        self._signal_handlers[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self._signal_handlers.pop(sig, None) is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.process.is_alive:
            self.errors.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return False


def _close(task: asyncio.Task[Any]) -> None:
    """A coroutine that goes on to wait for others, as a task group does, is told again."""
    coroutine = task.get_coro()
    for _ in range(_LAST_WORDS):
        with suppress(BaseException):
            coroutine.throw(Died())
            continue
        return
