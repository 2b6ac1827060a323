"""What the tests of the ledger share: records, whole runs, and a second process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from worker.core.outcomes import Error, Outcome, Record, Via
from worker.ledger import Ledger, Past, read_records

A, B, C, D = (digit * 24 for digit in "abcd")


def record(
    session_id: str,
    outcome: Outcome = Outcome.PROCESSING,
    *,
    run: str = "run-1",
    error: str | None = None,
    message: str = "no luck",
    line: int = 1,
) -> Record:
    return Record(
        id=session_id,
        outcome=Outcome.FAILED if error else outcome,
        session_status=None,
        http_status=None,
        error=Error(error, message) if error else None,
        attempts=1,
        via=Via.COMPLETE,
        latency_ms=87.4,
        elapsed_ms=87.9,
        at="2026-11-23T01:02:03.456Z",
        run=run,
        line=line,
    )


class Durable:
    """The records that a ledger reported to be on disk, in batches."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Record]] = []
        self._changed = asyncio.Event()

    def __call__(self, records: Sequence[Record]) -> None:
        self.batches.append(records)
        self._changed.set()

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]

    async def reaches(self, count: int) -> None:
        while len(self.records) < count:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def serving(ledger: Ledger, *, good_order: bool = True) -> AsyncIterator[Durable]:
    """A ledger at work, finished at the end."""
    durable = Durable()
    task = asyncio.create_task(ledger.serve(durable))
    try:
        yield durable
        await ledger.finish(good_order=good_order)
        await task
    finally:
        ledger.close()
        task.cancel()
        await asyncio.wait([task])


async def run(log: Path, *records: Record, name: str = "run-1", good_order: bool = True) -> None:
    """A whole run that settles `records`."""
    ledger = Ledger.open(log, name)
    async with serving(ledger, good_order=good_order):
        await ledger.enter([record.id for record in records if record.attempts])
        for each in records:
            ledger.append(each)


async def die(log: Path, *, entered: Sequence[str], settled: Sequence[Record] = ()) -> None:
    """A run that ends as if it had been killed: it let ids in, and settled some of them."""
    ledger = Ledger.open(log, "run-1")
    await ledger.enter(entered)
    task = asyncio.create_task(ledger.serve(durable := Durable()))
    for each in settled:
        ledger.append(each)
    await durable.reaches(len(settled))
    ledger.close()
    await asyncio.wait([task])


def records_in(log: Path) -> list[Record]:
    """All records of a log in which every line is one."""

    def refuse(number: int, line: bytes) -> None:
        raise AssertionError(f"line {number} is not a record: {line!r}")

    return list(read_records(log, refuse))


def name_of(fd: int) -> Path:
    """The path of an open file, at this moment."""
    return Path(f"/proc/self/fd/{fd}").readlink()


def python(script: str, *args: str | int | Path) -> subprocess.Popen[str]:
    """A second process that runs `script`; its standard streams are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def said(past: Past) -> list[str]:
    """What was found on the way to the state of the ids."""
    return [note.text for note in past.notes]
