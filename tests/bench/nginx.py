"""An nginx of our own: on loopback, in a directory of its own, ended by its pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.bench.figures import Request
from tests.bench.process import BenchError
from tests.bench.tools import find

_START_S = 10.0
_DONE = '{"status":"processing"}'
_REFUSED = '{"type":"rate_limit_exceeded","message":"Too many requests"}'
_KEYLESS = 'if ($http_authorization = "") { return 401; }'
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass
class Nginx:
    """Completes every session: at once, or as its limit allows."""

    port: int
    log: Path
    asked: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def requests(self) -> list[Request]:
        """What was logged, in order; empty for a server without a limit, which logs nothing."""
        return read_log(self.log)

    def count(self) -> int:
        """Requests so far, these questions left out."""
        self.asked += 1
        with urlopen(f"http://127.0.0.1:{self.port}/status", timeout=10) as answer:
            numbers = answer.read().decode().split("\n")[2].split()
        return int(numbers[2]) - self.asked


def read_log(path: Path) -> list[Request]:
    if not path.exists():
        return []
    with path.open() as lines:
        return [parse(line) for line in lines if line.endswith("\n")]


def parse(line: str) -> Request:
    at, status, agent = line.rstrip("\n").split(" ", 2)
    return Request(float(at), int(status), agent)


@contextmanager
def nginx(
    directory: Path, *, limit: str = "", burst: str = "", logged: bool = True
) -> Iterator[Nginx]:
    """`limit` as nginx writes it, `10r/s`; `burst` too, `burst=10 nodelay`.

    Without a limit answers leave at once.
    """
    directory.mkdir(parents=True)
    port = free_port()
    server = Nginx(port, directory / "access.log")
    config = directory / "nginx.conf"
    config.write_text(configuration(directory, port, limit, burst, logged=logged))
    argv = [find("nginx") or "nginx", "-p", str(directory), "-c", str(config)]
    argv += ["-e", str(directory / "error.log")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield server
        finally:
            process.terminate()


def configuration(directory: Path, port: int, limit: str, burst: str, *, logged: bool) -> str:
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "\n".join(f"  {name}_temp_path {directory}/{name};" for name in _TEMPORARY)
    zone = f"  limit_req_zone $server_name zone=api:1m rate={limit};" if limit else ""
    log = f"{directory}/access.log times" if logged else "off"
    return f"""\
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
{paths}
{zone}
  log_format times '$msec $status $http_user_agent';
  access_log {log};
  limit_req_status 429;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    server_name api;
    location = /status {{ access_log off; stub_status; }}
{_location(limit, burst)}
  }}
}}
"""


def _location(limit: str, burst: str) -> str:
    if not limit:
        return f"    location / {{ {_KEYLESS} return 200 '{_DONE}'; }}"
    # `return` acts before limit_req would; try_files acts after it.
    return f"""\
    location / {{
      {_KEYLESS}
      limit_req zone=api {burst};
      error_page 429 = @refused;
      try_files /nothing @done;
    }}
    location @done {{ return 200 '{_DONE}'; }}
    location @refused {{ return 429 '{_REFUSED}'; }}"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise BenchError(f"nginx did not start: exit code {process.poll()}")
