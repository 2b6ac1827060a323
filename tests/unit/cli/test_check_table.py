"""How `check` sets out what it found."""

from __future__ import annotations

import sys

import click
import pytest

from worker.cli.check import Finding, check, table_rows
from worker.cli.run import run
from worker.core.errors import UnavailableError

REFUSED = Finding(
    "API",
    "",
    UnavailableError("https://api.example/v1 did not answer: " + "no route " * 12, "Look at it"),
)
KEY = Finding("key", "test_…mnop", notes=("others can read the key file; " * 4,))


@pytest.mark.parametrize("finding", [REFUSED, KEY])
def test_on_a_terminal_a_finding_keeps_to_its_column(finding: Finding) -> None:
    rows = "\n".join(table_rows(finding, 80)).splitlines()
    assert len(rows) > 2
    assert max(map(len, rows)) <= 80
    assert all(row[16:18] == "  " and row[18] != " " for row in rows)


def test_elsewhere_each_finding_keeps_to_its_line() -> None:
    (row,) = table_rows(REFUSED, sys.maxsize)
    assert row.startswith("FAILED  API       https://api.example/v1 did not answer: no route")
    assert row.endswith("Look at it")


def test_what_the_api_says_cannot_forge_a_line() -> None:
    error = UnavailableError("it says\nok      API\x1b[2K", "Look at it")
    (row,) = table_rows(Finding("API", "", error), 80)
    assert "\n" not in row
    assert "\x1b" not in row


def test_check_takes_whatever_run_takes() -> None:
    def names(command: click.Command) -> set[str]:
        return {name for param in command.params for name in (*param.opts, *param.secondary_opts)}

    assert names(run) - names(check) == {"--print-settings"}
