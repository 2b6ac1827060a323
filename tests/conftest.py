"""What all tests share: an environment without settings of the machine they run on."""

from __future__ import annotations

import os
import signal
import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import settings

from tests.support.allowed_skips import unexpected
from worker.core.secrets import Secrets, known

# What is started hundreds of times need not be compiled each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Under nohup the program, and so what it is tested for, would be deaf to it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine is slow, not wrong.
settings.register_profile("worker", deadline=None, max_examples=50)
settings.load_profile("worker")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes for `-n auto`: none besides this one for single files, which are done sooner."""
    named = (Path(given.partition("::")[0]) for given in config.args)
    return 0 if any(path.is_file() for path in named) else os.cpu_count() or 1


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("WORKER_") or name == "COMPLYCUBE_API_KEY":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_process", Secrets())


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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI say which tests were skipped that may not be, and fail for it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    skips = []
    for report in reporter.stats.get("skipped", []):
        path, _, reason = report.longrepr
        skips.append((Path(path).name, reason.removeprefix("Skipped: ")))
    wrong = unexpected(skips)
    for line in wrong:
        reporter.write_line(f"\nnot to be skipped: {line}")
    if wrong:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
