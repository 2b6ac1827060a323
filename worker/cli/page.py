"""`report --html`: writing the page, whole or not at all, and over nothing but a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from worker import __version__
from worker.core.errors import UsageError, how_to_install
from worker.core.files import READABLE_BY_OWNER, replace_file
from worker.core.secrets import redact
from worker.core.text import visible
from worker.report.aggregation import Aggregator
from worker.report.model import Report
from worker.report.provenance import LogFile, Provenance

_EXTRA: Final = ("jinja2", "markupsafe", "matplotlib")
_DOCTYPE: Final = b"<!doctype html>"


def check_page(target: Path) -> None:
    """Raise UsageError where the page could not be made or written, or would destroy a file.

    Asked before the logs are read: that may take a minute.
    """
    # It warns where HOME cannot be written: its cache is then a temporary directory, which will do.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        # Heavy, and an extra: imported only where a page is asked for.
        import worker.report.page  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise UsageError(
            "--html needs jinja2 and matplotlib, which are not installed",
            how_to_install("report"),
        ) from error
    with _usage_errors(target):
        if target.exists():
            _check_replaceable(target)
        elif not target.parent.is_dir():
            raise UsageError(
                f"there is no directory {visible(str(target.parent))} for the page",
                "Make it, or name another file with --html",
            )


def write_page(
    target: Path,
    aggregator: Aggregator,
    report: Report,
    files: Sequence[LogFile],
    allowed_per_s: float | None,
) -> int:
    """Put the page in place of `target`, readable by its owner alone; gives its size in bytes.

    Raises UsageError where that cannot be done; what stood there then stands there still.
    """
    from worker.report.page import render_page  # noqa: PLC0415 - see check_page

    provenance = Provenance(datetime.now(UTC), __version__, files)
    page = redact(render_page(aggregator, report, provenance, allowed_per_s))
    data = page.encode("utf-8", "backslashreplace")
    with _usage_errors(target):
        replace_file(target, data, mode=READABLE_BY_OWNER)
    return len(data)


def _check_replaceable(target: Path) -> None:
    """A log in the place of the page, as when two arguments are swapped, must not be lost."""
    if target.is_file():
        with target.open("rb") as file:
            head = file.read(len(_DOCTYPE))
        if head.lower() in (b"", _DOCTYPE):
            return
    raise UsageError(
        f"{visible(str(target))} is there and is no page of HTML: it is not overwritten",
        "Give --html another name",
    )


@contextmanager
def _usage_errors(target: Path) -> Iterator[None]:
    """Errors of the file system as UsageErrors that name the page."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot write the page {visible(str(target))}: {reason}",
            "Name another file with --html",
        ) from error
