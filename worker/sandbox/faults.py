"""Which fault a request meets, if any. Pure: the same seed gives the same faults."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from worker.core.durations import parse_duration
from worker.core.errors import UsageError

_METHODS: Final = ("GET", "POST")
_FAULT: Final = re.compile(
    r"(?P<kind>\w+)(@(?P<method>get|post))?=(?P<share>[0-9.]+)(:(?P<late>[0-9.]+\w*))?"
)
_ROUNDING: Final = 1e-9
_SHARE_ADVICE: Final = "Give a number from 0 to 1"
_LATE_ADVICE: Final = "Write late=SHARE:SECONDS, as in late=0.05:5"


class FaultKind(StrEnum):
    """What can go wrong with a request. Those in `BEFORE` strike before the API acts on it.

    `LATE` is a gateway that has waited long enough: it answers 504, and the API acts afterwards.
    `HTTP_403_HTML` and `HTTP_404_HTML` are a firewall, and an ingress without a backend.
    """

    HTTP_500 = "http_500"
    HTTP_403_HTML = "http_403_html"
    HTTP_404_HTML = "http_404_html"
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
    LATE = "late"


BEFORE: Final = frozenset(
    {
        FaultKind.HTTP_500,
        FaultKind.HTTP_403_HTML,
        FaultKind.HTTP_404_HTML,
        FaultKind.HTTP_502_HTML,
        FaultKind.RESET_BEFORE,
        FaultKind.TIMEOUT,
        FaultKind.THROTTLE,
        FaultKind.REDIRECT,
    }
)
"""A request that meets one of these has no effect; any other takes effect, then goes wrong."""


class Faults(msgspec.Struct, frozen=True):
    """Shares of the requests that go wrong, by method; at most `limit` for one id (None: any).

    `late_s` is how long after its request the API acts where the fault is that it acts late.
    """

    shares: Mapping[str, tuple[tuple[FaultKind, float], ...]] = {}
    limit: int | None = None
    late_s: float = 0.0

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

    `late` takes its delay too: `late=SHARE:SECONDS`. Raises UsageError for what cannot be read,
    and where the shares of a method exceed 1 or `late` is given two delays.
    """
    shares: defaultdict[str, list[tuple[FaultKind, float]]] = defaultdict(list)
    delays = set()
    for text in texts:
        fault = _parse_fault(text)
        for method in fault.methods:
            shares[method].append((fault.kind, fault.share))
        if fault.kind is FaultKind.LATE:
            delays.add(fault.late_s)
    _check_shares(shares)
    if len(delays) > 1:
        raise UsageError("the fault 'late' is given two delays", "Give the same one to both")
    return Faults({method: tuple(chosen) for method, chosen in shares.items()}, limit, *delays)


def _check_shares(shares: Mapping[str, list[tuple[FaultKind, float]]]) -> None:
    for method, chosen in shares.items():
        total = sum(share for _, share in chosen)
        if total > 1 + _ROUNDING:
            raise UsageError(
                f"the faults' shares of {method} requests add up to {total:g}, over 1", "Lower them"
            )


class _Fault(NamedTuple):
    kind: FaultKind
    share: float
    late_s: float
    methods: tuple[str, ...]


def _parse_fault(text: str) -> _Fault:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no fault", "Write KIND=SHARE, as in reset_after=0.05")
    if match["kind"] not in set(FaultKind):
        raise UsageError(
            f"there is no fault {match['kind']!r}", f"There are: {', '.join(FaultKind)}"
        )
    kind = FaultKind(match["kind"])
    if (kind is FaultKind.LATE) != (match["late"] is not None):
        raise UsageError(
            f"{text!r} is no fault: only `late` has a delay, and needs one", _LATE_ADVICE
        )
    methods = (match["method"].upper(),) if match["method"] else _METHODS
    return _Fault(kind, _parse_share(match["share"], text), _parse_delay(match["late"]), methods)


def _parse_share(share: str, text: str) -> float:
    try:
        number = float(share)
    except ValueError as error:
        raise UsageError(f"the share of {text!r} is no number", _SHARE_ADVICE) from error
    if number > 1:
        raise UsageError(f"the share of {text!r} is over 1", _SHARE_ADVICE)
    return number


def _parse_delay(text: str | None) -> float:
    try:
        return parse_duration(text or "0")
    except ValueError as error:
        raise UsageError(f"the delay {text!r} is no duration", _LATE_ADVICE) from error


def fraction(seed: int, purpose: str, method: str, session_id: str, nth: int) -> float:
    """A number from 0 to below 1 that depends on the arguments alone, and not on when they come."""
    text = f"{seed}/{purpose}/{method}/{session_id}/{nth}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest()) / 2**56
