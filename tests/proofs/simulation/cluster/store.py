"""A model of a Redis server: the commands that the scripts and the program use, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.proofs.simulation.cluster.streams import Group, Stream, parse, show


class CommandError(Exception):
    """What the server answers where it refuses a command."""


class Store:
    """The keys of one server. `time_us` is its own clock, in microseconds since 1970."""

    def __init__(self, time_us: Callable[[], int]) -> None:
        self._time_us = time_us
        self._hashes: dict[str, dict[str, str]] = {}
        self._sets: dict[str, set[str]] = {}
        self._streams: dict[str, Stream] = {}

    def execute(self, name: str, *args: str) -> Any:
        """What a command answers. Raises CommandError where it is refused."""
        return _COMMANDS[name.upper()](self, *args)

    def stream(self, key: str) -> Stream:
        return self._streams.setdefault(key, Stream())

    def group(self, key: str, name: str) -> Group:
        stream = self._streams.get(key)
        group = None if stream is None else stream.groups.get(name)
        if group is None:
            raise CommandError(f"NOGROUP No such key '{key}' or consumer group '{name}'")
        return group

    @property
    def now_ms(self) -> int:
        return self._time_us() // 1000

    # --- keys -------------------------------------------------------------------------------------

    def time(self) -> list[str]:
        seconds, rest = divmod(self._time_us(), 1_000_000)
        return [str(seconds), str(rest)]

    def exists(self, *keys: str) -> int:
        kinds: tuple[dict[str, Any], ...] = (self._hashes, self._sets, self._streams)
        return sum(any(key in kind for kind in kinds) for key in keys)

    def delete(self, *keys: str) -> int:
        there = self.exists(*keys)
        for kind in (self._hashes, self._sets, self._streams):
            for key in keys:
                kind.pop(key, None)
        return there

    def expire(self, key: str, seconds: str) -> int:
        """Accepted, and put off: no simulated night is so long."""
        del seconds
        return self.exists(key)

    # --- hashes and sets --------------------------------------------------------------------------

    def hset(self, key: str, *pairs: str) -> int:
        held = self._hashes.setdefault(key, {})
        before = len(held)
        held.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(held) - before

    def hget(self, key: str, field: str) -> str | None:
        return self._hashes.get(key, {}).get(field)

    def hmget(self, key: str, *fields: str) -> list[str | None]:
        return [self.hget(key, field) for field in fields]

    def hdel(self, key: str, *fields: str) -> int:
        held = self._hashes.get(key, {})
        gone = sum(held.pop(field, None) is not None for field in fields)
        if not held:
            self._hashes.pop(key, None)
        return gone

    def hlen(self, key: str) -> int:
        return len(self._hashes.get(key, {}))

    def hgetall(self, key: str) -> list[str]:
        return [text for pair in self._hashes.get(key, {}).items() for text in pair]

    def hvals(self, key: str) -> list[str]:
        return list(self._hashes.get(key, {}).values())

    def hincrby(self, key: str, field: str, by: str) -> int:
        value = int(self.hget(key, field) or 0) + int(by)
        self.hset(key, field, str(value))
        return value

    def sadd(self, key: str, *members: str) -> int:
        held = self._sets.setdefault(key, set())
        before = len(held)
        held.update(members)
        return len(held) - before

    def srem(self, key: str, *members: str) -> int:
        held = self._sets.get(key, set())
        gone = len(held & set(members))
        held -= set(members)
        if not held:
            self._sets.pop(key, None)
        return gone

    def sismember(self, key: str, member: str) -> int:
        return int(member in self._sets.get(key, ()))

    def scard(self, key: str) -> int:
        return len(self._sets.get(key, ()))

    # --- streams ----------------------------------------------------------------------------------

    def xadd(self, key: str, place: str, *fields: str) -> str:
        assert place == "*"
        return self.stream(key).add(list(fields), self.now_ms)

    def xlen(self, key: str) -> int:
        return len(self._streams[key].entries) if key in self._streams else 0

    def xdel(self, key: str, *places: str) -> int:
        return self._streams[key].delete(list(places)) if key in self._streams else 0

    def xrange(self, key: str, first: str, last: str) -> list[Any]:
        return self._streams[key].between(first, last) if key in self._streams else []

    def xack(self, key: str, name: str, *places: str) -> int:
        stream = self._streams.get(key)
        group = None if stream is None else stream.groups.get(name)
        if group is None:
            return 0
        return sum(group.pending.pop(parse(place), None) is not None for place in places)

    def xgroup(self, action: str, key: str, name: str, *rest: str) -> Any:
        if action == "DELCONSUMER":
            return self._delete_consumer(self.group(key, name), rest[0])
        assert (action, rest) == ("CREATE", ("0", "MKSTREAM"))
        groups = self.stream(key).groups
        if name in groups:
            raise CommandError("BUSYGROUP Consumer Group name already exists")
        groups[name] = Group((0, 0))
        return "OK"

    def xinfo(self, what: str, key: str) -> list[Any]:
        assert what == "GROUPS"
        if key not in self._streams:
            raise CommandError("ERR no such key")
        stream = self._streams[key]
        return [stream.describe(name, group) for name, group in stream.groups.items()]

    def xreadgroup(self, *args: str) -> list[Any] | None:
        _, name, consumer, _, most, _, key, place = args
        assert place == ">"
        group = self.group(key, name)
        found = self.stream(key).read(group, consumer, int(most), self.now_ms)
        return [[key, found]] if found else None

    def xautoclaim(self, *args: str) -> list[Any]:
        key, name, consumer, idle_ms, start, _, most = args
        group = self.group(key, name)
        return self.stream(key).claim_idle(
            group, consumer, int(idle_ms), start, int(most), self.now_ms
        )

    def xclaim(self, key: str, name: str, consumer: str, least_ms: str, *rest: str) -> list[str]:
        group, places, given_ms = self.group(key, name), list(rest), self.now_ms
        places.remove("JUSTID")
        if "IDLE" in places:
            index = places.index("IDLE")
            given_ms -= int(places[index + 1])
            del places[index : index + 2]
        return list(self.stream(key).claim(group, consumer, int(least_ms), places, given_ms))

    def xpending(self, key: str, name: str, *rest: str) -> list[Any]:
        group = self.group(key, name)
        if not rest:
            places = group.places()
            ends = [show(places[0]), show(places[-1])] if places else [None, None]
            return [len(places), *ends, None]
        first, last, most, *consumer = rest
        found = [
            [show(place), one.consumer, self.now_ms - one.delivered_ms, one.count]
            for place, one in sorted(group.pending.items())
            if parse(first) <= place <= parse(last) and one.consumer in (consumer or [one.consumer])
        ]
        return found[: int(most)]

    def _delete_consumer(self, group: Group, consumer: str) -> int:
        held = [place for place, one in group.pending.items() if one.consumer == consumer]
        for place in held:
            del group.pending[place]
        group.consumers.discard(consumer)
        return len(held)


_COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "DEL": Store.delete,
    "EXISTS": Store.exists,
    "EXPIRE": Store.expire,
    "HDEL": Store.hdel,
    "HGET": Store.hget,
    "HGETALL": Store.hgetall,
    "HINCRBY": Store.hincrby,
    "HLEN": Store.hlen,
    "HMGET": Store.hmget,
    "HSET": Store.hset,
    "HVALS": Store.hvals,
    "SADD": Store.sadd,
    "SCARD": Store.scard,
    "SISMEMBER": Store.sismember,
    "SREM": Store.srem,
    "TIME": Store.time,
    "XACK": Store.xack,
    "XADD": Store.xadd,
    "XAUTOCLAIM": Store.xautoclaim,
    "XCLAIM": Store.xclaim,
    "XDEL": Store.xdel,
    "XGROUP": Store.xgroup,
    "XINFO": Store.xinfo,
    "XLEN": Store.xlen,
    "XPENDING": Store.xpending,
    "XRANGE": Store.xrange,
    "XREADGROUP": Store.xreadgroup,
}
