"""`complete-sessions enqueue`: puts the ids of a source into a queue."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.options import complete_file, config_option, settings_options
from worker.cli.queue_options import ask_queue, queue_option
from worker.core.errors import ExitCode
from worker.core.text import count, visible
from worker.settings import Settings
from worker.sources import Source, open_source

if TYPE_CHECKING:
    from worker.cluster.queue import Mode, Queue

_AT_ONCE: Final = 1000
_SHOWN: Final = 5


@click.command()
@click.argument("source", shell_complete=complete_file)
@settings_options("shared.url", "source.format", "source.field")
@queue_option(required=True)
@click.option(
    "--again",
    "mode",
    flag_value="again",
    default=False,
    help="Also add ids whose last outcome is failed.",
)
@click.option(
    "--repair",
    "mode",
    flag_value="repair",
    help="Also put back ids that were added and are neither left nor settled.",
)
@config_option
def enqueue(source: str, queue: str, mode: Mode | None, config: Path | None, **values: Any) -> int:
    """Add every id in SOURCE, a file or `-`, to a queue, which is made if need be.

    An id that was ever added is not added again, whatever has become of it. What cannot be an id is
    named, and makes the exit code 1; so do ids that the queue has lost, until --repair puts them
    back. An id may stand in several queues: each of them has it completed, the later by a read.

    \b
    Examples:
      complete-sessions enqueue backlog.txt --queue june
      complete-sessions queue results --queue june --outcome failed |
        complete-sessions enqueue - --format jsonl --queue june --again
    """

    async def add(into: Queue, settings: Settings) -> int:
        written = settings.source
        with closing(open_source(source, format=written.format, field=written.field)) as opened:
            return await _add_all(opened, into, mode or "new")

    return ask_queue(values, config, queue, add, must_exist=False)


async def _add_all(source: Source, queue: Queue, mode: Mode) -> int:
    read = added = invalid = 0
    while items := source.take(_AT_ONCE):
        ids = [item for item in items if item.problem is None]
        read += len(items)
        added += await queue.add(ids, mode)
        wrong = [f"line {item.line}: {visible(item.problem)}" for item in items if item.problem]
        for line in wrong[: max(0, _SHOWN - invalid)]:
            click.echo(line, err=True)
        invalid += len(wrong)
    click.echo(
        f"{count(read, 'line')} read: {count(added, 'id')} added to the queue {queue.name},"
        f" {read - added - invalid:,} there already, {invalid:,} cannot be ids"
    )
    is_whole = await _is_whole(queue) if read else True
    return ExitCode.OK if is_whole and not invalid else ExitCode.SOME_FAILED


async def _is_whole(queue: Queue) -> bool:
    lost = (await queue.status()).lost
    if lost:
        click.echo(
            f"the queue {queue.name} has lost {count(lost, 'id')}: `enqueue SOURCE --repair` puts"
            " them back",
            err=True,
        )
    return not lost
