"""`complete-sessions queue`: what is left in a queue, its outcomes, and its end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from worker.app.process.streams import say
from worker.cli.options import config_option, settings_options
from worker.cli.queue_options import ask_queue, queue_option
from worker.core.errors import ExitCode, UsageError
from worker.core.outcomes import Outcome
from worker.core.text import count, duration
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.cluster.queue import Queue, QueueStatus

_is_stream_id: Final = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?").fullmatch


@click.group()
def queue() -> None:
    """Look after a queue that `enqueue` has filled and `run --queue` works off."""


@queue.command()
@settings_options("shared.url")
@queue_option(required=True)
@config_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(queue: str, config: Path | None, as_json: bool, **values: Any) -> int:
    """Show what is left, and which run has held how much of it for how long.

    The exit code is 1 where the queue does not add up: ids or outcomes of it were lost.
    """
    found = ask_queue(values, config, queue, lambda asked, _: asked.status())
    say(msgspec.json.encode(found).decode() if as_json else _table(found))
    return ExitCode.OK if found.adds_up else ExitCode.SOME_FAILED


def _table(status: QueueStatus) -> str:
    held = sum(pending.entries for pending in status.pending)
    rows = [
        f"left      {count(status.left, 'id')}, {held:,} of them with a run",
        f"queued    {count(status.queued, 'id')} in all, {status.settled:,} of them settled",
        f"outcomes  {status.outcomes:,}; failed and not queued again: {status.failed:,}",
    ]
    for one in status.pending:
        age = duration(one.age_s)
        rows.append(f"pending   {count(one.entries, 'id')}, renewed {age} ago: {one.consumer}")
    return "\n".join(rows + _losses(status))


def _losses(status: QueueStatus) -> list[str]:
    rows = []
    if status.missing:
        rows.append(f"LOST      {count(status.missing, 'id')}: queued, neither left nor settled")
    if status.stranded:
        rows.append(
            f"LOST      {count(status.stranded, 'id')}: left, and no run will be given them"
        )
    if rows:
        rows.append("          `complete-sessions enqueue SOURCE --repair` puts them back")
    if status.outcomes_lost:
        lost = count(status.outcomes_lost, "outcome")
        rows.append(f"LOST      {lost}: the results logs of the runs have them")
    return rows


@queue.command()
@settings_options("shared.url")
@queue_option(required=True)
@config_option
@click.option("--after", metavar="ID", help="Only what came after this `stream_id`.")
@click.option(
    "--outcome",
    type=click.Choice([outcome.value for outcome in Outcome]),
    help="Only these outcomes.",
)
def results(
    queue: str, config: Path | None, after: str | None, outcome: str | None, **values: Any
) -> None:
    """Print outcomes as JSON Lines, oldest first, those of all machines together.

    Each has the fields of the results log, and a `stream_id` to go on from with --after. An id that
    failed and was queued again has several; the last one counts.
    """
    if after is not None and not _is_stream_id(after):
        raise UsageError("--after is no stream_id", "Copy it from a line of `queue results`")

    async def ask(asked: Queue, _: Settings) -> None:
        place = after
        while page := await asked.outcomes(place):
            lines = [_line(*one, outcome) for one in page]
            say("".join(lines), nl=False)
            place = page[-1][0]

    ask_queue(values, config, queue, ask)


def _line(place: str, record: str, outcome: str | None) -> str:
    fields = msgspec.json.decode(record)
    if outcome is not None and fields["outcome"] != outcome:
        return ""
    return msgspec.json.encode(fields | {"stream_id": place}).decode() + "\n"


@queue.command()
@settings_options("shared.url")
@queue_option(required=True)
@config_option
@click.option("--yes", is_flag=True, help="Also where ids are left, or a part of it is lost.")
def drop(queue: str, config: Path | None, yes: bool, **values: Any) -> None:
    """Delete a queue: its ids, its outcomes, and what it knows of which were ever queued."""

    async def ask(asked: Queue, _: Settings) -> None:
        left = await _left_of(asked, may_be_broken=yes)
        if left and not yes:
            raise UsageError(
                f"the queue {asked.name!r} still holds {count(left, 'id')}",
                "--yes deletes it all the same",
            )
        await asked.drop()
        held = "of which a part was gone" if left is None else f"which held {count(left, 'id')}"
        say(f"deleted the queue {asked.name}, {held}")

    ask_queue(values, config, queue, ask)


async def _left_of(asked: Queue, *, may_be_broken: bool) -> int | None:
    """How many ids are left; None where part of the queue is lost, so that nobody can tell."""
    from worker.cluster.queue import QueueGoneError  # noqa: PLC0415 - Redis

    try:
        return (await asked.status()).left
    except QueueGoneError:
        if not may_be_broken:
            raise
        return None
