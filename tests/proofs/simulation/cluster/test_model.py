"""The model of Redis does what a real one does, for any order of the program's own scripts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from redis import Redis

from tests.proofs.simulation.cluster.scripting import Scripts
from tests.proofs.simulation.cluster.store import CommandError, Store
from tests.proofs.simulation.cluster.streams import parse
from tests.support.redis_server import needs_redis, redis_server
from worker.cluster import queue_scripts, scripts

_KEYS: Final = [f"{{q}}:{part}" for part in queue_scripts.PARTS]
_ACCOUNT: Final = ["{a}:budget", "{a}:members"]
_IDS: Final = [f"id{number}" for number in range(8)]
_FOR_EVER: Final = "1000000000"
_CONSUMERS: Final = ("a", "b", "c")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with (
        redis_server(directory) as running,
        Redis.from_url(running.url, decode_responses=True) as client,
    ):
        yield client


class Both:
    """Calls the model and the server alike. Entries are named by the order of their appearance."""

    def __init__(self, server: Redis) -> None:
        server.flushall()
        self._server = server
        self._model = Store(partial(next, count(10**15, 1000)))
        self._scripts = Scripts()
        self._places: list[list[str]] = [[], []]

    def places(self) -> list[int]:
        return list(range(len(self._places[0])))

    def call(self, script: str, keys: list[str], *args: str | int) -> tuple[Any, Any]:
        """The two answers; an integer argument stands for an entry."""
        modelled, real = self._named(0, args), self._named(1, args)
        answers = self._ask_model(script, keys, modelled), self._ask_server(script, keys, real)
        return self._anonymous(0, answers[0]), self._anonymous(1, answers[1])

    def _ask_model(self, script: str, keys: list[str], args: list[str]) -> Any:
        try:
            return self._scripts.run(self._model, script, keys, args)
        except CommandError as error:
            return str(error).split()[0]

    def _ask_server(self, script: str, keys: list[str], args: list[str]) -> Any:
        from redis.exceptions import ResponseError

        try:
            return self._server.eval(script, len(keys), *keys, *args)
        except ResponseError as error:
            return str(error).split()[0]

    def _named(self, which: int, args: tuple[str | int, ...]) -> list[str]:
        return [self._places[which][arg] if isinstance(arg, int) else arg for arg in args]

    def _anonymous(self, which: int, value: Any) -> Any:
        if isinstance(value, list):
            return [self._anonymous(which, one) for one in value]
        if not isinstance(value, str) or not _is_place(value):
            return value
        if value not in self._places[which]:
            self._places[which].append(value)
        return self._places[which].index(value)


def _is_place(text: str) -> bool:
    try:
        return text.count("-") == 1 and parse(text) > (10**9, -1)
    except ValueError:
        return False


def _call_on_queue(random: Random, both: Both) -> tuple[Any, Any]:
    consumer, places = random.choice(_CONSUMERS), both.places()
    some = random.sample(places, random.randint(0, min(3, len(places))))
    match random.randrange(8):
        case 0:
            pairs = [text for one in random.sample(_IDS, 3) for text in (one, "1")]
            mode = random.choice(("new", "again", "repair"))
            return both.call(queue_scripts.ENQUEUE, _KEYS, mode, *pairs)
        case 1 | 2:
            lease_ms, most = random.choice(("0", _FOR_EVER)), str(random.randint(1, 4))
            return both.call(queue_scripts.FETCH, _KEYS, consumer, lease_ms, most)
        case 3:
            return both.call(queue_scripts.RENEW, _KEYS, consumer, *some)
        case 4:
            settled: list[str | int] = []
            for place in some:
                settled += [place, random.choice(_IDS), random.choice("01"), "{}"]
            return both.call(queue_scripts.SETTLE, _KEYS, consumer, *settled)
        case 5:
            return both.call(queue_scripts.RELEASE, _KEYS, consumer)
        case 6:
            for_ms = random.choice(("0", str(10**14)))
            return both.call(queue_scripts.HOLD_OPEN, _KEYS, consumer, for_ms)
        case _:
            modelled, real = both.call(queue_scripts.STATUS, _KEYS)
            # Redis does not always know how many entries nobody was given.
            return modelled, (modelled if real[:-1] == modelled[:-1] and real[-1] == -1 else real)


def _call_on_budget(random: Random, both: Both) -> tuple[Any, Any]:
    """Slices and pauses are so long that the clocks' difference does not show."""
    me, long_us = random.choice(_CONSUMERS), str(10**12)
    match random.randrange(5):
        case 3:
            return both.call(scripts.TOLERATED, _ACCOUNT)
        case 0:
            return both.call(scripts.CUT, _ACCOUNT, random.choice("0123"), "7.0 8.0 9.0")
        case 1:
            return both.call(scripts.PAUSE, _ACCOUNT, long_us, me)
        case 2:
            return both.call(scripts.RESUME, _ACCOUNT, me)
        case _:
            rate = random.choice(("5", "9.5"))
            ask = (me, rate, rate, "2", long_us, "9", random.choice("05"), random.choice("09"))
            modelled, real = both.call(scripts.TAKE, _ACCOUNT, *ask)
            return _taken(modelled), _taken(real)


def _taken(answer: list[Any]) -> list[Any]:
    granted, first_us, gap_us, now_us, *rest, offsets, kinds, _ = answer
    # Sums of fractions: by which microsecond they are cut off depends on the time of day.
    rounded = [round(offset, -1) for offset in offsets]
    return [granted, first_us > now_us, gap_us, *rest, rounded, kinds]


@needs_redis
@pytest.mark.parametrize("call", [_call_on_queue, _call_on_budget])
def test_the_model_answers_as_redis_does(server: Redis, call: Any) -> None:
    for seed in range(12):
        random, both = Random(seed), Both(server)
        for step in range(60):
            modelled, real = call(random, both)
            assert modelled == real, f"seed {seed}, step {step}"
