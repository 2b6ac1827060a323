"""A report as one page of HTML that opens from a mail: no network, no foreign script, no styles but
its own. Needs the extra `report`.

Whatever a log holds is text to the page: the template escapes it, and the page's
Content-Security-Policy lets nothing run or load but the script and the styles it was made with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.core.outcomes import Outcome
from worker.core.text import count, duration, rate, shorten, visible
from worker.report import prose
from worker.report.aggregation import DETAILED_RUNS, Aggregator, Listed
from worker.report.lookup import MAX_LOOKED_UP, lookup_of
from worker.report.model import PauseSummary, Report, RunSummary
from worker.report.overview import MAX_RUNS_IN_HISTORY, draw_history, draw_latency
from worker.report.plots import draw_run
from worker.report.provenance import Provenance, labels_of
from worker.report.wording import NOTHING, milliseconds, moment, share

MAX_ROWS: Final = 5_000
MAX_PAGE_BYTES: Final = 25_000_000
_ERRORS_SHOWN: Final = 6
_RUNS_SHOWN: Final = 14
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


class IdList(NamedTuple):
    """Ids of one outcome, the newest first: `total` of them, of which `rows` are shown."""

    outcome: Outcome
    title: str
    total: int
    rows: Sequence[Listed]
    types: Sequence[str]


def render_page(
    aggregator: Aggregator,
    report: Report,
    provenance: Provenance,
    allowed_per_s: float | None = None,
) -> str:
    """The page, the same for the same logs and provenance; at most 25 MB where ids are looked up.

    `allowed_per_s` is drawn where it is known.
    """
    style, script = _read("report.css"), _read("report.js")
    labels = labels_of([log.name for log in report.logs])
    values = _values(aggregator, report, labels, allowed_per_s) | {
        "policy": _policy(style, script),
        "style": Markup(style),  # noqa: S704 - a file of this package
        "script": Markup(script),  # noqa: S704 - likewise
        "provenance": provenance,
    }
    template = _environment(lambda log: visible(labels[log])).get_template("report.html.j2")
    page = template.render(**values, lookup=lookup_of(aggregator, labels))
    if len(page.encode("utf-8", "backslashreplace")) <= MAX_PAGE_BYTES:
        return page
    return template.render(**values, lookup=None)


def _values(
    aggregator: Aggregator, report: Report, labels: dict[str, str], allowed_per_s: float | None
) -> dict[str, object]:
    newest_first = report.runs[-_MAX_RUN_ROWS:][::-1]
    return {
        "title": prose.title(report),
        "story": prose.story(report),
        "report": report,
        "total": report.total,
        "logs": report.logs,
        "labels": labels,
        "log_rows": report.log_rows,
        "errors": report.errors[:_ERRORS_SHOWN],
        "more_errors": report.errors[_ERRORS_SHOWN:],
        "id_lists": _id_lists(aggregator, report),
        "runs": report.runs,
        "run_rows": newest_first[:_RUNS_SHOWN],
        "older_run_rows": newest_first[_RUNS_SHOWN:],
        "pauses": prose.pauses(report.runs),
        "targets": [prose.describe_target(text) for text in report.targets],
        "most_looked_up": MAX_LOOKED_UP,
        "details": list(_details(aggregator, report, allowed_per_s)),
        **_overall_plots(aggregator, report),
    }


def _id_lists(aggregator: Aggregator, report: Report) -> list[IdList]:
    ids = report.total.ids
    lists = []
    for outcome, title, total in (
        (Outcome.FAILED, "Failed ids", ids.failed),
        (Outcome.NOT_FOUND, "Ids not found", ids.not_found),
    ):
        rows = aggregator.listed(outcome)[:MAX_ROWS]
        lists.append(IdList(outcome, title, total, rows, _types(rows)))
    return [listed for listed in lists if listed.total]


def _environment(label: Callable[[str], str]) -> Environment:
    environment = Environment(
        loader=PackageLoader("worker.report", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "duration": duration,
        "label": label,
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


def _types(rows: Sequence[Listed]) -> list[str]:
    return sorted({row.record.error.type for row in rows if row.record.error})


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
            prose.run_caption(run, allowed_per_s),
            [pause for pause in run.pauses if pause in longest],
            len(run.pauses) - len(longest),
        )


def _overall_plots(aggregator: Aggregator, report: Report) -> dict[str, object]:
    """The latency of all runs together, and their history where there is more than one."""
    latency = draw_latency(aggregator.total().latency_ms, "latency")
    history = draw_history(report.runs, "history") if len(report.runs) > 1 else None
    return {
        "latency_plot": None if latency is None else Markup(latency),  # noqa: S704 - numbers only
        "paused_s": sum(run.paused_s for run in report.runs),
        "latency_caption": prose.latency_caption(report),
        "history_plot": None if history is None else Markup(history),  # noqa: S704 - likewise
        "history_length": MAX_RUNS_IN_HISTORY,
    }
