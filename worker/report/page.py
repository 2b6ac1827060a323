"""A report as one page of HTML that opens from a mail: no network, no foreign script, no styles but
its own. Needs the extra `report`.

Whatever a log holds is text to the page: the template escapes it, and the page's
Content-Security-Policy lets nothing run or load but the script and the styles it was made with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import PurePath
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.core.text import count, duration, rate, shorten, visible
from worker.report.aggregation import DETAILED_RUNS, Aggregator, Failure
from worker.report.model import PauseSummary, Report, RunSummary
from worker.report.overview import MAX_RUNS_IN_HISTORY, draw_history, draw_latency
from worker.report.plots import draw_run
from worker.report.wording import NOTHING, listing, milliseconds, moment, share

MAX_ROWS: Final = 5_000
_MAX_RUN_ROWS = 100
_MAX_PAUSES = 8
_TEMPLATES = "templates"


class Detail(NamedTuple):
    """One run at length."""

    run: RunSummary
    plot: Markup
    caption: str
    pauses: Sequence[PauseSummary]
    more_pauses: int


def render_page(aggregator: Aggregator, report: Report, allowed_per_s: float | None = None) -> str:
    """The page, the same for the same logs. `allowed_per_s` is drawn where it is known."""
    style, script = _read("report.css"), _read("report.js")
    failures = aggregator.failures()[:MAX_ROWS]
    page = _environment().get_template("report.html.j2")
    return page.render(
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - likewise
        title=_title(report),
        story=_story(report),
        report=report,
        total=report.total,
        logs=report.logs,
        log_rows=report.log_rows,
        errors=report.errors,
        failures=failures,
        failure_types=_types(failures),
        runs=report.runs,
        run_rows=report.runs[-_MAX_RUN_ROWS:][::-1],
        waited=_waited(report.runs),
        details=list(_details(aggregator, report, allowed_per_s)),
        **_overall_plots(aggregator, report),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("worker.report", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "duration": duration,
        "file_name": lambda log: visible(PurePath(log).name),
        "moment": moment,
        "ms": milliseconds,
        "prose": _prose,
        "rate": rate,
        "share": share,
        "shorten": shorten,
        "visible": visible,
    }
    environment.globals["nothing"] = NOTHING
    return environment


def _prose(text: str) -> Markup:
    """Text with `code` in it."""
    parts = (escape(part) for part in text.split("`"))
    tagged = (f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
    return Markup("".join(tagged))  # noqa: S704 - escaped above


def _read(name: str) -> str:
    path = resources.files("worker.report") / _TEMPLATES / name
    return path.read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _title(report: Report) -> str:
    ids = report.total.ids
    if not ids.total:
        return "No outcome has been recorded yet"
    if ids.failed:
        return f"{count(ids.failed)} of {count(ids.total, 'session')} failed"
    return f"{count(ids.total, 'session')}, all settled"


def _story(report: Report) -> str:
    """What was asked, and what became of it."""
    ids = report.total.ids
    if not ids.total:
        return "The logs hold no record: nothing was asked of the API, or nothing was answered."
    period = f"between {moment(report.total.began)[:16]} and {moment(report.total.ended)[:16]} UTC"
    parts = [
        f"{count(number)} {text}"
        for number, text in (
            (ids.processing, "are completed and processing"),
            (ids.not_found, "are not known to the API in this account"),
            (ids.failed, "failed"),
        )
        if number
    ]
    asked = f"{count(ids.total, 'session')} {'was' if ids.total == 1 else 'were'} to be completed"
    return f"{asked} in {count(report.total.runs, 'run')} {period}: {listing(parts)}."


def _types(failures: Sequence[Failure]) -> list[str]:
    return sorted({failure.record.error.type for failure in failures if failure.record.error})


def _waited(runs: Sequence[RunSummary]) -> str:
    seconds = sum(run.paused_s for run in runs)
    return duration(seconds) if seconds else "none"


def _details(
    aggregator: Aggregator, report: Report, allowed_per_s: float | None
) -> Iterator[Detail]:
    """The newest runs, the newest first; those too short to plot are left out."""
    pairs = list(zip(aggregator.runs_by_time(), report.runs, strict=True))[-DETAILED_RUNS:]
    for trace, run in reversed(pairs):
        plot = draw_run(trace, aggregator.states, allowed_per_s, f"run{trace.number}")
        if plot is None:
            continue
        longest = sorted(run.pauses, key=lambda pause: -pause.seconds)[:_MAX_PAUSES]
        yield Detail(
            run,
            Markup(plot),  # noqa: S704 - drawn from numbers
            _caption(run, allowed_per_s),
            [pause for pause in run.pauses if pause in longest],
            len(run.pauses) - len(longest),
        )


def _caption(run: RunSummary, allowed_per_s: float | None) -> str:
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


def _overall_plots(aggregator: Aggregator, report: Report) -> dict[str, object]:
    """The latency of all runs together, and their history where there is more than one."""
    latency = draw_latency(aggregator.total().latency_ms, "latency")
    history = draw_history(report.runs, "history") if len(report.runs) > 1 else None
    return {
        "latency_plot": None if latency is None else Markup(latency),  # noqa: S704 - numbers only
        "latency_caption": _latency_caption(report),
        "history_plot": None if history is None else Markup(history),  # noqa: S704 - likewise
        "history_length": MAX_RUNS_IN_HISTORY,
    }


def _latency_caption(report: Report) -> str:
    latency = report.latency_ms
    return (
        f"Half of the requests took at most {milliseconds(latency.p50)}, 90 % "
        f"{milliseconds(latency.p90)}, 99 % {milliseconds(latency.p99)}; the slowest "
        f"{milliseconds(latency.max)}. Of each line, the last request counts."
    )
