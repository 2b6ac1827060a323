"""Who is measured when: every contender in each round, so that all meet the machine's moods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.contenders import Contender
from tests.bench.process import BenchError
from tests.bench.table import Row
from tests.bench.tools import why_missing

Measure = Callable[[Contender, Row, Path], None]


def in_turn(
    contenders: Sequence[Contender], measure: Measure, rounds: int, directory: Path
) -> list[Row]:
    """`measure` adds a round's figures to a contender's row; its directory is new each time.

    Every other round goes backwards, so that nobody always follows the same one.
    """
    rows = [Row(contender.name, skipped=why_missing(contender.needs)) for contender in contenders]
    pairs = [pair for pair in zip(contenders, rows, strict=True) if not pair[1].skipped]
    for number in range(rounds):
        for contender, row in pairs if number % 2 == 0 else reversed(pairs):
            if row.failed:
                continue
            report(f"round {number + 1} of {rounds}: {contender.name}")
            own = directory / f"{number}-{rows.index(row)}"
            own.mkdir()
            try:
                measure(contender, row, own)
            except BenchError as error:
                row.failed = str(error)
    return rows


def report(progress: str) -> None:
    sys.stderr.write(f"  {progress}\n")
    sys.stderr.flush()
