"""Every setting, described once: flags, variables, YAML keys and documentation come from here."""

from __future__ import annotations

from functools import reduce
from typing import Any, Final

import msgspec

from worker.settings import syntax
from worker.settings.model import InputFormat, LogFormat, LogLevel, OnAmbiguous, Settings

ENV_PREFIX: Final = "WORKER_"

_DEFAULTS: Final = Settings()


class Option(msgspec.Struct, frozen=True):
    """One setting. `path` is its YAML key; `flag` is None where the command line has none."""

    path: str
    flag: str | None
    syntax: syntax.Syntax
    help: str

    @property
    def name(self) -> str:
        """The path as a Python identifier: `pace_rate`."""
        return self.path.replace(".", "_")

    @property
    def env(self) -> str:
        """The environment variable: `WORKER_PACE_RATE`."""
        return ENV_PREFIX + self.name.upper()

    @property
    def metavar(self) -> str:
        return self.syntax.metavar

    @property
    def choices(self) -> tuple[str, ...]:
        return self.syntax.choices

    @property
    def allowed(self) -> str:
        """What a value must be: "a whole number from 1 to 1000"."""
        return self.syntax.allowed

    @property
    def is_flag(self) -> bool:
        """Whether the flag stands alone, without a value."""
        return isinstance(self.default, bool)

    @property
    def default(self) -> Any:
        """Its value where nothing is set."""
        return self.value_in(_DEFAULTS)

    @property
    def default_text(self) -> str:
        """The default as one would write it: `auto`, `15m`, `none`."""
        return self.text_of(self.default)

    def value_in(self, settings: Settings) -> Any:
        """The value that it has in these settings."""
        return reduce(getattr, self.path.split("."), settings)

    def text_of(self, value: Any) -> str:
        """A value as one would write it."""
        return "none" if value is None else self.syntax.show(value)


