"""The log: stable names, one safe line each, and nothing that could hurt the run."""

from __future__ import annotations

import io
import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.sample_events import (
    HandClock,
    finished,
    outage_began,
    outage_ended,
    probe_failed,
    record,
    recorded,
    retry_scheduled,
    started,
    stop_requested,
    survived_trouble,
    tally,
    throttled,
    ticked,
)
from worker.core.errors import ExitCode
from worker.core.events import Event, Pause, PauseReason
from worker.core.outcomes import Error, Outcome
from worker.core.secrets import learn
from worker.observers import logs
from worker.observers.lines import LogFormat
from worker.observers.logs import LogObserver, configure

KEY = "live_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
FORMATS: list[LogFormat] = ["console", "json"]
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.fixture(autouse=True)
def _own_root_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


def written(
    *events: Event,
    log_format: LogFormat = "json",
    level: str = "info",
    progress_every_s: float | None = 30.0,
    command: str = "",
) -> str:
    stream = io.StringIO()
    logger = configure(log_format, level, stream)
    observer = LogObserver(logger, progress_every_s, HandClock(), command)
    for event in events:
        observer.notice(event)
    return stream.getvalue()


def fields_of(*events: Event, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(*events, **options).splitlines()]


FAILED = record(Outcome.FAILED, Error("http_503", "Service unavailable"))


@pytest.mark.parametrize(
    ("event", "name", "level"),
    [
        (started(), "run_started", "info"),
        (retry_scheduled(), "retry_scheduled", "info"),
        (throttled(), "throttled", "info"),
        (outage_began(), "outage_began", "info"),
        (probe_failed(), "probe_failed", "info"),
        (outage_ended(), "outage_ended", "info"),
        (recorded(FAILED), "outcome_failed", "warning"),
        (recorded(record()), "outcome", "debug"),
        (stop_requested(), "stop_requested", "info"),
        (finished(), "run_finished", "info"),
    ],
)
def test_each_event_is_one_line_of_a_stable_name_and_level(
    event: Event, name: str, level: str
) -> None:
    (fields,) = fields_of(event, level="debug")
    assert (fields["event"], fields["level"]) == (name, level)


def test_timestamp_is_utc_as_rfc_3339() -> None:
    (fields,) = fields_of(started())
    assert fields["timestamp"].endswith("Z")
    assert datetime.fromisoformat(fields["timestamp"]).utcoffset() == timedelta(0)


def test_success_at_info_is_not_even_put_into_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "outcome_fields", lambda _record: pytest.fail("was built"))
    assert written(recorded(*[record()] * 100), level="info") == ""


def test_failed_outcome_says_which_id_and_why() -> None:
    (fields,) = fields_of(recorded(record(), FAILED))
    assert fields["id"] == FAILED.id
    assert (fields["error"], fields["error_message"]) == ("http_503", "Service unavailable")
    assert fields["message"] == f"{FAILED.id} failed: http_503: Service unavailable"
    assert (fields["attempts"], fields["http_status"], fields["line"]) == (1, 503, 1)


def test_failed_probe_says_how_long_it_waits_and_until_when_it_is_patient() -> None:
    (fields,) = fields_of(probe_failed())
    assert fields["next_probe_s"] == 16
    assert fields["patient_until"] == "2026-11-23T01:12:03Z"


def test_patience_beyond_the_calendar_does_not_end_the_run() -> None:
    event = outage_began()
    endless = type(event)(event.reason, event.failures, event.error, float("inf"), 1e18)
    (fields,) = fields_of(endless)
    assert fields["patient_until"] is None
    assert fields["next_probe_s"] is None


