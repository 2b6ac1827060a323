"""Results logs for the tests of what reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from worker.core.outcomes import Error, Outcome, Record, Via
from worker.ledger.lines import encode_line

FIRST_NIGHT = datetime(2026, 11, 22, 1, tzinfo=UTC)
SECOND_NIGHT = FIRST_NIGHT + timedelta(days=1)


def hex_id(number: int) -> str:
    return f"{number:024x}"


def at(seconds: float, start: datetime = FIRST_NIGHT) -> str:
    moment = start + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(
    id: str = hex_id(1), outcome: str = "processing", error: str | None = None, **fields: Any
) -> Record:
    """A record that says `outcome`; `error` is its type, in short."""
    values: dict[str, Any] = {
        "session_status": None,
        "http_status": 200,
        "error": None if error is None else Error(error, f"message of {error}"),
        "attempts": 1,
        "via": Via.COMPLETE,
        "latency_ms": 80.0,
        "elapsed_ms": 80.0,
        "at": at(0),
        "run": "first",
        "line": 1,
    }
    return Record(id=id, outcome=Outcome(outcome), **(values | fields))


def write_log(path: Path, *records: Record) -> str:
    path.write_bytes(b"".join(map(encode_line, records)))
    return str(path)


def invoke(command: click.Command, *arguments: str) -> Result:
    """Run a command as the group does; what it raises is raised here."""
    runner = CliRunner()
    return runner.invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
