"""Settings and the API key: what a run is told, from wherever it is told."""

from worker.settings.address import is_loopback
from worker.settings.durations import format_duration, parse_duration
from worker.settings.key import (
    KEY_VARIABLE,
    LIMIT_PER_S,
    ApiKey,
    KeyKind,
    load_key,
    resolve_rate,
)
from worker.settings.load import Loaded, load
from worker.settings.model import (
    ApiSettings,
    InputFormat,
    LogFormat,
    LogLevel,
    LogSettings,
    OnAmbiguous,
    PaceSettings,
    RetrySettings,
    Settings,
    SharedSettings,
    SourceSettings,
    StopSettings,
)
from worker.settings.options import OPTION_BY_PATH, OPTIONS, Option
from worker.settings.show import print_settings

__all__ = [
    "KEY_VARIABLE",
    "LIMIT_PER_S",
    "OPTIONS",
    "OPTION_BY_PATH",
    "ApiKey",
    "ApiSettings",
    "InputFormat",
    "KeyKind",
    "Loaded",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "OnAmbiguous",
    "Option",
    "PaceSettings",
    "RetrySettings",
    "Settings",
    "SharedSettings",
    "SourceSettings",
    "StopSettings",
    "format_duration",
    "is_loopback",
    "load",
    "load_key",
    "parse_duration",
    "print_settings",
    "resolve_rate",
]
