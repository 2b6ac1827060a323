"""Whatever Redis refuses at any step of a script: done again it is made good, and nothing is lost.

Every command of every script is refused in turn, by the rights of a user; then every key is made
one of another type, and the memory full.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.support.redis_server import SAFE, RedisServer, needs_redis, redis_server
from worker.cluster import queue_scripts, scripts
from worker.cluster.connection import Connection
from worker.cluster.queue import Queue
from worker.core.clock import Clock
from worker.core.errors import RefusedError, UnavailableError, UsageError
from worker.core.outcomes import Error, Item, Outcome, Record, Via

pytestmark = needs_redis
USER, PASSWORD = "tried", "tried-password"
LEASE_S = 30.0
Call = Callable[[], Awaitable[object]]
BUDGET_KEYS = [f"complete-sessions:{{account:test}}:{part}" for part in ("budget", "members")]


class Scene:
    """A queue seen by somebody with all rights, and by a user from whom some are taken."""

    def __init__(self, free: Connection, bound: Connection) -> None:
        self.free, self.bound = free, bound
        self.queue, self.tried = Queue(free, "night"), Queue(bound, "night")

    async def refuse(self, command: str) -> None:
        await self._rights("allcommands", f"-{command}")

    async def permit(self) -> None:
        await self._rights("allcommands")

    async def _rights(self, *rules: str) -> None:
        given = ("reset", "on", f">{PASSWORD}", "allkeys", *rules)
        await self.free.ask(
            lambda redis: redis.execute_command("ACL", "SETUSER", USER, *given)  # type: ignore[no-untyped-call]
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), *SAFE, "appendfsync no") as one:
        yield one


@pytest.fixture
async def scene(server: RedisServer) -> AsyncIterator[Scene]:
    url = server.url.replace("//", f"//{USER}:{PASSWORD}@")
    async with (
        Connection(server.url, clock=Clock(), patience_s=10) as free,
        Connection(url, clock=Clock(), patience_s=0.2) as bound,
    ):
        await free.ask(lambda redis: redis.flushall())
        one = Scene(free, bound)
        await one.permit()
        yield one


def record(session_id: str, outcome: Outcome = Outcome.PROCESSING) -> Record:
    error = Error("http_400", "wrong") if outcome is Outcome.FAILED else None
    return Record(session_id, outcome, None, 200, error, 1, Via.COMPLETE, 1.0, 1.0, "", "run", 1)


ITEMS = [Item("a", 1), Item("b", 2), Item("c", 3)]


async def enqueue(queue: Queue) -> None:
    await queue.add(ITEMS)


async def enqueue_again(queue: Queue) -> None:
    await queue.add(ITEMS, "again")


async def repair(queue: Queue) -> None:
    await queue.add(ITEMS, "repair")


async def fetch(queue: Queue) -> None:
    await queue.fetch("tried", LEASE_S, 3)


async def renew(queue: Queue) -> None:
    await queue.renew("tried", await places_of(queue))


async def settle_one(queue: Queue) -> None:
    await queue.settle("tried", [((await places_of(queue))[0], record("a", Outcome.FAILED))])


async def release(queue: Queue) -> None:
    await queue.release("tried")


async def hold_open(queue: Queue) -> None:
    await queue.hold_open("writer", 60.0)


async def no_longer_open(queue: Queue) -> None:
    await queue.hold_open("writer", 0.0)


async def status(queue: Queue) -> None:
    await queue.status()


async def places_of(queue: Queue) -> list[str]:
    entries = await free_of(queue).ask(lambda redis: redis.xrange(queue._keys[0]))
    return [place for place, _ in entries]


def free_of(queue: Queue) -> Connection:
    return queue._connection


async def nothing(scene: Scene) -> None:
    """The queue is not there yet."""


async def queued(scene: Scene) -> None:
    await enqueue(scene.queue)


async def given(scene: Scene) -> None:
    await queued(scene)
    await fetch(scene.queue)


async def one_failed(scene: Scene) -> None:
    await given(scene)
    await settle_one(scene.queue)


async def one_missing(scene: Scene) -> None:
    await queued(scene)
    (place, *_) = await places_of(scene.queue)
    await scene.free.ask(lambda redis: redis.xdel(scene.queue._keys[0], place))


async def one_stale(scene: Scene) -> None:
    """One id is a dead run's, one another's, one nobody's."""
    await queued(scene)
    await scene.queue.fetch("other", LEASE_S, 1)
    await scene.queue.fetch("dead", LEASE_S, 1)
    await scene.queue.release("dead")


STEPS: dict[
    str, tuple[str, Callable[[Scene], Awaitable[None]], Callable[[Queue], Awaitable[None]]]
] = {
    "enqueue": (queue_scripts.ENQUEUE, nothing, enqueue),
    "enqueue more": (queue_scripts.ENQUEUE, one_stale, enqueue),
    "enqueue again": (queue_scripts.ENQUEUE, one_failed, enqueue_again),
    "repair": (queue_scripts.ENQUEUE, one_missing, repair),
    "hold open": (queue_scripts.HOLD_OPEN, queued, hold_open),
    "no longer open": (queue_scripts.HOLD_OPEN, queued, no_longer_open),
    "fetch": (queue_scripts.FETCH, queued, fetch),
    "fetch what was handed back": (queue_scripts.FETCH, one_stale, fetch),
    "renew": (queue_scripts.RENEW, given, renew),
    "settle": (queue_scripts.SETTLE, given, settle_one),
    "release": (queue_scripts.RELEASE, given, release),
    "status": (queue_scripts.STATUS, given, status),
}


