"""What a quiet run mails: bounded whatever happens, and enough to know what to do."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sample_events import (
    HandClock,
    finished,
    outage_began,
    outage_ended,
    record,
    recorded,
    started,
    survived_trouble,
    tally,
)
from worker.core.errors import ExitCode
from worker.core.events import Event
from worker.core.outcomes import Error, Outcome
from worker.observers.digest import Digest, NoticeLimit
from worker.observers.lines import LogFormat
from worker.observers.logs import LogObserver, configure


@pytest.fixture(autouse=True)
def _own_root_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


def mail(*events: Event, log_format: LogFormat = "json", every_s: float = 60.0) -> list[Any]:
    """The lines of a quiet run whose events come `every_s` seconds apart."""
    stream, clock = io.StringIO(), HandClock()
    log = configure(log_format, "warning", stream, run="r1")
    observer = LogObserver(log, 30.0, clock, digest=Digest())
    for event in events:
        observer.notice(event)
        clock.seconds += every_s
    lines = stream.getvalue().splitlines()
    return lines if log_format == "console" else [json.loads(line) for line in lines]


def failures(count: int, types: int = 1) -> Event:
    return recorded(
        *(record(Outcome.FAILED, Error(f"type_{n % types}", "no")) for n in range(count))
    )


def test_trouble_that_passed_is_no_mail() -> None:
    assert mail(*survived_trouble()) == []


def test_first_ten_failures_are_shown_and_then_each_type_is_counted() -> None:
    lines = mail(failures(50_000, 2), finished(ExitCode.SOME_FAILED, tally(failed=50_000)))
    assert [line["event"] for line in lines] == [
        *["outcome_failed"] * 10,
        *("failures", "failures", "run_finished"),
    ]
    assert [(line["error"], line["ids"]) for line in lines[10:12]] == [
        ("type_0", 25_000),
        ("type_1", 25_000),
    ]
    assert lines[10]["message"] == "25,000 ids failed with type_0"


def test_few_failures_are_not_told_twice() -> None:
    lines = mail(failures(10), finished(ExitCode.SOME_FAILED, tally(failed=10)))
    assert [line["event"] for line in lines] == [*["outcome_failed"] * 10, "run_finished"]


def test_an_outage_is_one_line_with_its_beginning_and_its_end() -> None:
    ended = finished(ExitCode.SOME_FAILED, tally(failed=1))
    _, outage, _ = mail(outage_began(), outage_ended(), failures(1), ended, every_s=42.0)
    assert outage["event"] == "outage"
    assert (outage["began"], outage["ended"]) == ("2026-11-23T01:02:03Z", "2026-11-23T01:02:45Z")
    assert outage["message"].endswith("(42s): http_503: Service unavailable")


def test_an_outage_that_ends_the_run_has_no_end() -> None:
    outage, _ = mail(outage_began(), finished(ExitCode.UNAVAILABLE, tally()))
    assert outage["ended"] is None
    assert "to the end of the run" in outage["message"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_mail_is_under_a_hundred_lines_whatever_happens(log_format: LogFormat) -> None:
    stream = io.StringIO()
    limit = NoticeLimit()
    log = configure(log_format, "warning", stream, limit=limit)
    observer = LogObserver(log, 30.0, HandClock(), digest=Digest())
    observer.notice(started())
    for _ in range(300):
        observer.notice(outage_began())
        observer.notice(outage_ended())
        log.warning("notice", message="something is odd")
        logging.getLogger("asyncio").warning("slow callback")
    observer.notice(failures(5_000, 1_000))
    observer.notice(finished(ExitCode.SOME_FAILED, tally(failed=5_000)))
    assert len(stream.getvalue().splitlines()) < 80
    assert limit.left_out == 580


def test_every_line_names_the_run() -> None:
    lines = mail(failures(20), finished(ExitCode.SOME_FAILED, tally(failed=20)))
    assert {line["run"] for line in lines} == {"r1"}
