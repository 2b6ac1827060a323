"""Runs that share, as processes: commands over a queue, crashes, shards on one budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis

from tests.proofs.crash_matrix.matrix import play
from tests.proofs.crash_matrix.scene import Row
from tests.proofs.crash_matrix.troubles import everything
from tests.support import fork_server
from tests.support.program import in_this_process
from tests.support.redis_server import RedisServer, needs_redis, redis_server
from tests.support.sandbox_process import sandbox_process
from worker.core.errors import ExitCode

pytestmark = needs_redis
KEY = "test_0aMiZu7o3Kq9f3a9"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Harness:
    """Runs the program in a directory of its own, with a Redis to share."""

    def __init__(self, directory: Path, redis: RedisServer, url: str) -> None:
        self.directory = directory
        self.redis = redis
        self.url = url

    def __call__(self, *arguments: str, text: str = "", **environ: str) -> Ended:
        given = {"COMPLYCUBE_API_KEY": KEY, "WORKER_SHARED_URL": self.redis.url}
        env = os.environ | given | environ
        done = fork_server.run(arguments, env, self.directory, text)
        return Ended(done.returncode, done.stdout, done.stderr)

    def started(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
        given = {"COMPLYCUBE_API_KEY": KEY, "WORKER_SHARED_URL": self.redis.url}
        return subprocess.Popen(
            [sys.executable, "-m", "worker", *arguments],
            cwd=self.directory,
            env=os.environ | given,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def text_of(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def work(self, *more: str, **environ: str) -> Ended:
        command = ("run", "--queue", "june", "--results", "june.jsonl", "--rate", "500")
        return self(*command, "--base-url", self.url, *more, **environ)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with sandbox_process("--any-id") as url:
        yield url


@pytest.fixture
def harness(tmp_path: Path, redis: RedisServer, api: str) -> Harness:
    return Harness(tmp_path, redis, api)


def test_a_queue_is_filled_worked_off_read_and_dropped(harness: Harness) -> None:
    added = harness("enqueue", "-", "--queue", "june", text="a\nb\n# no id\nnot an id\n")
    assert (added.code, added.err) == (
        1,
        "line 4: An id has only letters A to Z, digits, '_' and '-', this one contains ' '\n",
    )
    assert added.out.startswith("3 lines read: 2 ids added to the queue june, 0 there already, 1")
    ended = harness.work("--log-format", "json")
    assert ended.code == 0
    assert json.loads(ended.err.splitlines()[-1])["processing"] == 2
    lines = [
        json.loads(line) for line in harness("queue", "results", "--queue", "june").out.splitlines()
    ]
    assert [(line["id"], line["outcome"], line["line"]) for line in lines] == [
        ("a", "processing", 1),
        ("b", "processing", 2),
    ]
    rest = harness("queue", "results", "--queue", "june", "--after", lines[0]["stream_id"])
    assert [json.loads(line)["id"] for line in rest.out.splitlines()] == ["b"]
    assert "left      0 ids" in harness("queue", "status", "--queue", "june").out
    assert harness("queue", "drop", "--queue", "june").code == 0
    assert harness("queue", "status", "--queue", "june").code == ExitCode.USAGE


def test_a_run_goes_on_while_a_pipe_brings_more_ids(harness: Harness) -> None:
    with harness.started("enqueue", "-", "--queue", "live", stdin=subprocess.PIPE) as adding:
        assert adding.stdin is not None
        while harness("queue", "status", "--queue", "live").code != ExitCode.OK:
            pass
        command = ("run", "--queue", "live", "--results", "live.jsonl", "--rate", "500")
        with harness.started(*command, "--base-url", harness.url) as working:
            for number in range(3):
                adding.stdin.write(f"late{number}\n".encode())
                adding.stdin.flush()
                while f"late{number}" not in harness.text_of("live.jsonl"):
                    assert working.poll() is None
            adding.stdin.close()
            assert (adding.wait(), working.wait()) == (0, 0)


@pytest.mark.timeout(240)
def test_what_a_queue_has_lost_is_told_and_put_back(harness: Harness) -> None:
    queue, ids = ("--queue", "lossy"), "a\nb\n"
    harness("enqueue", "-", *queue, text=ids)
    with Redis.from_url(harness.redis.url) as redis:
        key = "complete-sessions:{queue:lossy}:ids"
        redis.xdel(key, redis.xinfo_stream(key)["first-entry"][0])
    told = harness("queue", "status", *queue)
    assert told.code == ExitCode.SOME_FAILED
    assert "left      1 id, 0 of them with a run\nqueued    2 ids in all" in told.out
    assert "LOST      1 id: queued, neither left nor settled\n" in told.out
    ended = harness("run", *queue, "--results", "june.jsonl", "--base-url", harness.url)
    assert ended.code == ExitCode.UNAVAILABLE
    assert "1 id of it got lost" in ended.err
    again = harness("enqueue", "-", *queue, text=ids)
    assert (again.code, "has lost 1 id" in again.err) == (ExitCode.SOME_FAILED, True)
    mended = harness("enqueue", "-", *queue, "--repair", text=ids)
    assert (mended.code, mended.err) == (ExitCode.OK, "")
    assert mended.out.startswith("2 lines read: 1 id added to the queue lossy, 1 there already")
    # It may have been sent: it is read first, and after this time.
    run = ("run", *queue, "--results", "june.jsonl", "--base-url", harness.url)
    ended = harness(*run, WORKER_RETRY_SETTLE="0s")
    assert ended.code == ExitCode.OK
    assert harness("queue", "status", *queue).code == ExitCode.OK


def test_a_stream_that_was_evicted_is_repaired(harness: Harness) -> None:
    queue, ids = ("--queue", "evicted"), "a\nb\n"
    harness("enqueue", "-", *queue, text=ids)
    with Redis.from_url(harness.redis.url) as redis:
        redis.delete("complete-sessions:{queue:evicted}:ids")
    refused = harness("enqueue", "-", *queue, text=ids)
    assert (refused.code, "is gone, or part of it" in refused.err) == (ExitCode.UNAVAILABLE, True)
    mended = harness("enqueue", "-", *queue, "--repair", text=ids)
    assert (mended.code, "2 ids added" in mended.out) == (ExitCode.OK, True)


@pytest.mark.parametrize("part", ["ids", "queued", "settled", "group"])
def test_a_queue_of_which_a_part_is_lost_can_be_dropped(harness: Harness, part: str) -> None:
    queue, key = ("--queue", f"no-{part}"), f"complete-sessions:{{queue:no-{part}}}"
    harness("enqueue", "-", *queue, text="a\nb\n")
    with Redis.from_url(harness.redis.url) as redis:
        if part == "group":
            redis.xgroup_destroy(f"{key}:ids", "workers")
        else:
            redis.delete(f"{key}:{part}")
    for command in ("status", "drop"):
        refused = harness("queue", command, *queue)
        assert (refused.code, "`queue drop --yes`" in refused.err) == (ExitCode.UNAVAILABLE, True)
    dropped = harness("queue", "drop", *queue, "--yes")
    assert (dropped.code, dropped.err) == (ExitCode.OK, "")
    assert dropped.out == f"deleted the queue no-{part}, of which a part was gone\n"
    assert harness("queue", "status", *queue).code == ExitCode.USAGE


def test_ids_kept_back_by_the_limit_are_with_no_run(harness: Harness) -> None:
    harness("enqueue", "-", "--queue", "june", text="x\ny\nz\n")
    assert harness.work("--limit", "1").code == ExitCode.STOPPED
    told = harness("queue", "status", "--queue", "june").out
    harness("queue", "drop", "--queue", "june", "--yes")
    assert told.startswith("left      2 ids, 0 of them with a run\n")
    assert "pending" not in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backlog.txt"], "--queue and SOURCE were both given"),
        (["--shard", "1/2"], "--shard does not go with --queue"),
        (["--force"], "--force does not go with --queue"),
        (["--dry-run"], "--dry-run does not go with --queue"),
        (["--lease", "30s"], "another host could begin before it has ended"),
        (["--queue", "no name"], "--queue is 'no name'; it must be made of letters"),
        (["--wait"], "there is no queue 'nowhere'"),
        ([], "there is no queue 'nowhere'"),
    ],
)
def test_what_does_not_go_with_a_queue_is_told(
    redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    monkeypatch.setenv("WORKER_SHARED_URL", redis.url)
    given = ["--queue", "nowhere", "--results", "nowhere.jsonl", *arguments]
    done = in_this_process("run", *given, monkeypatch=monkeypatch, capfd=capfd)
    assert (done.code, said in done.err) == (ExitCode.USAGE, True)


def test_a_run_that_waits_needs_a_queue(harness: Harness) -> None:
    ended = harness("run", "-", "--wait", "--results", "june.jsonl")
    assert (ended.code, "--wait goes with --queue only" in ended.err) == (ExitCode.USAGE, True)


def test_a_queue_needs_a_redis_and_a_results_log(harness: Harness) -> None:
    without_redis = harness.work("--shared", "none")
    assert (without_redis.code, "--shared URL" in without_redis.err) == (ExitCode.USAGE, True)
    ended = harness("run", "--queue", "june")
    assert (ended.code, "--results FILE" in ended.err) == (ExitCode.USAGE, True)


def test_a_password_is_shown_nowhere(harness: Harness) -> None:
    url = harness.redis.url.replace("//", "//:hunter2-hunter2@")
    for arguments in (
        ["run", "--print-settings"],
        ["check", "--base-url", harness.url],
        ["queue", "status", "--queue", "june"],
        ["run", "--queue", "june", "--results", "june.jsonl"],
    ):
        ended = (
            harness(*arguments, "--shared", url)
            if "status" in arguments
            else harness(*arguments, WORKER_SHARED_URL=url)
        )
        assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("/0?foo=1", "'foo'"),
        ("?ssl_ca_certs=F", "'ssl_ca_certs'"),
        ("?socket_timeout=abc", "'socket_timeout'"),
        ("?db=x", "db is 'x'"),
        ("?encoding=foo", "'encoding'"),
        ("?retry=1", "'retry'"),
        ("?protocol=9", "protocol is '9'"),
        ("/999999", "DB index is out of range"),
    ],
)
def test_an_address_that_cannot_be_right_is_wrong_usage(
    redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    rest: str,
    said: str,
) -> None:
    url = f"redis://127.0.0.1:{redis.port}{rest}"
    monkeypatch.setenv("WORKER_SHARED_URL", url)
    done = in_this_process(
        "queue", "status", "--queue", "june", monkeypatch=monkeypatch, capfd=capfd
    )
    assert (done.code, done.err.count("\n")) == (ExitCode.USAGE, 1)
    assert f"by the address {url.partition('?')[0]}: " in done.err
    assert said in done.err


@pytest.mark.parametrize(
    "arguments",
    [("check",), ("queue", "status", "--queue", "june"), ("enqueue", "-", "--queue", "x")],
)
def test_without_the_extra_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    for module in [name for name in sys.modules if name.startswith("worker.cluster.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.setenv("WORKER_SHARED_URL", "redis://127.0.0.1:9")
    done = in_this_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert done.code == ExitCode.USAGE
    assert "pip install '.[shared]'" in done.out + done.err


def test_check_tells_whether_redis_answers_and_suits_a_queue(harness: Harness) -> None:
    harness("enqueue", "-", "--queue", "checked", text="a\n")
    ended = harness("check", "--base-url", harness.url, "--queue", "checked")
    assert ended.code == 0
    assert "holds the queue checked and is safe for it" in ended.out
    url = f"{harness.redis.url}?protocol=9"
    ended = harness("check", "--base-url", harness.url, WORKER_SHARED_URL=url)
    assert (ended.code, "its protocol is '9'" in ended.out) == (ExitCode.USAGE, True)


def test_shards_share_one_budget_and_complete_every_id_once(harness: Harness) -> None:
    (harness.directory / "backlog.txt").write_text("".join(f"shard{one}\n" for one in range(30)))
    for number in (1, 2):
        shard = ("run", "backlog.txt", "--shard", f"{number}/2", "--rate", "200")
        assert harness(*shard, "--base-url", harness.url).code == 0
    logs = [harness.directory / f"backlog.{number}-of-2.results.jsonl" for number in (1, 2)]
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(f"shard{one}" for one in range(30))


@pytest.mark.timeout(240)
def test_workers_and_redis_may_die_and_every_id_is_completed_once(tmp_path: Path) -> None:
    row = Row("everything", everything, rates=(50.0,) * 4)
    assert play(row, 100, tmp_path, down_s=0.5).problems == []
