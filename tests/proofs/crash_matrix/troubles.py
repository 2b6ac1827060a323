"""What befalls runs that share a queue, and the Redis that they share."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.proofs.crash_matrix.scene import LEASE_S, PATIENCE_S, Scene
from tests.support.redis_server import SAFE, RedisServer

_QUEUE = "complete-sessions:{queue:row}:"
_TRIES = 1000
_WAITS = frozenset({"232", "281", "441", "22"})
"""Linux' numbers of epoll_wait, epoll_pwait and epoll_pwait2, and of epoll_pwait on arm64."""


def nothing(scene: Scene, ids: int) -> None:
    """Nobody is killed."""


def kill_worker(scene: Scene, ids: int) -> None:
    """kill -9 of one worker."""
    scene.wait_until_triggered(ids // 4)
    scene.workers[0].kill()


def stop_worker(scene: Scene, ids: int) -> None:
    """SIGSTOP of one worker for longer than its lease, then SIGCONT."""
    scene.wait_until_triggered(ids // 4)
    _stop_while_it_waits(scene.workers[0])
    time.sleep(LEASE_S * 1.5)
    scene.workers[0].send_signal(signal.SIGCONT)


def _stop_while_it_waits(process: subprocess.Popen[bytes]) -> None:
    """SIGSTOP, not in the instant between a last check and its request's first byte: on a busy
    machine a process is often held up there, and the README excludes it."""
    for _ in range(_TRIES):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if Path(f"/proc/{process.pid}/syscall").read_text().split()[0] in _WAITS:
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    raise AssertionError("the worker never waits for anything")


def terminate_worker(scene: Scene, ids: int) -> None:
    """SIGTERM to one worker: the others go on with its ids at once."""
    scene.wait_until_triggered(ids // 4)
    scene.workers[0].terminate()


def kill_redis(scene: Scene, ids: int) -> None:
    """kill -9 of Redis, which comes back after some seconds."""
    scene.wait_until_triggered(ids // 4)
    scene.redis.kill()
    time.sleep(scene.down_s)
    scene.redis.start()


def stall_redis(scene: Scene, ids: int) -> None:
    """SIGSTOP of Redis for some seconds."""
    scene.wait_until_triggered(ids // 4)
    scene.redis.process.send_signal(signal.SIGSTOP)
    time.sleep(scene.down_s)
    scene.redis.process.send_signal(signal.SIGCONT)


def late_worker(scene: Scene, ids: int) -> None:
    """One more worker, that comes when the others have done half."""
    scene.wait_until_triggered(ids // 2)
    scene.work()


def everything(scene: Scene, ids: int) -> None:
    """All of it in one run."""
    stop_worker(scene, ids)
    scene.workers[1].kill()
    kill_redis(scene, ids)
    late_worker(scene, ids)


def take_rights(scene: Scene, ids: int) -> None:
    """One command after the other is refused, until somebody mends it and starts all anew."""
    for number, command in enumerate(("xadd", "xack", "xreadgroup"), 1):
        scene.wait_until_triggered(ids * number // 5)
        scene.allow(f"-{command}")
        for process in scene.workers:
            process.wait(PATIENCE_S)
        scene.enqueue().wait(PATIENCE_S)
        scene.allow()
        scene.enqueue().wait(PATIENCE_S)
        scene.work_again()


def read_only(scene: Scene, ids: int) -> None:
    """Redis becomes the replica of a server that is not there, and answers reads only."""
    scene.wait_until_triggered(ids // 4)
    with scene.admin() as redis:
        redis.replicaof("127.0.0.1", "1")
        time.sleep(scene.down_s)
        redis.replicaof("no", "one")


def fill_memory(scene: Scene, ids: int) -> None:
    """Redis has no memory left for a while."""
    scene.wait_until_triggered(ids // 4)
    with scene.admin() as redis:
        redis.config_set("maxmemory", "1")
        time.sleep(scene.down_s)
        redis.config_set("maxmemory", "0")


def evict(scene: Scene, ids: int) -> None:
    """The stream of ids goes, as a full memory without `noeviction` lets it: every run ends, and a
    repair puts back what was left."""
    scene.wait_until_triggered(ids // 4)
    with scene.admin() as redis:
        redis.delete(f"{_QUEUE}ids")
    for process in scene.workers:
        process.wait(PATIENCE_S)
    assert scene.enqueue("--repair").wait(PATIENCE_S) == 0
    scene.work_again()


def drop(scene: Scene, ids: int) -> None:
    """The queue is dropped: every run ends, and it is queued again and read first."""
    scene.wait_until_triggered(ids // 4)
    scene.program("queue", "drop", "--queue", "row", "--yes").wait(PATIENCE_S)
    for process in scene.workers:
        process.wait(PATIENCE_S)
    assert scene.enqueue().wait(PATIENCE_S) == 0
    scene.work_again("--check-first")


def fail_over(scene: Scene, ids: int) -> None:
    """Redis dies for good when its replica has caught up, which takes its place."""
    assert scene.proxy is not None
    replica = RedisServer(_made(scene.directory / "replica"), *SAFE)
    replica.lines = (*replica.lines, f"replicaof 127.0.0.1 {scene.redis.port}")
    replica.start()
    scene.others.append(replica.process)
    scene.wait_until_triggered(ids // 4)
    _catch_up(scene, replica)
    dead, scene.redis = scene.redis, replica
    with scene.admin() as redis:
        redis.replicaof("no", "one")
    scene.allow()
    scene.proxy.lead_to(replica.port)
    dead.kill()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _catch_up(scene: Scene, replica: RedisServer) -> None:
    """No write comes any more, and the replica has them all, as `CLIENT PAUSE` and Sentinel's
    planned failover do it."""
    with scene.admin() as redis:
        redis.client_pause(60_000, all=False)
        assert redis.execute_command("WAIT", 1, 10_000) == 1


def live_pipe(scene: Scene, ids: int) -> None:
    """Half of the ids come late, through a pipe, when the others are done."""
    adding = scene.program("enqueue", "-", "--queue", "row", stdin=subprocess.PIPE)
    scene.others.append(adding)
    assert adding.stdin is not None
    scene.wait_until_triggered(ids)
    adding.stdin.write(scene.backlog.read_bytes())
    adding.stdin.close()
    assert adding.wait(PATIENCE_S) == 0
