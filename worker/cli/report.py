"""`complete-sessions report`: what results logs say: tables, a page, JSON or one id's history."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec

from worker.app.process.streams import say
from worker.cli.log_arguments import LogLines, find_logs, logs_argument, name_of
from worker.cli.options import Written
from worker.cli.page import check_page, write_page
from worker.core.errors import ExitCode, UsageError
from worker.core.outcomes import Record
from worker.core.secrets import redact
from worker.core.text import count, visible
from worker.report.aggregation import Aggregator
from worker.report.history import HistoryEntry, describe
from worker.report.model import Report, summarise
from worker.report.provenance import LogFile, identify
from worker.report.terminal import render_colour, render_plain
from worker.settings import syntax


@click.command()
@logs_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
@click.option(
    "--html",
    "page",
    type=Written(syntax.file()),
    help="Also write a page with plots. It holds ids: only you can read it.",
)
@click.option(
    "--rate",
    type=Written(syntax.number(0.001)),
    help="With --html: the rate that was allowed, to compare with (logs do not hold it).",
)
@click.option("--id", "wanted", metavar="ID", help="The whole history of one id, in words.")
def report(
    results: tuple[Path, ...],
    as_json: bool,
    page: Path | None,
    rate: float | None,
    wanted: str | None,
) -> int:
    """Show what results logs say: outcomes, runs, errors and what to do about them, latency.

    RESULTS are logs that `run` wrote, plain or gzipped. Of an id the last line counts; of an id in
    several logs, the line of the run that began last.
    """
    if page is not None and wanted is not None:
        raise UsageError("--html and --id do not go together", "Leave one of them out")
    if page is None and rate is not None:
        raise UsageError("--rate only says what --html draws", "Give --html FILE too")
    logs = find_logs(results)
    if page is not None:
        check_page(page)
    if wanted is not None:
        return _show_history(logs, wanted, as_json)
    files = [] if page is None else [_identify(path) for path in logs]
    aggregator = _aggregator(logs)
    summary = _without_secrets(summarise(aggregator))
    if as_json:
        say(_json(summary), nl=False)
    else:
        _show_tables(summary)
    if page is not None:
        size = write_page(page, aggregator, summary, files, rate)
        say(f"wrote {visible(str(page))} ({count(math.ceil(size / 1024))} KiB)", err=True)
    return ExitCode.OK


def _aggregator(logs: list[Path]) -> Aggregator:
    aggregator = Aggregator()
    for path in logs:
        reading = LogLines(path)
        aggregator.read(name_of(path), reading).bad_lines = reading.bad_lines
    return aggregator


def _identify(path: Path) -> LogFile:
    """Before it is read: a run that is on appends to it, and what is read is no less than this."""
    try:
        return identify(path, name_of(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot read the results log {visible(str(path))}: {reason}",
            "Look whether it is still there, and who may read it",
        ) from error


def _without_secrets(summary: Report) -> Report:
    """Taken out before a table is laid out: what is broken into two lines nobody finds."""
    text = msgspec.json.encode(summary).decode()
    safe = redact(text)
    return summary if safe == text else msgspec.json.decode(safe, type=Report)


def _show_tables(summary: Report) -> None:
    for log in summary.logs:
        if not log.lines:
            say(f"{visible(log.name)} is empty: no outcome has been recorded yet.\n", nl=False)
    if not summary.total.lines:
        return
    if sys.stdout.isatty():
        say(render_colour(summary, shutil.get_terminal_size().columns), nl=False)
    else:
        say(render_plain(summary), nl=False)


def _show_history(logs: list[Path], wanted: str, as_json: bool) -> int:
    entries = _history(logs, wanted)
    if not entries:
        where = ", ".join(visible(str(path)) for path in logs)
        say(f"{visible(wanted)} is not in {where}", err=True)
        return ExitCode.SOME_FAILED
    if as_json:
        say(
            _json([{"log": log, **msgspec.to_builtins(record)} for log, record in entries]),
            nl=False,
        )
    else:
        say("\n".join(describe(wanted, entries)) + "\n", nl=False)
    return ExitCode.OK


def _history(logs: list[Path], wanted: str) -> list[HistoryEntry]:
    """The id's lines; the last one counts, by the same rule as in whatever else is shown."""
    if len(logs) == 1:
        return [
            HistoryEntry(name_of(logs[0]), line) for line in LogLines(logs[0]) if line.id == wanted
        ]
    aggregator, entries = Aggregator(), list[HistoryEntry]()
    for path in logs:
        lines: list[Record] = []
        aggregator.read(name_of(path), _noting(wanted, LogLines(path), lines))
        entries += [HistoryEntry(name_of(path), line) for line in lines]
    ranks = {(run.log, run.run): rank for rank, run in enumerate(aggregator.runs_by_time())}
    return sorted(entries, key=lambda entry: ranks[entry.log, entry.record.run])


def _noting(wanted: str, records: Iterable[Record], noted: list[Record]) -> Iterator[Record]:
    for record in records:
        if record.id == wanted:
            noted.append(record)
        yield record


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode() + "\n"
