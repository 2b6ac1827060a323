"""The summary: the sum, what it took, and what to do next."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.sample_events import finished, tally
from worker.core.errors import ExitCode
from worker.core.explanations import EXIT_CODES
from worker.core.outcomes import Outcome
from worker.core.secrets import learn, redact
from worker.core.tally import Tally
from worker.observers.account import share_of_rate
from worker.observers.summary import render, styled

COMMAND = "complete-sessions run backlog.txt"


def busy() -> Tally:
    counted = tally(950, 38, 12)
    counted.settled, counted.duplicates, counted.not_attempted = 7, 3, 40
    counted.input += 50
    counted.retries, counted.checks, counted.throttled, counted.paused_s = 22, 5, 4, 90.0
    return counted


def words(text: str) -> str:
    return " ".join(text.split())


def test_sum_is_written_out_and_adds_up() -> None:
    assert (
        "1,050 input = 950 processing + 38 not found + 12 failed + 7 settled before"
        " + 3 duplicates + 40 not attempted (adds up)"
    ) in words(render(finished(ExitCode.SOME_FAILED, busy()), 80))


@pytest.mark.parametrize(("error", "shown"), [(5, "+5"), (-2, "-2")])
def test_sum_that_does_not_add_up_says_by_how_much(error: int, shown: str) -> None:
    counted = busy()
    counted.input += error
    text = words(render(finished(ExitCode.DEFECT, counted), 80))
    assert f"does not add up: {shown}" in text
    assert " input != 950" in text


def test_input_that_was_not_read_to_its_end_is_no_whole_sum() -> None:
    text = render(finished(ExitCode.STOPPED, busy(), complete_input=False), 80)
    assert "(adds up; the input was not read to its end)" in words(text)


def test_speed_requests_latency_and_trouble_stand_in_it() -> None:
    text = words(render(finished(ExitCode.SOME_FAILED, busy(), elapsed_s=220.0), 120))
    assert "1,000 outcomes in 3m 40s, 4.55 a second; 96 % of 8 requests/s " in text
    assert "requests 1,000: 200 950, 404 38, 503 12" in text
    assert re.search(r"latency p50 (7[89]|8[0-3])ms, p90 ", text)
    assert "22 retries, 5 checks, 4 answered 429, paused 1m 30s" in text
    assert "errors 12: http_503 12" in text


def test_most_frequent_kinds_come_first_and_the_rest_is_counted() -> None:
    counted = tally(1)
    for number in range(9):
        counted.errors[f"invalid_request_{number}"] = 10 - number
    text = render(finished(ExitCode.SOME_FAILED, counted), 80)
    assert "54: invalid_request_0 10, invalid_request_1 9, 7 more kinds" in text


def test_calm_run_speaks_of_no_trouble_and_no_errors() -> None:
    text = render(finished(counted=tally(10)), 80)
    assert "trouble" not in text
    assert "errors" not in text


def test_run_without_a_request_has_no_latency() -> None:
    assert "latency" not in render(finished(elapsed_s=0.0), 80)


def test_share_counts_gaps_and_leaves_pauses_out() -> None:
    eleven = tally(11)
    assert share_of_rate(finished(counted=eleven, elapsed_s=1.25)) == pytest.approx(1.0)
    eleven.paused_s = 10.0
    assert share_of_rate(finished(counted=eleven, elapsed_s=11.25)) == pytest.approx(1.0)
    assert share_of_rate(finished(counted=eleven, elapsed_s=11.15)) is None, "probes, no requests"
    assert share_of_rate(finished(counted=tally(1))) is None
    assert share_of_rate(finished(counted=eleven, elapsed_s=9.0)) is None


def test_nothing_answered_is_no_share_of_a_rate() -> None:
    unanswered = Tally()
    unanswered.requests["connect_failed"] = 11
    assert share_of_rate(finished(counted=unanswered, elapsed_s=2.0)) is None


@pytest.mark.parametrize("code", list(ExitCode))
def test_exit_code_comes_with_its_meaning(code: ExitCode) -> None:
    text = words(render(finished(code, busy()), 80))
    assert f"exit code {code:d}: {EXIT_CODES[code].meaning}" in text


def test_reason_and_advice_are_sentences_of_their_own() -> None:
    event = finished(ExitCode.STOPPED, busy(), reason="time is over", advice="Run it again")
    lines = render(event, 80).splitlines()
    assert "because    time is over." in lines
    assert "next       Run it again." in lines


def test_advice_is_shown_to_its_last_word() -> None:
    advice = "look at the report, and " * 7 + "set it to none"
    event = finished(ExitCode.REFUSED, busy(), advice=advice)
    assert advice in words(render(event, 80))


def test_command_is_named_where_something_remains() -> None:
    assert f"go on with {COMMAND}" in render(finished(ExitCode.STOPPED, busy()), 80, COMMAND)
    unread = finished(ExitCode.STOPPED, tally(5), complete_input=False)
    assert COMMAND in render(unread, 80, COMMAND)
    assert COMMAND not in render(finished(counted=tally(5, 3)), 80, COMMAND)


def test_command_is_not_cut_in_pieces() -> None:
    command = f"{COMMAND} --results '/srv/a very long directory/of somebody/with.results.jsonl'"
    assert command in render(finished(ExitCode.STOPPED, busy()), 40, command)


@pytest.mark.parametrize("code", list(ExitCode))
def test_ordinary_summary_fits_fifteen_lines_of_eighty_columns(code: ExitCode) -> None:
    reason = "the API refuses this key or account: HTTP 401, unauthorized: no such key"
    advice = "Mend the key or the plan, then run the same command again"
    event = finished(code, busy(), reason=reason, advice=advice, complete_input=False)
    assert len(render(event, 80, COMMAND).splitlines()) <= 15


def test_worst_case_stays_compact() -> None:
    counted = busy()
    for number in range(30):
        counted.errors[f"{'long' * 20}_{number}"] = 1000 + number
        counted.requests[str(500 + number)] = 1_000_000 + number
    for outcome in Outcome:
        counted.outcomes[outcome] += 1_000_000
    counted.input += 3_000_000
    event = finished(
        ExitCode.REFUSED,
        counted,
        reason="r " * 300,
        advice="a " * 300,
        elapsed_s=4e6,
        complete_input=False,
    )
    lines = render(event, 80, COMMAND).splitlines()
    assert len(lines) <= 17
    assert max(map(len, lines)) <= 80


@given(st.text(), st.integers(1, 200))
def test_foreign_text_neither_forges_a_line_nor_runs_wide(text: str, width: int) -> None:
    counted = busy()
    counted.errors[text] = 3
    event = finished(ExitCode.REFUSED, counted, reason=text, advice=text)
    lines = render(event, width).split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= max(width, 31) for line in lines)


def test_key_never_appears_not_even_where_a_line_breaks() -> None:
    key = "live_c2VjcmV0"
    learn(key)
    reason = "x" * 60 + key
    for width in range(20, 100):
        event = finished(ExitCode.REFUSED, busy(), reason=reason, advice=key)
        text = render(event, width, f"run {redact(key)}")
        assert key not in "".join(text.split())


def test_colours_change_no_word() -> None:
    event = finished(ExitCode.SOME_FAILED, busy(), reason="[bold]x[/bold]")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    text = styled(event, 80, COMMAND)
    console.print(text)
    assert text.plain == render(event, 80, COMMAND)
    assert "\x1b[" in stream.getvalue()
