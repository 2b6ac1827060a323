"""Files of a run that must not be one: each thing that it writes against each that it needs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from worker.app.paths import RunFiles
from worker.core.errors import UsageError
from worker.settings import Settings
from worker.settings.model import ApiSettings

NEEDED = {
    "the source": "backlog.txt",
    "the settings file": "worker.yaml",
    "the key file": "key",
}
OWN = {
    "the results log": "backlog.results.jsonl",
    "the journal of the results log": "backlog.results.jsonl.inflight",
    "the torn end of the results log": "backlog.results.jsonl.torn",
}


def files(directory: Path, *, results: Path | None = None, metrics: Path | None = None) -> RunFiles:
    api = ApiSettings(key_file=directory / "key")
    settings = Settings(api=api, results=results, metrics_file=metrics)
    return RunFiles(
        settings, str(directory / "backlog.txt"), settings_file=directory / "worker.yaml"
    )


@pytest.mark.parametrize(("what", "is_there"), [*product(NEEDED | OWN, [False, True])])
def test_the_metrics_file_is_none_of_the_others(tmp_path: Path, what: str, is_there: bool) -> None:
    path = tmp_path / (NEEDED | OWN)[what]
    if is_there:
        path.touch()
    with pytest.raises(UsageError, match=f"is {what} and the metrics file at once"):
        files(tmp_path, metrics=tmp_path / "sub" / ".." / path.name).check_metrics()


@pytest.mark.parametrize(("what", "name"), [*NEEDED.items()])
def test_the_results_log_is_none_of_what_the_run_reads(
    tmp_path: Path, what: str, name: str
) -> None:
    (tmp_path / "link").symlink_to(name)
    for path in (tmp_path / name, tmp_path / "link"):
        with pytest.raises(UsageError, match=f"is {what} and the results log at once"):
            files(tmp_path, results=path).results()


def test_files_of_their_own_are_let_be(tmp_path: Path) -> None:
    own = files(tmp_path, results=tmp_path / "log.jsonl", metrics=tmp_path / "x.prom")
    own.check_metrics()
    assert own.results() == tmp_path / "log.jsonl"