def test_quiet_log_says_nothing_of_trouble_that_passed() -> None:
    assert written(*survived_trouble(), level="warning") == ""


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.OK])
def test_quiet_log_tells_of_every_end_but_a_good_one(code: ExitCode) -> None:
    (fields,) = fields_of(finished(code, tally(5, 3, 2)), level="warning")
    assert fields["exit_code"] == int(code)
    calm = {ExitCode.SOME_FAILED, ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
    assert fields["level"] == ("warning" if code in calm else "error")


def test_quiet_log_says_nothing_of_a_stop_that_was_asked_for() -> None:
    event = finished(ExitCode.STOPPED, tally(5, 3, 0), reason="time is over")
    assert written(event, level="warning") == ""
    assert written(event) != ""


def test_end_has_cause_counts_and_the_command_that_goes_on() -> None:
    event = finished(ExitCode.STOPPED, tally(5, 3, 2), reason="time is over", complete_input=False)
    (fields,) = fields_of(event, command="complete-sessions run backlog.txt")
    assert (fields["cause"], fields["reason"]) == ("stopped", "time is over")
    assert (fields["processing"], fields["not_found"], fields["failed"]) == (5, 3, 2)
    assert (fields["input"], fields["balanced"]) == (10, True)
    assert fields["go_on_with"] == "complete-sessions run backlog.txt"


def test_progress_comes_once_each_interval_and_not_at_the_start() -> None:
    stream, clock = io.StringIO(), HandClock()
    observer = LogObserver(configure("json", "info", stream), 30.0, clock)
    observer.notice(started())
    for second in range(91):
        clock.seconds = float(second)
        observer.notice(ticked(tally(second), elapsed_s=second))
    progress = [json.loads(line) for line in stream.getvalue().splitlines()][1:]
    assert [fields["elapsed_s"] for fields in progress] == [30, 60, 90]
    assert [fields["done"] for fields in progress] == [30, 60, 90]
    assert progress[-1]["eta_s"] == 910


def test_progress_during_an_outage_says_that_it_waits_and_until_when() -> None:
    stream, clock = io.StringIO(), HandClock()
    observer = LogObserver(configure("json", "info", stream), 30.0, clock)
    observer.notice(outage_began())
    clock.seconds = 30.0
    observer.notice(ticked(pause=Pause(PauseReason.OUTAGE, 12.0)))
    fields = json.loads(stream.getvalue().splitlines()[-1])
    assert (fields["event"], fields["paused"], fields["next_probe_s"]) == ("progress", "outage", 12)
    assert fields["patient_until"] == "2026-11-23T01:17:03Z"


def test_progress_says_that_the_requests_in_flight_bound_the_rate() -> None:
    bound = ticked(tally(5), concurrency_bound=32)
    fields = json.loads(written(ticked(), bound, progress_every_s=0.0).splitlines()[-1])
    assert fields["concurrency_bound"] == 32
    assert ", 7.83 of 8 requests a second, bound by 32 in flight, " in fields["message"]


def test_no_progress_lines_beside_a_bar() -> None:
    assert written(*[ticked()] * 3, progress_every_s=None) == ""


# --- for people ---------------------------------------------------------------------------------


def test_console_lines_are_aligned_and_say_in_words_what_happened() -> None:
    first, second = written(outage_began(), outage_ended(), log_format="console").splitlines()
    assert re.match(r"\d\d-\d\d \d\d:\d\d:\d\d  info     outage_began     the API is away ", first)
    assert "(http_503: Service unavailable): nothing new is sent; the next try is in 1s" in first
    assert first.index("the API") == second.index("it is over")
    assert second.endswith("after 42s")


def test_console_leaves_out_what_is_not_known() -> None:
    assert "completing the lines of backlog" in written(started(total=None), log_format="console")
    assert "completing 1,000 lines of" in written(started(), log_format="console")


# --- forged lines -------------------------------------------------------------------------------


def steers_a_terminal(text: str) -> bool:
    return any(unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for one in text)


@given(ANY_TEXT)
@example("\x7f\x85\u2028\u202e\ufeff\ud800\x1b[2J\r\n")
def test_foreign_text_never_makes_another_line_nor_steers_the_terminal(text: str) -> None:
    error = Error(text, text)
    events = [retry_scheduled(error), probe_failed(error), recorded(record(Outcome.FAILED, error))]
    for log_format in FORMATS:
        lines = written(*events, log_format=log_format).split("\n")
        assert len(lines) == len(events) + 1
        assert not any(steers_a_terminal(line) for line in lines)


@given(ANY_TEXT)
def test_json_gives_back_the_very_text(text: str) -> None:
    (fields,) = fields_of(retry_scheduled(Error("http_503", text)))
    assert fields["error_message"] == text


@given(ANY_TEXT)
def test_foreign_text_is_safe_on_a_coloured_console_too(text: str) -> None:
    for log_format in FORMATS:
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, width=80, color_system="truecolor")
        logger = configure(log_format, "info", None, console)
        LogObserver(logger, None, HandClock()).notice(retry_scheduled(Error("http_503", text)))
        shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
        assert shown.endswith("\n")
        assert not steers_a_terminal(shown[:-1])


