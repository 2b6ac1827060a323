"""The settings as options of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from worker.settings import OPTIONS, Option

Command = Callable[..., Any]


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
    by_name = {option.name: option.path for option in OPTIONS}
    return {by_name[name]: value for name, value in values.items() if value is not None}


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
    metavar = "|".join(option.choices) or option.metavar
    text = f"{option.help}  [{option.default_text}]" if option.default is not None else option.help
    return click.option(flag, option.name, metavar=metavar, default=None, help=text)
