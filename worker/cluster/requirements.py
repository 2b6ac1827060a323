"""Whether a Redis server keeps what a queue trusts it with."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import ResponseError

from worker.cluster.connection import Connection
from worker.core.errors import RefusedError

_NEEDED: Final = {
    "appendonly": ("yes", "a restart would forget the queue"),
    "appendfsync": ("always", "a crash would forget what was sent within the last second"),
    "maxmemory-policy": ("noeviction", "a full memory would drop keys of the queue"),
}
_LEAST_VERSION: Final = 7


async def shortcomings(connection: Connection) -> list[str]:
    """What of the server's version and configuration does not suit a queue, in sentences."""
    server: dict[str, Any] = await connection.ask(lambda redis: redis.info("server"))
    version = str(server.get("valkey_version") or server["redis_version"])
    found = []
    if int(version.split(".", maxsplit=1)[0]) < _LEAST_VERSION:
        found.append(f"its version is {version}, and Redis 7 or Valkey is needed")
    try:
        config: dict[str, str] = await connection.ask(lambda redis: redis.config_get(*_NEEDED))
    except (ResponseError, RefusedError):
        return [*found, "this user may not read its configuration (CONFIG GET), see redis.conf"]
    return found + [
        f"{name} is {config.get(name)}, and not {needed}: {loss}"
        for name, (needed, loss) in _NEEDED.items()
        if config.get(name) != needed
    ]