def test_console_takes_no_markup_and_no_emoji_from_a_message() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=40)
    text = "[bold]x[/bold] :smile: " + "long " * 30
    for log_format in FORMATS:
        logger = configure(log_format, "info", None, console)
        LogObserver(logger, None, HandClock()).notice(retry_scheduled(Error("http_503", text)))
    assert stream.getvalue().count(text.strip()) == 3
    assert stream.getvalue().count("\n") == 2


# --- secrets ------------------------------------------------------------------------------------


@given(ANY_TEXT, ANY_TEXT)
def test_key_never_appears(before: str, after: str) -> None:
    learn(KEY)
    text = before + KEY + after
    error = Error(text, text)
    events = [
        retry_scheduled(error),
        recorded(record(Outcome.FAILED, error)),
        finished(ExitCode.REFUSED, reason=text, advice=text),
    ]
    for log_format in FORMATS:
        assert KEY not in written(*events, log_format=log_format, command=text)


def test_secret_within_a_secret_leaves_no_rest() -> None:
    learn("", KEY[:12], KEY)
    error = Error("http_503", f"{KEY} and {KEY[:12]}")
    (fields,) = fields_of(retry_scheduled(error))
    assert fields["error_message"] == "[secret] and [secret]"


# --- what libraries log -------------------------------------------------------------------------


def test_warning_of_a_library_is_a_line_like_any_other_and_hides_the_key() -> None:
    stream = io.StringIO()
    learn(KEY)
    configure("json", "info", stream)
    configure("json", "info", stream)
    logging.getLogger("asyncio").warning("slow %s\n%s", "callback", KEY)
    fields = json.loads(stream.getvalue())
    assert (fields["event"], fields["logger"]) == ("library", "asyncio")
    assert fields["message"] == "slow callback\n[secret]"


@pytest.mark.parametrize(("level", "shows"), [("trace", True), ("debug", False)])
def test_the_programs_own_steps_are_shown_where_they_are_asked_for(level: str, shows: bool) -> None:
    stream = io.StringIO()
    configure("json", level, stream)
    logging.getLogger("worker.pacing.pacer").debug("nothing leaves for %.3f s", 1.5)
    logging.getLogger("aiohttp").debug("not this")
    configure("json", "info", io.StringIO())
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(line["event"], line["message"]) for line in lines]
    assert told == ([("step", "nothing leaves for 1.500 s")] if shows else [])


def test_traceback_of_a_library_is_one_line_and_hides_the_key() -> None:
    stream = io.StringIO()
    learn(KEY)
    configure("console", "info", stream)
    try:
        raise ValueError(KEY)
    except ValueError:
        logging.getLogger("aiohttp").exception("unhandled")
    assert stream.getvalue().count("\n") == 1
    assert "Traceback" in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_malformed_call_of_a_library_is_logged_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pytest's own handlers would raise.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = io.StringIO()
    configure("json", "info", stream)
    logging.getLogger("library").error("%d", "no number")
    assert json.loads(stream.getvalue())["message"].startswith("%d")
