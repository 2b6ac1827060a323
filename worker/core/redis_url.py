"""The address of the Redis that several runs share. It may hold a password, and is never shown."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

ALLOWED_ENGINE: Final = (
    "an address such as redis://HOST:6379/0, rediss://USER:PASSWORD@HOST:6380 or"
    " unix:///run/redis.sock"
)


def parse_engine_url(text: str) -> str:
    """The address as it is; ValueError where it can be none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(ALLOWED_ENGINE) from None
    is_socket = parts.scheme == "unix" and len(parts.path) > 1
    is_host = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and port != 0
    database = parts.path.removeprefix("/")
    if not text.isprintable() or " " in text or not (is_socket or is_host):
        raise ValueError(ALLOWED_ENGINE)
    if is_host and database and not (database.isascii() and database.isdigit()):
        raise ValueError(ALLOWED_ENGINE)
    return text


def show_engine_url(url: str) -> str:
    """The address; without user, password and options where they may be secret."""
    return without_secrets(url) if urlsplit(url).password or "password=" in url else url


def without_secrets(url: str) -> str:
    """The address without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
