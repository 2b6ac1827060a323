"""What `--help` shows, and what a mistake on the command line is answered with."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from worker.cli import group
from worker.cli.options import section_of
from worker.cli.run import run
from worker.settings import OPTIONS, Option


def help_of(command: click.Command, columns: int = 80) -> str:
    with click.Context(command, info_name="complete-sessions run", terminal_width=columns) as ctx:
        return command.get_help(ctx)


def sections() -> dict[str, str]:
    blocks = re.split(r"\n(?=[A-Z][a-z ]+:\n)", help_of(run))[1:]
    return {block.partition(":\n")[0]: block.partition(":\n")[2] for block in blocks}


def test_the_help_of_run_is_grouped_by_what_options_are_for() -> None:
    groups = ["Input and results", "Pace", "Retries", "When to stop", "What is shown", "Other"]
    assert [name for name in sections() if name in groups] == groups


@pytest.mark.parametrize("param", run.params, ids=str)
def test_each_option_stands_in_its_section(param: click.Parameter) -> None:
    if isinstance(param, click.Option):
        assert f"\n  {param.opts[0]}" in "\n" + sections()[section_of(param)]


def test_only_what_belongs_nowhere_else_stands_under_other() -> None:
    flags = set(re.findall(r"--[a-z-]+", re.sub(r" {3,}.*", "", sections()["Other"])))
    assert flags == {"--base-url", "--api-key-file", "--config", "--print-settings", "--help"}


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.flag], ids=lambda one: one.path)
def test_each_option_that_takes_a_value_shows_its_default(option: Option) -> None:
    param = next(one for one in run.params if one.name == option.name)
    assert isinstance(param, click.Option)
    assert param.help is not None
    if not option.is_flag and option.metavar != "FILE":
        assert param.help.endswith(f"[{option.default_text}]")


@pytest.mark.parametrize("columns", [80, 100])
def test_the_help_keeps_to_the_width_and_one_column(columns: int) -> None:
    lines = help_of(run, columns).splitlines()
    assert max(map(len, lines)) <= columns
    starts = {match.end() for line in lines if (match := re.match(r"  -\S.*?\S {2,}", line))}
    assert len(starts) == 1


def test_every_command_is_listed_with_a_line() -> None:
    context = click.Context(group)
    shown = help_of(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert f"  {name} " in shown or command.hidden


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check", "--help"]])
def test_help_waits_for_no_heavy_import(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "worker", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(re.findall(r"\|\s+([\w.]+)$", ended.stderr, re.MULTILINE))
    assert "click" in imported
    assert imported.isdisjoint(
        {"aiohttp", "jinja2", "matplotlib", "prometheus_client", "redis", "rich", "yaml"}
    )
