"""A server beside a command that runs in the test's own thread."""

from __future__ import annotations

import asyncio
import threading

from tests.support.raw_server import Answer, RawServer


class Serving:
    """A raw server on a thread of its own, for a command that runs a loop of its own."""

    def __init__(self, answer: Answer) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(answer,), daemon=True)

    def __enter__(self) -> RawServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self.server

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self, answer: Answer) -> None:
        self._loop.run_until_complete(self._serve(answer))

    async def _serve(self, answer: Answer) -> None:
        async with RawServer(answer) as self.server:
            self._ready.set()
            await self._stop.wait()
