"""Connections that do not open for a while: what waited for them leaves at the rate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.support.proxy import Proxy
from tests.support.raw_server import PROCESSING, RawServer, Request, Sent, Then, response
from tests.support.run_harness import Ended, RunHarness, ids
from tests.support.virtual_time import VirtualClock, run_virtually
from worker.core.errors import ExitCode

OpeningTime = Callable[[float], float]
"""How many seconds a connection takes that is asked for at a time of the loop."""


class SlowProxy(Proxy):
    """Opens tunnels, but takes its time for each."""

    def __init__(self, port: int, opening_s: OpeningTime) -> None:
        super().__init__(port)
        self._opening_s = opening_s

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._opening_s(asyncio.get_running_loop().time()))
        await super().converse(reader, writer)


class Scene:
    """A server behind such a proxy; it `closes` each connection, or those of a stall alone."""

    def __init__(
        self,
        directory: Path,
        authority: trustme.CA,
        trusting: ssl.SSLContext,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.arrived: list[float] = []
        self._directory = directory
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._trusting = trusting
        self._monkeypatch = monkeypatch

    def run(
        self, count: int, opening_s: OpeningTime, *, closes: bool = False, **given: object
    ) -> Ended:
        """A run at 10/s in virtual time."""

        def answer(_: Request) -> Sent:
            now = asyncio.get_running_loop().time()
            self.arrived.append(now)
            is_last = closes or opening_s(now) > 0.0
            return Sent(response(PROCESSING), Then.CLOSE if is_last else Then.KEEP)

        async def go() -> Ended:
            async with (
                RawServer(answer, self._context) as server,
                SlowProxy(server.port, opening_s) as proxy,
            ):
                self._monkeypatch.setenv("HTTPS_PROXY", proxy.address)
                here = RunHarness(self._directory, server.url, pace_rate="10", **given)
                return await here.run(ids(count), tls=self._trusting, clock=VirtualClock())

        return run_virtually(go())

    @property
    def most_in_a_second(self) -> int:
        times = self.arrived
        return max(sum(begin <= at < begin + 1 - 1e-6 for at in times) for begin in times)


@pytest.fixture
def scene(
    tmp_path: Path,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    return Scene(tmp_path, authority, trusting, monkeypatch)


def test_after_a_stall_in_connecting_no_second_holds_more_than_the_rate(scene: Scene) -> None:
    ended = scene.run(150, lambda now: 9.0 - now if 3.0 <= now < 9.0 else 0.0)
    assert (ended.code, ended.outcomes) == (ExitCode.OK, {"processing": 150})
    assert scene.most_in_a_second <= 10
    # The stall costs its own time, and no more.
    assert scene.arrived[-1] - scene.arrived[0] < 15.0 + 6.0 + 0.5


def test_where_each_connection_opens_slowly_and_serves_once_the_rate_is_kept(scene: Scene) -> None:
    ended = scene.run(100, lambda _: 0.3, closes=True)
    assert ended.outcomes == {"processing": 100}
    assert scene.most_in_a_second <= 10
    assert scene.arrived[-1] - scene.arrived[0] == pytest.approx(99 / 10.0, rel=0.02)


def test_the_time_for_a_request_begins_when_it_leaves(scene: Scene) -> None:
    ended = scene.run(5, lambda _: 2.0, closes=True, api_timeout="1s")
    assert ended.outcomes == {"processing": 5}
    assert ended.finished.tally.retries == 0
