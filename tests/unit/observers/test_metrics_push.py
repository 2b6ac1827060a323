"""Metrics pushed to a gateway: what it is told, and what it cannot do to a run."""

from __future__ import annotations

import base64
import re
import subprocess
import threading
import urllib.request
from shutil import which

import pytest

from tests.support.gateway import gateway
from tests.support.sample_events import HandClock, finished, started, tally, ticked
from worker.core.errors import ExitCode
from worker.core.secrets import learn_address
from worker.observers import background
from worker.observers.metrics_push import MetricsPush

RESULTS = "backlog.results.jsonl"


def pushed(push: MetricsPush, clock: HandClock) -> None:
    """A short run: its start, one tick when it is time, its end."""
    push.notice(started())
    assert push.drain()
    clock.seconds = 20.0
    push.notice(ticked(tally(500)))
    assert push.drain()
    push.notice(finished(ExitCode.OK, tally(1000)))


def test_gateway_is_told_at_the_start_every_so_often_and_at_the_end() -> None:
    clock = HandClock()
    with gateway() as (address, kept):
        pushed(MetricsPush(f"http://{address}/x/", RESULTS, pytest.fail, clock), clock)
    assert [(method, path) for method, path, _ in kept.told] == [
        ("POST", f"/x/metrics/job/complete-sessions/results/{RESULTS}")
    ] * 3
    bodies = [body for _, _, body in kept.told]
    counts = [re.search(r'outcomes_total\{outcome="processing"\} (\d+)', body) for body in bodies]
    assert [found and found[1] for found in counts] == ["0", "500", "1000"]
    assert "exit_code 0.0" in bodies[-1]
    assert "exit_code" not in bodies[0]
    assert "last_success_timestamp_seconds" in bodies[-1]


def test_run_that_never_began_tells_its_code_and_one_that_was_locked_out_nothing() -> None:
    with gateway() as (address, kept):
        push = MetricsPush(f"http://{address}", RESULTS, pytest.fail, HandClock())
        push.write_failed(ExitCode.LOCKED)
        assert kept.told == []
        push.write_failed(ExitCode.USAGE)
    assert "exit_code 2.0" in kept.told[0][2]
    assert "last_success" not in kept.told[0][2]


def test_user_and_password_are_given_and_shown_nowhere() -> None:
    warned: list[str] = []
    clock = HandClock()
    with gateway(401) as (address, kept):
        url = f"http://user:pass%2Fword@{address}"
        learn_address(url)
        pushed(MetricsPush(url, RESULTS, warned.append, clock), clock)
    given = kept.headers_seen[0]["Authorization"]
    assert given == "Basic " + base64.b64encode(b"user:pass/word").decode()
    assert "@" not in kept.headers_seen[0]["Host"]
    [warning] = warned
    assert warning.startswith(f"the metrics cannot be pushed to http://{address}: ")
    assert "401" in warning
    assert "word" not in warning


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_user_and_password_follow_no_redirect(status: int) -> None:
    warned: list[str] = []
    clock = HandClock()
    with gateway() as (elsewhere, reached), gateway(status) as (address, kept):
        kept.location = f"http://{elsewhere}/"
        pushed(MetricsPush(f"http://user:word@{address}", RESULTS, warned.append, clock), clock)
    assert kept.headers_seen[0]["Authorization"]
    assert reached.headers_seen == []
    [warning] = warned
    assert str(status) in warning


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid:9091"])
def test_gateway_that_is_not_there_is_reported_once_and_ends_nothing(url: str) -> None:
    warned: list[str] = []
    clock = HandClock()
    pushed(MetricsPush(url, RESULTS, warned.append, clock), clock)
    assert len(warned) == 1


def test_gateway_that_hangs_holds_up_nothing_but_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_PATIENCE_S", 0.1)
    monkeypatch.setattr("worker.observers.metrics_push._PATIENCE_S", 3.0)
    warned: list[str] = []
    let_go = threading.Event()
    monkeypatch.setattr(
        "worker.observers.metrics_push.pushadd_to_gateway", lambda *_, **__: let_go.wait()
    )
    push = MetricsPush("http://gateway", RESULTS, warned.append, HandClock())
    push.notice(started())
    push.notice(finished(ExitCode.OK, tally(1)))
    assert warned == [
        "the metrics cannot be pushed to http://gateway: http://gateway does not answer"
    ]
    let_go.set()


def test_a_real_pushgateway_takes_it() -> None:
    program = which("prometheus-pushgateway")
    if program is None:
        pytest.skip("prometheus-pushgateway is not installed")
    command = [program, "--web.listen-address=127.0.0.1:0", "--persistence.file="]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(
                found[1]
                for line in process.stderr
                if (found := re.search(r"address=(127\.0\.0\.1:\d+)", line))
            )
            clock = HandClock()
            pushed(MetricsPush(f"http://{address}", RESULTS, pytest.fail, clock), clock)
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        finally:
            process.terminate()
    assert (
        'complete_sessions_outcomes_total{instance="",job="complete-sessions",'
        f'outcome="processing",results="{RESULTS}"}} 1000'
    ) in text
    assert re.search(r"push_failure_time_seconds\{.*results=.*\} 0\b", text)
