"""What a Pushgateway is to those who push: it keeps what it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Gateway(BaseHTTPRequestHandler):
    """Keeps what it is told, asked with GET too; answers with `status`, and where to look then."""

    told: list[tuple[str, str, str]]
    headers_seen: list[dict[str, str]]
    status = 200
    location = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.told.append((self.command, self.path, body))
        self.headers_seen.append(dict(self.headers))
        self.send_response(self.status)
        if self.location:
            self.send_header("Location", self.location)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        """Tests speak for themselves."""


@contextmanager
def gateway(status: int = 200) -> Iterator[tuple[str, Any]]:
    fields = {"told": [], "headers_seen": [], "status": status}
    handler: Any = type("Kept", (Gateway,), fields)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()
