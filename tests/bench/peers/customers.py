"""The account's customers: evenly spaced requests, phase by phase: URL RATExSECONDS...

`4x180 0x30 12x60` is four a second for three minutes, half a minute of silence, and then more than
the account's limit.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp

HEADERS = {"Authorization": "live_customers00", "User-Agent": "customers"}


async def call(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url}/workflowSessions/5eb2b61e02df0a0008f1cf2b") as response:
        await response.read()


async def main() -> None:
    url, *phases = sys.argv[1:]
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        ends = time.monotonic()
        for phase in phases:
            rate, seconds = map(float, phase.split("x"))
            begins, ends = ends, ends + seconds
            for number in range(round(rate * seconds)):
                await asyncio.sleep(begins + number / rate - time.monotonic())
                await call(session, url)
            await asyncio.sleep(ends - time.monotonic())


if __name__ == "__main__":
    asyncio.run(main())
