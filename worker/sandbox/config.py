"""How a sandbox behaves."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from worker.sandbox.faults import Faults
from worker.sandbox.sessions import Status


class OutageMode(StrEnum):
    """How an API is away: answers 503, lets nobody connect, or accepts and never answers."""

    UNAVAILABLE = "503"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    `port` 0 takes a free one. `sessions` are the ids that exist; with `any_id` every well-formed
    one does. `keys` None accepts every key of either kind. `limit` and `burst` None are the
    documented limits of the key's kind, 0 for `limit` is none. `retry_after` is sent with a 429 as
    it is, but `date+N` becomes the HTTP date in N seconds. `latency_s` is the least and the most.
    `outages` are pairs of beginning and end since the start. Without `processing_s` a session
    stays processing. `slow_body_s` is what the fault of that name takes for a body.
    """

    port: int = 0
    sessions: Mapping[str, Status] = {}
    any_id: bool = False
    processing_s: float | None = None
    keys: frozenset[str] | None = None
    limit: float | None = None
    burst: int | None = None
    retry_after: str | None = None
    faults: Faults = Faults()
    latency_s: tuple[float, float] = (0.0, 0.0)
    outages: tuple[tuple[float, float], ...] = ()
    outage_mode: OutageMode = OutageMode.UNAVAILABLE
    seed: int = 0
    slow_body_s: float = 2.0
    tls: ssl.SSLContext | None = None
