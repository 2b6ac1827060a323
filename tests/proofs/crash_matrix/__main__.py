"""Plays the rows and prints a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.proofs import crash_matrix
from tests.proofs.crash_matrix.matrix import ROWS, Result, play
from tests.proofs.crash_matrix.scene import Row

_SHORT_IDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=crash_matrix.__doc__, prog="make crash-matrix")
    parser.add_argument("--ids", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--short", action="store_true", help="each row once, with few ids")
    options = parser.parse_args()
    ids, repeats = (_SHORT_IDS, 1) if options.short else (options.ids, options.repeats)
    began_at, failed = time.monotonic(), 0
    sys.stdout.write(f"{'row':<24} {'ids':>6} {'seconds':>8} {'per s':>7} {'most/s':>7}\n")
    for row in [row for row in ROWS if options.only in row.name]:
        for _ in range(repeats):
            failed += _play(row, max(20, round(ids * row.share)), is_short=options.short)
    sys.stdout.write(f"{failed} not kept, {time.monotonic() - began_at:.0f} s in all\n")
    return 1 if failed else 0


def _play(row: Row, ids: int, *, is_short: bool) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        result = play(row, ids, Path(directory), down_s=1.0 if is_short else 4.0)
    if result.most_per_s > max(row.rates) and not is_short:
        # Only here: on a busy machine requests may be held up on their way.
        result.problems.append(f"{result.most_per_s} requests in one second")
    sys.stdout.write(_line(row, ids, result))
    sys.stdout.flush()
    return bool(result.problems)


def _line(row: Row, ids: int, result: Result) -> str:
    return (
        f"{row.name:<24} {ids:>6} {result.seconds:>8.1f} {result.per_s:>7.1f}"
        f" {result.most_per_s:>7}  {'; '.join(result.problems) or 'kept every promise'}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
