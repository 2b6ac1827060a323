"""The examples for workers on a queue: the systemd template, the Deployment, the Indexed Job."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.examples import CONFIG, METRICS_FILE, moved_to, need, text_of
from tests.support.program import started
from tests.support.redis_server import needs_redis, redis_server
from tests.support.sandbox_caller import until
from worker.core.errors import ExitCode
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import Sandbox
from worker.settings import Settings, parse_duration

WORKER = "complete-sessions@.service"
NIGHTLY = "complete-sessions.service"
MENDED_BY_NO_TRY = {ExitCode.SOME_FAILED, ExitCode.USAGE, ExitCode.REFUSED, ExitCode.LOG_UNWRITABLE}


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text_of(unit), re.MULTILINE)


async def analyze(home: Path, *arguments: str) -> tuple[int | None, str]:
    unit = home / WORKER.replace("@", "@1")
    unit.write_text(moved_to(home, (CONFIG / WORKER).read_text()))
    process = await asyncio.create_subprocess_exec(
        need("systemd-analyze"),
        *arguments,
        f"./{unit.name}",
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if re.search(rb"Failed to initialize manager|unrecognized option|Failed to", said):
        pytest.skip("systemd-analyze cannot work here")
    return process.returncode, said.decode()


async def test_systemd_finds_nothing_wrong_with_the_template(tmp_path: Path) -> None:
    assert await analyze(tmp_path, "verify", "--man=no") == (0, "")


async def test_the_workers_are_locked_up(tmp_path: Path) -> None:
    code, said = await analyze(tmp_path, "security", "--offline=true", "--threshold=20")
    assert code == 0, said


def test_workers_are_locked_up_as_the_nightly_service_is() -> None:
    def locks(unit: str) -> list[str]:
        kinds = "Protect|Private|Restrict|SystemCall|Capability|LockPersonality|NoNew|Memory"
        return re.findall(rf"^(?:{kinds}).*", text_of(unit), re.MULTILINE)

    assert locks(WORKER) == locks(NIGHTLY) != []


def test_what_no_try_would_mend_is_not_begun_anew() -> None:
    (codes,) = values(WORKER, "RestartPreventExitStatus")
    assert {int(code) for code in codes.split()} == MENDED_BY_NO_TRY
    assert values(WORKER, "Restart") == ["on-failure"]
    assert values(WORKER, "SuccessExitStatus") == [str(int(ExitCode.TERMINATED))]


def test_a_stop_waits_for_what_is_in_flight() -> None:
    (stop,) = values(WORKER, "TimeoutStopSec")
    assert parse_duration(stop) > Settings().api.timeout
    assert values(WORKER, "KillMode") == ["mixed"]


def test_each_worker_has_files_of_its_own_and_no_secret_on_its_command_line() -> None:
    (command,) = values(WORKER, "ExecStart")
    words = shlex.split(command)
    assert words[words.index("--results") + 1] == "%i.results.jsonl"
    assert words[words.index("--metrics-file") + 1] == METRICS_FILE.replace(".prom", "-%i.prom")
    assert "--shared" not in words
    assert values(WORKER, "EnvironmentFile") == ["/etc/complete-sessions/redis.env"]
    (credential,) = values(WORKER, "LoadCredential")
    assert f"--api-key-file %d/{credential.partition(':')[0]} " in command
    assert values(WORKER, "ConditionPathExists") == []


@needs_redis
async def test_the_worker_works_and_stays_until_it_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    (command,) = values(WORKER, "ExecStart")
    line = moved_to(tmp_path, command).replace("%d/api-key", str(tmp_path / "api-key"))
    program, *arguments = shlex.split(line.replace("%i", "1"))
    with redis_server(tmp_path / "redis") as redis:
        async with Sandbox(SandboxConfig(any_id=True, limit=0)) as sandbox:
            environ = {"WORKER_SHARED_URL": redis.url, "WORKER_API_BASE_URL": sandbox.url}
            environ |= {"PATH": "/usr/bin:/bin", "WORKER_PACE_RATE": "100"}
            (tmp_path / "ids.txt").write_text("a\nb\n")
            enqueue = ("enqueue", tmp_path / "ids.txt", "--queue", "backlog")
            async with started(*enqueue, env=environ) as adding:
                assert (await adding.ends()).code == 0
            async with started(*arguments, env=environ, cwd=tmp_path) as worker:
                await until(lambda: sandbox.sessions.triggered == 2)
                worker.signal(signal.SIGTERM)
                assert (await worker.ends()).code == ExitCode.TERMINATED
    assert program.endswith("complete-sessions")
    assert (tmp_path / "1.results.jsonl").read_text().count("processing") >= 2
    assert (tmp_path / "complete-sessions-1.prom").exists()


def documents(name: str) -> dict[str, Any]:
    text = (CONFIG / name).read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture
def deployment() -> Any:
    return documents("kubernetes-queue.yaml")["Deployment"]


def test_the_deployment_is_of_pods_that_it_knows(deployment: Any) -> None:
    assert deployment["apiVersion"] == "apps/v1"
    spec = deployment["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_every_volume_is_mounted_and_holds_what_the_command_names(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    named = dict(word[2:].split("=") for word in container["args"] if "=" in word)
    assert named["results"].startswith(f"{mounts['data']}/")
    assert named["api-key-file"].startswith(f"{mounts['key']}/")
    assert pod["terminationGracePeriodSeconds"] > Settings().api.timeout


def test_pods_are_as_locked_up_as_the_cron_jobs(deployment: Any) -> None:
    nightly = documents("kubernetes-cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]
    pods = deployment["spec"]["template"]["spec"], nightly["template"]["spec"]
    # It is about volumes that outlast a pod.
    nightly["template"]["spec"]["securityContext"].pop("fsGroupChangePolicy", None)
    assert pods[0]["securityContext"] == pods[1]["securityContext"]
    assert (
        pods[0]["containers"][0]["securityContext"] == pods[1]["containers"][0]["securityContext"]
    )


def test_an_index_fails_only_for_what_no_try_would_mend() -> None:
    job = documents("kubernetes-indexed-job.yaml")["Job"]["spec"]
    ignored, failed = job["podFailurePolicy"]["rules"]
    assert ignored["action"] == "Ignore"
    assert failed["action"] == "FailIndex"
    codes = failed["onExitCodes"]["values"]
    assert codes == sorted(codes)
    # That ids remain is made a success: --exit-zero-on.
    assert set(codes) == MENDED_BY_NO_TRY - {ExitCode.STOPPED}
    assert "--exit-zero-on 5" in text_of("kubernetes-indexed-job.yaml")
