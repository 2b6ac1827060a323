"""How a sandbox behaves."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from worker.sandbox.faults import Faults
from worker.sandbox.sessions import Status


class OutageMode(StrEnum):
    """How an API is away.

    `FIREWALL`, `NO_BACKEND` and `UNAVAILABLE` are answers of what stands in front of it, `REFUSE`
    lets nobody connect, `BLACKHOLE` accepts and never answers. `STALL` accepts nothing: whoever
    connects waits for the outage's end, and connections that are open close after their answer.
    """

    FIREWALL = "403"
    NO_BACKEND = "404"
    UNAVAILABLE = "503"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    STALL = "stall"


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    `port` 0 takes a free one. `sessions` are the ids that exist; with `any_id` every well-formed
    one does. `keys` None accepts every key of either kind. `limit` and `burst` None are the
    documented limits of the key's kind, 0 for `limit` is none. `retry_after` is sent with a 429 as
    it is, but `date+N` becomes the HTTP date in N seconds. `latency_s` is the least and the most.
    `outages` are pairs of beginning and end since the start. Without `processing_s` a session
    stays processing. With `conflict` a completed session cannot be completed again: 409.
    The list shows sessions as they were `list_lag_s` ago; with `list_refused` it answers 403.
    Without `keep_alive` each connection ends after its answer. `slow_body_s` is what the fault of
    that name takes for a body.
    """

    port: int = 0
    sessions: Mapping[str, Status] = {}
    any_id: bool = False
    processing_s: float | None = None
    conflict: bool = False
    keys: frozenset[str] | None = None
    limit: float | None = None
    burst: int | None = None
    retry_after: str | None = None
    faults: Faults = Faults()
    latency_s: tuple[float, float] = (0.0, 0.0)
    outages: tuple[tuple[float, float], ...] = ()
    outage_mode: OutageMode = OutageMode.UNAVAILABLE
    seed: int = 0
    list_lag_s: float = 0.0
    list_refused: bool = False
    keep_alive: bool = True
    slow_body_s: float = 2.0
    tls: ssl.SSLContext | None = None
