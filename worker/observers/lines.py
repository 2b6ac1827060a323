"""How a log's line is written: as JSON, or for people; never more than one line, never a secret."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, Final, Literal

from rich.text import Text
from structlog.processors import TimeStamper, add_log_level
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.core.secrets import redact
from worker.core.text import visible

LogFormat = Literal["console", "json"]

_STYLES: Final = {"debug": "dim", "warning": "yellow", "error": "bold red"}


_FIRST: Final = ("timestamp", "level", "event", "message", "run")


def processors(log_format: LogFormat, *, styled: bool) -> list[Processor]:
    """What makes a line of an event's fields; `styled` for a rich console.

    As JSON all of them; for people the message, which says what the others do.
    """

    def plain(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
        return {key: _plain(value) for key, value in fields.items()}

    if log_format == "json":
        return [add_log_level, plain, TimeStamper(fmt="iso", utc=True), _as_json]
    stamp = TimeStamper(fmt="%m-%d %H:%M:%S", utc=False)
    return [add_log_level, plain, stamp, _as_rich_text if styled else _as_text]


def _plain(value: object) -> object:
    if isinstance(value, float):
        # JSON has no infinity; and nobody reads a seventh digit.
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | datetime):
        return value
    return redact(str(value))


def _as_json(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    first = {key: fields.pop(key) for key in _FIRST if key in fields}
    return json.dumps({**first, **fields}, default=_rfc3339)


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _as_text(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    return "".join(text for text, _ in _spans(fields))


def _as_rich_text(
    _logger: WrappedLogger, _method: str, fields: EventDict
) -> tuple[tuple[Any], dict[str, Any]]:
    return (Text.assemble(*_spans(fields)),), {}


def _spans(fields: EventDict) -> list[tuple[str, str]]:
    """The line in pieces, each with its style."""
    level, event = fields["level"], visible(fields["event"])
    text = " ".join(str(fields[name]) for name in ("message", "traceback") if name in fields)
    return [
        (fields["timestamp"], "dim"),
        (f"  {level:<7}", _STYLES.get(level, "")),
        (f"  {event:<15}", "bold"),
        (f"  {visible(text)}", ""),
    ]
