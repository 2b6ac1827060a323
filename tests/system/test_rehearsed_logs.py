"""A log belongs to a target: a rehearsal that leaves the real run nothing to do is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.program import PROJECT, environment, run, started
from tests.support.run_harness import backlog, ids, records_in, results, sessions
from worker.sandbox.server import Sandbox

IDS = ids(3)


async def rehearse(directory: Path, sandbox: Sandbox) -> Path:
    """A whole run with the log that stands beside the source."""
    source = backlog(directory, *IDS)
    done = await run("run", source, env=environment(API_BASE_URL=sandbox.url))
    assert done.code == 0
    return source


@pytest.mark.parametrize("command", [("run", "-q"), ("run", "--dry-run"), ("check",)])
async def test_the_log_of_a_rehearsal_is_refused_by_the_real_run(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with Sandbox(sessions(IDS)) as stand_in, Sandbox(sessions(IDS)) as real:
        source = await rehearse(tmp_path, stand_in)
        before = results(tmp_path).read_bytes()
        name, *flags = command
        done = await run(name, source, *flags, env=environment(API_BASE_URL=real.url))
        shown = done.out + done.err
        assert (done.code, results(tmp_path).read_bytes()) == (2, before)
        assert f"sent to {stand_in.url} with a test key, and this run is for {real.url}" in shown
        assert "a results log of its own with --results FILE" in shown
        assert real.stats()["triggered"] == 0
        own = tmp_path / "own.jsonl"
        done = await run("run", source, "--results", own, env=environment(API_BASE_URL=real.url))
        assert (done.code, len(records_in(own))) == (0, 3)
        assert real.stats()["triggered"] == 3


async def test_a_key_of_another_kind_is_refused_and_another_of_the_same_kind_is_told(
    tmp_path: Path,
) -> None:
    async with Sandbox(sessions(IDS)) as sandbox:
        source = await rehearse(tmp_path, sandbox)
        env = environment(API_BASE_URL=sandbox.url)
        live = await run("run", source, env=env | {"COMPLYCUBE_API_KEY": "live_0aMiZu7o3Kq9"})
        assert live.code == 2
        assert "with a test key, and this run is for" in live.err
        rotated = await run("run", source, env=env | {"COMPLYCUBE_API_KEY": "test_9zRotated3Kq9"})
        assert (rotated.code, rotated.last["settled"]) == (0, 3)
        assert "another key of the same kind" in rotated.err
        assert sandbox.stats()["triggered"] == 3


def rehearsals(text: str) -> list[str]:
    return [line for line in text.splitlines() if " run " in line and "--base-url http" in line]


def test_the_rehearsal_of_the_readme_has_a_log_of_its_own() -> None:
    lines = rehearsals((PROJECT / "README.md").read_text())
    assert lines
    assert all("--results " in line for line in lines)


async def test_the_rehearsal_that_the_sandbox_names_has_one_too() -> None:
    async with started("sandbox", "--any-id", "--port", "0") as sandbox:
        line = await sandbox.says(" run FILE")
        assert all("--results " in each for each in rehearsals(line))
        assert rehearsals(line)
        sandbox.signal(15)
        assert json.loads((await sandbox.ends()).out.splitlines()[-1])
