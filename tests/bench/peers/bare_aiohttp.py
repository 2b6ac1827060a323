"""The least that aiohttp can do, and still complete sessions: URL FILE LOOP.

32 workers over one iterator. Nothing is paced, timed, checked, retried or remembered, no header is
sent that the API does not need, and an answer is let go of once its status is there: the server's
fits into the segment that its headers come in, so that its connection is free by then.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from yarl import URL

WORKERS = 32
HEADERS = {"Authorization": "test_benchmark0000", "Content-Type": "application/json"}
NEEDLESS = ("Accept", "Accept-Encoding", "User-Agent")


async def complete_all(url: str, ids: Iterator[str]) -> None:
    sessions = URL(f"{url}/workflowSessions", encoded=True)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers=HEADERS,
        skip_auto_headers=NEEDLESS,
    ) as session:
        await asyncio.gather(*(work(session, sessions, ids) for _ in range(WORKERS)))


async def work(session: aiohttp.ClientSession, sessions: URL, ids: Iterator[str]) -> None:
    path, body = sessions.raw_path, aiohttp.BytesPayload(b"{}")
    for session_id in ids:
        address = sessions.with_path(f"{path}/{session_id}/complete", encoded=True)
        response = await session.post(address, data=body, allow_redirects=False)
        if response.status != 200:
            sys.exit(f"{session_id}: {response.status}")
        response.release()


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
