"""What `--version` says: all that a report of a defect should name."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from worker import __version__

_EXTRAS: Final = {
    "speed": ("uvloop",),
    "metrics": ("prometheus-client",),
    "report": ("jinja2", "matplotlib"),
    "shared": ("redis",),
}


def version_text(program: str) -> str:
    """The program's version, and what it runs on; without a newline at its end."""
    return "\n".join(_lines(program))


def _lines(program: str) -> Iterator[str]:
    yield f"{program}, version {__version__}"
    yield f"Python {platform.python_version()} ({platform.python_implementation()})"
    yield f"platform {platform.platform()}"
    yield f"aiohttp {_version('aiohttp')}"
    yield f"event loop {_loop()}"
    for extra, packages in _EXTRAS.items():
        found = {package: _version(package) for package in packages}
        if all(found.values()):
            named = ", ".join(f"{package} {number}" for package, number in found.items())
            yield f"extra {extra}: {named}"
        else:
            yield f"extra {extra}: not installed"


def _loop() -> str:
    uvloop = _version("uvloop")
    return f"uvloop {uvloop}" if uvloop else "asyncio's own"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
