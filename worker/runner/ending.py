"""Why a run ends, from the moment that anything says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from worker.core.errors import ExitCode, WorkerError
from worker.runner import causes

Result = TypeVar("Result")


class Ending:
    """The causes for which a run ends, one for each exit code, and the defects among them.

    `on_stop` is called with the first cause: nothing new is to be sent from then on.
    """

    def __init__(self, on_stop: Callable[[WorkerError], None]) -> None:
        self.causes: dict[ExitCode, WorkerError] = {}
        self.defects: list[Exception] = []
        self.is_aborted = False
        self._on_stop = on_stop
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_near(self) -> bool:
        """Whether there is any cause."""
        return bool(self.causes)

    def stop(self, cause: WorkerError) -> None:
        """End with the cause's exit code once what is in flight is finished."""
        if cause.exit_code in self.causes:
            return
        is_first = not self.causes
        self.causes[cause.exit_code] = cause
        if is_first:
            self._on_stop(cause)

    def abort(self, cause: WorkerError) -> None:
        """End at once."""
        self.is_aborted = True
        self.stop(cause)
        for task in self._tasks:
            task.cancel()

    async def complete(self, *works: Coroutine[None, None, None]) -> None:
        """Do these side by side until each has ended, of itself or by `abort`."""
        self._tasks = [asyncio.create_task(self.guard(work)) for work in works]
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def guard(self, work: Coroutine[None, None, Result]) -> Result | None:
        """What `work` returns, None where it fails.

        An error that ends the run becomes its cause, so that the others end in good order.
        """
        try:
            return await work
        except WorkerError as error:
            if error.exit_code is ExitCode.LOG_UNWRITABLE:
                self.abort(error)
            self.stop(error)
        except Exception as error:  # noqa: BLE001 - a defect must not cost the account of the run
            self.defects.append(error)
            self.stop(causes.defect(error))
        return None
