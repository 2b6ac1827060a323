from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.ledgers import (
    A,
    B,
    C,
    D,
    Durable,
    die,
    python,
    record,
    records_in,
    run,
    said,
    serving,
)
from tests.support.virtual_time import VirtualLoop, in_virtual_time
from worker.core.errors import ExitCode, LedgerError, LockedError
from worker.core.outcomes import Outcome, Record
from worker.ledger import Ledger, Standing, read_records
from worker.ledger import ledger as ledger_module
from worker.ledger.disk import Disk, File
from worker.ledger.journal import Journal, journal_path
from worker.ledger.lines import encode_line

P = ParamSpec("P")
T = TypeVar("T")

LINE_OF_A = (
    b'{"id":"aaaaaaaaaaaaaaaaaaaaaaaa","outcome":"processing","session_status":null,'
    b'"http_status":null,"error":null,"attempts":1,"via":"complete","latency_ms":87.4,'
    b'"elapsed_ms":87.9,"at":"2026-11-23T01:02:03.456Z","run":"run-1","line":1,"target":null}\n'
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def ledger(log: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(log, "run-1")
    yield ledger
    ledger.close()


class SlowDisk:
    """Each sync waits until it is let through."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)

    def sync(self) -> None:
        self._reached.release()
        assert self._passes.acquire(timeout=30)

    async def is_reached(self) -> None:
        """Wait until something is written and about to be synced."""
        await asyncio.to_thread(self._reached.acquire, timeout=30)

    def let_through(self, count: int = 1) -> None:
        self._passes.release(count)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    disk = SlowDisk()
    monkeypatch.setattr(File, "sync_data", disk.sync)
    return disk


def standings(log: Path, *ids: str, force: bool = False) -> list[Standing]:
    past = Ledger.preview(log, force=force)
    return [past.standing(each) for each in ids]


def fail_to_sync(file: File) -> None:
    raise OSError(errno.EIO, "Input/output error")


# A run after a run


async def test_what_a_run_settled_the_next_one_leaves_alone(log: Path) -> None:
    await run(log, record(A), record(B, Outcome.NOT_FOUND), record(C, error="http_400"))
    ledger = Ledger.open(log, "run-2")
    assert [ledger.standing(each) for each in (A, B, C, D, A)] == [
        Standing.SETTLED,
        Standing.SETTLED,
        Standing.NEW,
        Standing.NEW,
        Standing.DUPLICATE,
    ]
    assert (ledger.settled, ledger.recovered, ledger.notes) == (2, 0, [])
    ledger.close()


async def test_a_run_in_good_order_leaves_the_log_and_nothing_else(log: Path) -> None:
    await run(log, record(A), record(B))
    assert [each.id for each in records_in(log)] == [A, B]
    assert [each.name for each in log.parent.iterdir()] == [log.name]


async def test_force_sends_settled_ids_again(log: Path) -> None:
    await run(log, record(A), record(B, error="ambiguous"))
    assert standings(log, A, B) == [Standing.SETTLED, Standing.CHECK]
    assert standings(log, A, B, force=True) == [Standing.NEW, Standing.CHECK]


async def test_ids_that_a_dead_run_may_have_sent_are_read_first(log: Path) -> None:
    await die(log, entered=[A, B, C], settled=[record(B), record(C, error="http_500")])
    ledger = Ledger.open(log, "run-2")
    assert [ledger.standing(each) for each in (A, B, C, D)] == [
        Standing.CHECK,
        Standing.SETTLED,
        Standing.NEW,
        Standing.NEW,
    ]
    assert ledger.recovered == 1
    assert all(note.is_routine for note in ledger.notes)
    assert said(ledger) == [
        "1 id may have been sent by a run that ended early (run-1): it is read first"
    ]
    ledger.close()


async def test_since_when_there_is_doubt_is_told_by_the_last_change_after_an_end_in_order(
    log: Path,
) -> None:
    ledger = Ledger.open(log, "run-1")
    assert ledger.doubt_since is None
    async with serving(ledger):
        ledger.append(record(A, Outcome.FAILED))
    os.utime(log, (3000, 3000))
    assert Ledger.preview(log).doubt_since == 3000
    ledger = Ledger.open(log, "run-2")
    assert ledger.doubt_since == 3000
    await ledger.finish(good_order=True)


async def test_nobody_knows_when_a_run_that_died_sent_its_last_request(log: Path) -> None:
    await die(log, entered=[A], settled=[record(B)])
    os.utime(log, (1000, 1000))
    ledger = Ledger.open(log, "run-2")
    assert ledger.doubt_since is None
    ledger.close()


async def test_a_second_crash_loses_no_doubt(log: Path) -> None:
    await die(log, entered=[A, B])
    await die(log, entered=[C], settled=[record(C)])
    assert standings(log, A, B, C) == [Standing.CHECK, Standing.CHECK, Standing.SETTLED]
    await die(log, entered=[A], settled=[record(A)])
    assert standings(log, A, B, C) == [Standing.SETTLED, Standing.CHECK, Standing.SETTLED]


async def test_doubt_that_a_run_did_not_meet_outlasts_its_good_order(log: Path) -> None:
    await die(log, entered=[A, B])
    await run(log, record(A, run="run-2"), record(C, run="run-2"), name="run-2")
    past = Ledger.preview(log)
    assert past.recovered == 1
    assert [past.standing(each) for each in (A, B, C)] == [
        Standing.SETTLED,
        Standing.CHECK,
        Standing.SETTLED,
    ]
    await run(log, record(B, run="run-3"), name="run-3")
    assert not journal_path(log).exists()


async def test_without_good_order_the_journal_stays(log: Path) -> None:
    await run(log, record(A), good_order=False)
    assert journal_path(log).exists()
    past = Ledger.preview(log)
    assert past.recovered == 0
    assert said(past) == ["The last run (run-1) died, but the outcome of all that it sent is known"]


async def test_an_outcome_that_is_not_on_disk_does_not_end_the_doubt(log: Path) -> None:
    ledger = Ledger.open(log, "run-1")
    await ledger.enter([A])
    ledger.append(record(A))
    ledger.close()
    assert standings(log, A) == [Standing.CHECK]


async def test_a_log_that_was_removed_after_a_crash_leaves_all_in_doubt(log: Path) -> None:
    await die(log, entered=[A, B], settled=[record(A)])
    Path.unlink(log)
    assert standings(log, A, B) == [Standing.CHECK, Standing.CHECK]


async def test_a_crash_while_opening_leaves_the_doubt(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(log, entered=[A])
    for step in ("rename", "remove"):
        with monkeypatch.context() as patch:
            patch.setattr(Disk, step, lambda *_: fail_to_sync(File(-1)))
            with pytest.raises(LedgerError, match="Cannot write the journal"):
                Ledger.open(log, "run-2")
        assert standings(log, A) == [Standing.CHECK]
    Ledger.open(log, "run-3").close()
    assert standings(log, A) == [Standing.CHECK]


async def test_a_journal_without_its_header_leaves_all_its_ids_in_doubt(log: Path) -> None:
    await die(log, entered=[A, B], settled=[record(A)])
    journal = journal_path(log)
    journal.write_text("{torn\n" + journal.read_text().partition("\n")[2])
    past = Ledger.preview(log)
    assert [past.standing(each) for each in (A, B)] == [Standing.CHECK, Standing.CHECK]
    assert said(past)[:3] == [
        "2 ids may have been sent by a run that ended early: each is read before it is sent",
        "The journal has no readable header: every id in it counts as in doubt",
        "Lines of the journal that hold no id: 1",
    ]
    assert said(past)[3].startswith("A journal was damaged, and nobody knows all the ids")


async def test_after_a_damaged_journal_every_id_is_read_first_whatever_runs_do(log: Path) -> None:
    await die(log, entered=[A, B], settled=[record(B)])
    journal = journal_path(log)
    journal.write_text(journal.read_text().replace(A, "?" * 24))
    for name in ("run-2", "run-3"):
        assert standings(log, A, B, C) == [Standing.CHECK, Standing.SETTLED, Standing.CHECK]
        await run(log, record(D, run=name), name=name)
    journal.unlink()
    assert standings(log, A, B, C) == [Standing.NEW, Standing.SETTLED, Standing.NEW]


def test_an_id_in_a_spoilt_line_is_read_first_and_records_glued_together_count(log: Path) -> None:
    glued = encode_line(record(A))[:-1] + encode_line(record(B, error="http_500"))
    spoilt = encode_line(record(C))[:60] + b"?\n"
    log.write_bytes(glued + spoilt + b"garbage" + encode_line(record(D)))
    assert standings(log, A, B, C, D) == [
        Standing.SETTLED,
        Standing.NEW,
        Standing.CHECK,
        Standing.SETTLED,
    ]


def test_what_was_mended_and_what_is_foreign_is_said(log: Path) -> None:
    log.write_bytes(b"?\n" + LINE_OF_A + b"\n" + b'{"id":"torn')
    ledger = Ledger.open(log, "run-1")
    assert said(ledger) == [
        f"The torn last line of the results log (11 bytes) was moved to {log}.torn",
        "2 lines of the results log are not records and were left in place: lines 1, 3",
    ]
    assert [note.is_routine for note in ledger.notes] == [True] + [False] * (len(ledger.notes) - 1)
    assert ledger.standing(A) is Standing.SETTLED
    ledger.close()
    assert log.read_bytes() == b"?\n" + LINE_OF_A + b"\n"


def test_a_log_with_two_names_is_pointed_out(log: Path) -> None:
    log.touch()
    log.with_name("second").hardlink_to(log)
    ledger = Ledger.open(log, "run-1")
    assert said(ledger) == [
        "The results log has 2 names (hard links), and its journal is found by one only"
    ]
    ledger.close()


async def test_two_names_of_one_log_share_lock_and_journal(log: Path) -> None:
    link = log.with_name("link")
    link.symlink_to(log.name)
    await die(link, entered=[A])
    assert journal_path(log).exists()
    assert standings(log, A) == [Standing.CHECK]
    ledger = Ledger.open(link, "run-2")
    with pytest.raises(LockedError, match=f"Process {os.getpid()} holds"):
        Ledger.open(log, "run-3")
    ledger.close()
    assert link.is_symlink()


def test_a_failed_opening_holds_no_lock(log: Path) -> None:
    journal_path(log).mkdir()
    for _ in range(2):
        with pytest.raises(LedgerError, match="inflight is not a regular file") as caught:
            Ledger.open(log, "run-1")
        assert caught.value.exit_code is ExitCode.LOG_UNWRITABLE


def test_a_run_whose_log_was_moved_away_is_not_taken_for_dead(log: Path, ledger: Ledger) -> None:
    log.rename(log.with_suffix(".1"))
    with pytest.raises(LockedError, match="holds the journal"):
        Ledger.open(log, "run-2")
    ledger.close()
    Ledger.open(log, "run-2").close()


# Looking ahead


def test_a_preview_of_nothing_creates_nothing(log: Path) -> None:
    past = Ledger.preview(log)
    assert past.standing(A) is Standing.NEW
    assert past.standing(A) is Standing.DUPLICATE
    assert (past.settled, past.recovered, past.notes) == (0, 0, [])
    assert list(log.parent.iterdir()) == []


def test_a_preview_mends_nothing(log: Path) -> None:
    log.write_bytes(encode_line(record(A)) + b'{"id":"torn')
    before = log.read_bytes()
    past = Ledger.preview(log)
    assert said(past) == [
        "The last line of the results log is torn; a run moves it to a file beside it"
    ]
    assert past.settled == 1
    assert log.read_bytes() == before
    assert list(log.parent.iterdir()) == [log]


def test_a_preview_says_that_a_run_is_going_on(log: Path, ledger: Ledger) -> None:
    assert ledger.path == log
    past = Ledger.preview(log)
    assert said(past)[0] == (
        f"Process {os.getpid()} holds the results log now: what it does is not foreseen here"
    )


def test_a_preview_refuses_what_a_run_would_refuse(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "x.jsonl", tmp_path, Path("/dev/full")):
        with pytest.raises(LedgerError):
            Ledger.preview(path)


# Group commit


async def test_a_lone_line_is_on_disk_without_company(log: Path, ledger: Ledger) -> None:
    async with serving(ledger) as durable:
        ledger.append(record(A))
        await durable.reaches(1)
        assert records_in(log) == durable.records == [record(A)]


async def test_many_lines_share_a_sync_and_wait_for_no_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "GATHER_S", 3600)
    async with serving(ledger) as durable:
        for _ in range(ledger_module.BATCH_LINES):
            ledger.append(record(A))
        await durable.reaches(ledger_module.BATCH_LINES)
        assert len(durable.batches) == 1


async def test_lines_gather_while_others_are_synced(
    ledger: Ledger, slow_disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "GATHER_S", 0)
    monkeypatch.setattr(ledger_module, "BATCH_LINES", 1)
    async with serving(ledger) as durable:
        ledger.append(record(A))
        await slow_disk.is_reached()
        for each in (B, C, D):
            ledger.append(record(each))
        assert durable.batches == []
        slow_disk.let_through(2)
        await durable.reaches(4)
        assert [[each.id for each in batch] for batch in durable.batches] == [[A], [B, C, D]]


async def test_an_id_is_in_the_journal_before_enter_returns(
    log: Path, ledger: Ledger, slow_disk: SlowDisk
) -> None:
    entering = asyncio.create_task(ledger.enter([A, B]))
    await slow_disk.is_reached()
    assert journal_path(log).read_text().endswith(f"{A}\n{B}\n")
    assert not entering.done()
    slow_disk.let_through()
    await entering


async def test_entering_nobody_costs_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(File, "sync_data", fail_to_sync)
    await ledger.enter([])


async def test_nothing_of_the_ledger_blocks_the_loop(log: Path) -> None:
    await die(log, entered=[D])
    ledger = Ledger.open(log, "run-2")
    with blockbuster_ctx():
        async with serving(ledger) as durable:
            await ledger.enter([A])
            ledger.append(record(A))
            await durable.reaches(1)


async def test_finishing_puts_the_rest_on_disk_and_reports_it(log: Path, ledger: Ledger) -> None:
    async with serving(ledger) as durable:
        ledger.append(record(A))
    assert durable.records == [record(A)]
    assert records_in(log) == [record(A)]


async def test_finishing_needs_nobody_that_serves(log: Path, ledger: Ledger) -> None:
    ledger.append(record(A))
    await ledger.finish(good_order=True)
    assert records_in(log) == [record(A)]
    await asyncio.wait_for(ledger.serve(Durable()), 1)


async def test_finishing_may_be_repeated_and_frees_the_lock_once(
    log: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals: list[Journal] = []

    def note_removal(journal: Journal) -> None:
        removals.append(journal)

    monkeypatch.setattr(Journal, "remove", note_removal)
    await asyncio.gather(*(ledger.finish(good_order=True) for _ in range(3)))
    await ledger.finish(good_order=True)
    ledger.close()
    ledger.close()
    assert len(removals) == 1
    Ledger.open(log, "run-2").close()


async def test_an_outcome_that_comes_after_the_end_is_refused(ledger: Ledger) -> None:
    await ledger.finish(good_order=True)
    with pytest.raises(LedgerError, match="is being closed"):
        ledger.append(record(A))
    with pytest.raises(LedgerError, match="is being closed"):
        await ledger.enter([A])


async def test_a_cancelled_server_still_reports_the_batch_it_was_writing(
    log: Path, ledger: Ledger, slow_disk: SlowDisk
) -> None:
    durable = Durable()
    serving_task = asyncio.create_task(ledger.serve(durable))
    ledger.append(record(A))
    await slow_disk.is_reached()
    ledger.append(record(B))
    serving_task.cancel()
    await asyncio.wait([serving_task])
    assert serving_task.cancelled()
    slow_disk.let_through(2)
    await ledger.finish(good_order=True)
    assert durable.batches == [[record(A)], [record(B)]]
    assert records_in(log) == [record(A), record(B)]
    assert not journal_path(log).exists()


async def test_an_emergency_end_waits_for_the_write_it_would_tear(
    log: Path, ledger: Ledger, slow_disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync_open_file(file: File) -> None:
        slow_disk.sync()
        file.sync()

    monkeypatch.setattr(File, "sync_data", sync_open_file)
    entering = asyncio.create_task(ledger.enter([A]))
    await slow_disk.is_reached()
    threading.Timer(0.05, slow_disk.let_through).start()
    ledger.close()
    await entering
    assert standings(log, A) == [Standing.CHECK]


@pytest.mark.parametrize("steps", range(5))
@in_virtual_time
async def test_an_emergency_end_at_any_moment_ends_the_server_quietly(
    log: Path, ledger: Ledger, steps: int
) -> None:
    await ledger.enter([A])
    task = asyncio.create_task(ledger.serve(Durable()))
    await asyncio.sleep(0)
    ledger.append(record(A))
    await asyncio.sleep(ledger_module.GATHER_S)
    for _ in range(steps):
        await asyncio.sleep(0)
    ledger.close()
    await asyncio.wait_for(task, 5)
    assert standings(log, A) in ([Standing.CHECK], [Standing.SETTLED])


class AtOnce(Executor):
    """Carries out each call where it is made."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


async def test_a_ledger_works_without_threads_where_its_writer_has_none(log: Path) -> None:
    ledger = Ledger.open(log, "run-1", writer=AtOnce())
    before = threading.active_count()
    async with serving(ledger) as durable:
        await ledger.enter([A])
        ledger.append(record(A))
        await durable.reaches(1)
        assert threading.active_count() == before
    assert records_in(log) == [record(A)]
    assert not journal_path(log).exists()


# Failures


async def test_a_write_that_fails_ends_the_server_and_counts_nothing(
    log: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.enter([A, B, C])
    durable = Durable()
    task = asyncio.create_task(ledger.serve(durable))
    ledger.append(record(A))
    await durable.reaches(1)
    monkeypatch.setattr(File, "sync_data", fail_to_sync)
    ledger.append(record(B))
    with pytest.raises(LedgerError, match="Cannot write the results log"):
        await task
    monkeypatch.undo()
    ledger.append(record(C))
    await ledger.finish(good_order=True)
    assert durable.records == records_in(log) == [record(A)]
    assert standings(log, A, B, C) == [Standing.SETTLED, Standing.CHECK, Standing.CHECK]


async def test_a_failure_that_nobody_was_told_of_is_raised_at_the_end(
    log: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.enter([A])
    ledger.append(record(A))
    monkeypatch.setattr(File, "sync_data", fail_to_sync)
    with pytest.raises(LedgerError, match="Input/output error"):
        await ledger.finish(good_order=True)
    await ledger.finish(good_order=True)
    assert standings(log, A) == [Standing.CHECK]


async def test_a_failure_after_the_server_was_cancelled_is_raised_at_the_end(
    log: Path, ledger: Ledger, slow_disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_later(file: File) -> None:
        slow_disk.sync()
        fail_to_sync(file)

    monkeypatch.setattr(File, "sync_data", fail_later)
    task = asyncio.create_task(ledger.serve(Durable()))
    ledger.append(record(A))
    await slow_disk.is_reached()
    task.cancel()
    await asyncio.wait([task])
    slow_disk.let_through(2)
    with pytest.raises(LedgerError, match="Input/output error"):
        await ledger.finish(good_order=True)
    assert journal_path(log).exists()
    assert records_in(log) == []


async def test_an_observer_that_raises_is_not_swallowed_and_loses_nothing(
    log: Path, ledger: Ledger
) -> None:
    def observe(records: Sequence[Record]) -> None:
        raise RuntimeError("defect")

    task = asyncio.create_task(ledger.serve(observe))
    ledger.append(record(A))
    with pytest.raises(RuntimeError, match="defect"):
        await task
    await ledger.finish(good_order=True)
    assert records_in(log) == [record(A)]


async def test_an_id_that_cannot_enter_the_journal_is_not_sent(
    log: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(File, "sync_data", fail_to_sync)
        with pytest.raises(LedgerError, match="Cannot write the journal"):
            await ledger.enter([A])
    with pytest.raises(LedgerError, match="Cannot write the journal"):
        await ledger.enter([B])
    ledger.append(record(C))
    await ledger.finish(good_order=False)
    assert standings(log, A, B, C) == [Standing.NEW, Standing.NEW, Standing.SETTLED]


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("meddle", [Path.unlink, empty])
async def test_a_log_that_lost_its_lines_keeps_the_journal(
    log: Path, ledger: Ledger, meddle: Callable[[Path], None]
) -> None:
    durable = Durable()
    task = asyncio.create_task(ledger.serve(durable))
    await ledger.enter([A])
    ledger.append(record(A))
    await durable.reaches(1)
    meddle(log)
    with pytest.raises(LedgerError, match="while this run was using it"):
        await ledger.finish(good_order=True)
    await task
    assert standings(log, A) == [Standing.CHECK]


# Other processes

WORK = """
import asyncio, itertools, sys
from pathlib import Path
from tests.support.ledgers import Durable, record
from worker.ledger import Ledger

async def work(ledger, name):
    class Told(Durable):
        def __call__(self, records):
            print(*("durable " + each.id for each in records), sep="\\n", flush=True)
    task = asyncio.create_task(ledger.serve(Told()))
    for first in itertools.count(step=10):
        ids = [f"{name}-{number}" for number in range(first, first + 10)]
        await ledger.enter(ids)
        print(*("sent " + each for each in ids), sep="\\n", flush=True)
        for each in ids[:-1]:
            ledger.append(record(each, run=name))
        await asyncio.sleep(0)

asyncio.run(work(Ledger.open(Path(sys.argv[1]), sys.argv[2]), sys.argv[2]))
"""


def test_a_killed_run_loses_nothing_that_it_told_and_forgets_nothing_that_it_sent(
    log: Path,
) -> None:
    for name in ("run-1", "run-2", "run-3"):
        with python(WORK, log, name) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(400)]
            with pytest.raises(LockedError, match=f"Process {process.pid} holds"):
                Ledger.open(log, "second")
            process.kill()
            told += process.stdout.readlines()
        told = [line.strip() for line in told if line.endswith("\n")]
        durable = {line.split()[1] for line in told if line.startswith("durable")}
        sent = {line.split()[1] for line in told if line.startswith("sent")}
        past = Ledger.preview(log)
        known = {each: past.standing(each) for each in durable | sent}
        assert durable
        assert all(known[each] is Standing.SETTLED for each in durable)
        assert all(known[each] in (Standing.SETTLED, Standing.CHECK) for each in sent)
        assert known[f"{name}-9"] is Standing.CHECK


# Any order of everything

UNIVERSE = [A, B, "C" * 24, "short", "twelve-chars", "x" * 128]
OUTCOMES = [None, "http_500", "ambiguous"]


class AnyOrder(RuleBasedStateMachine):
    """Runs that let ids in, settle them, die anywhere or end well, against a model of them."""

    @initialize()
    def begin(self) -> None:
        # Lines are committed when the rule waits for it: no other lets time pass.
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.directory = Path(tempfile.mkdtemp())
        self.log = self.directory / "results.jsonl"
        self.run_number = 0
        self.on_disk: list[Record] = []
        self.in_doubt: set[str] = set()
        self.start()

    def start(self) -> None:
        assert [self.kept(each) for each in self.read()] == [
            self.kept(each) for each in self.on_disk
        ]
        self.run_number += 1
        self.name = f"run-{self.run_number}"
        self.entered: set[str] = set()
        self.appended: list[Record] = []
        self.seen: set[str] = set()
        self.expected = {each: self.state(each) for each in UNIVERSE}
        assert standings(self.log, *UNIVERSE) == list(self.expected.values())
        self.ledger = Ledger.open(self.log, self.name)
        assert standings(self.log, *UNIVERSE) == list(self.expected.values())
        assert self.ledger.recovered == len(self.in_doubt)
        self.durable = Durable()
        self.task = self.runner.get_loop().create_task(self.ledger.serve(self.durable))

    @staticmethod
    def kept(each: Record) -> tuple[str, str, str]:
        return each.id, each.outcome, each.run

    def read(self) -> list[Record]:
        if not self.log.exists():
            return []
        return list(read_records(self.log, lambda number, line: None))

    def state(self, session_id: str) -> Standing:
        last = next((each for each in reversed(self.on_disk) if each.id == session_id), None)
        if session_id in self.in_doubt:
            return Standing.CHECK
        if last is None:
            return Standing.NEW
        if last.error is None:
            return Standing.SETTLED
        return Standing.CHECK if last.error.type == "ambiguous" else Standing.NEW

    def doubt_left_by_a_crash(self) -> set[str]:
        settled = {each.id for each in self.on_disk if each.run == self.name}
        return (self.in_doubt | self.entered) - settled

    async def drop(self) -> None:
        self.ledger.close()
        await asyncio.wait([self.task])

    def can_settle(self) -> list[str]:
        done = {each.id for each in self.appended}
        return sorted(self.entered - done)

    @rule(session_id=st.sampled_from(UNIVERSE))
    def ask(self, session_id: str) -> None:
        expected = self.expected[session_id]
        if session_id in self.seen:
            expected = Standing.DUPLICATE
        self.seen.add(session_id)
        assert self.ledger.standing(session_id) is expected

    @rule(ids=st.lists(st.sampled_from(UNIVERSE), max_size=3))
    def enter(self, ids: list[str]) -> None:
        for each in ids:  # nobody sends an id without asking for it
            self.ask(each)
        self.runner.run(self.ledger.enter(ids))
        self.entered |= set(ids)

    @precondition(lambda self: self.can_settle())
    @rule(data=st.data(), error=st.sampled_from(OUTCOMES))
    def settle(self, data: st.DataObject, error: str | None) -> None:
        session_id = data.draw(st.sampled_from(self.can_settle()))
        outcome = record(session_id, run=self.name, error=error)

        async def append() -> None:
            self.ledger.append(outcome)

        self.runner.run(append())
        self.appended.append(outcome)

    @rule()
    def commit(self) -> None:
        self.runner.run(self.durable.reaches(len(self.appended)))

    @invariant()
    def what_is_reported_is_on_disk(self) -> None:
        reported = self.durable.records
        assert reported == self.appended[: len(reported)]
        assert self.read()[len(self.on_disk) :] == reported

    @rule(cut=st.floats(0, 1), journal_cut=st.floats(0, 1), foreign=st.sampled_from([b"", b"?\n"]))
    def die(self, cut: float, journal_cut: float, foreign: bytes) -> None:
        """Of what was under way when the run died, any part may have reached the disk."""
        self.runner.run(self.drop())
        reported = self.durable.records
        self.on_disk += reported
        under_way = self.appended[len(reported) :]
        lines = list(map(encode_line, under_way))
        left = b"".join(lines)[: round(sum(map(len, lines)) * cut)]
        # A last line is whole without its end, too.
        ends = [end - 1 for end in itertools.accumulate(map(len, lines))]
        self.on_disk += under_way[: bisect_right(ends, len(left))]
        entering = "".join(f"{each}\n" for each in UNIVERSE[:3])
        entering = entering[: round(len(entering) * journal_cut)]
        # A rest that is as long as an id would be taken for one, and rightly so.
        if len(entering.rpartition("\n")[2]) in map(len, UNIVERSE):
            entering = entering[:-1]
        self.entered |= {each for each in UNIVERSE[:3] if each in entering}
        with self.log.open("ab") as log, journal_path(self.log).open("a") as journal:
            # A file that holds nothing but foreign lines is no log, and is refused.
            log.write(left or (foreign if self.on_disk else b""))
            journal.write(entering)
        self.in_doubt = self.doubt_left_by_a_crash()
        self.start()

    @rule()
    def end_well(self) -> None:
        self.runner.run(self.ledger.finish(good_order=True))
        self.on_disk += self.durable.records
        assert self.durable.records == self.appended
        self.in_doubt -= {each.id for each in self.appended}
        assert journal_path(self.log).exists() == bool(self.in_doubt)
        self.start()

    @rule()
    def end_badly(self) -> None:
        self.runner.run(self.ledger.finish(good_order=False))
        self.on_disk += self.durable.records
        self.in_doubt = self.doubt_left_by_a_crash()
        self.start()

    @rule()
    def rotate(self) -> None:
        """The log disappears between two runs; what is in doubt stays so."""
        self.end_badly()
        self.runner.run(self.drop())
        self.log.unlink()
        self.on_disk = []
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.runner.run(self.drop())
            self.runner.close()
            shutil.rmtree(self.directory)


def test_in_any_order_of_events_nothing_is_lost_and_no_doubt_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Processes die here, not machines: what was written is there, synced or not.
    monkeypatch.setattr(File, "sync", lambda file: None)
    monkeypatch.setattr(Disk, "sync_directory", lambda disk, path: None)
    monkeypatch.setattr(File, "sync_data", lambda file: None)
    run_state_machine_as_test(
        AnyOrder, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )
