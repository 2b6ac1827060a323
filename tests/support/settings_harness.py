"""What the tests of the settings share."""

from __future__ import annotations

import traceback
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from worker.core.errors import ExitCode, UsageError
from worker.settings import OPTION_BY_PATH, Loaded, load

KEY = "live_R2tWdU1SSk5pZ3F4f3a9"

FLAGS = {
    "api.base_url": "--base-url",
    "api.key_file": "--api-key-file",
    "source.format": "--format",
    "source.field": "--field",
    "results": "--results",
    "pace.rate": "--rate",
    "pace.concurrency": "--concurrency",
    "retry.max_attempts": "--max-attempts",
    "retry.on_ambiguous": "--on-ambiguous",
    "retry.check_first": "--check-first",
    "stop.patience": "--patience",
    "stop.max_failures": "--max-failures",
    "stop.max_duration": "--max-duration",
    "stop.until": "--until",
    "stop.limit": "--limit",
    "shared.url": "--shared",
    "shared.account": "--account",
    "shared.lease": "--lease",
    "log.format": "--log-format",
    "ending.summary_json": "--summary-json",
    "ending.exit_zero_on": "--exit-zero-on",
    "ending.on_exit": "--on-exit",
    "metrics_file": "--metrics-file",
    "metrics_push": "--metrics-push",
}

DEFAULTS: dict[str, object] = {
    "api.base_url": "https://api.complycube.com/v1",
    "api.key_file": None,
    "api.connect_timeout": 10.0,
    "api.timeout": 60.0,
    "source.format": "auto",
    "source.field": "id",
    "results": None,
    "pace.rate": "auto",
    "pace.concurrency": "auto",
    "pace.window": 256,
    "retry.max_attempts": 5,
    "retry.backoff_initial": 1.0,
    "retry.backoff_max": 60.0,
    "retry.throttle_initial": 30.0,
    "retry.throttle_max": 300.0,
    "retry.settle": 30.0,
    "retry.on_ambiguous": "check",
    "retry.check_first": False,
    "retry.check_ahead": 100_000,
    "retry.check_valid": 300.0,
    "stop.patience": 900.0,
    "stop.outage_after": 10,
    "stop.suspicious_after": 20,
    "stop.max_failures": "50%",
    "stop.max_duration": None,
    "stop.until": None,
    "stop.limit": None,
    "shared.url": None,
    "shared.account": None,
    "shared.lease": 90.0,
    "log.format": "auto",
    "log.level": "info",
    "log.progress_every": 30.0,
    "ending.summary_json": None,
    "ending.exit_zero_on": (),
    "ending.on_exit": None,
    "metrics_file": None,
    "metrics_push": None,
}

# One value of each that is not the default, as text and as it is kept.
OTHERS: dict[str, tuple[str, object]] = {
    "api.base_url": ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
    "api.key_file": ("/run/secrets/key", Path("/run/secrets/key")),
    "api.connect_timeout": ("250ms", 0.25),
    "api.timeout": ("1m30s", 90.0),
    "source.format": ("csv", "csv"),
    "source.field": ("no", "no"),
    "results": ("2026-11-23", Path("2026-11-23")),
    "pace.rate": ("2.5", 2.5),
    "pace.concurrency": ("7", 7),
    "pace.window": ("0100", 100),
    "retry.max_attempts": ("1", 1),
    "retry.backoff_initial": ("2", 2.0),
    "retry.backoff_max": ("2m", 120.0),
    "retry.throttle_initial": ("31s", 31.0),
    "retry.throttle_max": ("1h", 3600.0),
    "retry.settle": ("5s", 5.0),
    "retry.on_ambiguous": ("fail", "fail"),
    "retry.check_first": ("on", True),
    "retry.check_ahead": ("5000", 5000),
    "retry.check_valid": ("90s", 90.0),
    "stop.patience": ("0", 0.0),
    "stop.outage_after": ("3", 3),
    "stop.suspicious_after": ("7", 7),
    "stop.max_failures": ("12.5%", "12.5%"),
    "stop.max_duration": ("6h", 21_600.0),
    "stop.until": ("6:30", time(6, 30)),
    "stop.limit": ("1000", 1000),
    "shared.url": ("rediss://cache.example:6380/1", "rediss://cache.example:6380/1"),
    "shared.account": ("night-1.eu", "night-1.eu"),
    "shared.lease": ("3m", 180.0),
    "log.format": ("json", "json"),
    "log.level": ("DEBUG", "debug"),
    "log.progress_every": ("5s", 5.0),
    "ending.summary_json": ("end.json", Path("end.json")),
    "ending.exit_zero_on": ("5,1", (1, 5)),
    "ending.on_exit": ("notify x", "notify x"),
    "metrics_file": ("/var/lib/node/x.prom", Path("/var/lib/node/x.prom")),
    "metrics_push": ("http://gateway:9091/x", "http://gateway:9091/x"),
}


def as_yaml(path: str, text: str) -> str:
    section, _, key = path.rpartition(".")
    return f"{section}:\n  {key}: {text}\n" if section else f"{key}: {text}\n"


class Harness:
    """Loads settings in an empty directory of its own."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd

    def write(self, text: str | bytes, name: str = "config/worker.yaml") -> Path:
        path = self.cwd / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def load(self, config: Path | None = None, **given: Any) -> Loaded:
        flags, environ = given.get("flags", {}), given.get("environ", {})
        return load(flags=flags, environ=environ, config=config, cwd=self.cwd)

    def value(self, path: str, **given: Any) -> object:
        return OPTION_BY_PATH[path].value_in(self.load(**given).settings)

    def attempt(self, config: Path | None = None, **given: Any) -> Loaded | UsageError:
        try:
            return self.load(config, **given)
        except UsageError as error:
            return error

    def error(self, config: Path | None = None, **given: Any) -> str:
        with pytest.raises(UsageError) as caught:
            self.load(config, **given)
        assert caught.value.exit_code is ExitCode.USAGE
        printed = "".join(traceback.format_exception(caught.value))
        assert KEY not in printed
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def error_in_file(self, text: str | bytes) -> str:
        self.write(text)
        return self.error()
