"""Which fault a request meets, if any. Pure: the same seed gives the same faults."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from worker.core.errors import UsageError

_METHODS: Final = ("GET", "POST")
_FAULT: Final = re.compile(r"(?P<kind>\w+)(@(?P<method>get|post))?=(?P<share>[0-9.]+)")
_ROUNDING: Final = 1e-9
_SHARE_ADVICE: Final = "Give a number from 0 to 1"


class FaultKind(StrEnum):
    """What can go wrong with a request. Those in `BEFORE` strike before the API acts on it."""

    HTTP_500 = "http_500"
    HTTP_502_HTML = "http_502_html"
    HTTP_503_AFTER = "http_503_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    RESET_MIDWAY = "reset_midway"
    TIMEOUT = "timeout"
    TIMEOUT_AFTER = "timeout_after"
    SLOW_BODY = "slow_body"
    MALFORMED_JSON = "malformed_json"
    EMPTY_BODY = "empty_body"
    THROTTLE = "throttle"
    FOREIGN_200 = "foreign_200"
    REDIRECT = "redirect"


BEFORE: Final = frozenset(
    {
        FaultKind.HTTP_500,
        FaultKind.HTTP_502_HTML,
        FaultKind.RESET_BEFORE,
        FaultKind.TIMEOUT,
        FaultKind.THROTTLE,
        FaultKind.REDIRECT,
    }
)
"""A request that meets one of these has no effect; any other takes effect, then goes wrong."""


class Faults(msgspec.Struct, frozen=True):
    """Shares of the requests that go wrong, by method; at most `limit` for one id (None: any)."""

    shares: Mapping[str, tuple[tuple[FaultKind, float], ...]] = {}
    limit: int | None = None

    def choose(self, fraction: float, method: str, already: int) -> FaultKind | None:
        """The fault at `fraction` (0 to 1), for an id that met `already` faults before."""
        if self.limit is not None and already >= self.limit:
            return None
        for kind, share in self.shares.get(method, ()):
            if fraction < share:
                return kind
            fraction -= share
        return None


def parse_faults(*texts: str, limit: int | None = None) -> Faults:
    """Faults from `KIND=SHARE`, `KIND@post=SHARE` or `KIND@get=SHARE`, shares from 0 to 1.

    Raises UsageError for what cannot be read, and where the shares of a method exceed 1.
    """
    shares: defaultdict[str, list[tuple[FaultKind, float]]] = defaultdict(list)
    for text in texts:
        kind, share, methods = _parse_fault(text)
        for method in methods:
            shares[method].append((kind, share))
    for method, chosen in shares.items():
        total = sum(share for _, share in chosen)
        if total > 1 + _ROUNDING:
            raise UsageError(
                f"the faults' shares of {method} requests add up to {total:g}, over 1", "Lower them"
            )
    return Faults({method: tuple(chosen) for method, chosen in shares.items()}, limit)


def _parse_fault(text: str) -> tuple[FaultKind, float, tuple[str, ...]]:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no fault", "Write KIND=SHARE, as in reset_after=0.05")
    if match["kind"] not in set(FaultKind):
        raise UsageError(
            f"there is no fault {match['kind']!r}", f"There are: {', '.join(FaultKind)}"
        )
    try:
        share = float(match["share"])
    except ValueError as error:
        raise UsageError(f"the share of {text!r} is no number", _SHARE_ADVICE) from error
    if share > 1:
        raise UsageError(f"the share of {text!r} is over 1", _SHARE_ADVICE)
    methods = (match["method"].upper(),) if match["method"] else _METHODS
    return FaultKind(match["kind"]), share, methods


def fraction(seed: int, purpose: str, method: str, session_id: str, nth: int) -> float:
    """A number from 0 to below 1 that depends on the arguments alone, and not on when they come."""
    text = f"{seed}/{purpose}/{method}/{session_id}/{nth}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest()) / 2**56
