"""What ends a run that shares, and what does not: Redis away in part, gone queues, signals."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.program import Finished, Process, environment, started
from tests.support.redis_server import SAFE, RedisServer, needs_redis, redis_server
from tests.support.sandbox_caller import until
from worker.cluster.connection import Connection
from worker.cluster.queue import Queue
from worker.cluster.queue_scripts import RENEW
from worker.core.clock import Clock
from worker.core.errors import ExitCode
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import Sandbox

pytestmark = needs_redis
QUEUE = "complete-sessions:{queue:june}:"
LEASE_S = 1.8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), *SAFE, "appendfsync no") as one:
        yield one


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Any]:
    with Redis.from_url(server.url) as one:
        one.flushall()
        yield one
        one.replicaof("no", "one")
        one.config_set("maxmemory", "0")


class Scene:
    """Runs at work on a queue of more ids than they get done."""

    def __init__(self, directory: Path, server: RedisServer, sandbox: Sandbox) -> None:
        self.directory = directory
        self.server = server
        self.sandbox = sandbox

    def environ(self, **given: str) -> dict[str, str]:
        fast = {
            "API_CONNECT_TIMEOUT": "300ms",
            "API_TIMEOUT": "500ms",
            "SHARED_LEASE": f"{LEASE_S:g}s",
        }
        return environment(**(fast | {"SHARED_URL": self.server.url, "PACE_RATE": "20"} | given))

    async def enqueue(self, count: int) -> None:
        source = self.directory / "ids.txt"
        source.write_text("".join(f"id{number}\n" for number in range(count)))
        async with started("enqueue", source, "--queue", "june", env=self.environ()) as adding:
            assert (await adding.ends()).code == 0

    @asynccontextmanager
    async def at_work(self, name: str = "one", **given: str) -> AsyncIterator[Process]:
        """A run that has begun to send."""
        results = self.directory / f"{name}.jsonl"
        command = ("run", "--queue", "june", "--results", results)
        async with started(
            *command, "--base-url", self.sandbox.url, env=self.environ(**given)
        ) as one:
            await until(lambda: results.exists() and results.read_text())
            yield one


@pytest.fixture
async def scene(tmp_path: Path, server: RedisServer, redis: Any) -> AsyncIterator[Scene]:
    async with Sandbox(SandboxConfig(any_id=True, limit=0)) as sandbox:
        one = Scene(tmp_path, server, sandbox)
        await one.enqueue(1000)
        yield one


def named(done: Finished) -> list[str]:
    return [event["event"] for event in done.events]


def make_a_replica(redis: Any) -> None:
    """Of a server that is not there: reads are answered, writes refused."""
    redis.replicaof("127.0.0.1", "1")


def fill_the_memory(redis: Any) -> None:
    redis.config_set("maxmemory", "1")


@pytest.mark.parametrize("trouble", [make_a_replica, fill_the_memory])
async def test_a_redis_that_only_reads_ends_the_run_when_patience_has_ended(
    scene: Scene, redis: Any, trouble: Any
) -> None:
    async with scene.at_work(STOP_PATIENCE="1s") as run:
        trouble(redis)
        done = await run.ends()
    assert done.code == ExitCode.UNAVAILABLE
    assert named(done).count("outage_began") == 1
    assert "outage_ended" not in named(done)
    assert "Redis stayed unavailable" in done.last["reason"]
    assert done.last["error"] == "redis_unavailable"


@pytest.mark.parametrize("trouble", [make_a_replica, fill_the_memory])
async def test_a_redis_that_only_reads_is_waited_for(
    scene: Scene, redis: Any, trouble: Any
) -> None:
    async with scene.at_work() as run:
        trouble(redis)
        await run.says("outage_began")
        redis.replicaof("no", "one")
        redis.config_set("maxmemory", "0")
        await run.says("outage_ended")
        run.signal(signal.SIGTERM)
        assert (await run.ends()).code == ExitCode.TERMINATED
    assert not scene.sandbox.stats()["triggered_twice"]


@pytest.mark.parametrize("trouble", [make_a_replica, fill_the_memory])
async def test_a_run_can_be_ended_while_redis_only_reads(
    scene: Scene, redis: Any, trouble: Any
) -> None:
    async with scene.at_work(STOP_PATIENCE="15m") as run:
        trouble(redis)
        await run.says("outage_began")
        run.signal(signal.SIGTERM)
        done = await asyncio.wait_for(run.ends(), 60)
    assert done.code == ExitCode.TERMINATED


async def test_a_queue_that_is_dropped_ends_every_run_on_it(scene: Scene, redis: Any) -> None:
    async with scene.at_work("one") as one, scene.at_work("other") as other:
        redis.delete(*redis.keys(f"{QUEUE}*"))
        ended = [await one.ends(), await other.ends()]
    assert [done.code for done in ended] == [ExitCode.UNAVAILABLE] * 2
    for done in ended:
        (finished,) = [event for event in done.events if event["event"] == "run_finished"]
        assert "is gone, or part of it" in finished["reason"]
        assert finished["error"] == "queue_gone"
        (stopped,) = [event for event in done.events if event["event"] == "stop_requested"]
        assert stopped["error"] == "queue_gone"
    assert not scene.sandbox.stats()["triggered_twice"]


@asynccontextmanager
async def way_without_renewals(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port that leads to Redis, but for each renewal of leases: those never arrive. The event
    tells that one was sent."""
    renewal = hashlib.sha1(RENEW.encode(), usedforsecurity=False).hexdigest().encode()
    seen, ways = asyncio.Event(), set[asyncio.Task[None]]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError), closing(writer):
            while part := await reader.read(65536):
                if renewal in part or RENEW.encode() in part:
                    seen.set()
                    await asyncio.Future()
                writer.write(part)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        ways.add(asyncio.ensure_future(carry(reader, far_writer)))
        ways.add(asyncio.ensure_future(carry(far_reader, writer)))

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def test_nothing_is_sent_while_leases_may_be_over(
    scene: Scene, server: RedisServer, redis: Any
) -> None:
    """Whatever else Redis answers: another run may have been given the ids."""
    del redis
    async with way_without_renewals(server.port) as (port, renewed):
        url = f"redis://127.0.0.1:{port}/0"
        async with (
            scene.at_work(SHARED_URL=url, PACE_RATE="5"),
            Connection(server.url, clock=Clock(), patience_s=10) as connection,
        ):
            await renewed.wait()
            await asyncio.sleep(LEASE_S)
            entries, _ = await Queue(connection, "june").fetch("other", LEASE_S, 1000)
            taken = {entry.item.id for entry in entries if entry.item.check_first}
            assert taken
            sent = scene.sandbox.stats(full=True)
            await asyncio.sleep(LEASE_S)
            assert scene.sandbox.stats(full=True) == sent


