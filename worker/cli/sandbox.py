"""`complete-sessions sandbox`: serves the local stand-in of the API until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from worker.app.process.loop import open_loop
from worker.app.process.streams import say
from worker.cli.options import Written
from worker.core.errors import UsageError
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.faults import BEFORE, FaultKind, parse_faults
from worker.sandbox.sessions import read_sessions
from worker.settings import syntax

_AFTER = frozenset(FaultKind) - BEFORE - {FaultKind.LATE}


_NUMBER: Final = Written(syntax.whole(0, 10**9))
_DURATION: Final = Written(syntax.duration("0s", "720h"))


def _checked_header(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not (text.isascii() and text.isprintable()):
        raise UsageError(
            "--retry-after holds what no header can", "Write a number of seconds, or date+N"
        )
    return text


@click.command(
    epilog=f"""
    Faults without an effect on the session: {", ".join(k for k in FaultKind if k in BEFORE)}.

    Faults after the session was completed: {", ".join(k for k in FaultKind if k in _AFTER)}.

    late=SHARE:SECONDS is a gateway that answers 504 while the API acts only so much later.
    """,
)
@click.option(
    "--port",
    type=Written(syntax.whole(0, 65535)),
    default="8080",
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--sessions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sessions that exist: an id, `id,status` or JSON on each line.",
)
@click.option("--any-id", is_flag=True, help="Every well-formed id exists, as started.")
@click.option(
    "--processing-time",
    "processing_s",
    type=_DURATION,
    help="Processing sessions become complete after this (default: never).",
)
@click.option(
    "--conflict",
    is_flag=True,
    help="Answer 409 to completing a session again, instead of triggering its checks again.",
)
@click.option(
    "--list-lag",
    "list_lag_s",
    type=_DURATION,
    default="0s",
    help="The list shows sessions as they were so long ago.",
)
@click.option("--list-refused", is_flag=True, help="The list answers 403.")
@click.option(
    "--limit",
    type=Written(syntax.number(0)),
    help="Requests a second for each key, 0 for any number (default: 10 live, 5 test).",
)
@click.option(
    "--burst",
    type=Written(syntax.whole(1, 10**9)),
    help="How many of them may come at once (default: those of one second).",
)
@click.option(
    "--retry-after",
    callback=_checked_header,
    metavar="TEXT",
    help="Sent with a 429 as it is; date+N is the HTTP date in N seconds.",
)
@click.option(
    "--latency",
    "latency_s",
    type=Written(syntax.span(single=True)),
    default="0s",
    help="How long an answer takes: 80ms, or 20ms-200ms for anything between.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[@get|@post]=SHARE[:SECONDS]",
    help="Share of the requests, 0 to 1, that go wrong in this way; repeatable.",
)
@click.option(
    "--fault-limit",
    type=_NUMBER,
    help="At most N faults for one id (default: any number).",
)
@click.option(
    "--outage",
    "outages",
    type=Written(syntax.span(single=False)),
    multiple=True,
    help="Away between these times since the start, in seconds; repeatable.",
)
@click.option(
    "--outage-mode",
    type=click.Choice([mode.value for mode in OutageMode]),
    default=OutageMode.UNAVAILABLE.value,
    show_default=True,
    help="Answer as a firewall (403), an ingress without a backend (404) or one that is overloaded "
    "(503); refuse connections; accept them and never answer; or accept none (stall).",
)
@click.option(
    "--keep-alive/--no-keep-alive",
    default=True,
    show_default=True,
    help="Whether a connection serves more than one request.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="The same seed gives the same faults and latencies for the same ids.",
)
def sandbox(
    *,
    sessions: Path | None,
    any_id: bool,
    faults: tuple[str, ...],
    fault_limit: int | None,
    outage_mode: str,
    **values: Any,
) -> None:
    """Serve a local stand-in of the API on 127.0.0.1, until SIGINT or SIGTERM.

    It counts how often each session's checks are triggered: completing a session again triggers
    them again. A request takes effect when half of its latency has gone by, whether its client
    still waits or not. The counts stand at /sandbox/stats (?full=1 adds every session), and are
    printed at the end, as one line of JSON.

    \b
    Example:
      complete-sessions sandbox --any-id --latency 20ms-200ms --fault reset_after=0.05
    """
    if sessions is None and not any_id:
        raise UsageError("the sandbox holds no sessions", "Give --sessions FILE or --any-id")
    config = SandboxConfig(
        sessions={} if sessions is None else read_sessions(sessions),
        any_id=any_id,
        faults=parse_faults(*faults, limit=fault_limit),
        outage_mode=OutageMode(outage_mode),
        **values,
    )
    with open_loop() as runner:
        stats = runner.run(_serve(config))
    say(msgspec.json.encode(stats).decode())


async def _serve(config: SandboxConfig) -> dict[str, Any]:
    from worker.sandbox.server import Sandbox  # noqa: PLC0415 - heavy, and not for --help

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Sandbox(config) as server:
        say(f"sandbox listening on {server.url}")
        say(
            "Run against it, with any key that begins with test_ or live_:\n"
            f"  COMPLYCUBE_API_KEY=test_key complete-sessions run FILE --base-url {server.url}"
            " --results rehearsal.jsonl\n"
            f"  curl {server.origin}/sandbox/stats",
            err=True,
        )
        await stopped.wait()
        return server.stats()
