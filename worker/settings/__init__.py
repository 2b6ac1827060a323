"""Settings and the API key: what a run is told, from wherever it is told."""

from worker.core.addresses import is_loopback
from worker.core.durations import format_duration, parse_duration
from worker.settings.key import (
    ApiKey,
    KeyKind,
    load_key,
    resolve_rate,
)
from worker.settings.loading import Loaded, load
from worker.settings.model import (
    ApiSettings,
    EndingSettings,
    LogSettings,
    Settings,
)
from worker.settings.options import OPTION_BY_PATH, OPTIONS, Option
from worker.settings.renewal import RenewableKey
from worker.settings.show import print_settings
from worker.settings.small_files import learn_key_file
from worker.settings.syntax import STDOUT, is_plain_name

__all__ = [
    "OPTIONS",
    "OPTION_BY_PATH",
    "STDOUT",
    "ApiKey",
    "ApiSettings",
    "EndingSettings",
    "KeyKind",
    "Loaded",
    "LogSettings",
    "Option",
    "RenewableKey",
    "Settings",
    "format_duration",
    "is_loopback",
    "is_plain_name",
    "learn_key_file",
    "load",
    "load_key",
    "parse_duration",
    "print_settings",
    "resolve_rate",
]
