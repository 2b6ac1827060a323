"""Pipes that stay open: what comes when, what wakes a wait, and that nothing is lost by it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.core.errors import SourceError, UsageError
from worker.core.outcomes import Item
from worker.sources import AsyncSource, Source, open_source


class Pipe:
    """A pipe, a source at its one end, and a pen at the other."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self.source = open_source("-", stdin=self.reader)

    def write(self, data: bytes) -> None:
        os.write(self._writer, data)

    def end(self) -> None:
        os.close(self._writer)
        self._writer = -1

    def close(self) -> None:
        self.source.close()
        os.close(self.reader)
        if self._writer >= 0:
            self.end()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def ids(items: list[Item]) -> list[str]:
    return [item.id for item in items]


class Taking(threading.Thread):
    """A `take` on a thread of its own."""

    def __init__(self, source: Source) -> None:
        super().__init__(daemon=True)
        self.items: list[Item] | None = None
        self._source = source
        self.start()

    def run(self) -> None:
        self.items = self._source.take(10)

    def result(self) -> list[Item] | None:
        self.join(20)
        return self.items


# --- what comes when ------------------------------------------------------------------------------


def test_an_id_is_there_as_soon_as_its_line_is_complete(pipe: Pipe) -> None:
    pipe.write(b"a\nb\nc")
    assert ids(pipe.source.take(10)) == ["a", "b"]
    pipe.write(b"1\r")
    assert ids(pipe.source.take(10)) == ["c1"]
    pipe.write(b"\nd\n")
    assert ids(pipe.source.take(10)) == ["d"]
    assert not pipe.source.exhausted


def test_no_more_is_given_than_asked_for(pipe: Pipe) -> None:
    pipe.write(b"a\nb\nc\n")
    assert ids(pipe.source.take(2)) == ["a", "b"]
    assert ids(pipe.source.take(2)) == ["c"]


def test_the_end_is_seen_when_the_last_writer_leaves(pipe: Pipe) -> None:
    pipe.write(b"a\nb")
    pipe.end()
    assert ids(pipe.source.take(1)) == ["a"]
    assert ids(pipe.source.take(1)) == ["b"]
    assert pipe.source.take(1) == []
    assert pipe.source.exhausted
    assert pipe.source.total is None


