"""What is wrong with a command line, and what would be right."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import click

from worker.core.errors import UsageError
from worker.core.secrets import may_be_key, shown

_HIDDEN = "the command line holds what may be the API key; it is not shown here"
_KEY_ADVICE = "The key belongs in COMPLYCUBE_API_KEY, or in a file that --api-key-file names"


def unknown_command(name: str, commands: Collection[str], program: str) -> UsageError:
    """The nearest command, or `run` where the name is that of a file."""
    near = get_close_matches(name, commands, n=1)
    if may_be_key(name):
        return UsageError(_HIDDEN, _KEY_ADVICE)
    if near:
        advice = f"Did you mean `{program} {near[0]}`?"
    elif _is_file(name):
        advice = f"Did you mean `{program} run {name}`?"
    else:
        advice = f"`{program} --help` lists them"
    return UsageError(f"there is no command {shown(name)}", advice)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:
        return False


def from_click(error: click.ClickException) -> UsageError:
    """A mistake that click found, in the words of all other errors."""
    mistake = UsageError(_message(error), _advice(error))
    return UsageError(_HIDDEN, _KEY_ADVICE) if may_be_key(str(mistake)) else mistake


def _message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"there is no option {error.option_name}"
    if isinstance(error, click.MissingParameter):
        return f"{_name(error.param)} is missing"
    text = error.message.rstrip(".")
    if isinstance(error, click.BadParameter):
        return f"{_name(error.param)}: {text}"
    return text[:1].lower() + text[1:]


def _advice(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return "The command's own --help says what is allowed"
    if near := getattr(error, "possibilities", None):
        return f"Did you mean {near[0]}?"
    if isinstance(error, click.NoSuchOption):
        return _option_advice(context)
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        return f"`{context.command_path} --help` says what is allowed"
    usage = context.command.collect_usage_pieces(context)
    return f"Write `{' '.join([context.command_path, *usage])}`"


def _option_advice(context: click.Context) -> str:
    if isinstance(context.command, click.Group):
        return f"Options stand behind a command: `{context.command_path} --help` lists the commands"
    return f"`{context.command_path} --help` lists them"


def _name(param: click.Parameter | None) -> str:
    if param is None:
        return "a value"
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.metavar or (param.name or "").upper()
