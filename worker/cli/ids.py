"""`complete-sessions ids`: ids by their latest outcome, one a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import click

from worker.app.process.streams import say
from worker.cli.explain import complete_error_type
from worker.cli.log_arguments import LogLines, find_logs, logs_argument, name_of
from worker.core.errors import UsageError
from worker.core.outcomes import ErrorType, Outcome, is_valid_id
from worker.core.secrets import holds_secret
from worker.core.text import count, visible
from worker.report.aggregation import Aggregator

_IDS_AT_ONCE: Final = 10_000


@click.command()
@logs_argument
@click.option(
    "--outcome",
    "outcomes",
    type=click.Choice([outcome.value for outcome in Outcome]),
    multiple=True,
    default=[Outcome.FAILED.value],
    show_default=True,
    help="Ids whose latest outcome is this; may be repeated.",
)
@click.option(
    "--error-type",
    "error_types",
    metavar="TYPE",
    multiple=True,
    help="Only those whose latest error has this type; may be repeated.",
    shell_complete=complete_error_type,
)
@click.option("--run", metavar="RUN", help="Only those whose latest outcome this run recorded.")
def ids(
    results: tuple[Path, ...],
    outcomes: tuple[str, ...],
    error_types: tuple[str, ...],
    run: str | None,
) -> None:
    """Print the ids that the logs RESULTS hold by their latest outcome, one a line.

    They come in the order of their first appearance. Lines of the input that were no ids are left
    out, as they cannot be sent; stderr says how many.

    \b
    Example, to send again what timed out in the last run:
      complete-sessions ids night.results.jsonl --error-type timeout |
        complete-sessions run - --results night.results.jsonl
    """
    aggregator = Aggregator()
    for path in find_logs(results):
        aggregator.read(name_of(path), LogLines(path))
    names = [trace.run for trace in aggregator.runs]
    if run is not None and run not in names:
        raise UsageError(f"there is no run {run!r} in the logs", _name_runs(names))
    wanted = [
        state.outcome.value in outcomes
        and (not error_types or state.error_type in error_types)
        and (run is None or names[state.run] == run)
        for state in aggregator.states
    ]
    left_out = _print_ids(aggregator, wanted)
    if left_out:
        say(
            f"left out, as they cannot be sent: {count(left_out, 'line')} of the input that "
            "can be no id (invalid_id)",
            err=True,
        )


def _print_ids(aggregator: Aggregator, wanted: Sequence[bool]) -> int:
    """Print the ids in the wanted states; gives how many were left out."""
    invalid = [state.error_type == ErrorType.INVALID_ID for state in aggregator.states]
    sendable = [want and not bad for want, bad in zip(wanted, invalid, strict=True)]
    left_out = sum(
        number
        for state, number in aggregator.latest.counts().items()
        if wanted[state] and invalid[state]
    )
    ids = aggregator.latest.ids(sendable.__getitem__)
    while batch := list(islice(ids, _IDS_AT_ONCE)):
        # A log that was edited by hand may hold anything, and a newline would forge an id.
        valid = [text for text in batch if is_valid_id(text) and not holds_secret(text)]
        left_out += len(batch) - len(valid)
        say("".join(f"{text}\n" for text in valid), nl=False)
    return left_out


def _name_runs(names: Sequence[str]) -> str:
    if not names:
        return "They hold no run at all."
    return f"The last ones are: {', '.join(map(visible, names[-5:]))}."
