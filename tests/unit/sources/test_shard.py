"""Shards of a source: which ids are whose, the same everywhere, and what is no input."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from worker.settings import Settings
from worker.sources import AsyncSource, Shard, ShardedSource, open_source


@given(st.text(max_size=200), st.integers(1, 50))
def test_every_id_is_in_one_shard(text: str, parts: int) -> None:
    assert sum(Shard(number, parts).holds(text) for number in range(1, parts + 1)) == 1


def test_shards_are_of_about_one_size() -> None:
    sizes = [
        sum(Shard(number, 8).holds(f"5eb2b61e02df0a00{one:08x}") for one in range(8000))
        for number in range(1, 9)
    ]
    assert sum(sizes) == 8000
    assert all(900 < size < 1100 for size in sizes)


def test_the_shard_of_an_id_never_changes() -> None:
    ids = ("5eb2b61e02df0a0008f1cf2b", "a", "A-1_b", "not an id, but a line of input: é")
    found = [next(n for n in range(1, 9) if Shard(n, 8).holds(text)) for text in ids]
    assert found == [8, 3, 5, 1]


@pytest.mark.parametrize("text", ["1/1", "3/8", "8/8"])
def test_a_shard_is_read_as_it_is_shown(text: str) -> None:
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "0/8", "9/8", "3", "3/", "3/0", "-1/8", "1/8/2", "a/b"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 3/8"):
        Shard.parse(text)


async def test_a_sharded_source_gives_its_own_ids_and_counts_the_others(tmp_path: Path) -> None:
    backlog = tmp_path / "backlog.txt"
    backlog.write_text("".join(f"id{number}\n" for number in range(100)))
    given: list[str] = []
    for number in (1, 2, 3):
        with_ids = open_source(str(backlog))
        source = ShardedSource(AsyncSource(with_ids), Shard(number, 3))
        own = []
        while items := await source.take(10):
            own += [item.id for item in items]
        assert source.exhausted
        assert source.passed_over == 100 - len(own)
        assert source.name.endswith(f"shard {number}/3")
        given += own
        source.close()
    assert sorted(given) == sorted(f"id{number}" for number in range(100))


def test_shards_on_one_disk_have_a_results_log_each() -> None:
    from worker.app.paths import RunFiles

    path = RunFiles(Settings(), "in/backlog.csv", Shard(3, 8)).results()
    assert path == Path("in/backlog.3-of-8.results.jsonl")


def test_the_kubernetes_example_gives_each_pod_a_shard() -> None:
    text = (Path(__file__).parents[3] / "config/kubernetes-indexed-job.yaml").read_text()
    job = next(one for one in yaml.safe_load_all(text) if one["kind"] == "Job")["spec"]
    assert job["completionMode"] == "Indexed"
    (container,) = job["template"]["spec"]["containers"]
    (command,) = container["args"]
    assert f"--shard $((JOB_COMPLETION_INDEX + 1))/{job['completions']} " in command
