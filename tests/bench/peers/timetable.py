"""A timetable: the k-th request is due at k / RATE, and lateness is made up: URL FILE RATE."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import aiohttp

HEADERS = {"Authorization": "test_benchmark0000", "Content-Type": "application/json"}


async def complete(session: aiohttp.ClientSession, url: str, session_id: str) -> int:
    async with session.post(f"{url}/workflowSessions/{session_id}/complete", json={}) as response:
        await response.read()
        return response.status


async def complete_all(url: str, ids: list[str], rate: float) -> None:
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        began = time.monotonic()
        sent = []
        for number, session_id in enumerate(ids):
            await asyncio.sleep(began + number / rate - time.monotonic())
            sent.append(asyncio.create_task(complete(session, url, session_id)))
        await asyncio.gather(*sent)


if __name__ == "__main__":
    url, file, rate = sys.argv[1:]
    asyncio.run(complete_all(url, Path(file).read_text().split(), float(rate)))
