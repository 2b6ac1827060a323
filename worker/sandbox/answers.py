"""What the sandbox answers: the API's own shapes, and those of the proxies in front of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import msgspec

from worker.sandbox.sessions import Session, SessionSnapshot, Status

_JSON: Final = "application/json; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"


class Response(msgspec.Struct, frozen=True):
    """An HTTP response before it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def json(status: int, value: object) -> Response:
    return Response(status, msgspec.json.encode(value), {"Content-Type": _JSON})


def html(status: int, title: str) -> Response:
    """What a proxy answers, and not the API."""
    page = f"<html><head><title>{escape(title)}</title></head><body>{escape(title)}</body></html>\n"
    return Response(status, page.encode(), {"Content-Type": _HTML})


def error(status: int, error_type: str, message: str) -> Response:
    """An error as the API words it."""
    return json(status, {"type": error_type, "message": message})


PROCESSING: Final = json(200, {"status": Status.PROCESSING})
UNAUTHORIZED: Final = error(401, "unauthorized", "Invalid API key")
UNAVAILABLE: Final = html(503, "503 Service Temporarily Unavailable")
FIREWALL: Final = html(403, "Access denied")
NO_BACKEND: Final = Response(404, b"default backend - 404", {"Content-Type": "text/plain"})
GATEWAY_TIMEOUT: Final = html(504, "504 Gateway Time-out")
BAD_GATEWAY: Final = html(502, "502 Bad Gateway")
CAPTIVE_PORTAL: Final = html(200, "Welcome! Please sign in to continue")
LIST_REFUSED: Final = error(403, "unauthorized", "Your plan does not include this list")
SERVER_ERROR: Final = error(500, "internal_server_error", "Something went wrong on our side")
EMPTY: Final = Response(200, b"", {"Content-Type": _JSON})


def not_found(session_id: str) -> Response:
    return error(404, "resource_not_found", f"Invalid workflow session id '{session_id}'")


def not_completable(session: Session) -> Response:
    """What completing a session answers that was cancelled or abandoned."""
    message = f"Workflow session '{session.id}' is {session.status} and cannot be completed"
    return error(400, "invalid_request", message)


def already_completed(session: Session) -> Response:
    """What completing a session a second time answers where that is a conflict."""
    message = f"Workflow session '{session.id}' is already {session.status}"
    return error(409, "conflict", message)


def foreign(method: str, path: str) -> Response:
    """The 404 of a server that is not the API: its body has no `type`."""
    return json(404, {"message": f"Cannot {method} {path}"})


def throttled(retry_after: str | None) -> Response:
    body = msgspec.json.encode({"type": "rate_limit_exceeded", "message": "Too many requests"})
    headers = {"Content-Type": _JSON}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Response(429, body, headers)


def redirect(location: str) -> Response:
    return Response(302, b"", {"Content-Type": _HTML, "Location": location})


def cut(response: Response) -> Response:
    """A 200 whose body ends in the middle."""
    return Response(200, half(response.body), response.headers)


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def reading(session: Session) -> Response:
    """What reading a session answers."""
    return json(200, _describe(session.snapshot()))


def page(sessions: Iterable[SessionSnapshot], number: int, size: int, total: int) -> Response:
    """A page of the list; `total` is the number of sessions on all pages."""
    items = [_describe(session) for session in sessions]
    envelope = {"page": number, "pageSize": size, "totalItems": total, "pages": -(-total // size)}
    return json(200, envelope | {"items": items})


def _timestamp(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _describe(session: SessionSnapshot) -> dict[str, Any]:
    complete = session.status is Status.COMPLETE
    return {
        "id": session.id,
        "clientId": "5eb04fcd0f3e360008035eb1",
        "entityName": "Sand Box",
        "status": session.status,
        "workflowTemplateId": "5f5d1c0f0f3e360008035eb2",
        "outcome": "clear" if complete else None,
        "createdAt": _timestamp(session.created_ms),
        "completedAt": _timestamp(session.updated_ms) if complete else None,
        "updatedAt": _timestamp(session.updated_ms),
    }
