"""The settings as options of a command, and the options as sections of its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from worker.core.errors import UsageError
from worker.core.secrets import shown
from worker.settings import OPTIONS, Option, syntax

Command = Callable[..., Any]

_PATHS: Final = {option.name: option.path for option in OPTIONS}
_SECTIONS: Final = {
    "Input and results": ("source", "results", "force", "dry_run"),
    "Pace": ("pace",),
    "Retries": ("retry",),
    "When to stop": ("stop",),
    "At the end": ("ending",),
    "More than one machine": ("shared", "queue", "wait", "shard"),
    "What is shown": ("log", "progress", "verbose", "quiet", "metrics_file", "metrics_push"),
}
"""By the first word of a setting's path, or by the name of an option that is no setting."""

_OTHER: Final = "Other"
_WIDEST_FLAG: Final = 32


def settings_options(*paths: str) -> Callable[[Command], Command]:
    """Add the flag of each setting in `paths`, or of every setting that has one.

    A value stays text till the settings are put together; the parameter is the setting's name.
    """

    def decorate(command: Command) -> Command:
        for option in reversed(OPTIONS):
            if option.flag is not None and (not paths or option.path in paths):
                command = _as_click(option, option.flag)(command)
        return command

    return decorate


def given_flags(values: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line, by the setting's path."""
    return {_PATHS[name]: value for name, value in values.items() if value is not None}


class SectionedCommand(click.Command):
    """A command whose help shows its options by what they are for."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in (*_SECTIONS, _OTHER)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections[section_of(param)].append(record)
        rows = [row for section in sections.values() for row in section]
        width = max(len(flag) for flag, _ in rows if len(flag) <= _WIDEST_FLAG)
        for name, section in sections.items():
            if section:
                with formatter.section(name):
                    # All flags as wide as the widest: each section sets its texts behind its own.
                    formatter.write_dl(
                        [(flag.ljust(width), text) for flag, text in section], _WIDEST_FLAG
                    )


def section_of(param: click.Parameter) -> str:
    """The heading in the help under which an option stands."""
    name = param.name or ""
    first = _PATHS.get(name, name).split(".")[0]
    return next((section for section, names in _SECTIONS.items() if first in names), _OTHER)


def complete_file(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leaves the completion to the shell, which knows its files."""
    return [CompletionItem(incomplete, type="file")]


class Written(click.ParamType[Any]):
    """The type of an option that is no setting: read, checked and refused as settings are."""

    name = "text"

    def __init__(self, written: syntax.Syntax) -> None:
        self._syntax = written

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "|".join(self._syntax.choices) or self._syntax.metavar

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):
            return value
        try:
            return self._syntax.parse(value)
        except ValueError as error:
            flag = param.opts[0] if param else "the option"
            raise UsageError(f"{flag} is {shown(value)}; it must be {error}") from None


config_option: Final = click.option(
    "--config",
    type=Written(syntax.file()),
    shell_complete=complete_file,
    help="YAML settings.",
)


def _as_click(option: Option, flag: str) -> Callable[[Command], Command]:
    if option.is_flag:
        return click.option(
            flag,
            option.name,
            is_flag=True,
            flag_value="true",
            default=None,
            help=option.help,
        )
    return click.option(
        flag,
        option.name,
        metavar="|".join(option.choices) or option.metavar,
        default=None,
        help=_help(option),
        shell_complete=_completion(option),
    )


def _help(option: Option) -> str:
    # The help of a file says in words what happens without it: "[none]" would say less.
    is_unset_file = option.default is None and option.metavar == "FILE"
    return option.help if is_unset_file else f"{option.help}  [{option.default_text}]"


def _completion(
    option: Option,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    if option.metavar == "FILE":
        return complete_file

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in option.choices if word.startswith(incomplete)]

    return complete
