"""`complete-sessions audit`: results logs, held against the API's own account of the sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from worker.app.audit import REMARKS, Audit, Disagreement, compare_with_api
from worker.app.process.streams import say
from worker.app.target import target_of
from worker.cli.asking import ASKING, ProgressLine, load_access
from worker.cli.log_arguments import LogLines, find_logs, logs_argument, name_of
from worker.cli.options import SectionedCommand, config_option, settings_options
from worker.core.clock import Clock
from worker.core.errors import ExitCode, UsageError
from worker.core.outcomes import ErrorType, Outcome, Record, is_valid_id
from worker.core.packed_ids import unpack_id
from worker.core.target import Target
from worker.core.text import count, visible
from worker.reading.reader import Reader
from worker.reading.statuses import StatusReader
from worker.report.aggregation import Aggregator

_BATCH: Final = 100_000
"""Ids that are held at once, at half a kilobyte each: a log may hold tens of millions."""


@click.command(cls=SectionedCommand)
@logs_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
@click.option(
    "--ids",
    "kind",
    type=click.Choice([kind.value for kind in Disagreement]),
    help="Print the ids that differ in this way, one a line, and nothing else.",
)
@settings_options(*ASKING)
@config_option
def audit(
    *,
    results: tuple[Path, ...],
    as_json: bool,
    kind: str | None,
    config: Path | None,
    **values: Any,
) -> int:
    """Compare every id's latest outcome in the logs RESULTS with what the API says of its session.

    It changes nothing, and reads up to a thousand sessions with one request. The exit code is 0
    where all agree, and 1 where not. lost: the log says processing, the API says started; gone: the
    API knows no such session; ended: it was cancelled or abandoned; done: the log says failed, and
    it was completed; found: the log says not_found, and it is there.

    \b
    Example, what was completed by the log alone:
      complete-sessions audit night.results.jsonl --ids lost
    """
    if as_json and kind is not None:
        raise UsageError("--json and --ids do not go together", "Leave one of them out")
    settings, key = load_access(values, config)
    logs = _read_logs(find_logs(results), target_of(settings, key))
    from worker.app.reading import read_to_end  # noqa: PLC0415 - the whole of aiohttp

    auditing = _Auditing(logs)
    try:
        result = read_to_end(auditing.carry_out, settings, key, auditing.progress.tell)
    finally:
        auditing.progress.clear()
    if as_json:
        say(msgspec.json.encode(result).decode() + "\n", nl=False)
    elif kind is not None:
        say("".join(f"{text}\n" for text in result.of(Disagreement(kind))), nl=False)
    else:
        say(_table(result, settings.api.base_url), nl=False)
    return ExitCode.OK if result.agree == result.ids else ExitCode.SOME_FAILED


def _read_logs(logs: list[Path], own: Target) -> Aggregator:
    aggregator = Aggregator()
    for path in logs:
        aggregator.read(name_of(path), _of_target(path, LogLines(path), own))
    return aggregator


def batches(aggregator: Aggregator, most: int = _BATCH) -> Iterator[dict[str, Outcome]]:
    """The latest outcome of every id that can be asked for, in the order of their creation; up to
    `most` in each."""
    latest, states = aggregator.latest.states, list(aggregator.states)
    for keys in _slices(sorted(latest), most):
        known = ((unpack_id(key), states[latest[key]]) for key in keys)
        yield {
            text: state.outcome
            for text, state in known
            if is_valid_id(text) and state.error_type != ErrorType.INVALID_ID
        }


def _slices(keys: list[bytes], most: int) -> Iterator[list[bytes]]:
    return (keys[first : first + most] for first in range(0, len(keys), most))


def _of_target(path: Path, records: Iterable[Record], own: Target) -> Iterator[Record]:
    """The records; raises UsageError at one of another API or another kind of key."""
    known = {str(own), None}
    for record in records:
        if record.target not in known:
            theirs = Target.parse(record.target or "")
            if theirs is None or theirs.place != own.place:
                raise UsageError(
                    f"{visible(str(path))} holds what was sent to {visible(record.target or '')}, "
                    f"and not to {own.base_url} with a {own.kind} key",
                    "Give the --base-url and the key that it was made with",
                )
            known.add(record.target)
        yield record


class _Auditing:
    """Asks the API, and on a terminal says how far it is."""

    def __init__(self, logs: Aggregator) -> None:
        self._logs = logs
        self.progress = ProgressLine()

    async def carry_out(self, reader: Reader) -> Audit:
        statuses = StatusReader(reader, Clock(), self.progress.tell)
        result = await compare_with_api(batches(self._logs), statuses, self._on_progress)
        result.requests = reader.requests
        return result

    def _on_progress(self, compared: int) -> None:
        ids = count(len(self._logs.latest), "id")
        self.progress.show(f"compared {count(compared)} of {ids}")


def _table(result: Audit, base_url: str) -> str:
    kinds = [kind for kind in Disagreement if kind is not Disagreement.UNREAD or result.unread]
    width = max(len(count(len(result.of(kind)))) for kind in kinds)
    requests = count(result.requests, "request")
    agree = f"{count(result.agree)} agree, {count(result.ids - result.agree)} do not."
    lines = [f"{count(result.ids, 'id')}, held against {base_url} with {requests}: {agree}", ""]
    lines += [
        f"  {kind:<6}  {count(len(result.of(kind))):>{width}}  {REMARKS[kind].meaning}"
        for kind in kinds
    ]
    differ = [kind for kind in kinds if result.of(kind)]
    if differ:
        lines += ["", "What to do"]
        lines += [f"  {kind}: {REMARKS[kind].what_to_do}" for kind in differ]
    return "\n".join(lines) + "\n"
