"""The command line: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Final

import click
from click.shell_completion import CompletionItem

from worker.app.process.environment import (
    CODES,
    SignalInterrupt,
    heed_signals,
    hold_time_zone,
    learn_secrets,
    signal_of,
)
from worker.app.process.streams import hold_standard_streams, hold_tracebacks, say, tell, tell_all
from worker.core.errors import ExitCode, WorkerError

PROGRAM: Final = "complete-sessions"
_COMPLETION: Final = "_COMPLETE_SESSIONS_COMPLETE"

_COMMANDS: Final = {
    "run": "Complete every id of a file or of standard input.",
    "check": "Try the settings, the key, the API and the files of a run; changes nothing.",
    "status": "Say how a run stands, or how the last one ended.",
    "control": "Tell a run that is on to go slower or faster, to pause, to go on, or to end.",
    "report": "Show what a results log says, as a table, a page or JSON.",
    "ids": "Print ids by their latest outcome, to pipe into `run -`.",
    "find": "Print the ids of sessions that were begun and left, from the API's own list.",
    "audit": "Hold what results logs say against the API's own account; changes nothing.",
    "explain": "Say what an exit code or an error type means, and what to do.",
    "schema": "Print the JSON Schema of records, of the log's events, or of a run's account.",
    "enqueue": "Put ids into a queue, for `run --queue` on any number of machines.",
    "queue": "Show what is left in a queue, print its outcomes, or delete it.",
    "sandbox": "Serve a local stand-in of the API, to rehearse against.",
    "completion": "Print the script that completes commands and options in a shell.",
}

_WRITERS: Final = frozenset({"click.utils", "worker.app.process.streams"})
"""The modules that write to the standard output."""


class _LazyGroup(click.Group):
    """Imports a command's module only for that command, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"worker.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SignalInterrupt as interrupt:
            from worker.app.process.signals import SignalledError  # noqa: PLC0415 - asyncio

            raise SignalledError(interrupt.number) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands by their names and lines alone: a shell waits for the answer."""
        names = [name for name in _COMMANDS if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=_COMMANDS[name]) for name in names), *options]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from worker.cli.usage_errors import unknown_command  # noqa: PLC0415 - rarely needed

            raise unknown_command(name, _COMMANDS, PROGRAM)
        return super().resolve_command(ctx, args)


def _show_version(context: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from worker.cli.version import version_text  # noqa: PLC0415 - rarely needed

        say(version_text(PROGRAM))
        context.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Each command has its own help: {PROGRAM} run --help",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version, and what it runs on.",
)
def group() -> None:
    """Complete a backlog of ComplyCube workflow sessions: nothing lost, nothing done twice."""


def _know_shells() -> None:
    """Let what a shell asks for be answered as `completion` has arranged with it."""
    if _COMPLETION in os.environ:
        from click.shell_completion import add_completion_class  # noqa: PLC0415 - rarely needed

        from worker.cli.fish import Fish  # noqa: PLC0415 - the same

        add_completion_class(Fish)


def main() -> None:
    """Run a command; every error that was foreseen says what to do, and has its exit code."""
    try:
        heed_signals()
        hold_standard_streams()
        hold_time_zone()
        learn_secrets(os.environ, sys.argv[1:])
        hold_tracebacks()
        _know_shells()
        code = group.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        tell_all(error.format_message())
        code = ExitCode.USAGE
    except click.ClickException as error:
        from worker.cli.usage_errors import from_click  # noqa: PLC0415 - rarely needed

        tell(f"{PROGRAM}: {from_click(error)}")
        code = ExitCode.USAGE
    except click.Abort:
        code = ExitCode.INTERRUPTED
    except KeyboardInterrupt as interrupt:
        code = CODES[signal_of(interrupt)]
    except WorkerError as error:
        tell(f"{PROGRAM}: {error}")
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - no exit code of another cause is a defect's
        code = _blame(error)
    sys.exit(int(code or 0))


def _blame(error: Exception) -> ExitCode:
    """Say what was not foreseen: the standard output is broken, or this program is."""
    if not isinstance(error, OSError) or not _is_of_output(error):
        tell_all(traceback.format_exc())
        return ExitCode.DEFECT
    # What is stuck would fail once more when it is flushed at the exit.
    sys.stdout = None
    if not isinstance(error, BrokenPipeError):
        tell(f"{PROGRAM}: the output cannot be written: {error.strerror}")
    return ExitCode.SOME_FAILED


def _is_of_output(error: OSError) -> bool:
    """By where it was raised: all output goes through the same few functions."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") in _WRITERS for frame, _ in frames)
