"""asyncio-throttle as tutorials use it, with a task for each id and gather: URL FILE RATE."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
from asyncio_throttle.throttler import Throttler

HEADERS = {"Authorization": "test_benchmark0000", "Content-Type": "application/json"}


async def complete(
    session: aiohttp.ClientSession, throttler: Throttler, url: str, session_id: str
) -> int:
    async with (
        throttler,
        session.post(f"{url}/workflowSessions/{session_id}/complete", json={}) as response,
    ):
        await response.read()
        return response.status


async def complete_all(url: str, ids: list[str], rate: int) -> None:
    throttler = Throttler(rate_limit=rate, period=1.0)
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        await asyncio.gather(*(complete(session, throttler, url, session_id) for session_id in ids))


if __name__ == "__main__":
    url, file, rate = sys.argv[1:]
    asyncio.run(complete_all(url, Path(file).read_text().split(), int(rate)))
