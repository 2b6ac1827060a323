"""What a report says in text: paragraphs and tables, not yet laid out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from worker.core.text import count, duration, shorten, visible
from worker.report.model import (
    Counts,
    ErrorSummary,
    Percentiles,
    Report,
    RunSummary,
)
from worker.report.wording import NOTHING, listing, milliseconds, moment, share

_MAX_RUNS = 20
_MESSAGE_LENGTH = 60


class Column(NamedTuple):
    """A table's column; `style` is one of rich's. A narrow terminal does without optional ones."""

    title: str
    is_number: bool = False
    style: str = ""
    is_optional: bool = False


class TextTable(NamedTuple):
    """Rows of printable text, one cell for each column."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


Block = TextTable | str
"""A table or a paragraph."""


def blocks(report: Report) -> Iterator[Block]:
    """A report's parts in their order; every text is printable, foreign text too."""
    yield headline(report)
    yield _outcomes_table(report)
    if report.target_rows:
        yield _targets_table(report)
    if report.runs:
        yield _runs_table(report)
    if report.errors:
        yield _errors_table(report.errors)
        yield from _advice(report.errors)
    if report.requests or report.checks:
        yield _requests(report)


def headline(report: Report) -> str:
    """What became of the ids, in one sentence that adds up."""
    ids = report.total.ids
    if not ids.total:
        return "No outcome has been recorded yet."
    parts = [
        f"{count(number)} {label} ({share(number, ids.total)})"
        for number, label in (
            (ids.processing, "processing"),
            (ids.not_found, "not_found"),
            (ids.failed, "failed"),
        )
        if number
    ]
    return f"{count(ids.total, 'id')}: {listing(parts)}, by the latest outcome of each."


def _outcomes_table(report: Report) -> TextTable:
    columns = (
        Column("log"),
        Column("ids", True),
        *_OUTCOME_COLUMNS,
        Column("lines", True),
        Column("not records", True, is_optional=True),
        Column("runs", True, is_optional=True),
    )
    rows = [
        [
            visible(log.name),
            count(log.ids.total),
            *_outcome_cells(log.ids),
            count(log.lines),
            count(log.bad_lines),
            count(log.runs),
        ]
        for log in report.log_rows
    ]
    return TextTable("Ids by their latest outcome", columns, rows)


_OUTCOME_COLUMNS = (
    Column("processing", True, "green"),
    Column("not_found", True, "yellow"),
    Column("failed", True, "red"),
)


def _outcome_cells(counts: Counts) -> list[str]:
    return [count(counts.processing), count(counts.not_found), count(counts.failed)]


def _targets_table(report: Report) -> TextTable:
    columns = (Column("base URL, kind and fingerprint of the key"), Column("lines", True))
    rows = [[shorten(visible(name), 100), count(lines)] for name, lines in report.target_rows]
    return TextTable("Targets", columns, rows)


def _runs_table(report: Report) -> TextTable:
    runs = report.runs[-_MAX_RUNS:]
    title = "Runs"
    if len(runs) < len(report.runs):
        title = f"Runs (the last {len(runs)} of {count(len(report.runs))})"
    columns = (
        Column("run"),
        Column("began (UTC)", is_optional=True),
        Column("took", True),
        Column("lines", True),
        *_OUTCOME_COLUMNS,
        Column("lines/s", True, is_optional=True),
        Column("paused", True, is_optional=True),
        Column("p50", True, is_optional=True),
        Column("p99", True, is_optional=True),
    )
    return TextTable(title, columns, [_run_cells(run) for run in runs])


def _run_cells(run: RunSummary) -> list[str]:
    return [
        visible(run.run),
        moment(run.began)[:16],
        duration(run.seconds),
        count(run.lines.total),
        *_outcome_cells(run.lines),
        NOTHING if run.lines_per_s is None else f"{run.lines_per_s:g}",
        duration(run.paused_s) if run.paused_s else NOTHING,
        milliseconds(run.latency_ms.p50),
        milliseconds(run.latency_ms.p99),
    ]


def _errors_table(errors: Sequence[ErrorSummary]) -> TextTable:
    columns = (
        Column("type", style="bold"),
        Column("ids now", True),
        Column("lines", True),
        Column("for example", is_optional=True),
        Column("message"),
    )
    rows = [
        [
            shorten(visible(error.type), 40),
            count(error.ids),
            count(error.lines),
            shorten(visible(error.example.id), 40) if error.example else NOTHING,
            shorten(visible(error.example.message), _MESSAGE_LENGTH) if error.example else NOTHING,
        ]
        for error in errors
    ]
    return TextTable("Errors by type", columns, rows)


def _advice(errors: Sequence[ErrorSummary]) -> Iterator[str]:
    """What to do about the errors that ids still have."""
    pending = [error for error in errors if error.ids]
    if not pending:
        return
    lines = ["What to do"]
    for error in pending:
        text = f"{shorten(visible(error.type), 40)}: {error.meaning} {error.what_to_do}"
        lines.append(textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="    "))
    yield "\n".join(lines)


def _requests(report: Report) -> str:
    attempts = ", ".join(f"{tries}: {count(lines)}" for tries, lines in report.attempts.items())
    checks = f"{count(report.checks, 'line')} settled by reading the session"
    lines = (
        f"Requests  {count(report.requests)} to complete; {checks}",
        f"Attempts  {attempts} (requests for an id: lines)",
        f"Latency   {_latency(report.latency_ms)} (the last request of each line)",
    )
    return "\n".join(lines)


def _latency(latency_ms: Percentiles) -> str:
    named = msgspec.structs.asdict(latency_ms).items()
    return ", ".join(f"{name} {milliseconds(value)}" for name, value in named)
