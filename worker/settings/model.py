"""The settings, typed, with their defaults. Durations are seconds; paths are as they were given."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Final, Literal

import msgspec

InputFormat = Literal["auto", "lines", "csv", "jsonl"]
OnAmbiguous = Literal["check", "resend", "fail"]
LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["trace", "debug", "info", "warning", "error"]


_MOST_IN_FLIGHT: Final = 256
"""Where the concurrency is `auto`."""


_MOST_LEASED: Final = 32
"""The same of ids of a queue: others want some, too."""


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`base_url` has no trailing slash; `timeout` counts from a request's first byte."""

    base_url: str = "https://api.complycube.com/v1"
    key_file: Path | None = None
    connect_timeout: float = 10.0
    timeout: float = 60.0


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How ids are read; `field` is the CSV column or JSON key that holds the id."""

    format: InputFormat = "auto"
    field: str = "id"


class PaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` is in requests a second, "auto", or the text of a timetable; `window` is never below
    `concurrency`."""

    rate: float | str = "auto"
    concurrency: int | Literal["auto"] = "auto"
    window: int = 256

    @property
    def most_in_flight(self) -> int:
        """How many requests may be in flight, however slow the API is."""
        if isinstance(self.concurrency, int):
            return self.concurrency
        return min(_MOST_IN_FLIGHT, self.window)

    @property
    def most_leased(self) -> int:
        """How many ids of a queue may be leased at once."""
        return self.concurrency if isinstance(self.concurrency, int) else _MOST_LEASED


class RetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The waits after transient errors (`backoff_*`) and after a 429 (`throttle_*`)."""

    max_attempts: int = 5
    backoff_initial: float = 1.0
    backoff_max: float = 60.0
    throttle_initial: float = 30.0
    throttle_max: float = 300.0
    settle: float = 30.0
    on_ambiguous: OnAmbiguous = "check"
    check_first: bool = False
    check_ahead: int = 100_000
    check_valid: float = 300.0


class StopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a run gives up or ends early; `until` is a time of day on the local clock."""

    patience: float = 900.0
    outage_after: int = 10
    suspicious_after: int | None = 20
    max_failures: str | None = "50%"
    max_duration: float | None = None
    until: time | None = None
    limit: int | None = None


class SharedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is shared with other runs; `url` may hold a password, `account` None is made of the
    key."""

    url: str | None = None
    account: str | None = None
    lease: float = 90.0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is written to standard error."""

    format: LogFormat = "auto"
    level: LogLevel = "info"
    progress_every: float = 30.0


class EndingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does when it has ended; `summary_json` may be /dev/stdout."""

    summary_json: Path | None = None
    exit_zero_on: tuple[int, ...] = ()
    on_exit: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of a run; `results` is None where it follows from the source's name."""

    api: ApiSettings = ApiSettings()
    source: SourceSettings = SourceSettings()
    results: Path | None = None
    pace: PaceSettings = PaceSettings()
    retry: RetrySettings = RetrySettings()
    stop: StopSettings = StopSettings()
    shared: SharedSettings = SharedSettings()
    log: LogSettings = LogSettings()
    ending: EndingSettings = EndingSettings()
    metrics_file: Path | None = None
    metrics_push: str | None = None