OPTIONS: Final = (
    Option(
        "api.base_url",
        "--base-url",
        syntax.address(),
        "The API's address; http only to a loopback address.",
    ),
    Option(
        "api.key_file",
        "--api-key-file",
        syntax.or_none(syntax.key_file()),
        "File that holds the API key; without it the key is taken from COMPLYCUBE_API_KEY.",
    ),
    Option(
        "api.connect_timeout",
        None,
        syntax.duration("1ms", "10m"),
        "How long a connection may take to open.",
    ),
    Option(
        "api.timeout",
        None,
        syntax.duration("1ms", "1h"),
        "How long one request may take, from its first byte to the answer's last.",
    ),
    Option(
        "source.format",
        "--format",
        syntax.choice(InputFormat),
        "Input format; auto goes by the file's suffix.",
    ),
    Option(
        "source.field",
        "--field",
        syntax.name(),
        "CSV column or JSON key that holds the id.",
    ),
    Option(
        "results",
        "--results",
        syntax.or_none(syntax.file()),
        "The results log, appended to; by default SOURCE with the suffix .results.jsonl.",
    ),
    Option(
        "pace.rate",
        "--rate",
        syntax.rate(0.001, 10_000),
        "Requests a second (auto: 8 live, 4 test), or by the time of day: 07:00,4 22:00,10.",
    ),
    Option(
        "pace.concurrency",
        "--concurrency",
        syntax.or_auto(syntax.whole(1, 1000)),
        "Requests in flight at most; auto: as many as rate and latency ask for, up to 256.",
    ),
    Option(
        "pace.window",
        None,
        syntax.whole(1, 100_000),
        "Ids taken from the source and not settled yet, at most; at least pace.concurrency.",
    ),
    Option(
        "retry.max_attempts",
        "--max-attempts",
        syntax.whole(1, 100),
        "Attempts for one id on transient errors.",
    ),
    Option(
        "retry.backoff_initial",
        None,
        syntax.duration("1ms", "1h"),
        "Longest wait after the first transient error; it doubles with each one more.",
    ),
    Option(
        "retry.backoff_max",
        None,
        syntax.duration("1ms", "24h"),
        "Longest wait after any transient error.",
    ),
    Option(
        "retry.throttle_initial",
        None,
        syntax.duration("1ms", "1h"),
        "Wait after a first 429 that names none itself; it doubles with each one more.",
    ),
    Option(
        "retry.throttle_max",
        None,
        syntax.duration("1ms", "24h"),
        "Longest wait after a 429 that names none itself.",
    ),
    Option(
        "retry.settle",
        None,
        syntax.duration("0s", "24h"),
        "How long a backend may act after a request without an answer: not sent again before.",
    ),
    Option(
        "retry.on_ambiguous",
        "--on-ambiguous",
        syntax.choice(OnAmbiguous),
        "What to do when a request may have reached the API: read the session, resend, or fail.",
    ),
    Option(
        "retry.check_first",
        "--check-first",
        syntax.switch(),
        "Read every session before completing it; complete only those still started.",
    ),
    Option(
        "retry.check_ahead",
        None,
        syntax.whole(1, 1_000_000),
        "With check_first: ids whose status is read ahead, at most; a request may tell 1,000.",
    ),
    Option(
        "retry.check_valid",
        None,
        syntax.duration("0s", "24h"),
        "With check_first: how old a status may be when the session is completed.",
    ),
    Option(
        "stop.patience",
        "--patience",
        syntax.duration("0s", "720h"),
        "How long the run waits for an API that is down or throttles everything.",
    ),
    Option(
        "stop.outage_after",
        None,
        syntax.whole(1, 10_000),
        "Transient failures in a row after which nothing new is sent until a probe is answered.",
    ),
    Option(
        "stop.suspicious_after",
        None,
        syntax.or_none(syntax.whole(2, 1_000_000)),
        "Stop where so many outcomes at the start are all not_found, or failed for one reason.",
    ),
    Option(
        "stop.max_failures",
        "--max-failures",
        syntax.or_none(syntax.count_or_share()),
        "Stop at more failed ids: a number, or a share of all once there are 1,000 outcomes.",
    ),
    Option(
        "stop.max_duration",
        "--max-duration",
        syntax.or_none(syntax.duration("1ms", "720h")),
        "Take no more ids after this time; what is in flight is finished.",
    ),
    Option(
        "stop.until",
        "--until",
        syntax.or_none(syntax.time_of_day()),
        "Take no more ids from this time of day on, by the local clock.",
    ),
    Option(
        "stop.limit",
        "--limit",
        syntax.or_none(syntax.whole(1, 1_000_000_000)),
        "Attempt at most so many ids.",
    ),
    Option(
        "shared.url",
        "--shared",
        syntax.or_none(syntax.engine()),
        "Redis that several runs share; an address with a password belongs in WORKER_SHARED_URL.",
    ),
    Option(
        "shared.account",
        "--account",
        syntax.or_none(syntax.plain_name()),
        "Runs with the same account name share one budget; by default a hash of the key.",
    ),
    Option(
        "shared.lease",
        "--lease",
        syntax.duration("1s", "24h"),
        "How long others wait for a host that has died before they take over its ids of a queue.",
    ),
    Option(
        "log.format",
        "--log-format",
        syntax.choice(LogFormat),
        "Logs on standard error; auto is console on a terminal and json elsewhere.",
    ),
    Option(
        "log.level",
        None,
        syntax.choice(LogLevel),
        "Least level that is logged; -v and -q set it on the command line.",
    ),
    Option(
        "log.progress_every",
        None,
        syntax.duration("10ms", "24h"),
        "Time between two progress events where no bar is shown.",
    ),
    Option(
        "ending.summary_json",
        "--summary-json",
        syntax.or_none(syntax.file_or_stdout()),
        "Write the run's account as JSON when it has ended, also when it fails; - is stdout.",
    ),
    Option(
        "ending.exit_zero_on",
        "--exit-zero-on",
        syntax.exit_codes(),
        "Exit codes that become 0, for schedulers that know only that; the account keeps them.",
    ),
    Option(
        "ending.on_exit",
        "--on-exit",
        syntax.or_none(syntax.command()),
        "Shell command to run at the end, for a minute at most: the account is its input, the code"
        " in COMPLETE_SESSIONS_EXIT_CODE.",
    ),
    Option(
        "metrics_file",
        "--metrics-file",
        syntax.or_none(syntax.file()),
        "Prometheus textfile, replaced atomically, written also when the run fails.",
    ),
    Option(
        "metrics_push",
        "--metrics-push",
        syntax.or_none(syntax.gateway()),
        "Prometheus Pushgateway, told every 15 s and at the end, also when the run fails.",
    ),
)
"""In the order of the YAML file."""

OPTION_BY_PATH: Final = {option.path: option for option in OPTIONS}
