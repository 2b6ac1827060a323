"""The CronJob, held against what Kubernetes asks for and what the program does."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from tests.support.examples import CONFIG, text_of
from worker.core.errors import ExitCode
from worker.settings import Settings

TRIED_AGAIN = {ExitCode.UNAVAILABLE, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
"""What another pod may mend."""


def documents() -> dict[str, Any]:
    text = (CONFIG / "kubernetes-cronjob.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture
def schedule() -> Any:
    return documents()["CronJob"]["spec"]


@pytest.fixture
def job(schedule: Any) -> Any:
    return schedule["jobTemplate"]["spec"]


@pytest.fixture
def pod(job: Any) -> Any:
    return job["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    (only,) = pod["containers"]
    return only


def test_the_documents_have_their_versions_and_names() -> None:
    versions = {kind: document["apiVersion"] for kind, document in documents().items()}
    assert versions == {"PersistentVolumeClaim": "v1", "CronJob": "batch/v1"}
    for document in documents().values():
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", document["metadata"]["name"])


def test_no_run_overlaps_another(schedule: Any) -> None:
    assert len(schedule["schedule"].split()) == 5
    assert schedule["concurrencyPolicy"] == "Forbid"


def test_every_exit_code_is_provided_for(job: Any, pod: Any, container: Any) -> None:
    # Kubernetes takes a podFailurePolicy only with this.
    assert pod["restartPolicy"] == "Never"
    ignored, failed = job["podFailurePolicy"]["rules"]
    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"]["containerName"] == container["name"]
    assert failed["onExitCodes"]["operator"] == "In"
    codes = failed["onExitCodes"]["values"]
    assert codes == sorted(set(codes)), "in order, each once, as Kubernetes asks"
    assert "--exit-zero-on=5" in container["args"]
    assert set(codes) == set(ExitCode) - TRIED_AGAIN - {ExitCode.OK, ExitCode.STOPPED}
    assert 0 < job["backoffLimit"] <= 6


def test_a_stop_waits_for_what_is_in_flight(pod: Any) -> None:
    assert pod["terminationGracePeriodSeconds"] > Settings().api.timeout


def test_every_mount_has_its_volume(pod: Any, container: Any) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == documents()["PersistentVolumeClaim"]["metadata"]["name"]


def test_source_and_key_lie_where_something_is_mounted(container: Any) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(PurePosixPath(container["args"][1]).parent) == mounts["data"]
    (key,) = [word for word in container["args"] if word.startswith("--api-key-file=")]
    assert str(PurePosixPath(key.partition("=")[2]).parent) == mounts["key"]
    assert "env" not in container


def test_the_key_is_readable_by_its_reader_alone(pod: Any) -> None:
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret["defaultMode"] == 0o400
    assert f"create secret generic {secret['secretName']} " in text_of("kubernetes-cronjob.yaml")


def test_the_pod_meets_the_restricted_standard(pod: Any, container: Any) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", text_of("Containerfile"), re.MULTILINE)
    assert user
    context = pod["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))
    assert context["fsGroup"] == int(user[2])
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
