"""`complete-sessions run`: options in, a run, and how it ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from worker.cli.options import SectionedCommand, complete_file, given_flags, settings_options
from worker.errors import UsageError
from worker.settings import load, load_key, print_settings

_EPILOG = """
Defaults stand in brackets. Durations (D) read 90s, 15m or 1h30m. Nearly every option is also a key
of the YAML settings and an environment variable; these have some more: see --print-settings.
"""


@click.command(cls=SectionedCommand, epilog=_EPILOG)
@click.argument("source", required=False, shell_complete=complete_file)
@settings_options()
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="YAML settings.")
@click.option("--force", is_flag=True, help="Send settled ids again.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@click.option(
    "--progress/--no-progress", default=None, help="The bar.  [where stderr is a terminal]"
)
@click.option("-v", "--verbose", is_flag=True, help="Log every outcome.")
@click.option("-q", "--quiet", is_flag=True, help="Log only what needs somebody to act.")
@click.option(
    "--print-settings",
    "wants_settings",
    is_flag=True,
    help="Show every setting and where it came from.",
)
def run(
    source: str | None,
    config: Path | None,
    force: bool,
    dry_run: bool,
    progress: bool | None,
    verbose: bool,
    quiet: bool,
    wants_settings: bool,
    **values: Any,
) -> int:
    """Complete every id in SOURCE, a file or `-` for standard input.

    One outcome for each id is appended to the results log. The same command, run again, goes on
    where the last one stopped.

    \b
    Examples:
      complete-sessions run backlog.txt --dry-run
      complete-sessions run backlog.txt --until 06:00
    """
    flags = given_flags(values)
    if verbose or quiet:
        flags["log.level"] = "debug" if verbose else "warning"
    loaded = load(flags=flags, environ=os.environ, config=config)
    if wants_settings:
        click.echo(print_settings(loaded))
        return 0
    if source is None:
        raise UsageError("no SOURCE was given", "Name a file of ids, or `-` for standard input")
    if dry_run:
        from worker.cli.rehearsal import rehearse  # noqa: PLC0415 - imported where used

        return rehearse(source, loaded.settings, force=force)
    key = load_key(loaded.settings, os.environ)
    from worker.cli.wiring import Plan, carry_out  # noqa: PLC0415 - the whole of aiohttp

    return carry_out(Plan(source, loaded.settings, key, force=force, progress=progress))
