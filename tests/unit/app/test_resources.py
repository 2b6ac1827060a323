"""A system that grants no more threads: 70 and a sentence, and nobody waits in vain."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import environment, in_this_process
from tests.support.run_harness import RunHarness, backlog, results
from worker.app.process.resources import allow_threads
from worker.core.errors import ExitCode, WorkerError
from worker.observers.background import Background
from worker.observers.stream import QuietStream


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str, granted: int = 0) -> None:
    """Let no thread start, or none of those with `names`, beyond the first so many."""
    start, left = threading.Thread.start, [granted]

    def refusing(thread: threading.Thread) -> None:
        if not names or thread.name.startswith(names):
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)


@pytest.mark.parametrize("granted", [0, 3])
def test_a_run_ends_before_it_begins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    granted: int,
) -> None:
    for name, value in environment(API_BASE_URL="http://127.0.0.1:9/v1").items():
        monkeypatch.setenv(name, value)
    source = backlog(tmp_path, "a")
    refuse(monkeypatch, granted=granted)
    done = in_this_process("run", source, monkeypatch=monkeypatch, capfd=capfd)
    assert done.code == 70
    assert "this user may start no more threads" in done.err
    assert "Traceback" not in done.err
    assert not results(tmp_path).exists()


@pytest.mark.parametrize("name", ["source", "ledger"])
async def test_one_that_is_refused_later_ends_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    refuse(monkeypatch, name)
    ended = await RunHarness(tmp_path).run(["a", "b"])
    assert ended.code is ExitCode.DEFECT


def test_the_trial_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_threads()
    refuse(monkeypatch, granted=1)
    with pytest.raises(WorkerError):
        allow_threads()
    for thread in threading.enumerate():
        if thread.name == "trial":
            thread.join(10)
            assert not thread.is_alive()


def test_what_is_to_be_shown_is_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    refuse(monkeypatch)
    stream = QuietStream(sys.stderr)
    for text in ("one\n", "two\n"):
        stream.write(text)
    stream.drain()
    assert capfd.readouterr().err == "one\ntwo\n"


def test_and_everything_in_its_order_once_a_thread_is_granted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def see(items: Sequence[int]) -> int:
        seen.extend(items)
        return len(items)

    background = Background(see)
    with monkeypatch.context() as patch:
        refuse(patch)
        assert background.put(1)
    assert background.put(2)
    assert background.drain()
    assert seen == [1, 2]
