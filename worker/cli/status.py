"""`complete-sessions status`: how a run stands, or how the last one ended."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from worker.app.control.client import ask
from worker.app.control.last import last_status
from worker.app.control.protocol import Request, RunStatus
from worker.app.control.wording import describe
from worker.app.process.streams import say
from worker.cli.log_arguments import LogLines, find_logs, name_of
from worker.cli.options import complete_file
from worker.core.errors import ExitCode
from worker.report.aggregation import Aggregator
from worker.report.model import summarise


@click.command()
@click.argument("results", type=click.Path(path_type=Path), shell_complete=complete_file)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
def status(results: Path, as_json: bool) -> int:
    """Say how a run stands, or how the last one ended.

    RESULTS is its results log. The run that holds it is asked. Where none does, its account and its
    journal, which stand beside it, and the log itself say how the last one ended.
    """
    [log] = find_logs((results,))
    found = ask(log, Request()) or _last(log)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        say("\n".join(describe(found)))
    return ExitCode.OK


def _last(log: Path) -> RunStatus:
    aggregator = Aggregator()
    aggregator.read(name_of(log), LogLines(log))
    return last_status(log, summarise(aggregator))