async def test_a_right_that_is_taken_ends_the_run_and_says_so(scene: Scene, redis: Any) -> None:
    async with scene.at_work() as run:
        redis.execute_command("ACL", "SETUSER", "default", "-@stream")
        try:
            done = await run.ends()
        finally:
            redis.execute_command("ACL", "SETUSER", "default", "+@all")
    assert done.code == ExitCode.REFUSED
    assert done.last["error"] == "redis_refused"
    assert "does not let this user do what is needed" in done.last["message"]


async def test_a_run_that_waits_notices_that_its_queue_is_gone(scene: Scene, redis: Any) -> None:
    """It holds nothing: other runs hold all that is left."""
    redis.xtrim(f"{QUEUE}ids", maxlen=0)
    redis.delete(f"{QUEUE}queued")
    redis.hset(f"{QUEUE}queued", ".", "")
    command = ("run", "--queue", "june", "--wait", "--results", scene.directory / "one.jsonl")
    async with started(*command, "--base-url", scene.sandbox.url, env=scene.environ()) as run:
        await run.says("run_started")
        redis.delete(*redis.keys(f"{QUEUE}*"))
        assert (await run.ends()).code == ExitCode.UNAVAILABLE


async def test_a_lease_that_does_not_fit_the_timeouts_is_told_with_the_rule(
    tmp_path: Path, server: RedisServer, redis: Any
) -> None:
    command = ("run", "--queue", "june", "--results", tmp_path / "one.jsonl", "--lease", "73s")
    environ = environment(SHARED_URL=server.url, API_CONNECT_TIMEOUT="10s", API_TIMEOUT="60s")
    async with started(*command, env=environ) as run:
        done = await run.ends()
    assert done.code == ExitCode.USAGE
    assert "must be longer than 1.2 times api.connect_timeout and api.timeout together" in done.err
