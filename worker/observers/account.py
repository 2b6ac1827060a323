"""A run's account for machines: what `--summary-json` writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from worker.core.errors import ExitCode, WorkerError
from worker.core.events import RunFinished
from worker.core.identity import RunIdentity
from worker.core.outcomes import Outcome
from worker.core.secrets import redact
from worker.core.tally import Tally
from worker.observers.fields import cause

_MOST_SHARE: Final = 1.05
"""More than that no pacer lets through: what was counted were probes."""


class Ids(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the input; `input` is the sum of all the others if the account is balanced."""

    input: int
    processing: int
    not_found: int
    failed: int
    settled: int
    duplicates: int
    not_attempted: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of the requests that were answered, in milliseconds, within 3.2 %."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done.

    `requests` counts answers by HTTP status, and requests without one by error type; `errors`
    counts outcomes by error type. `share_of_rate` is the part that was used of `rate_asked`.
    """

    ids: Ids
    balanced: bool
    complete_input: bool
    requests: dict[str, int]
    errors: dict[str, int]
    retries: int
    checks: int
    throttled: int
    paused_s: float
    latency_ms: Latency
    rate_asked: float
    share_of_rate: float | None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `work` is null where it ended before anything was read.

    Times are UTC (RFC 3339). `exit_code` is the run's own, whatever --exit-zero-on makes of it.
    """

    run: str | None
    version: str
    host: str
    pid: int
    target: str | None
    command: str
    began: str
    ended: str
    elapsed_s: float
    exit_code: int
    cause: str
    reason: str | None
    advice: str | None
    work: Work | None


def account_of(finished: RunFinished, identity: RunIdentity, command: str) -> Account:
    """The account of a run that has begun; no secret is left in it."""
    return _account(
        finished.exit_code,
        identity,
        command,
        elapsed_s=finished.elapsed_s,
        reason=finished.reason,
        advice=finished.advice,
        work=_work(finished),
    )


def account_of_failure(
    error: BaseException, code: ExitCode, identity: RunIdentity, command: str
) -> Account:
    """The account of a run that has not begun, or that a defect of the program ended."""
    if isinstance(error, WorkerError):
        reason, advice = error.message, error.advice
    else:
        reason, advice = f"{type(error).__name__}: {error}", ""
    return _account(
        code,
        identity,
        command,
        elapsed_s=None,
        reason=reason,
        advice=advice,
        work=None,
    )


def encode(account: Account) -> bytes:
    """The account as indented JSON, which begins with `_HEAD`."""
    return msgspec.json.format(msgspec.json.encode(account)) + b"\n"


def may_hold_account(path: Path) -> bool:
    """Whether the file may be replaced by an account: there is none, it is empty, or it is one.

    Two arguments that were swapped must not cost a backlog. Raises OSError.
    """
    if not path.exists():
        return True
    with path.open("rb") as file:
        return file.read(len(_HEAD)) in (b"", _HEAD)


_HEAD: Final = b'{\n  "run": '


def _account(
    code: ExitCode,
    identity: RunIdentity,
    command: str,
    *,
    elapsed_s: float | None,
    reason: str,
    advice: str,
    work: Work | None,
) -> Account:
    ended = datetime.now(UTC)
    if elapsed_s is None:
        elapsed_s = max((ended - identity.began).total_seconds(), 0.0)
    return Account(
        run=identity.run or None,
        version=identity.version,
        host=identity.host,
        pid=identity.pid,
        target=redact(identity.target) or None,
        command=redact(command),
        began=_rfc3339(identity.began),
        ended=_rfc3339(ended),
        elapsed_s=round(elapsed_s, 3),
        exit_code=int(code),
        cause=cause(code),
        reason=redact(reason) or None,
        advice=redact(advice) or None,
        work=work,
    )


def _work(finished: RunFinished) -> Work:
    tally = finished.tally
    share = share_of_rate(finished)
    return Work(
        ids=_ids(tally),
        balanced=tally.balanced,
        complete_input=finished.complete_input,
        requests={redact(status): number for status, number in tally.requests.items()},
        errors={redact(kind): number for kind, number in tally.errors.items()},
        retries=tally.retries,
        checks=tally.checks,
        throttled=tally.throttled,
        paused_s=round(tally.paused_s, 3),
        latency_ms=Latency(
            **{
                name: _rounded(tally.latency_ms.percentile(percent))
                for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
            }
        ),
        rate_asked=finished.rate,
        share_of_rate=None if share is None else round(share, 4),
    )


def _ids(tally: Tally) -> Ids:
    return Ids(
        input=tally.input,
        processing=tally.outcomes[Outcome.PROCESSING],
        not_found=tally.outcomes[Outcome.NOT_FOUND],
        failed=tally.outcomes[Outcome.FAILED],
        settled=tally.settled,
        duplicates=tally.duplicates,
        not_attempted=tally.not_attempted,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def share_of_rate(finished: RunFinished) -> float | None:
    """Requests sent, as a part of what the rate allowed while nothing was paused.

    The gaps between requests are counted, not the requests: the first one needs no gap. None
    where there were too few to tell, where most of them were the probes of an outage, or where
    nothing was answered at all.
    """
    requests = finished.tally.requests
    gaps = requests.total() - 1
    if not any(status.isdecimal() for status in requests):
        return None
    open_s = finished.elapsed_s - finished.tally.paused_s
    if gaps < 1 or open_s <= 0 or finished.rate <= 0:
        return None
    share = gaps / (open_s * finished.rate)
    return share if share <= _MOST_SHARE else None
