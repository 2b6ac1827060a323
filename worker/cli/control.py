"""`complete-sessions control`: what a run that is on is told to do."""

from __future__ import annotations

from pathlib import Path

import click

from worker.app.control.client import ask
from worker.app.control.protocol import Request
from worker.app.control.wording import describe
from worker.app.process.streams import say
from worker.cli.options import Written, complete_file
from worker.core.errors import ExitCode, UsageError
from worker.core.text import visible
from worker.settings import OPTION_BY_PATH


@click.command()
@click.argument("results", type=click.Path(path_type=Path), shell_complete=complete_file)
@click.option(
    "--rate",
    type=Written(OPTION_BY_PATH["pace.rate"].syntax),
    help="Requests a second from now on: what `run --rate` takes.",
)
@click.option("--pause", is_flag=True, help="Send nothing, until --resume.")
@click.option("--resume", is_flag=True, help="Go on.")
@click.option("--stop", is_flag=True, help="End as SIGTERM does: what is in flight is finished.")
def control(results: Path, rate: float | str | None, pause: bool, resume: bool, stop: bool) -> int:
    """Tell a run that is on to go slower or faster, to pause, to go on, or to end.

    RESULTS is its results log. Only the user who started the run may; it logs who did. Without a
    run on that log the exit code is 1.
    """
    if rate is None and not (pause or resume or stop):
        raise UsageError(
            "nothing was asked for", "Give --rate R, --pause, --resume or --stop; or ask `status`"
        )
    if pause and resume:
        raise UsageError("--pause and --resume do not go together", "Leave one of them out")
    text = None if rate is None else OPTION_BY_PATH["pace.rate"].text_of(rate)
    status = ask(results, Request(rate=text, pause=pause, resume=resume, stop=stop))
    if status is None:
        say(f"no run is on that writes to {visible(str(results))}", err=True)
        return ExitCode.SOME_FAILED
    say("\n".join(describe(status)))
    return ExitCode.OK
