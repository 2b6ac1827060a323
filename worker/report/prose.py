"""The sentences of the page: what was asked, what became of it, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.core.target import Target
from worker.core.text import count, duration, rate
from worker.report.model import Report, RunSummary
from worker.report.wording import listing, milliseconds, moment


def title(report: Report) -> str:
    """What came of all ids, as a headline."""
    ids = report.total.ids
    if not ids.total:
        return "No outcome has been recorded yet"
    if ids.failed:
        return f"{count(ids.failed)} of {count(ids.total, 'session')} failed"
    return f"{count(ids.total, 'session')}, all settled"


def story(report: Report) -> str:
    """What was asked, and what became of it."""
    ids = report.total.ids
    if not ids.total:
        return "The logs hold no record: nothing was asked of the API, or nothing was answered."
    period = f"between {moment(report.total.began)[:16]} and {moment(report.total.ended)[:16]} UTC"
    parts = [
        f"{count(number)} {one if number == 1 else many}"
        for number, one, many in (
            (ids.processing, "is completed and processing", "are completed and processing"),
            (ids.not_found, *_NOT_KNOWN),
            (ids.failed, "failed", "failed"),
        )
        if number
    ]
    asked = f"{count(ids.total, 'session')} {'was' if ids.total == 1 else 'were'} to be completed"
    return f"{asked} in {count(report.total.runs, 'run')} {period}: {listing(parts)}."


_NOT_KNOWN: Final = (
    "is not known to the API in this account",
    "are not known to the API in this account",
)


def pauses(runs: Sequence[RunSummary]) -> str:
    """How long the runs waited for the API, and how long they had nothing to do."""
    spent = {True: 0.0, False: 0.0}
    for pause in (pause for run in runs for pause in run.pauses):
        spent[pause.retried] += pause.seconds
    named = ((spent[True], "waited"), (spent[False], "idle"))
    return ", ".join(f"{name} {duration(seconds)}" for seconds, name in named if seconds)


def describe_target(text: str) -> str:
    """A target in words; text that is none stays as it is."""
    target = Target.parse(text)
    if target is None:
        return text
    return f"{target.base_url} with the {target.kind} key of fingerprint {target.fingerprint}"


def run_caption(run: RunSummary, allowed_per_s: float | None) -> str:
    """How fast a run was, beside the rate that was allowed where that is known."""
    parts = [f"{count(run.lines.total, 'line')} in {duration(run.seconds)}"]
    if run.lines_per_s is not None:
        parts.append(f"{rate(run.lines_per_s)} a second")
    if run.best_minute_requests_per_s is not None:
        parts.append(f"{rate(run.best_minute_requests_per_s)} requests a second in the best minute")
    busy_s = run.seconds - run.paused_s
    if allowed_per_s is not None and busy_s > 0:
        part = run.requests / busy_s / allowed_per_s
        parts.append(f"{part:.0%} of the allowed {rate(allowed_per_s)} a second outside the pauses")
    return (
        f"{', '.join(parts)}. Requests are counted when their id is settled, so that a bin may "
        "show more than were sent in it."
    )


def latency_caption(report: Report) -> str:
    """How long requests took."""
    latency = report.latency_ms
    return (
        f"Half of the requests took at most {milliseconds(latency.p50)}, 90 % "
        f"{milliseconds(latency.p90)}, 99 % {milliseconds(latency.p99)}; the slowest "
        f"{milliseconds(latency.max)}. Of each line, the last request counts."
    )
