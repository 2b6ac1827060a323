"""`complete-sessions find`: ids of sessions from the API's own list, one a line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from worker.app.process.streams import say
from worker.cli.asking import ASKING, ProgressLine, load_access
from worker.cli.options import SectionedCommand, config_option, settings_options
from worker.core.durations import parse_duration
from worker.core.errors import UsageError
from worker.core.outcomes import is_valid_id
from worker.core.secrets import shown
from worker.core.text import count
from worker.reading.sessions import ListedSession, milliseconds, timestamp
from worker.reading.walk import Span

if TYPE_CHECKING:
    from worker.reading.reader import Reader

_STATUSES: Final = ("started", "processing", "complete", "abandoned", "cancelled")


class Wanted(msgspec.Struct, frozen=True):
    """Which sessions to print. The API's list is asked by `span`, which promises less than this."""

    statuses: frozenset[str]
    span: Span
    limit: int | None

    def holds(self, session: ListedSession) -> bool:
        """Whether a session that the list shows is one to print."""
        before = self.span.updated_before
        return session.status in self.statuses and (before is None or session.updated_ms < before)


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    try:
        if text is None:
            return None
        moment = milliseconds(datetime.fromisoformat(text))
        # The API may be asked for what is a millisecond before.
        timestamp(moment - 1)
        return moment
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{param.opts[0]} is {shown(text or '')}; it must be a date or a time",
            "Write 2026-11-01 or 2026-11-01T06:00:00Z",
        ) from None


def _before(seconds: float) -> int:
    """So many seconds ago, in milliseconds since 1970: not before that."""
    return max(milliseconds(datetime.now(UTC)) - round(seconds * 1000), 0)


def _duration(ctx: click.Context, param: click.Parameter, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(
            f"{param.opts[0]} is {shown(text)}; it must be a duration", "Write 90s, 15m or 24h"
        ) from None


@click.command(cls=SectionedCommand)
@click.option(
    "--status",
    "statuses",
    type=click.Choice(_STATUSES),
    multiple=True,
    default=["started"],
    show_default=True,
    help="Sessions of this status; may be repeated.",
)
@click.option(
    "--idle",
    callback=_duration,
    default="24h",
    show_default=True,
    metavar="D",
    help="Only those that have not been updated for so long; 0 for all.",
)
@click.option(
    "--created-after",
    callback=_moment,
    metavar="TIME",
    help="Only those created at this time or later (RFC 3339, or a date; UTC).",
)
@click.option(
    "--created-before", callback=_moment, metavar="TIME", help="Only those created before this."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N sessions.")
@click.option("--json", "as_json", is_flag=True, help="All that the list says, as JSON Lines.")
@settings_options(*ASKING)
@config_option
def find(
    *,
    statuses: tuple[str, ...],
    idle: float,
    created_after: int | None,
    created_before: int | None,
    limit: int | None,
    as_json: bool,
    config: Path | None,
    **values: Any,
) -> None:
    """Print the ids of sessions that the API's list shows, one a line, the newest first.

    By default those that were started, left incomplete, and not touched for a day: nobody's open
    session is completed under their hands. It changes nothing, and reads a thousand sessions with
    one request.

    \b
    Example, the nightly job without a file:
      complete-sessions find | complete-sessions run - --results night.results.jsonl
    """
    settings, key = load_access(values, config)
    updated_before = _before(idle) if idle > 0 else None
    after = None if created_after is None else created_after - 1
    wanted = Wanted(frozenset(statuses), Span(after, created_before, updated_before), limit)
    from worker.app.reading import read_to_end  # noqa: PLC0415 - the whole of aiohttp

    finding = _Found(wanted, _line if as_json else _id)
    try:
        read_to_end(finding.carry_out, settings, key, finding.progress.tell)
    finally:
        finding.progress.clear()


def _id(session: ListedSession) -> str:
    return f"{session.id}\n"


def _line(session: ListedSession) -> str:
    return msgspec.json.encode(session.fields).decode() + "\n"


class _Found:
    """Prints what it finds, page by page, and on a terminal how far it is."""

    def __init__(self, wanted: Wanted, render: Callable[[ListedSession], str]) -> None:
        self._wanted = wanted
        self._render = render
        self._seen = 0
        self._found = 0
        self.progress = ProgressLine()

    async def carry_out(self, reader: Reader) -> None:
        async for sessions, _ in reader.pages(self._wanted.span):
            self._print(sessions)
            if self._found == self._wanted.limit:
                return

    def _print(self, sessions: list[ListedSession]) -> None:
        self._seen += len(sessions)
        # What is no id would be no line of its own, or more than one.
        found = [each for each in sessions if self._wanted.holds(each) and is_valid_id(each.id)]
        if self._wanted.limit is not None:
            found = found[: self._wanted.limit - self._found]
        self._found += len(found)
        self.progress.clear()
        say("".join(map(self._render, found)), nl=False)
        self.progress.show(f"read {count(self._seen, 'session')}, found {count(self._found)}")
