"""What the collector of cycles is left to do while a loop runs."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import gc, weakref
import worker.__main__
from worker.app.process.loop import open_loop

class Knot:
    def __init__(self):
        self.itself = self

before = len(gc.get_objects())
with open_loop():
    looked_through = len(gc.get_objects())
    alive = weakref.WeakSet()
    for _ in range(50_000):
        alive.add(Knot())
    print(before, looked_through, len(alive))
"""


def test_cycles_are_found_without_going_through_all_that_was_imported() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True
    )
    before, looked_through, alive = map(int, ran.stdout.split())
    assert looked_through < before / 10
    assert alive < 15_000
