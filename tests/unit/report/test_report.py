"""What `report` says of results logs: the sums, the runs, the errors, the history of one id."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.log_samples import (
    FIRST_NIGHT,
    SECOND_NIGHT,
    at,
    hex_id,
    invoke,
    record,
    write_log,
)
from tests.support.program import shell
from worker.cli.report import report
from worker.core.errors import ExitCode, UsageError
from worker.core.outcomes import Error, Outcome, Record, Via
from worker.core.tally import OTHER_ERRORS
from worker.report.aggregation import DETAILED_RUNS, MAX_LISTED, Aggregator
from worker.report.model import NO_TYPE, Report, summarise
from worker.report.table import headline
from worker.report.terminal import render_colour, render_plain
from worker.report.timeline import parse_time


def survey_of(*logs: list[Record]) -> Aggregator:
    aggregator = Aggregator()
    for number, records in enumerate(logs):
        aggregator.read(f"log{number}", records)
    return aggregator


def report_of(*logs: list[Record]) -> Report:
    return summarise(survey_of(*logs))


def steady(count: int, every_s: float = 0.1, from_s: float = 0.0) -> list[Record]:
    return [record(hex_id(n), at=at(from_s + n * every_s), line=n) for n in range(1, count + 1)]


# Ids


def test_last_line_of_an_id_is_its_state() -> None:
    made = report_of([record(outcome="failed", error="timeout"), record(outcome="processing")])
    assert (made.total.ids.processing, made.total.ids.failed, made.total.lines) == (1, 0, 2)


def test_of_an_id_in_two_logs_the_run_that_began_last_counts_whatever_their_order() -> None:
    old = [record(outcome="failed", error="timeout", run="a", at=at(0, FIRST_NIGHT))]
    new = [record(outcome="processing", run="b", at=at(0, SECOND_NIGHT))]
    for logs in ((old, new), (new, old)):
        made = report_of(*logs)
        assert (made.total.ids.processing, made.total.ids.failed) == (1, 0)
        assert sorted(log.ids.failed for log in made.logs) == [0, 1]


def test_one_log_may_hold_older_and_newer_runs_than_another() -> None:
    third_night = at(0, SECOND_NIGHT + (SECOND_NIGHT - FIRST_NIGHT))
    around = [
        record(outcome="failed", error="timeout", run="1", at=at(0)),
        record(outcome="processing", run="3", at=third_night),
    ]
    between = [record(outcome="failed", error="timeout", run="2", at=at(0, SECOND_NIGHT))]
    assert report_of(around, between).total.ids.processing == 1


# Errors


def test_errors_are_counted_by_id_now_and_by_line_ever() -> None:
    made = report_of(
        [
            record(hex_id(1), "failed", "timeout"),
            record(hex_id(2), "failed", "timeout"),
            record(hex_id(1), "processing", run="second"),
        ]
    )
    [error] = made.errors
    assert (error.type, error.ids, error.lines) == ("timeout", 1, 2)
    assert "same command" in error.what_to_do


def test_example_is_an_id_that_still_has_the_error() -> None:
    made = report_of(
        [
            record(hex_id(1), "failed", "timeout"),
            record(hex_id(2), "failed", "timeout"),
            record(hex_id(2), "processing"),
        ]
    )
    [error] = made.errors
    assert error.example is not None
    assert error.example.id == hex_id(1)


def test_failed_without_an_error_has_a_type_of_its_own() -> None:
    assert [error.type for error in report_of([record(outcome="failed")]).errors] == [NO_TYPE]


def test_not_found_stands_behind_what_failed() -> None:
    missing = [record(hex_id(n), "not_found", "resource_not_found") for n in range(9)]
    made = report_of([*missing, record(hex_id(10), "failed", "timeout")])
    assert [error.type for error in made.errors] == ["timeout", "resource_not_found"]
    assert made.errors[1].outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize("outcomes", [("failed", "not_found"), ("not_found", "failed")])
def test_error_of_several_outcomes_counts_as_failed(outcomes: tuple[str, ...]) -> None:
    lines = [record(hex_id(n), outcome, "gone") for n, outcome in enumerate(outcomes)]
    [error] = report_of(lines).errors
    assert error.outcome is Outcome.FAILED


def test_failed_without_an_error_stays_failed_whatever_else_has_none() -> None:
    made = report_of([record(hex_id(1), "failed"), record(hex_id(2)), record(hex_id(3))])
    assert [(error.type, error.outcome) for error in made.errors] == [(NO_TYPE, Outcome.FAILED)]


def test_types_without_end_are_put_together() -> None:
    made = report_of([record(hex_id(n), "failed", f"type{n}") for n in range(1000)])
    assert len(made.errors) <= 201
    assert made.errors[0].type == OTHER_ERRORS
    assert sum(error.ids for error in made.errors) == 1000


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_FOUND])
def test_newest_ids_of_an_outcome_are_kept_and_others_forgotten(outcome: Outcome) -> None:
    lines = [
        record(hex_id(n), outcome.value, "some_error", at=at(n / 100))
        for n in range(MAX_LISTED + 10)
    ]
    aggregator = survey_of([*lines, record(hex_id(MAX_LISTED), "processing")])
    kept = [listed.record.id for listed in aggregator.listed(outcome)]
    assert len(kept) == MAX_LISTED - 1
    assert kept[0] == hex_id(MAX_LISTED + 9)
    assert hex_id(0) not in kept
    assert hex_id(MAX_LISTED) not in kept


def test_id_that_failed_and_is_then_not_found_is_listed_once() -> None:
    aggregator = survey_of([record(outcome="failed", error="timeout"), record(outcome="not_found")])
    assert aggregator.listed(Outcome.FAILED) == []
    assert [listed.record.id for listed in aggregator.listed(Outcome.NOT_FOUND)] == [hex_id(1)]


# Runs and time


def test_a_run_lasts_from_its_first_attempt_to_its_last_outcome() -> None:
    made = report_of([record(elapsed_ms=2000.0, at=at(2)), record(hex_id(2), at=at(10))])
    [run] = made.runs
    assert (run.began, run.ended) == ("2026-11-22T01:00:00Z", "2026-11-22T01:00:10Z")
    assert (run.seconds, run.lines_per_s) == (10.0, 0.2)


def test_gap_in_which_an_id_was_retried_is_a_pause_with_retries() -> None:
    before, after = steady(100), steady(100, from_s=300)
    waited = record("w", at=at(299.5), elapsed_ms=295_000.0)
    [run] = report_of([*before, waited, *after]).runs
    [pause] = run.pauses
    assert pause.retried
    assert pause.seconds == pytest.approx(289.5, abs=0.2)
    assert run.paused_s == pause.seconds


def test_gap_that_no_id_spans_is_a_pause_without_retries() -> None:
    [run] = report_of([*steady(100), *steady(100, from_s=300)]).runs
    assert [pause.retried for pause in run.pauses] == [False]


def test_a_slow_run_has_no_pauses() -> None:
    assert report_of([*steady(50, every_s=30)]).runs[0].pauses == []


def test_a_lone_line_does_not_make_two_pauses_of_one() -> None:
    [run] = report_of([*steady(99), record("x", at=at(150)), *steady(100, from_s=300)]).runs
    assert len(run.pauses) == 1


def test_best_minute_is_of_requests() -> None:
    slow, fast = steady(60, every_s=1), steady(600, from_s=60)
    [run] = report_of([*slow, *fast]).runs
    assert run.best_minute_requests_per_s == pytest.approx(10, rel=0.02)


def test_best_minute_of_an_old_run_is_that_of_its_own_minute() -> None:
    old = [*steady(60, every_s=1), *steady(600, from_s=60)]
    newer = [
        record(hex_id(1), run=f"newer {number}", at=at(number * 3600.0))
        for number in range(1, DETAILED_RUNS + 2)
    ]
    summary = report_of([*old, *newer]).runs[0]
    assert summary.best_minute_requests_per_s == pytest.approx(10, rel=0.02)


def test_long_run_is_kept_in_few_bins_and_nothing_is_lost() -> None:
    aggregator = survey_of([record(hex_id(n), at=at(n * 997.0)) for n in range(3000)])
    [run] = aggregator.runs
    assert len(run.bins) <= 480
    assert run.total().lines == 3000


def test_old_runs_lose_their_detail_and_keep_their_sums() -> None:
    lines = [
        record(hex_id(n), run=f"run{number}", at=at(number * 86_400 + n))
        for number in range(DETAILED_RUNS + 2)
        for n in range(100)
    ]
    aggregator = survey_of(lines)
    assert [len(run.bins) > 2 for run in aggregator.runs] == [False] * 2 + [True] * DETAILED_RUNS
    assert [run.lines.total for run in summarise(aggregator).runs] == [100] * (DETAILED_RUNS + 2)


@pytest.mark.parametrize("in_one_log", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
def test_newest_runs_keep_their_detail_whatever_the_order(
    backwards: bool, in_one_log: bool
) -> None:
    nights = range(2 * DETAILED_RUNS)
    runs = [
        [record(hex_id(n), run=f"{night:02}", at=at(night * 86_400 + n)) for n in range(100)]
        for night in (reversed(nights) if backwards else nights)
    ]
    logs = [[line for lines in runs for line in lines]] if in_one_log else runs
    aggregator = survey_of(*logs)
    detailed = sorted(run.run for run in aggregator.runs if len(run.bins) > 2)
    assert detailed == [f"{night:02}" for night in nights[-DETAILED_RUNS:]]


@pytest.mark.parametrize("time", ["", "yesterday", "2026-13-01T00:00:00Z", "\x1b[31m"])
def test_line_whose_time_cannot_be_read_still_counts(time: str) -> None:
    made = report_of([record(at=time)])
    assert (made.total.lines, made.total.began, made.runs[0].seconds) == (1, None, 0.0)
    assert "1 id" in render_plain(made)


@given(
    st.lists(
        st.builds(
            record,
            id=st.text(max_size=5),
            outcome=st.sampled_from([outcome.value for outcome in Outcome]),
            error=st.none() | st.text(max_size=5),
            at=st.text(max_size=5) | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
            run=st.sampled_from(["a", "b", "\x1b"]),
            attempts=st.integers(-5, 1000),
            latency_ms=st.floats(allow_nan=False, allow_infinity=False),
            elapsed_ms=st.floats(allow_nan=False, allow_infinity=False),
            via=st.sampled_from(Via),
        ),
        max_size=30,
    )
)
def test_whatever_a_log_holds_the_report_adds_up_and_is_printable(records: list[Record]) -> None:
    made = report_of(records)
    ids = made.total.ids
    assert ids.total == len({each.id for each in records})
    assert ids.total == ids.processing + ids.not_found + ids.failed
    assert sum(run.lines.total for run in made.runs) == made.total.lines == len(records)
    assert render_plain(made).replace("\n", "").isprintable()
    assert json.loads(json.dumps(made.total.ids.total)) == ids.total


def test_time_is_utc_where_nothing_else_is_said() -> None:
    assert parse_time("2026-11-22T01:00:00") == parse_time("2026-11-22T02:00:00+01:00")


# The command


def test_tables_are_aligned_and_say_what_to_do(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a", record(hex_id(1)), record(hex_id(2), "failed", "http_503"))
    shown = invoke(report, log).stdout
    assert shown.startswith("2 ids: 1 processing (50.0 %) and 1 failed (50.0 %)")
    assert "http_503: A proxy before the API" in shown
    assert f"{hex_id(2)}  message of http_503" in shown
    assert "\x1b" not in shown


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path) -> None:
    bad = record("a\n\x1b[31m\u202e", "failed", run="\x1b]0;x\x07")
    log = write_log(tmp_path / "a", bad, record("b", "failed", "\x9b\u2028[link]x"))
    shown = invoke(report, log).stdout
    assert shown.replace("\n", "").isprintable()
    coloured = render_colour(report_of([bad]), 100)
    assert "\x1b]" not in coloured
    assert "\u202e" not in coloured


def test_narrow_terminal_keeps_the_outcomes() -> None:
    lines = render_colour(report_of([record()]), 70).splitlines()
    [heads] = [line for line in lines if "took" in line]
    assert "failed" in heads
    assert "p99" not in heads


def test_colour_is_only_for_terminals_and_headline_is_the_same() -> None:
    made = report_of([record(), record(hex_id(2), "failed", "timeout")])
    assert headline(made) in render_plain(made)
    assert "\x1b[31m" in render_colour(made, 120)
    assert "\x1b" not in render_plain(made)


def test_several_logs_are_shown_each_and_in_total(tmp_path: Path) -> None:
    one = write_log(tmp_path / "one", record(hex_id(1)))
    two = write_log(tmp_path / "two", record(hex_id(2)))
    shown = invoke(report, one, two).stdout.splitlines()
    assert [line.split()[1] for line in shown if line.lstrip().startswith(("/", "total"))] == [
        *("1", "1", "2")
    ]


def test_targets_are_shown_where_there_are_several() -> None:
    real, rehearsal = "https://api.test/v1 live 5d0c91aa", "http://127.0.0.1:8080/v1 test 00c0ffee"
    sent = [record(hex_id(number), target=real) for number in range(3)]
    rest = [record(hex_id(9), target=rehearsal), record(hex_id(10))]
    assert report_of(sent, rest).targets == {real: 3, rehearsal: 1}
    shown = render_plain(report_of(sent, rest))
    rows = dict(line.strip().rsplit(maxsplit=1) for line in shown.splitlines() if "//" in line)
    assert rows == {real: "3", rehearsal: "1"}
    assert real not in render_plain(report_of(sent))


def test_targets_without_end_are_put_together() -> None:
    records = [record(hex_id(number), target=f"http://{number}") for number in range(1000)]
    targets = report_of(records).targets
    assert sum(targets.values()) == 1000
    assert len(targets) < 100


def test_log_that_is_given_twice_is_read_once(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a", record())
    (tmp_path / "b").symlink_to(log)
    assert (
        json.loads(invoke(report, "--json", log, str(tmp_path / "b")).stdout)["total"]["lines"] == 1
    )


def test_gzipped_log_is_read_as_it_is(tmp_path: Path) -> None:
    log = Path(write_log(tmp_path / "a", record()))
    log.write_bytes(gzip.compress(log.read_bytes()))
    assert invoke(report, str(log)).stdout.startswith("1 id: 1 processing (100.0 %)")


def test_json_has_its_documented_keys(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a", record(), record(hex_id(2), "failed", "timeout"))
    made = json.loads(invoke(report, "--json", log).stdout)
    assert list(made) == [
        *("logs", "total", "runs", "errors", "requests", "checks", "attempts", "latency_ms"),
        "targets",
    ]
    assert made["total"]["ids"] == {"total": 2, "processing": 1, "not_found": 0, "failed": 1}
    assert made["runs"][0]["errors"] == {"timeout": 1}
    assert made["errors"][0]["example"]["id"] == hex_id(2)
    assert made["latency_ms"]["p50"] == pytest.approx(80, rel=0.032)


def test_lines_that_are_no_records_are_reported_with_their_number(tmp_path: Path) -> None:
    log = Path(write_log(tmp_path / "a", record()))
    log.write_bytes(log.read_bytes() + b"\x1b[31mnonsense\n" + log.read_bytes()[:-9])
    shown = invoke(report, str(log))
    assert f"{log}: line 2 is not a record: \\x1b[31mnonsense\n" in shown.stderr
    assert "line 3 is not a record" in shown.stderr
    assert "\x1b" not in shown.stderr
    assert "1 id" in shown.stdout


def test_a_blank_line_and_compressed_data_that_breaks_off_are_told_apart(tmp_path: Path) -> None:
    log = Path(write_log(tmp_path / "a", record()))
    blank, whole = log.read_bytes() + b"\n \n", gzip.compress(log.read_bytes() * 99)
    log.write_bytes(blank)
    shown = invoke(report, str(log)).stderr
    assert [line.rpartition(": ")[2] for line in shown.splitlines()] == ["it is blank"] * 2
    log.write_bytes(whole[:-9])
    assert "the compressed data breaks off" in invoke(report, str(log)).stderr
    log.write_bytes(b"\n\n")
    with pytest.raises(UsageError, match="none of its lines is a record"):
        invoke(report, str(log))


def test_of_a_file_that_is_no_log_only_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("some\nwords\n" * 30)
    ended = run_program("report", str(tmp_path / "other"))
    assert ended.returncode == ExitCode.USAGE
    [line] = ended.stderr.splitlines()
    assert "is not a results log: none of its lines is a record" in line


def test_many_bad_lines_are_summed_up(tmp_path: Path) -> None:
    log = Path(write_log(tmp_path / "a", record()))
    log.write_bytes(log.read_bytes() + b"x\n" * 50)
    shown = invoke(report, str(log)).stderr
    assert shown.count("\n") == 11
    assert "40 more lines are not records" in shown


def test_another_file_is_not_taken_for_a_log(tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("5eb2b61e02df0a0008f1cf2b\n")
    with pytest.raises(UsageError, match="not a results log"):
        invoke(report, str(ids))


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_read_is_wrong_usage(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read|is a directory"):
        invoke(report, str(tmp_path / name))


def test_empty_log_says_so(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a")
    shown = invoke(report, log)
    assert shown.stdout == f"{log} is empty: no outcome has been recorded yet.\n"
    assert json.loads(invoke(report, "--json", log).stdout)["total"]["ids"]["total"] == 0


def test_history_of_an_id_is_told_in_words(tmp_path: Path) -> None:
    failed = record(
        outcome="failed",
        error="http_503",
        http_status=503,
        attempts=5,
        elapsed_ms=31_877.0,
        line=17,
    )
    checked = record(via=Via.CHECK, session_status="complete", run="second", at=at(0, SECOND_NIGHT))
    log = write_log(tmp_path / "a", failed, record(hex_id(2)), checked)
    shown = invoke(report, log, "--id", hex_id(1)).stdout
    assert shown.startswith(f"{hex_id(1)}: 2 lines in {log}\n")
    assert "1. 2026-11-22 01:00:00 UTC, run first, line 17 of the input\n   failed\n" in shown
    assert "5 requests to complete it; settled by the last of them: HTTP 503" in shown
    assert "settled by reading the session: HTTP 200" in shown
    assert "It is settled as processing" in shown


def test_history_of_what_was_never_sent_says_so_and_what_to_do(tmp_path: Path) -> None:
    never_sent = msgspec.structs.replace(
        record("x y", "failed", attempts=0), error=Error("invalid_id", "too long", "id")
    )
    log = write_log(tmp_path / "a", never_sent)
    shown = invoke(report, log, "--id", "x y").stdout
    assert "no request was sent" in shown
    assert "invalid_id: too long (param id)" in shown
    assert "Mend these lines in the source" in shown


def test_history_over_several_logs_names_them_and_goes_by_time(tmp_path: Path) -> None:
    new = write_log(tmp_path / "new", record(at=at(0, SECOND_NIGHT), run="second"))
    old = write_log(tmp_path / "old", record(outcome="failed", error="timeout"))
    shown = invoke(report, new, old, "--id", hex_id(1)).stdout
    assert shown.index(f"run first of {old}") < shown.index(f"run second of {new}")


def test_history_and_tables_agree_on_what_counts(tmp_path: Path) -> None:
    early, late = hex_id(2), hex_id(3)
    first = write_log(
        tmp_path / "first",
        record(early, run="a", at=at(0)),
        record(hex_id(1), "processing", run="a", at=at(7200)),
    )
    second = write_log(
        tmp_path / "second",
        record(late, run="b", at=at(3600)),
        record(hex_id(1), "failed", "timeout", run="b", at=at(5400)),
    )
    for logs in ((first, second), (second, first)):
        table = json.loads(invoke(report, "--json", *logs).stdout)
        history = json.loads(invoke(report, "--json", *logs, "--id", hex_id(1)).stdout)
        assert table["total"]["ids"]["failed"] == 1
        assert [line["outcome"] for line in history] == ["processing", "failed"]


def test_log_whose_name_is_no_utf8_is_named_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path / "b") + b"\xff")
    write_log(Path(name), record())
    made = json.loads(invoke(report, "--json", name).stdout)
    assert made["logs"][0]["name"] == f"{tmp_path}/b\\xff"
    history = json.loads(invoke(report, "--json", name, "--id", hex_id(1)).stdout)
    assert history[0]["log"] == f"{tmp_path}/b\\xff"


def test_history_for_machines_holds_the_records(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a", record())
    [line] = json.loads(invoke(report, log, "--json", "--id", hex_id(1)).stdout)
    assert (line["log"], line["id"], line["outcome"]) == (log, hex_id(1), "processing")


def test_id_that_no_log_holds_exits_with_1(tmp_path: Path) -> None:
    shown = invoke(report, write_log(tmp_path / "a", record()), "--id", "nobody")
    assert shown.return_value == ExitCode.SOME_FAILED
    assert shown.stdout == ""
    assert "nobody is not in" in shown.stderr


def run_program(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def test_missing_log_ends_the_program_with_2_and_one_sentence(tmp_path: Path) -> None:
    ended = run_program("report", str(tmp_path / "missing"))
    assert ended.returncode == ExitCode.USAGE
    assert "cannot read the results log" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_reader_that_leaves_is_no_reason_to_complain(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a", *steady(10))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = run_program("report", log, stdout=writer)
    finally:
        os.close(writer)
    assert ended.stderr == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
@pytest.mark.parametrize("command", ["report", "ids", "check"])
def test_closed_standard_stream_changes_nothing_but_what_is_shown(
    tmp_path: Path, command: str, closed: str
) -> None:
    log = write_log(tmp_path / "a", record(outcome="failed", error="timeout"))
    arguments = [command, "--rate", "nan"] if command == "check" else [command, log]
    ended = subprocess.run(
        [*shell(closed), *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == (ExitCode.USAGE if command == "check" else ExitCode.OK)
    assert "Traceback" not in ended.stderr
    assert bool(ended.stdout) == (closed == "2>&-")
