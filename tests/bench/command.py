"""The command: which tables, how thoroughly; prints them and keeps the raw figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench import shared
from tests.bench.checks import checks
from tests.bench.cost import cost
from tests.bench.effort import FULL, QUICK, Effort
from tests.bench.neighbour import neighbour
from tests.bench.outage import outage
from tests.bench.pacing import pacing_10, pacing_500
from tests.bench.plot import draw, draw_timelines
from tests.bench.process import ROOT, BenchError
from tests.bench.rounds import report
from tests.bench.scale import scale
from tests.bench.scenes import SCENES, scenes
from tests.bench.table import Table, render
from tests.bench.tools import find, install_missing

OUTPUT = ROOT / ".bench"
SHARED = "shared"
TABLES: dict[str, Callable[[Effort, Path], Table]] = {
    "scenes": scenes,
    "pacing-10": pacing_10,
    "pacing-500": pacing_500,
    "neighbour": neighbour,
    "outage": outage,
    "cost": cost,
    "checks": checks,
    "scale": scale,
}


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    effort = replace(QUICK if options.quick else FULL, is_huge=options.huge)
    if options.rounds is not None:
        effort = replace(effort, rounds=options.rounds)
    if options.scene is not None:
        effort = replace(effort, scenes=tuple(options.scene))
    if note := install_missing():
        say(note)
    if find("nginx") is None:
        say("Nothing can be measured: nginx is not installed")
        return 1
    began = time.monotonic()
    tables = measure(options.only or [*TABLES, SHARED], effort, quick=options.quick)
    # A part of it, or a quick one, does not overwrite the figures of a whole run.
    keep(tables, "-".join(["figures", *["quick"][: options.quick], *(options.only or [])]))
    say(f"It took {time.monotonic() - began:.0f} s.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of less than a minute")
    parser.add_argument(
        "--only", action="append", choices=[*TABLES, SHARED], help="this table; repeatable"
    )
    parser.add_argument(
        "--scene", action="append", choices=[*SCENES], help="of scenes, this one; repeatable"
    )
    parser.add_argument("--rounds", type=_count, metavar="N", help="rounds of every table")
    parser.add_argument(
        "--huge", action="store_true", help="a log of 10,000,000 records too (3 GB on disk)"
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def measure(names: Sequence[str], effort: Effort, *, quick: bool) -> list[Table]:
    """Measures and prints one table after the other."""
    say(f"# {machine()}")
    if quick:
        say("A smoke run: it shows that everything works, and its figures mean little.")
    tables = []
    for name in names:
        began = time.monotonic()
        report(name)
        if name == SHARED:
            say(f"\n{shared.main(quick)}")
            continue
        try:
            table = measure_one(name, effort)
        except BenchError as error:
            say(f"\n{name}: could not be measured: {error}")
            continue
        say(f"\n{render(table)}")
        report(f"{name} took {time.monotonic() - began:.0f} s")
        tables.append(table)
    return tables


def measure_one(name: str, effort: Effort) -> Table:
    # Beside the project, for the system's own place may be memory, where syncing costs nothing.
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=OUTPUT) as directory:
        return TABLES[name](effort, Path(directory))


def machine() -> str:
    """What the figures depend on most."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"


def keep(tables: Sequence[Table], name: str) -> None:
    OUTPUT.mkdir(exist_ok=True)
    raw: dict[str, Any] = {
        "machine": machine(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tables": {table.name: table.raw() for table in tables},
    }
    figures = OUTPUT / f"{name}.json"
    figures.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
    say(f"\nRaw figures: {figures.relative_to(ROOT)}")
    plot = OUTPUT / f"{name}.svg"
    if draw(tables, plot):
        say(f"Plot: {plot.relative_to(ROOT)}")
    over_time = OUTPUT / f"{name}-time.png"
    if draw_timelines(tables, over_time):
        say(f"Plot: {over_time.relative_to(ROOT)}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
