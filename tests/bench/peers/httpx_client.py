"""httpx with 32 requests at once: URL FILE."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

WORKERS = 32
HEADERS = {"Authorization": "test_benchmark0000"}


async def work(client: httpx.AsyncClient, url: str, ids: Iterator[str]) -> None:
    for session_id in ids:
        await client.post(f"{url}/workflowSessions/{session_id}/complete", json={})


async def complete_all(url: str, ids: Iterator[str]) -> None:
    async with httpx.AsyncClient(headers=HEADERS, trust_env=False) as client:
        await asyncio.gather(*(work(client, url, ids) for _ in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(complete_all(sys.argv[1], iter(Path(sys.argv[2]).read_text().split())))
