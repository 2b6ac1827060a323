"""`complete-sessions enqueue`: puts the ids of a source into a queue."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from worker.app.process.streams import say
from worker.cli.options import complete_file, config_option, settings_options
from worker.cli.queue_options import ask_queue, queue_option
from worker.core.errors import ExitCode
from worker.core.text import count, visible
from worker.settings import Settings
from worker.sources import AsyncSource, open_source

if TYPE_CHECKING:
    from worker.cluster.queue import Mode, Queue

_AT_ONCE: Final = 1000
_SHOWN: Final = 5
_HELD_OPEN_S: Final = 15.0
"""How long the queue stays open after a writer that died."""


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
    back. No run ends on the queue while ids are added. Queues know nothing of each other: where ids
    may stand in two, run the second with --check-first.

    \b
    Examples:
      complete-sessions enqueue backlog.txt --queue june
      complete-sessions queue results --queue june --outcome failed |
        complete-sessions enqueue - --format jsonl --queue june --again
    """

    async def add(into: Queue, settings: Settings) -> int:
        written = settings.source
        opened = open_source(source, format=written.format, field=written.field)
        with closing(AsyncSource(opened)) as ids:
            # Made at once, so that runs on it may begin before the first id has come.
            await into.add([], mode or "new")
            async with _held_open(into):
                return await _add_all(ids, into, mode or "new")

    return ask_queue(values, config, queue, add, must_exist=False)


@asynccontextmanager
async def _held_open(queue: Queue) -> AsyncIterator[None]:
    """Meanwhile no run takes the queue for worked off: a pipe may bring more at any time."""
    writer = f"{socket.gethostname()}.{os.getpid()}"
    await queue.hold_open(writer, _HELD_OPEN_S)
    holding = asyncio.create_task(_hold_open(queue, writer))
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
    await queue.hold_open(writer, 0)


async def _hold_open(queue: Queue, writer: str) -> None:
    while True:
        await asyncio.sleep(_HELD_OPEN_S / 3)
        await queue.hold_open(writer, _HELD_OPEN_S)


async def _add_all(source: AsyncSource, queue: Queue, mode: Mode) -> int:
    read = added = invalid = 0
    while items := await source.take(_AT_ONCE):
        ids = [item for item in items if item.problem is None]
        read += len(items)
        added += await queue.add(ids, mode)
        wrong = [f"line {item.line}: {visible(item.problem)}" for item in items if item.problem]
        for line in wrong[: max(0, _SHOWN - invalid)]:
            say(line, err=True)
        invalid += len(wrong)
    say(
        f"{count(read, 'line')} read: {count(added, 'id')} added to the queue {queue.name},"
        f" {read - added - invalid:,} there already, {invalid:,} cannot be ids"
    )
    is_whole = await _is_whole(queue)
    return ExitCode.OK if is_whole and not invalid else ExitCode.SOME_FAILED


async def _is_whole(queue: Queue) -> bool:
    lost = (await queue.status()).lost
    if lost:
        say(
            f"the queue {queue.name} has lost {count(lost, 'id')}: `enqueue SOURCE --repair` puts"
            " them back",
            err=True,
        )
    return not lost
