"""`ids`: what it prints can be sent, and is what the logs say last."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.log_samples import SECOND_NIGHT, at, hex_id, invoke, record, write_log
from worker.cli.ids import ids
from worker.core.errors import UsageError

SETTLED, FAILED, MISSING, TIMED_OUT = map(hex_id, (1, 2, 3, 4))


@pytest.fixture
def log(tmp_path: Path) -> str:
    return write_log(
        tmp_path / "night.results.jsonl",
        record(TIMED_OUT, "failed", "timeout"),
        record(SETTLED, "failed", "timeout"),
        record(FAILED, "processing"),
        record(MISSING, "not_found", "resource_not_found"),
        record(FAILED, "failed", "http_503", run="second"),
        record(SETTLED, "processing", run="second"),
    )


def printed(*arguments: str) -> list[str]:
    return invoke(ids, *arguments).stdout.splitlines()


def test_failed_ids_come_in_the_order_of_their_first_appearance(log: str) -> None:
    assert printed(log) == [TIMED_OUT, FAILED]


def test_outcomes_may_be_repeated(log: str) -> None:
    assert printed(log, "--outcome", "not_found") == [MISSING]
    assert printed(log, "--outcome", "not_found", "--outcome", "processing") == [SETTLED, MISSING]


def test_error_type_is_that_of_the_latest_line(log: str) -> None:
    assert printed(log, "--error-type", "timeout") == [TIMED_OUT]
    assert printed(log, "--error-type", "timeout", "--error-type", "http_503") == [
        TIMED_OUT,
        FAILED,
    ]


def test_run_is_that_of_the_latest_line(log: str) -> None:
    assert printed(log, "--run", "first") == [TIMED_OUT]
    assert printed(log, "--run", "second") == [FAILED]


def test_unknown_run_is_wrong_usage_and_the_last_ones_are_named(log: str) -> None:
    with pytest.raises(UsageError, match=r"no run 'third'.*first, second"):
        invoke(ids, log, "--run", "third")


def test_of_two_logs_the_later_run_counts(tmp_path: Path, log: str) -> None:
    later = write_log(tmp_path / "later", record(TIMED_OUT, run="later", at=at(0, SECOND_NIGHT)))
    assert printed(log, later) == printed(later, log) == [FAILED]


def test_nothing_to_print_is_no_error(tmp_path: Path) -> None:
    shown = invoke(ids, write_log(tmp_path / "a", record()))
    assert (shown.stdout, shown.stderr) == ("", "")


def test_text_that_is_no_id_is_left_out_and_counted(tmp_path: Path) -> None:
    forged = f"x\n{SETTLED}"
    log = write_log(
        tmp_path / "a",
        record("../clients/x", "failed", "invalid_id"),
        record("1" * 24, "failed", "invalid_id"),
        record(forged, "failed", "timeout"),
        record(FAILED, "failed", "timeout"),
    )
    shown = invoke(ids, log)
    assert shown.stdout == f"{FAILED}\n"
    assert "3 lines of the input" in shown.stderr


def test_invalid_ids_that_were_not_asked_for_are_not_counted(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a", record("x y", "failed", "invalid_id"))
    assert invoke(ids, log, "--outcome", "processing").stderr == ""


def test_every_id_of_a_long_log_is_printed(tmp_path: Path) -> None:
    wanted = [hex_id(n) for n in range(25_000)]
    log = write_log(tmp_path / "a", *(record(one, "failed", "timeout") for one in wanted))
    assert printed(log) == wanted
