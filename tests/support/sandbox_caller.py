"""What tests of the sandbox share: one that serves, and requests to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from worker.core.clock import Clock
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status

KEY = "test_key"
ONE = "5eb2b61e02df0a0008f1cf2b"
TWO = "5eb2b61e02df0a0008f1cf2c"
STARTED = {ONE: Status.STARTED, TWO: Status.STARTED}
UNLIMITED = SandboxConfig(sessions=STARTED, limit=0)


class FrozenClock(Clock):
    """Shows the same time until it is set."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def now(self) -> float:
        return self.time_s


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Sends requests to a sandbox, each over a connection of its own."""

    def __init__(self, http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.http = http
        self.sandbox = sandbox

    async def send(self, method: str, path: str, key: str | None = KEY) -> Reply:
        headers = {} if key is None else {"Authorization": key}
        url = f"{self.sandbox.origin}{path}"
        async with self.http.request(
            method, url, headers=headers, allow_redirects=False
        ) as response:
            return Reply(response.status, await response.read(), dict(response.headers))

    async def complete(self, session_id: str, key: str | None = KEY) -> Reply:
        return await self.send("POST", f"/v1/workflowSessions/{session_id}/complete", key)

    async def check(self, session_id: str, key: str | None = KEY) -> Reply:
        return await self.send("GET", f"/v1/workflowSessions/{session_id}", key)


@asynccontextmanager
async def serving(config: SandboxConfig, clock: Clock | None = None) -> AsyncIterator[Caller]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        Sandbox(config, clock) as sandbox,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        yield Caller(http, sandbox)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - the server has no event to wait for
        await asyncio.sleep(0.002)


async def post_raw(sandbox: Sandbox, session_id: str) -> tuple[bytes, BaseException | None]:
    """All bytes of the answer, and the error that the connection ended with."""
    received = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    try:
        head = f"POST /v1/workflowSessions/{session_id}/complete HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{head}Authorization: {KEY}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        while piece := await reader.read(4096):
            received += piece
    except ConnectionError as error:
        return received, error
    finally:
        writer.close()
    return received, None
