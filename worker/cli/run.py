"""`complete-sessions run`: options in, a run, and how it ended."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from worker.app.process.environment import signal_of
from worker.app.process.signals import SignalledError
from worker.app.process.streams import say, tell
from worker.cli.options import (
    SectionedCommand,
    complete_file,
    config_option,
    given_flags,
    settings_options,
)
from worker.cli.queue_options import queue_option, shard_option, warnings
from worker.core.errors import ExitCode, UsageError, WorkerError
from worker.settings import EndingSettings, Loaded, Settings, load, load_key, print_settings
from worker.sources import Shard

if TYPE_CHECKING:
    from worker.app.paths import RunFiles

_AT_THE_END: Final = ("ending.", "metrics_", "results")
"""The settings that say who hears of a run's end, by how their names begin."""

_EPILOG = """
Defaults stand in brackets. Durations (D) read 90s, 15m or 1h30m. Nearly every option is also a key
of the YAML settings and an environment variable; these have some more: see --print-settings.
"""


@click.command(cls=SectionedCommand, epilog=_EPILOG)
@click.argument("source", required=False, shell_complete=complete_file)
@settings_options()
@config_option
@queue_option(required=False)
@click.option("--wait", is_flag=True, help="Stay when the queue is worked off, for late ids.")
@shard_option
@click.option("--force", is_flag=True, help="Send settled ids again.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@click.option(
    "--progress/--no-progress", default=None, help="The bar.  [where stderr is a terminal]"
)
@click.option(
    "-v", "--verbose", count=True, help="Log every outcome; twice: why nothing is sent, too."
)
@click.option("-q", "--quiet", is_flag=True, help="Log only what needs somebody to act.")
@click.option(
    "--print-settings",
    "wants_settings",
    is_flag=True,
    help="Show every setting and where it came from.",
)
def run(
    *, config: Path | None, verbose: int, quiet: bool, wants_settings: bool, **values: Any
) -> int:
    """Complete every id in SOURCE, a file or `-` for standard input.

    One outcome for each id is appended to the results log. The same command, run again, goes on
    where the last one stopped.

    \b
    Examples:
      complete-sessions run backlog.txt --dry-run
      complete-sessions run backlog.txt --until 06:00
      complete-sessions run --shared redis://db --queue june --results june.jsonl
    """
    asked = _RunArguments(**{name: values.pop(name) for name in _RunArguments.__struct_fields__})
    flags = given_flags(values)
    if wants_settings or asked.dry_run:
        return _rehearse(asked, flags | _log_level(verbose, quiet), config, wants_settings)
    loaded = None
    try:
        level = _log_level(verbose, quiet)
        loaded = load(flags=flags | level, environ=os.environ, config=config)
        return _begin(asked, loaded)
    except WorkerError as error:
        return _fail(error, asked, loaded or _load_end(flags))
    except KeyboardInterrupt as interrupt:
        return _fail(SignalledError(signal_of(interrupt)), asked, loaded or _load_end(flags))


def _rehearse(
    asked: _RunArguments, flags: dict[str, Any], config: Path | None, wants_settings: bool
) -> int:
    """What says how a run would be, and begins none."""
    loaded = load(flags=flags, environ=os.environ, config=config)
    if wants_settings:
        return _show_settings(loaded)
    _check_usage(asked, loaded.settings)
    from worker.app.forecast import rehearse  # noqa: PLC0415 - imported where used

    return rehearse(_files(asked, loaded), force=asked.force)


def _fail(error: WorkerError, asked: _RunArguments, loaded: Loaded) -> int:
    """Tell why nothing was begun, to whoever waits for the end of a run as well."""
    tell(f"complete-sessions: {error}")
    settings = loaded.settings
    has_metrics = settings.metrics_file is not None or settings.metrics_push is not None
    if settings.ending == EndingSettings() and not has_metrics:
        return int(error.exit_code)
    from worker.app.run import conclude_failure  # noqa: PLC0415 - imported where used

    return conclude_failure(_files(asked, loaded), error)


def _load_end(flags: dict[str, Any]) -> Loaded:
    """Who hears of the end, by what needs no settings file: that may be what is wrong."""
    own = {path: value for path, value in flags.items() if path.startswith(_AT_THE_END)}
    names = tuple(f"WORKER_{start.upper().replace('.', '_')}" for start in _AT_THE_END)
    environ = {name: text for name, text in os.environ.items() if name.startswith(names)}
    with suppress(UsageError):
        return load(flags=own, environ=environ, cwd=Path(os.devnull))
    return load(flags={}, environ={}, cwd=Path(os.devnull))


class _RunArguments(msgspec.Struct, frozen=True):
    """The options that are no settings, by their parameters' names."""

    source: str | None
    queue: str | None
    wait: bool
    shard: Shard | None
    force: bool
    dry_run: bool
    progress: bool | None


def _log_level(verbose: int, quiet: bool) -> dict[str, str]:
    if verbose and quiet:
        raise UsageError("-v and -q do not go together", "Leave one of them out")
    if quiet:
        return {"log.level": "warning"}
    return {"log.level": "debug" if verbose == 1 else "trace"} if verbose else {}


def _show_settings(loaded: Loaded) -> int:
    with suppress(UsageError):
        # Learned, so that it is shown nowhere: a path may hold it.
        load_key(loaded.settings, os.environ)
    say(print_settings(loaded))
    return ExitCode.OK


def _begin(asked: _RunArguments, loaded: Loaded) -> int:
    _check_usage(asked, loaded.settings)
    key = load_key(loaded.settings, os.environ)
    from worker.app.plan import Plan  # noqa: PLC0415 - what most commands do without
    from worker.app.run import carry_out  # noqa: PLC0415 - the whole of aiohttp

    return carry_out(
        Plan(
            _files(asked, loaded),
            key,
            queue=asked.queue,
            stays=asked.wait,
            force=asked.force,
            progress=asked.progress,
            warnings=(*key.warnings, *warnings(loaded)),
        )
    )


def _files(asked: _RunArguments, loaded: Loaded) -> RunFiles:
    from worker.app.paths import RunFiles  # noqa: PLC0415 - imported where used

    return RunFiles(loaded.settings, asked.source, asked.shard, loaded.file)


def _check_usage(asked: _RunArguments, settings: Settings) -> None:
    """Raise UsageError for what does not go together, or is missing."""
    if asked.queue is None:
        if asked.source is None:
            raise UsageError("no SOURCE was given", "Name a file of ids, or `-` for standard input")
        if not asked.source:
            raise UsageError(
                "SOURCE is empty, as where a variable of the shell is not set",
                "Name a file of ids, or `-` for standard input",
            )
        if asked.wait:
            raise UsageError("--wait goes with --queue only", "A SOURCE that is a pipe is")
        return
    if asked.source is not None:
        raise UsageError(
            "--queue and SOURCE were both given", "`enqueue SOURCE` adds ids to a queue"
        )
    others = {"--shard": asked.shard, "--force": asked.force, "--dry-run": asked.dry_run}
    for option in (option for option, value in others.items() if value):
        raise UsageError(f"{option} does not go with --queue", "It is for a SOURCE")
    if settings.shared.url is None:
        raise UsageError("--queue was given without a Redis", "Say where it is with --shared URL")
    if settings.results is None:
        raise UsageError(
            "a run over a queue needs a results log of its own", "Name it with --results FILE"
        )
