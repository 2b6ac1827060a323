"""What Python and libraries print by themselves when something goes wrong that nobody catches."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.program import PROJECT

KEY = "live_0aMiZu7o3Kq9f3a9"
PREPARED = """
import asyncio, gc, logging, sys, threading
from contextlib import suppress
from os import environ
from worker.app.process.loop import run_to_the_end
from worker.cli import main

sys.argv = ["complete-sessions", "--version"]
with suppress(SystemExit):
    main()

def fail():
    raise ValueError("it holds " + environ["COMPLYCUBE_API_KEY"])

async def fail_unseen():
    task = asyncio.ensure_future(asyncio.to_thread(fail))
    await asyncio.wait([task])
    del task
    gc.collect()

async def log():
    logging.getLogger("x").warning("it holds %s", environ["COMPLYCUBE_API_KEY"])

class Dying:
    def __del__(self):
        fail()
"""
WAYS = {
    "uncaught": "fail()",
    "in a thread": "thread = threading.Thread(target=fail); thread.start(); thread.join()",
    "in a destructor": "Dying()",
    "in a task of which nobody asks": "run_to_the_end(fail_unseen())",
    "logged by a library": "run_to_the_end(log())",
}


@pytest.mark.parametrize("way", WAYS)
def test_no_exception_that_is_not_caught_shows_a_secret(way: str) -> None:
    script = f"{PREPARED}\n{WAYS[way]}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=dict(os.environ) | {"COMPLYCUBE_API_KEY": KEY},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (way == "uncaught")
    assert "[secret]" in done.stderr
    assert KEY not in done.stderr
    assert ("in fail" in done.stderr) == (way != "logged by a library")
