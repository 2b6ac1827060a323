"""What commands for several machines have in common: their options, and the way to Redis."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from worker.app.cluster_session import COMMAND_PATIENCE_S, connected, existing
from worker.app.process.loop import run_to_the_end
from worker.app.process.streams import say
from worker.cli.options import given_flags
from worker.core.errors import UsageError
from worker.core.secrets import passwords_of, shown
from worker.settings import Loaded, Settings, is_plain_name, load
from worker.sources import Shard

if TYPE_CHECKING:
    from worker.cluster.queue import Queue

T = TypeVar("T")


def queue_option(required: bool) -> Callable[[Any], Any]:
    """The option --queue, of which the name is checked before anything is done."""
    return click.option(
        "--queue",
        metavar="NAME",
        required=required,
        callback=_checked_name,
        help="A queue of ids in the Redis of --shared.",
    )


def _checked_name(ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    if name is not None and not is_plain_name(name):
        raise UsageError(
            f"--queue is {shown(name)}; it must be made of letters, digits, '_', '.' and '-',"
            " 100 at most"
        )
    return name


def _parse_shard(ctx: click.Context, param: click.Parameter, text: str | None) -> Shard | None:
    try:
        return None if text is None else Shard.parse(text)
    except ValueError as error:
        raise UsageError(f"--shard is {shown(text or '')}; it must be {error}") from None


shard_option: Final = click.option(
    "--shard",
    metavar="K/N",
    callback=_parse_shard,
    help="Only the K-th of N parts of SOURCE, by id.",
)


def warnings(loaded: Loaded) -> tuple[str, ...]:
    """What is unwise in the way the settings were given."""
    url = loaded.settings.shared.url
    if url is None or loaded.origins["shared.url"] != "--shared" or not passwords_of(url):
        return ()
    return (
        "the password in --shared stands in the list of processes: WORKER_SHARED_URL keeps it out",
    )


def ask_queue(
    values: dict[str, Any],
    config: Path | None,
    name: str,
    ask: Callable[[Queue, Settings], Awaitable[T]],
    *,
    must_exist: bool = True,
) -> T:
    """Ask something of a queue, for a command that somebody waits for."""
    loaded = load(flags=given_flags(values), environ=os.environ, config=config)
    for warning in warnings(loaded):
        say(f"note: {warning}", err=True)

    async def answer() -> T:
        async with connected(loaded.settings, COMMAND_PATIENCE_S) as connection:
            from worker.cluster.queue import Queue  # noqa: PLC0415 - Redis

            queue = Queue(connection, name)
            return await ask(await existing(queue) if must_exist else queue, loaded.settings)

    return run_to_the_end(answer())
