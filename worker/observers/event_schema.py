"""What the lines of the log consist of, where they are JSON."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

_Common: Final[dict[str, Any]] = {
    "timestamp": str,
    "level": Literal["debug", "info", "warning", "error"],
    "message": str,
}
_ERROR: Final[dict[str, Any]] = {"error": str | None, "error_message": str}
_OUTCOME: Final[dict[str, Any]] = {
    "id": str,
    "outcome": Literal["processing", "not_found", "failed"],
    "session_status": str | None,
    "http_status": int | None,
    "attempts": int,
    "via": Literal["complete", "check"],
    "latency_ms": float,
    "elapsed_ms": float,
    "line": int,
}
_COUNTS: Final[dict[str, Any]] = {
    "processing": int,
    "not_found": int,
    "failed": int,
    "settled": int,
}
_WAIT: Final[dict[str, Any]] = {
    "reason": str,
    "next_probe_s": float | None,
    "patience_s": float | None,
    "patient_until": str | None,
    **_ERROR,
}

_PROGRESS: Final[dict[str, Any]] = {
    "done": int,
    "total": int | None,
    **_COUNTS,
    "in_flight": int,
    "waiting": int,
    "rate_now": float,
    "rate_allowed": float,
    "elapsed_s": float,
    "concurrency_bound": int | None,
    "draining": bool,
    "paused": str | None,
    "next_probe_s": float | None,
    "eta_s": float | None,
}

EVENTS: Final[dict[str, dict[str, Any]]] = {
    "run_started": {
        "source": str,
        "results": str,
        "total": int | None,
        "rate_asked": float,
        "concurrency": int,
        "recovered": int,
        "version": str,
        "host": str,
        "pid": int,
        "target": str,
    },
    "retry_scheduled": {
        "id": str,
        "line": int,
        "attempts": int,
        "request": Literal["complete", "check"],
        "delay_s": float,
        **_ERROR,
    },
    "throttled": {"id": str, "retry_after_s": float | None, "rate_allowed": float},
    "rate_changed": {"rate_asked": float, "lasts_s": float | None, "until": str | None},
    "outage_began": {"failures": int, **_WAIT},
    "probe_failed": _WAIT,
    "outage_ended": {"reason": str, "lasted_s": float},
    "outcome_failed": _OUTCOME | _ERROR,
    "outcome": _OUTCOME | _ERROR,
    "stop_requested": {
        "exit_code": int,
        "cause": str,
        "error": str | None,
        "reason": str,
        "in_flight": int,
    },
    "progress": _PROGRESS | {"patient_until": str | None},
    "status": _PROGRESS,
    "controlled": {"change": str, "by": str},
    "failures": {"error": str | None, "ids": int},
    "outage": {"reason": str, "began": str, "ended": str | None, **_ERROR},
    "run_finished": {
        "cause": str,
        "exit_code": int,
        "error": str | None,
        "reason": str | None,
        "advice": str | None,
        "go_on_with": str | None,
        "input": int,
        **_COUNTS,
        "duplicates": int,
        "not_attempted": int,
        "balanced": bool,
        "complete_input": bool,
        "elapsed_s": float,
        "rate_asked": float,
    },
    "notice": {},
    "library": {"logger": str},
    "step": {"logger": str},
    "left_out": {},
    "defect": {"traceback": str},
}
"""The fields of each event beside those that all have; `run` may be missing from none."""


def event_schema() -> dict[str, Any]:
    """The JSON Schema of one line of the log."""
    types = [_line_type(name, fields) for name, fields in EVENTS.items()]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {"title": "event", "anyOf": list(schemas), "$defs": components}


def _line_type(name: str, fields: dict[str, Any]) -> type[msgspec.Struct]:
    required = [*_Common.items(), ("event", Literal[name]), ("run", str)]
    # An outcome without an error has neither of its fields.
    optional = [(key, kind, None) if key in _ERROR else (key, kind) for key, kind in fields.items()]
    return msgspec.defstruct(name, [*required, *optional], kw_only=True, forbid_unknown_fields=True)
