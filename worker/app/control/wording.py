"""A run's status in a few lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.app.control.protocol import PauseStatus, RunStatus
from worker.core.events import PauseReason
from worker.core.explanations import explain_exit_code
from worker.core.text import count, duration, rate, visible
from worker.observers.messages import away

_SOON_S: Final = 36_000.0


def describe(status: RunStatus, now: datetime | None = None) -> Iterator[str]:
    """Lines without control characters; `now` is the time by which what is due is reckoned."""
    lines = _running(status, now or datetime.now(UTC)) if status.running else _ended(status)
    return map(visible, lines)


def _running(status: RunStatus, now: datetime) -> Iterator[str]:
    where = f" on {status.host}" if status.host else ""
    since = f", since {_local(status.since)}" if status.since else ""
    yield f"run {status.run} is on: process {status.pid}{where}{since}"
    if status.done is None or status.rate_now is None or status.rate_allowed is None:
        yield "it cannot be asked"
        return
    of = "" if status.total is None else f" of {count(status.total)}"
    yield f"done     {count(status.done)}{of}: {_outcomes(status.outcomes)}"
    bound = status.concurrency_bound
    bound_by = "" if bound is None else f", bound by {count(bound)} in flight"
    yield (
        f"rate     {rate(status.rate_now)} of {rate(status.rate_allowed)} requests a second"
        f"{bound_by}; asked for: {status.rate_asked}"
    )
    if status.stopping:
        yield "stopping what is in flight is finished and recorded"
    elif status.pause is not None:
        yield f"paused   {_pause(status.pause)}"
    if status.eta_s is not None:
        yield f"left     {duration(round(status.eta_s))}, done {_due(status.eta_s, now)}"


def _ended(status: RunStatus) -> Iterator[str]:
    yield "no run is on"
    if status.run is None:
        yield "last     nothing has been recorded yet"
        return
    ended = f", ended {_local(status.ended)}" if status.ended else ""
    yield f"last     {status.run}{ended}"
    if status.exit_code is not None:
        explanation = explain_exit_code(status.exit_code)
        meaning = explanation.meaning if explanation else "this version knows no such code"
        yield f"code     {status.exit_code}: {meaning}"
    if status.reason:
        yield f"because  {status.reason}"
    yield f"ids      {_outcomes(status.outcomes)}, by the latest outcome of each"
    if status.left:
        yield f"left     {count(status.left)} not attempted"


def _outcomes(outcomes: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count(number)} {outcome.replace('_', ' ')}" for outcome, number in outcomes.items()
    )


def _pause(pause: PauseStatus) -> str:
    if pause.reason == PauseReason.HELD:
        return "by `control`, until `control --resume`"
    until = "" if pause.until is None else f", until {_local(pause.until)}"
    return f"{away(pause.reason)}{until}"


def _due(seconds: float, now: datetime) -> str:
    moment = (now + timedelta(seconds=seconds)).astimezone()
    day = "" if seconds < _SOON_S else f"on {moment:%A} "
    return f"{day}about {moment:%H:%M}"


def _local(moment: str | None) -> str:
    """A time of UTC by the local clock."""
    return f"{datetime.fromisoformat(moment or '').astimezone():%Y-%m-%d %H:%M:%S}"
