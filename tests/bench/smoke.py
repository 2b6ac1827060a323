"""Every part of the benchmark runs, at once and for moments: `make bench-smoke`, as CI does.

Too dear for the suite, which it would make a tenth longer. No timing decides.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.checks import WAYS
from tests.bench.command import TABLES
from tests.bench.contenders import ASYNCIO, TIMETABLE, UVLOOP, Contender, Job, paced, write_ids
from tests.bench.cost import entries
from tests.bench.effort import QUICK
from tests.bench.nginx import nginx
from tests.bench.process import run
from tests.bench.table import Table, render
from tests.bench.test_bench import logged
from tests.bench.tools import why_missing

TINY = replace(
    QUICK,
    scenes=("sliding, 30 ms",),
    slow_ids=3,
    fast_ids=50,
    settle_s=0.3,
    scene_s=0.7,
    shared_s=1.0,
    alone_s=0.5,
    crowded_s=0.5,
    outage_s=0.5,
    before_outage_s=0.5,
    cost_share=0.0,
    bulk_ids=200,
    single_ids=20,
    done_shares=("most",),
    settled_ids=1_000,
    memory_ids=500,
    starts=1,
)


def test_every_contender_sends_each_id_once_with_the_key(tmp_path: Path) -> None:
    ids = write_ids(tmp_path / "ids.txt", 3)
    contenders = [*paced(30), *(entry.contender for entry in entries())]

    def statuses(numbered: tuple[int, Contender]) -> list[int]:
        number, contender = numbered
        own = tmp_path / str(number)
        own.mkdir()
        with nginx(own / "nginx", limit="1000r/s", burst="burst=99 nodelay") as server:
            run(contender.command(Job(server.url, ids, own, 50)), own, timeout_s=40)
            return [request.status for request in logged(server)]

    ready = [each for each in contenders if not why_missing(each.needs)]
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(statuses, enumerate(ready)))
    names = [contender.name for contender in ready]
    assert dict(zip(names, sent, strict=True)) == dict.fromkeys(names, [200] * 3)


def test_every_table_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each contender is started by the test above: here those do whose figures have a target.
    few = [one for one in paced(30) if one.name in (UVLOOP, ASYNCIO, TIMETABLE)]
    monkeypatch.setattr("tests.bench.pacing.paced", lambda longest_s: few)
    monkeypatch.setattr("tests.bench.cost.entries", lambda: entries()[:4])
    monkeypatch.setattr("tests.bench.checks.WAYS", (WAYS[1], WAYS[-1]))
    # The other pace is the same code with another number.
    names = [name for name in TABLES if name != "pacing-500"]

    def measure(name: str) -> Table:
        directory = tmp_path / name
        directory.mkdir()
        return TABLES[name](TINY, directory)

    # All at once: the figures are worthless here, and it takes a quarter of the time.
    with ThreadPoolExecutor(len(names)) as pool:
        tables = list(pool.map(measure, names))
    assert [table.name for table in tables] == names
    for measured in tables:
        assert [row.name for row in measured.rows if row.failed] == []
        assert any(row.figures for row in measured.rows)
        assert render(measured).startswith(f"{measured.name}: ")
        json.dumps(measured.raw(), allow_nan=False)
