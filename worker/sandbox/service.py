"""The API behind the sandbox's server: who may pass, what goes wrong, what a request does."""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Final, NamedTuple

from worker.core.clock import Clock
from worker.sandbox import answers
from worker.sandbox.answers import Response
from worker.sandbox.config import SandboxConfig
from worker.sandbox.faults import FaultKind, Faults, fraction
from worker.sandbox.key_limits import KeyLimits, is_key
from worker.sandbox.listing import page_of, parse_query
from worker.sandbox.sessions import COMPLETABLE, Sessions, Status
from worker.sandbox.stats import RequestCounts

LIST: Final = ""
_PREFIX: Final = "/v1/workflowSessions"
_COMPLETE: Final = re.compile(rf"{_PREFIX}/([^/]+)/complete").fullmatch
_READ: Final = re.compile(rf"{_PREFIX}/([^/]+)").fullmatch
_DATE: Final = re.compile(r"date\+(\d{1,9})").fullmatch
_SPOILED: Final = {
    FaultKind.HTTP_500: answers.SERVER_ERROR,
    FaultKind.HTTP_403_HTML: answers.FIREWALL,
    FaultKind.HTTP_404_HTML: answers.NO_BACKEND,
    FaultKind.HTTP_502_HTML: answers.BAD_GATEWAY,
    FaultKind.HTTP_503_AFTER: answers.UNAVAILABLE,
    FaultKind.EMPTY_BODY: answers.EMPTY,
    FaultKind.FOREIGN_200: answers.CAPTIVE_PORTAL,
    FaultKind.LATE: answers.GATEWAY_TIMEOUT,
}


class Route(NamedTuple):
    """What a request is for: a session by its id, or the list of them."""

    method: str
    id: str
    query: str


class RequestPlan(NamedTuple):
    """How a request will go."""

    fault: FaultKind | None
    latency_s: float


def route(method: str, path: str, query: str) -> Route | None:
    """The target of a request; None where the API has no such path."""
    if method == "GET" and path == _PREFIX:
        return Route(method, LIST, query)
    match = {"POST": _COMPLETE, "GET": _READ}.get(method, _never)(path)
    return Route(method, match[1], query) if match else None


def _never(_: str) -> None:
    return None


class Service:
    """The state of the stand-in. Attributes may be exchanged while it runs.

    Each request's fault and latency depend on the seed, the id, the method, and how many requests
    of that method for that id passed the key and the limit before: not on the order of arrival.
    """

    def __init__(self, config: SandboxConfig, clock: Clock) -> None:
        self.faults: Faults = config.faults
        self.latency_s = config.latency_s
        self.limits = KeyLimits(config.limit, config.burst)
        self.retry_after = config.retry_after
        self.list_lag_s = config.list_lag_s
        self.list_refused = config.list_refused
        self.counts = RequestCounts()
        self.sessions = Sessions(
            config.sessions, any_id=config.any_id, processing_s=config.processing_s
        )
        self._conflict = config.conflict
        self.keys = config.keys
        self._seed = config.seed
        self._clock = clock

    def refuse(self, key: str) -> Response | None:
        """The answer to a request that may not pass: its key is not one, or sends too much."""
        if not is_key(key) or (self.keys is not None and key not in self.keys):
            return answers.UNAUTHORIZED
        if not self.limits.admit(key, self._clock.now()):
            self.counts.throttled += 1
            return self._throttled()
        self.counts.accepted += 1
        return None

    def plan(self, target: Route) -> RequestPlan:
        """Count a request that passed, and choose what will become of it."""
        visits = self.sessions.visits(target.id)
        nth = visits.count(target.method)
        fault = None
        if self.faults.shares:
            drawn = fraction(self._seed, "fault", target.method, target.id, nth)
            fault = self.faults.choose(drawn, target.method, visits.faults)
        if fault is not None:
            visits.faults += 1
            self.counts.faults[fault] += 1
        return RequestPlan(fault, self._draw_latency_s(target, nth))

    def act(self, target: Route) -> Response:
        """Do what the request asks for."""
        now = self._clock.now()
        if target.id == LIST:
            return self._list(target.query, now)
        session = self.sessions.read(target.id, now)
        if session is None:
            return answers.not_found(target.id)
        if target.method == "GET":
            return answers.reading(session)
        if session.status not in COMPLETABLE:
            return answers.not_completable(session)
        if self._conflict and session.status is not Status.STARTED:
            return answers.already_completed(session)
        self.sessions.trigger(session, now, round(self._clock.utc().timestamp() * 1000))
        return answers.PROCESSING

    def spoil(self, response: Response, fault: FaultKind, origin: str) -> Response:
        """What the fault makes of a response; one that concerns the connection leaves it alone."""
        if fault is FaultKind.THROTTLE:
            return self._throttled()
        if fault is FaultKind.MALFORMED_JSON:
            return answers.cut(response)
        if fault is FaultKind.REDIRECT:
            # Another name of this host: who follows it shows among the foreign paths.
            return answers.redirect(origin.replace("127.0.0.1", "localhost") + "/redirected")
        return _SPOILED.get(fault, response)

    def stats(self, *, full: bool = False) -> dict[str, Any]:
        """What `GET /sandbox/stats` tells; `full` adds every session's number of triggers."""
        stats = self.counts.summary() | {
            "max_accepted_per_s": self.limits.most_accepted_per_s,
            "sessions": len(self.sessions),
            "triggered": self.sessions.triggered,
            "triggered_twice": dict(self.sessions.triggered_twice),
        }
        if full:
            held = self.sessions.held
            stats["triggers"] = {session.id: session.triggers for session in held.values()}
        return stats

    def _list(self, query: str, now: float) -> Response:
        if self.list_refused:
            return answers.LIST_REFUSED
        try:
            asked = parse_query(query)
        except ValueError as error:
            return answers.error(400, "invalid_request", str(error))
        items, total = page_of(self.sessions, asked, now, self.list_lag_s)
        return answers.page(items, asked.page, asked.page_size, total)

    def _draw_latency_s(self, target: Route, nth: int) -> float:
        least, most = self.latency_s
        if least == most:
            return least
        drawn = fraction(self._seed, "latency", target.method, target.id, nth)
        return least + (most - least) * drawn

    def _throttled(self) -> Response:
        return answers.throttled(self._render_retry_after())

    def _render_retry_after(self) -> str | None:
        date = _DATE(self.retry_after or "")
        if date is None:
            return self.retry_after
        return format_datetime(self._clock.utc() + timedelta(seconds=int(date[1])), usegmt=True)
