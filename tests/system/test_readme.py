"""The README says what is true of the code."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
import pytest

from tests.support.readme_tables import README, TABLES, renewed
from worker.cli import group
from worker.core.errors import EXIT_PRECEDENCE, ExitCode
from worker.core.outcomes import Record

TEXT = README.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert renewed(TEXT) == TEXT, "python -m tests.support.readme_tables renews them"


@pytest.mark.parametrize("name", TABLES)
def test_every_generated_table_has_its_place(name: str) -> None:
    assert f"<!-- {name} -->" in TEXT


def test_the_order_of_exit_codes_is_that_of_the_code() -> None:
    stated = re.search(r"the first in this order counts:\s*([\d,\s]+)", TEXT)
    assert stated is not None
    codes = [int(code) for code in re.findall(r"\d+", stated[1])]
    assert codes == [code for code in EXIT_PRECEDENCE if code in codes]
    assert {*codes, ExitCode.OK} == set(ExitCode)


def test_the_record_it_shows_is_one() -> None:
    line = next(line for line in TEXT.splitlines() if line.startswith('{"id"'))
    record = msgspec.json.decode(line, type=Record)
    assert msgspec.json.encode(record).decode() == line


def test_every_field_of_a_record_is_explained() -> None:
    section = TEXT.split("## The results log")[1].split("\n## ")[0]
    for field in Record.__struct_fields__:
        assert f"`{field}`" in section


def test_every_make_target_it_names_exists() -> None:
    makefile = (Path(README).parent / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"^ {4}make ([a-z-]+)", TEXT, re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert named
    assert named <= targets


def test_every_command_line_it_shows_is_one() -> None:
    context = click.Context(group)
    lines = re.findall(r"complete-sessions ([a-z]+) ?([^\n`#|]*)", TEXT)
    assert lines
    for name, rest in lines:
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            command = command.get_command(context, rest.split()[0])
            assert command is not None, rest
        known = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
        used = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)) - {"--help"}
        assert used <= known, f"{name}: {used - known}"


def test_every_option_of_run_is_named() -> None:
    command = group.get_command(click.Context(group), "run")
    assert command is not None
    section = TEXT.split("## Options")[1].split("\n## ")[0]
    for param in command.params:
        if isinstance(param, click.Option):
            assert any(re.search(rf"`{flag}[ `/]", section) for flag in param.opts), param


def test_every_relative_link_and_named_file_exists() -> None:
    root = Path(README).parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (root / target).exists(), target
