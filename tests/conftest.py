"""What all tests share: an environment without settings of the machine they run on."""

from __future__ import annotations

import gc
import os
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from hypothesis import settings

from tests.support.privileges import permissions_hold
from worker.core.secrets import Secrets, known

# What is started hundreds of times need not be compiled each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Half a second of each process is gone where they name all of a system's authorities in one file.
for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(name, None)

# Under nohup, or started in the background by a shell, the program would be deaf to them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, not wrong.
settings.register_profile("worker", deadline=None, max_examples=50)
settings.load_profile("worker")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes for `-n auto`: three for each processor, as many tests wait for others of theirs;
    none besides this one for single files, which are done sooner."""
    named = (Path(given.partition("::")[0]) for given in config.args)
    return 0 if any(path.is_file() for path in named) else 3 * (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """All that is there now stays: looked through for garbage again and again, it takes longer
    than the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("WORKER_") or name == "COMPLYCUBE_API_KEY":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_process", Secrets())


@pytest.fixture
def central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local clock of central Europe: it goes forth and back in March and October."""
    # Written out as POSIX has it: this machine may have no database of time zones.
    yield from _local_clock("CET-1CEST,M3.5.0,M10.5.0/3", monkeypatch)


@pytest.fixture
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local clock that shows UTC."""
    yield from _local_clock("UTC0", monkeypatch)


def _local_clock(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client that trusts the authority connects with."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def permissions() -> Iterator[None]:
    """The modes of files hold for root too, as for any other owner."""
    with permissions_hold():
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI no test may be skipped: say which were, and fail for it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reporter.write_line(f"\nnot to be skipped: {report.nodeid}: {report.longrepr[2]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
