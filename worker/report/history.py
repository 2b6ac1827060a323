"""All that logs say of one id, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from worker.core.explanations import explain_error
from worker.core.outcomes import Outcome, Record, Via
from worker.core.text import count, visible
from worker.report.wording import milliseconds, moment


class HistoryEntry(NamedTuple):
    """A line of a log."""

    log: str
    record: Record


_VERDICTS = {
    Outcome.PROCESSING: "processing: the session is completed, its checks run or have run",
    Outcome.NOT_FOUND: "not_found: the API knows no such session in this account",
    Outcome.FAILED: "failed",
}


def describe(id: str, entries: Sequence[HistoryEntry]) -> Iterator[str]:
    """The id's lines from the oldest to the latest, then what holds now. There is at least one."""
    logs = dict.fromkeys(entry.log for entry in entries)
    yield f"{visible(id)}: {count(len(entries), 'line')} in {', '.join(map(visible, logs))}"
    for number, entry in enumerate(entries, 1):
        yield ""
        yield from _describe_entry(number, entry, show_log=len(logs) > 1)
    yield ""
    yield from _conclude(entries[-1].record)


def _describe_entry(number: int, entry: HistoryEntry, *, show_log: bool) -> Iterator[str]:
    record = entry.record
    place = f" of {visible(entry.log)}" if show_log else ""
    yield (
        f"{number}. {moment(record.at)} UTC, run {visible(record.run)}{place}, "
        f"line {record.line} of the input"
    )
    yield f"   {_VERDICTS[record.outcome]}"
    yield f"   {_how(record)}"
    if record.session_status is not None:
        yield f"   the API named the session's status {visible(record.session_status)}"
    if record.error is not None:
        param = f" (param {visible(record.error.param)})" if record.error.param else ""
        yield f"   {visible(record.error.type)}: {visible(record.error.message)}{param}"


def _how(record: Record) -> str:
    if record.attempts == 0 and record.via is Via.COMPLETE:
        return "no request was sent"
    sent = f"{count(record.attempts, 'request')} to complete it"
    told = "reading the session" if record.via is Via.CHECK else "the last of them"
    answer = f"HTTP {record.http_status}" if record.http_status is not None else "no answer"
    return (
        f"{sent}; settled by {told}: {answer} after {milliseconds(record.latency_ms)}, "
        f"{milliseconds(record.elapsed_ms)} after the first request"
    )


def _conclude(latest: Record) -> Iterator[str]:
    if latest.outcome is not Outcome.FAILED:
        yield f"It is settled as {latest.outcome.value}: a rerun does not send it again."
        return
    yield "It is failed: the next run of the same command sends it again."
    if latest.error is not None:
        yield " ".join(explain_error(latest.error.type))
