"""The least that aiohttp can do, and still complete sessions: URL FILE LOOP.

32 workers over one iterator; nothing is paced, timed, checked, retried or remembered, and no body
is read: it has come with its head.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from yarl import URL

WORKERS = 32
BODY = aiohttp.BytesPayload(b"{}")
HEADERS = {"Authorization": "test_benchmark0000", "Content-Type": "application/json"}


async def complete_all(url: str, ids: Iterator[str]) -> None:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
        headers=HEADERS,
        skip_auto_headers=("Accept-Encoding",),
    ) as session:
        await asyncio.gather(*(work(session, url, ids) for _ in range(WORKERS)))


async def work(session: aiohttp.ClientSession, url: str, ids: Iterator[str]) -> None:
    for session_id in ids:
        address = URL(f"{url}/workflowSessions/{session_id}/complete", encoded=True)
        async with session.post(address, data=BODY, allow_redirects=False):
            pass


def main() -> None:
    url, file, loop = sys.argv[1:]
    ids = iter(Path(file).read_text().split())
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(complete_all(url, ids))


if __name__ == "__main__":
    main()