def commands_of(script: str) -> list[str]:
    """`xgroup|create` where a command has subcommands, as rights are written."""
    found = re.findall(r"redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?", script)
    two = ("XGROUP", "XINFO")
    return sorted({f"{a}|{b}".lower() if a in two else a.lower() for a, b in found})


CASES = [(name, command) for name, (script, *_) in STEPS.items() for command in commands_of(script)]


@pytest.mark.parametrize(("name", "command"), CASES)
async def test_what_was_refused_at_any_step_is_made_good_by_doing_it_again(
    scene: Scene, name: str, command: str
) -> None:
    _, before, call = STEPS[name]
    await before(scene)
    bound_call = call_of(scene, call, await places_of(scene.queue))
    await scene.refuse(command)
    for _ in range(3):
        try:
            await bound_call()
        except RefusedError:
            continue
    await scene.permit()
    await bound_call()
    await assert_nothing_is_lost(scene, again=call is enqueue_again)


async def settle_first(scene: Scene, place: str) -> None:
    await scene.tried.settle("tried", [(place, record("a", Outcome.FAILED))])


def call_of(scene: Scene, call: Callable[[Queue], Awaitable[None]], places: list[str]) -> Call:
    """The same call each time it is made, for entries that may be gone by then."""
    if call is renew:
        return lambda: scene.tried.renew("tried", places)
    if call is settle_one:
        return lambda: settle_first(scene, places[0])
    return lambda: call(scene.tried)


async def assert_nothing_is_lost(scene: Scene, *, again: bool = False) -> None:
    """Whoever works on, however often: each id has one outcome for each time it was queued."""
    await scene.queue.add(ITEMS)
    for consumer in ("tried", "dead", "other"):
        await scene.queue.release(consumer)
    entries, _ = await scene.queue.fetch("last", LEASE_S, 10)
    assert len(entries) == (await scene.queue.status()).left
    await scene.queue.settle("last", [(one.place, record(one.item.id)) for one in entries])
    told = Counter(json.loads(text)["id"] for _, text in await scene.queue.outcomes())
    assert told == Counter("aabc" if again else "abc")
    found = await scene.queue.status()
    assert (found.left, found.queued, found.settled, found.lost) == (0, 3, 3, 0)
    assert found.adds_up


async def test_what_was_claimed_is_told_though_nothing_more_can_be_read(scene: Scene) -> None:
    await one_stale(scene)
    await scene.refuse("xreadgroup")
    entries, _ = await scene.tried.fetch("tried", LEASE_S, 3)
    assert [entry.item.id for entry in entries] == ["b"]
    with pytest.raises(RefusedError):
        await scene.tried.fetch("tried", LEASE_S, 2)


PARTS = queue_scripts.PARTS


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", STEPS)
async def test_a_key_of_another_type_is_wrong_usage_and_costs_nothing(
    scene: Scene, name: str, part: str
) -> None:
    _, before, call = STEPS[name]
    await before(scene)
    bound_call = call_of(scene, call, await places_of(scene.queue))
    key = scene.queue._keys[PARTS.index(part)]
    was_there = await scene.free.ask(lambda redis: redis.exists(key))
    if was_there:
        await scene.free.ask(lambda redis: redis.rename(key, f"{key}:kept"))
    await scene.free.ask(lambda redis: redis.set(key, "text"))
    for _ in range(2):
        try:
            await bound_call()
        except UsageError as error:
            assert "holds something else" in str(error)  # noqa: PT017 - not all use every key
    await scene.free.ask(lambda redis: redis.delete(key))
    if was_there:
        await scene.free.ask(lambda redis: redis.rename(f"{key}:kept", key))
    await bound_call()
    await assert_nothing_is_lost(scene, again=call is enqueue_again)


@pytest.mark.parametrize("name", STEPS)
async def test_a_full_memory_costs_nothing(scene: Scene, name: str) -> None:
    _, before, call = STEPS[name]
    await before(scene)
    bound_call = call_of(scene, call, await places_of(scene.queue))
    await scene.free.ask(lambda redis: redis.config_set("maxmemory", "1"))
    try:
        await bound_call()
    except UnavailableError as error:
        assert "maxmemory" in str(error)  # noqa: PT017 - it need not be raised
    finally:
        await scene.free.ask(lambda redis: redis.config_set("maxmemory", "0"))
    await bound_call()
    await assert_nothing_is_lost(scene, again=call is enqueue_again)


@pytest.mark.parametrize("name", ["TAKE", "CUT", "PAUSE", "RESUME", "TOLERATED"])
async def test_no_step_of_the_budget_leaves_half_of_it_behind(scene: Scene, name: str) -> None:
    script = getattr(scripts, name)
    arguments: tuple[str | int, ...] = {
        "TAKE": ("me", "10", "10", 1, 1000, 5000, 0, 0),
        "CUT": (0, "5.0 9.0 8.0"),
        "PAUSE": (1000, "me"),
        "RESUME": ("me",),
        "TOLERATED": (),
    }[name]
    for command in commands_of(script):
        await scene.free.ask(lambda redis: redis.flushall())
        await scene.free.ask(lambda redis: redis.hset(BUDGET_KEYS[1], "dead", "5 0 1"))
        if name == "RESUME":
            await scene.free.call(scripts.PAUSE, BUDGET_KEYS, 1000, "me")
        await scene.refuse(command)
        with pytest.raises(RefusedError):
            await scene.bound.call(script, BUDGET_KEYS, *arguments)
        await scene.permit()
        await scene.bound.call(script, BUDGET_KEYS, *arguments)
        cuts, curve = await scene.free.ask(
            lambda redis: redis.hmget(BUDGET_KEYS[0], "cuts", "curve")
        )
        assert (cuts, curve) == (("1", "5.0 9.0 8.0") if name == "CUT" else (None, None))
