"""What it takes to complete only what is still started: requests, counted by the sandbox."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.bench.contenders import PEERS
from tests.bench.effort import Effort
from tests.bench.process import BenchError, Command, python, run, started
from tests.bench.rounds import report
from tests.bench.table import Column, Row, Table, Target
from tests.bench.tools import why_missing

_SHOWN_IDS = 100_000
_SECOND = 0x68000000
_GAP_S = 30
_LONGEST_S = 600.0
_DONE = {"none": 0.0, "half": 0.5, "most": 0.9}
_COLUMNS = (
    Column("none", "requests, none done"),
    Column("half", "half done"),
    Column("most", "nine tenths done"),
)


@dataclass(frozen=True)
class Way:
    """A way to complete what is started; `command` is given the URL, the ids and a directory.

    With `has_others` half of the sessions in the list are not asked for.
    """

    name: str
    command: Callable[[str, Path, Path], Command]
    is_shuffled: bool = False
    is_bulk: bool = True
    has_others: bool = False
    needs: tuple[str, ...] = ()


def _own(*settings: tuple[str, str]) -> Callable[[str, Path, Path], Command]:
    def command(url: str, ids: Path, own: Path) -> Command:
        options = ["--check-first", "--base-url", url, "--rate", "10000", "-q"]
        results = ["--results", str(own / "results.jsonl")]
        return Command(
            python("-m", "worker", "run", str(ids), *options, *results), settings=settings
        )

    return command


def _official(url: str, ids: Path, own: Path) -> Command:
    del own
    return Command(python(str(PEERS / "official_checks.py"), url, str(ids), "16"))


WAYS = (
    Way("in bulk, ids sorted", _own()),
    Way("in bulk, ids shuffled", _own(), is_shuffled=True),
    Way("in bulk, shuffled, half of the list others'", _own(), True, has_others=True),
    Way("one by one", _own(("WORKER_RETRY_CHECK_AHEAD", "1")), is_bulk=False),
    Way(
        "official client: get, then complete",
        _official,
        is_bulk=False,
        needs=("python:complycube",),
    ),
)


def checks(effort: Effort, directory: Path) -> Table:
    """A part of the ids is measured, and multiplied: a page tells a thousand, and all else is one
    request for each id."""
    rows = [_measured(way, effort, directory) for way in WAYS]
    title = f"requests to check {_SHOWN_IDS:,} ids first, and to complete those that are started"
    targets = [Target(way.name, "most", "<=", 0.124 * _SHOWN_IDS) for way in WAYS if way.is_bulk]
    return Table("checks", title, _COLUMNS, rows, targets)


def _measured(way: Way, effort: Effort, directory: Path) -> Row:
    row = Row(way.name, skipped=why_missing(way.needs))
    ids = effort.bulk_ids if way.is_bulk else effort.single_ids
    for share, done in _DONE.items():
        if row.absent or share not in effort.done_shares:
            continue
        report(f"{way.name}, {share} done")
        own = directory / f"{WAYS.index(way)}-{share}"
        own.mkdir()
        try:
            row.add(**{share: _requests(way, ids, done, own) * _SHOWN_IDS / ids})
        except BenchError as error:
            row.failed = str(error)
    return row


def _requests(way: Way, count: int, done: float, own: Path) -> int:
    ids = [f"{_SECOND + _GAP_S * number:08x}{number:016x}" for number in range(count)]
    shuffled = random.Random(1).sample(ids, count)
    completed = set(shuffled[: round(done * count)])
    held, backlog = own / "sessions.csv", own / "ids.txt"
    lines = [_line(each, each in completed) for each in ids]
    others = [_line(f"{each[:8]}{'f' * 16}", True) for each in ids if way.has_others]
    held.write_text("".join([*lines, *others]))
    backlog.write_text("\n".join(shuffled if way.is_shuffled else ids))
    with _sandbox(held, own) as url:
        run(way.command(url, backlog, own), own, timeout_s=_LONGEST_S).must_be(0)
        stats = _stats(url)
    if stats["triggered"] != count - len(completed) or stats["triggered_twice"]:
        raise BenchError(f"{stats['triggered']} of {count - len(completed)} were completed")
    return int(stats["requests"]["total"])


def _line(session_id: str, is_done: bool) -> str:
    return f"{session_id},{'complete' if is_done else 'started'}\n"


@contextmanager
def _sandbox(held: Path, own: Path) -> Iterator[str]:
    options = ["--port", "0", "--limit", "0", "--sessions", str(held)]
    command = Command(python("-m", "worker", "sandbox", *options))
    with started(command, own, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1].decode()


def _stats(url: str) -> dict[str, Any]:
    # Of the sandbox that was just started here.
    with urlopen(f"{url.removesuffix('/v1')}/sandbox/stats") as answer:  # noqa: S310
        stats: dict[str, Any] = json.load(answer)
    return stats
