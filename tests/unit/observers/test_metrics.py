"""The metrics file: read back with Prometheus's own parser, whole at all times, in nobody's way."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.sample_events import START, HandClock, finished, started, tally, ticked
from worker.core.errors import ExitCode, UsageError
from worker.core.events import Event
from worker.core.files import replace_file
from worker.observers import background
from worker.observers import metrics as metrics_module
from worker.observers.exposition import last_success_in
from worker.observers.metrics import MetricsFile

Sample = dict[tuple[str, str], float]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "complete_sessions.prom"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class PromptFile(MetricsFile):
    """Is written when `notice` returns."""

    def notice(self, event: Event) -> None:
        super().notice(event)
        self.drain()


def metrics_at(path: Path, clock: HandClock) -> MetricsFile:
    return PromptFile(path, pytest.fail, clock)


def read(path: Path) -> Sample:
    """The values by name and label; the names without their common prefix."""
    families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    assert all(family.documentation for family in families)
    return {
        (sample.name.removeprefix("complete_sessions_"), ",".join(sample.labels.values())): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


def types(path: Path) -> dict[str, str]:
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {family.name.removeprefix("complete_sessions_"): family.type for family in families}


def test_start_writes_zeros_for_prometheus_to_count_from(path: Path, clock: HandClock) -> None:
    metrics_at(path, clock).notice(started())
    values = read(path)
    for outcome in ("processing", "not_found", "failed"):
        assert values["outcomes_total", outcome] == 0
    assert values["retries_total", ""] == 0
    assert values["ids_left", ""] == 1000
    assert values["rate_limit_requests_per_second", ""] == 8
    assert values["run_start_timestamp_seconds", ""] == START.timestamp()
    assert ("exit_code", "") not in values
    assert ("run_end_timestamp_seconds", "") not in values


def test_end_has_the_whole_account(path: Path, clock: HandClock) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    counted = tally(5, 3, 2)
    counted.retries, counted.checks, counted.throttled, counted.paused_s = 4, 3, 2, 1.5
    counted.not_attempted = 6
    clock.seconds = 100.0
    metrics.notice(finished(ExitCode.SOME_FAILED, counted))
    values = read(path)
    assert values["outcomes_total", "processing"] == 5
    assert values["outcomes_total", "failed"] == 2
    assert values["requests_total", "404"] == 3
    assert values["checks_total", ""] == 3
    assert values["throttled_total", ""] == 2
    assert values["paused_seconds_total", ""] == 1.5
    assert values["exit_code", ""] == 1
    assert values["ids_left", ""] == 6
    assert values["in_flight_requests", ""] == 0
    assert values["run_duration_seconds", ""] == 100
    assert values["run_end_timestamp_seconds", ""] == START.timestamp() + 100


def test_latencies_are_a_histogram_in_seconds(path: Path, clock: HandClock) -> None:
    counted = tally(10)
    counted.latency_ms.add(3000.0)
    metrics_at(path, clock).notice(finished(counted=counted))
    values = read(path)
    assert values["request_duration_seconds_bucket", "0.05"] == 0
    assert values["request_duration_seconds_bucket", "0.1"] == 10
    assert values["request_duration_seconds_bucket", "2.5"] == 10
    assert values["request_duration_seconds_bucket", "5.0"] == 11
    assert values["request_duration_seconds_bucket", "+Inf"] == 11
    assert values["request_duration_seconds_count", ""] == 11
    assert values["request_duration_seconds_sum", ""] == pytest.approx(3.8)


def test_types_follow_the_names(path: Path, clock: HandClock) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    metrics.notice(finished())
    text = path.read_text(encoding="utf-8")
    assert types(path)["request_duration_seconds"] == "histogram"
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            assert (kind == "counter") == name.endswith("_total")
            assert name.startswith("complete_sessions_")
    assert "_created" not in text


def test_ticks_write_at_most_every_fifteen_seconds(path: Path, clock: HandClock) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    written = []
    for second in range(1, 47):
        clock.seconds = float(second)
        metrics.notice(ticked(tally(second), elapsed_s=second))
        written.append(read(path)["run_duration_seconds", ""])
    assert sorted(set(written)) == [0, 15, 30, 45]
    assert read(path)["ids_left", ""] == 1000 - 45
    assert read(path)["in_flight_requests", ""] == 12


def test_unknown_number_of_ids_is_left_out(path: Path, clock: HandClock) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started(total=None))
    assert ("ids_left", "") not in read(path)
    metrics.notice(finished(ExitCode.STOPPED, tally(5), complete_input=False))
    assert ("ids_left", "") not in read(path)


def test_known_number_of_ids_counts_those_that_were_never_read(
    path: Path, clock: HandClock
) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started(total=1000))
    metrics.notice(finished(ExitCode.STOPPED, tally(5), complete_input=False))
    assert read(path)["ids_left", ""] == 995


def test_last_success_outlives_the_runs_that_fail(path: Path, clock: HandClock) -> None:
    assert ("last_success_timestamp_seconds", "") not in read_after(path, clock, ExitCode.REFUSED)
    clock.seconds = 1000.0
    success = START.timestamp() + 1000
    for code in (ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.LOCKED):
        values = read_after(path, clock, code)
        assert values["last_success_timestamp_seconds", ""] == success
        clock.seconds += 1000.0


def read_after(path: Path, clock: HandClock, code: ExitCode) -> Sample:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    metrics.notice(finished(code))
    return read(path)


@pytest.mark.parametrize("code", [ExitCode.LOG_UNWRITABLE, ExitCode.USAGE, ExitCode.DEFECT])
def test_failure_before_any_run_is_told_too(path: Path, clock: HandClock, code: ExitCode) -> None:
    metrics_at(path, clock).write_failed(code)
    values = read(path)
    assert values["exit_code", ""] == int(code)
    assert values["run_end_timestamp_seconds", ""] == START.timestamp()
    assert values["outcomes_total", "processing"] == 0


def test_run_that_another_one_locks_out_leaves_that_ones_file(path: Path, clock: HandClock) -> None:
    metrics_at(path, clock).notice(started())
    before = path.read_bytes()
    metrics_at(path, clock).write_failed(ExitCode.LOCKED)
    assert path.read_bytes() == before


def test_crash_in_the_middle_keeps_what_was_counted(path: Path, clock: HandClock) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    metrics.notice(ticked(tally(7)))
    metrics.write_failed(ExitCode.DEFECT)
    values = read(path)
    assert (values["exit_code", ""], values["outcomes_total", "processing"]) == (70, 7)


@pytest.mark.parametrize(
    "former", ["", "no metrics\n", 'a{b="c\n', "\x00\xff", "complete_sessions_last_success_time"]
)
def test_former_file_of_garbage_is_replaced(path: Path, clock: HandClock, former: str) -> None:
    path.write_text(former, encoding="utf-8")
    metrics_at(path, clock).notice(started())
    assert read(path)["outcomes_total", "failed"] == 0
    assert last_success_in(former) is None


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("narrow_umask")
def test_file_can_be_read_by_everybody_and_nothing_is_left_beside_it(
    path: Path, clock: HandClock
) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    metrics.notice(finished())
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_reader_of_the_old_file_keeps_a_whole_one(path: Path, clock: HandClock) -> None:
    metrics = metrics_at(path, clock)
    metrics.notice(started())
    with path.open(encoding="utf-8") as before:
        metrics.notice(finished(counted=tally(5)))
        assert 'outcome="processing"} 0.0' in before.read()
    assert read(path)["outcomes_total", "processing"] == 5


def missing_directory(directory: Path) -> Path:
    return directory / "missing" / "x.prom"


def long_name(directory: Path) -> Path:
    return directory / f"{'x' * 300}.prom"


def link_to_itself(directory: Path) -> Path:
    path = directory / "x.prom"
    path.symlink_to(path)
    return path


def locked_directory(directory: Path) -> Path:
    directory.chmod(0o600)
    return directory / "x.prom"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (missing_directory, "No such file"),
        (long_name, "File name too long"),
        (link_to_itself, "Too many levels of symbolic links"),
        (locked_directory, "Permission denied"),
    ],
)
@pytest.mark.usefixtures("permissions")
def test_file_that_cannot_be_written_is_reported_once_and_ends_nothing(
    tmp_path: Path, clock: HandClock, place: Callable[[Path], Path], reason: str
) -> None:
    warnings: list[str] = []
    metrics = MetricsFile(place(tmp_path), warnings.append, clock)
    metrics.notice(started())
    metrics.notice(finished())
    metrics.write_failed(ExitCode.DEFECT)
    tmp_path.chmod(0o700)
    (warning,) = warnings
    assert warning.startswith("the metrics file cannot be written: ")
    assert reason in warning


def test_share_that_hangs_holds_up_nothing_but_the_end(
    path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def hang(path: Path, content: bytes, *, mode: int) -> None:
        goes_on.wait()
        replace_file(path, content, mode=mode)

    monkeypatch.setattr(metrics_module, "replace_file", hang)
    monkeypatch.setattr(background, "_PATIENCE_S", 0.05)
    warnings: list[str] = []
    metrics = MetricsFile(path, warnings.append, clock)
    metrics.notice(started())
    for clock.seconds in (20.0, 40.0):
        metrics.notice(ticked())
    assert warnings == []
    metrics.notice(finished())
    assert warnings == [f"the metrics file cannot be written: {path} does not answer"]
    monkeypatch.setattr(background, "_PATIENCE_S", 30.0)
    goes_on.set()
    assert metrics.drain()
    assert read(path)["exit_code", ""] == 0


def test_failed_rename_leaves_nothing_behind(path: Path, clock: HandClock) -> None:
    warnings: list[str] = []
    metrics = MetricsFile(path, warnings.append, clock)
    path.mkdir()
    metrics.notice(finished())
    assert len(warnings) == 1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", [os.devnull, "/"])
def test_path_that_is_no_file_is_refused(name: str, clock: HandClock) -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        metrics_at(Path(name), clock)


def test_link_to_the_file_stays_a_link(tmp_path: Path, clock: HandClock) -> None:
    link, target = tmp_path / "link.prom", tmp_path / "target.prom"
    link.symlink_to(target)
    metrics_at(link, clock).notice(started())
    assert link.is_symlink()
    assert read(target)["retries_total", ""] == 0


def test_missing_extra_says_what_to_install(
    path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "worker.observers.exposition")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[metrics\]'") as raised:
        metrics_at(path, clock)
    assert raised.value.exit_code is ExitCode.USAGE