def test_gzip_is_unpacked_as_it_comes(pipe: Pipe) -> None:
    packer = zlib.compressobj(wbits=31)
    for written in ["a", "b"]:
        pipe.write(packer.compress(f"{written}\n".encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
        assert ids(pipe.source.take(10)) == [written]
    pipe.write(packer.flush())
    pipe.end()
    assert pipe.source.take(10) == []
    assert pipe.source.exhausted


def test_rows_of_a_table_come_one_by_one(pipe: Pipe) -> None:
    pipe.write(b"note,id\n")
    pipe.write(b'x,a\n"open\n')
    assert ids(pipe.source.take(10)) == ["a"]
    pipe.write(b'closed",b\n')
    assert ids(pipe.source.take(10)) == ["b"]


def test_what_is_wrong_at_the_beginning_of_a_pipe_is_told_by_the_first_take(pipe: Pipe) -> None:
    pipe.write(b"id,id\na,b\n")
    with pytest.raises(UsageError, match="2 columns"):
        pipe.source.take(1)
    assert pipe.source.take(1) == []


def test_a_pipe_that_does_not_block_is_waited_for_and_keeps_its_flags(pipe: Pipe) -> None:
    os.set_blocking(pipe.reader, False)
    flags = fcntl.fcntl(pipe.reader, fcntl.F_GETFL)
    taking = Taking(pipe.source)
    pipe.write(b"a\n")
    assert ids(taking.result() or []) == ["a"]
    assert fcntl.fcntl(pipe.reader, fcntl.F_GETFL) == flags


def test_a_blocking_pipe_stays_one(pipe: Pipe) -> None:
    pipe.write(b"a\n")
    assert ids(pipe.source.take(1)) == ["a"]
    assert os.get_blocking(pipe.reader)


def test_a_named_pipe_is_waited_for_without_a_hang_at_its_opening(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    source = open_source(str(path))
    taking = Taking(source)
    path.write_bytes(b"a\nb\n")
    assert ids(taking.result() or []) == ["a", "b"]
    source.close()


def test_the_path_of_a_descriptor_is_read_as_the_pipe_it_is(pipe: Pipe) -> None:
    pipe.write(b"a\n")
    source = open_source(f"/dev/fd/{pipe.reader}")
    assert ids(source.take(1)) == ["a"]
    source.close()
    os.fstat(pipe.reader)


@pytest.mark.parametrize(
    "command", ["echo a | {0} /dev/stdin", "{0} <(echo a)", "{0} - < <(echo a)"]
)
def test_the_shell_may_hand_over_a_pipe_in_any_way(command: str) -> None:
    program = (
        "import sys; from worker.sources import open_source as o; print(o(sys.argv[1]).take(9))"
    )
    shell = command.format(f"'{sys.executable}' -c '{program}'")
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert "id='a'" in done.stdout


# --- what ends a wait -----------------------------------------------------------------------------


def test_close_wakes_a_take_that_waits(pipe: Pipe) -> None:
    taking = Taking(pipe.source)
    pipe.source.close()
    assert taking.result() == []
    assert not pipe.source.exhausted


def test_a_signal_handler_may_close_the_source_that_its_own_thread_waits_for(pipe: Pipe) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: pipe.source.close())
    kill = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        kill.start()
        assert pipe.source.take(1) == []
    finally:
        kill.join()
        signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_ends_the_wait_but_not_the_reading(pipe: Pipe) -> None:
    taking = Taking(pipe.source)
    pipe.source.interrupt()
    assert taking.result() == []
    pipe.write(b"a\nb")
    assert ids(pipe.source.take(10)) == ["a"]
    assert pipe.source.take(10) == []
    assert not pipe.source.exhausted
    pipe.end()
    assert ids(pipe.source.take(10)) == ["b"]
    assert pipe.source.take(10) == []
    assert pipe.source.exhausted


def test_the_rest_of_a_pipe_is_what_is_in_it(pipe: Pipe) -> None:
    pipe.write(b"a\nb\n")
    pipe.source.interrupt()
    assert ids(pipe.source.take(1)) == ["a"]
    assert ids(pipe.source.take(1)) == ["b"]
    assert pipe.source.take(1) == []


def test_the_rest_of_a_file_is_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"some-id\n" * 500_000)
    source = open_source(str(path))
    source.interrupt()
    taken = sum(len(items) for items in iter(lambda: source.take(1000), []))
    assert taken == 500_000
    assert source.exhausted
    source.close()


def test_the_rest_of_an_endless_pipe_comes_to_an_end() -> None:
    with subprocess.Popen(["yes", "some-id"], stdout=subprocess.PIPE) as endless:
        source = open_source("-", stdin=endless.stdout)  # type: ignore[arg-type]
        assert len(source.take(5)) == 5
        source.interrupt()
        rest = sum(len(items) for items in iter(lambda: source.take(1000), []))
        assert 0 < rest < 1_000_000
        assert not source.exhausted
        source.close()
        endless.kill()


def test_an_exit_does_not_wait_for_an_idle_stdin() -> None:
    program = """
import asyncio
from worker.sources import AsyncSource, open_source

async def main():
    source = AsyncSource(open_source("-"))
    print(await source.take(1), flush=True)
    taking = asyncio.create_task(source.take(1))
    await asyncio.sleep(0)
    taking.cancel()

asyncio.run(main())
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


# --- in the event loop ----------------------------------------------------------------------------


@pytest.fixture
def reading(pipe: Pipe) -> Iterator[AsyncSource]:
    source = AsyncSource(pipe.source)
    yield source
    source.close()


async def waiting_take(source: AsyncSource) -> asyncio.Task[list[Item]]:
    taking = asyncio.create_task(source.take(10))
    await asyncio.sleep(0)
    return taking


async def test_what_comes_while_nobody_waits_is_kept(pipe: Pipe, reading: AsyncSource) -> None:
    (await waiting_take(reading)).cancel()
    pipe.write(b"a\n")
    assert ids(await reading.take(10)) == ["a"]
    pipe.write(b"b\n")
    pipe.end()
    assert ids(await reading.take(10)) == ["b"]
    assert await reading.take(10) == []
    assert reading.exhausted


async def test_a_take_cancelled_when_its_items_are_there_loses_none(
    pipe: Pipe, reading: AsyncSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    hand_over = loop.call_soon_threadsafe

    def hand_over_and_cancel(callback: Callable[..., object], *args: object) -> None:
        def both() -> None:
            callback(*args)
            taking.cancel()

        hand_over(both)

    monkeypatch.setattr(loop, "call_soon_threadsafe", hand_over_and_cancel)
    taking = await waiting_take(reading)
    pipe.write(b"a\n")
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert ids(await reading.take(10)) == ["a"]


async def test_what_the_thread_has_read_is_not_past_before_it_was_given(
    pipe: Pipe, reading: AsyncSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, has_read = pipe.source.take, threading.Event()

    def take_and_tell(most: int) -> list[Item]:
        items = take(most)
        has_read.set()
        return items

    monkeypatch.setattr(pipe.source, "take", take_and_tell)
    taking = await waiting_take(reading)
    pipe.write(b"a")
    pipe.end()
    assert has_read.wait(20)  # The loop stands still: nothing is handed over to it.
    assert pipe.source.exhausted
    assert not reading.exhausted
    assert ids(await taking) == ["a"]
    assert reading.exhausted


async def test_an_async_take_gives_no_more_than_asked_for(pipe: Pipe, reading: AsyncSource) -> None:
    pipe.write(b"a\nb\nc\n")
    pipe.end()
    assert ids(await reading.take(2)) == ["a", "b"]
    assert not reading.exhausted
    assert ids(await reading.take(2)) == ["c"]


async def test_the_rest_is_given_though_a_take_still_waits(
    pipe: Pipe, reading: AsyncSource
) -> None:
    (await waiting_take(reading)).cancel()
    assert await reading.take_rest(10) == []
    assert not reading.exhausted


async def test_an_interrupt_wakes_the_loop(pipe: Pipe, reading: AsyncSource) -> None:
    taking = await waiting_take(reading)
    reading.interrupt()
    assert await taking == []


async def test_a_close_wakes_the_loop_and_is_the_end(pipe: Pipe, reading: AsyncSource) -> None:
    before = set(threading.enumerate())
    taking = await waiting_take(reading)
    [thread] = set(threading.enumerate()) - before
    reading.close()
    assert await taking == []
    assert await reading.take(1) == []
    thread.join(20)
    assert not thread.is_alive()


async def test_an_error_comes_after_what_was_read_and_once(
    pipe: Pipe, reading: AsyncSource
) -> None:
    packer = zlib.compressobj(wbits=31)
    pipe.write(packer.compress(b"a\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    pipe.end()
    assert ids(await reading.take(10)) == ["a"]
    with pytest.raises(SourceError, match="stdin cannot be read after line 1"):
        await reading.take(10)
    assert await reading.take(10) == []
    assert await reading.take_rest(10) == []
    assert not reading.exhausted


async def test_it_passes_on_what_is_known_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"a\nb\n")
    source = AsyncSource(open_source(str(path)))
    assert (source.name, source.total) == (str(path), 2)
    source.close()
