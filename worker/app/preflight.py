"""Whether the files of a run can be read and written: tried, without making or changing any."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

from worker.app.forecast import Forecast
from worker.app.paths import STDIN, check_metrics_path, names_stream, results_path
from worker.app.target import target_of
from worker.core.clock import Clock
from worker.core.errors import LedgerError, WorkerError
from worker.core.text import count
from worker.ledger import Ledger, Past
from worker.ledger.disk import Disk
from worker.ledger.files import open_regular, reported
from worker.ledger.journal import journal_path, read_journal, read_pid
from worker.ledger.lock import lock
from worker.ledger.results import locate, refuse_foreign
from worker.settings import ApiKey, Settings
from worker.sources import open_source


def try_source(
    source: str, settings: Settings, key: ApiKey | None = None
) -> tuple[str, tuple[str, ...]]:
    """Read the source as a run does; gives what is in it, and notes. Raises what a run would."""
    if _is_stream(source):
        return "a stream, which is left to the run", ()
    written = settings.source
    forecast = Forecast(limit=None)
    with closing(open_source(source, format=written.format, field=written.field)) as opened:
        forecast.read(opened, _past(source, settings, key))
        ids = count(forecast.input - forecast.invalid, "id")
        told = f"{opened.name} can be read: {ids}, {forecast.settled:,} of them settled"
        if forecast.invalid:
            told += f"; {count(forecast.invalid, 'line')} cannot be ids"
        return told, (*opened.notes, *forecast.warnings)


def _past(source: str, settings: Settings, key: ApiKey | None) -> Past | None:
    """What the log tells; None where it cannot be read, which `try_results` finds."""
    target = None if key is None else target_of(settings, key)
    try:
        return Ledger.preview(results_path(source, settings), target=target)
    except WorkerError:
        return None


def try_results(source: str | None, settings: Settings, key: ApiKey | None = None) -> str:
    """Look at the log, its lock, its journal and their directory. Raises what a run would."""
    if source is None and settings.results is None:
        return "beside the source, as none is named"
    path = locate(Disk(), results_path(source or STDIN, settings))
    _try_log(path)
    if key is not None:
        Ledger.preview(path, target=target_of(settings, key))
    read_journal(Disk(), journal_path(path), lambda _: None, alone=True)
    # Also where the log is there already: the journal comes into being by a rename.
    _check_writable(path.parent, "a log and its journal cannot be made in")
    return f"{path} can be written"


def try_metrics(path: Path, source: str | None, settings: Settings) -> str:
    """Look whether a metrics file can be made. Raises what a run would.

    Where it cannot be written a run goes on without it, and so this does not fail.
    """
    from worker.observers.metrics import MetricsFile  # noqa: PLC0415 - an extra

    check_metrics_path(source, settings)
    MetricsFile(path, lambda _: None, Clock())
    if _is_replaceable(path):
        return f"{path} can be written"
    return f"{path} cannot be written: a run says so, and goes on without"


def _try_log(path: Path) -> None:
    with reported("read the results log", path, "Name another with --results FILE"):
        try:
            file = open_regular(Disk(), path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            refuse_foreign(file, path)
            lock(file, path, "results log", lambda: read_pid(Disk(), journal_path(path)))
        finally:
            file.close()
    _check_writable(path, "the results log cannot be written:")


def _check_writable(path: Path, problem: str) -> None:
    needed = os.W_OK | (os.X_OK if path.is_dir() else 0)
    if not _may(path, needed):
        raise LedgerError(f"{problem} {path}", "Change its permissions or its owner")


def _is_replaceable(path: Path) -> bool:
    """Whether a file can come to stand there by a rename, which is a matter of its directory."""
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return _may(path.parent, os.W_OK | os.X_OK)


def _is_stream(source: str) -> bool:
    """What is read once: a look at it would take something away from the run."""
    if names_stream(source):
        return True
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _may(path: Path, mode: int) -> bool:
    """Whether this process may do with `path` what it will try: by its effective user, not by the
    one who called it, for whom access(2) answers by default."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
