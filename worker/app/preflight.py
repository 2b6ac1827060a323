"""Whether the files of a run can be read and written: tried, without making or changing any."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from worker.api.verdict import Answer
from worker.app.forecast import Forecast
from worker.app.paths import RunFiles, names_stream
from worker.core.clock import Clock
from worker.core.errors import WorkerError
from worker.core.target import Target
from worker.core.text import count
from worker.ledger import Disk, Ledger, Past
from worker.reading.cost import ReadingCost
from worker.reading.sessions import parse_page
from worker.settings import ApiKey, Settings
from worker.sources import open_source


class SourceTrial(NamedTuple):
    """What is in a source, in a sentence, with notes; `reading` is None where nobody has looked."""

    detail: str
    notes: tuple[str, ...] = ()
    reading: ReadingCost | None = None


def try_source(source: str, files: RunFiles, target: Target | None) -> SourceTrial:
    """Read the source as a run does. Raises what a run would."""
    if _is_stream(source):
        return SourceTrial("a stream, which is left to the run")
    written = files.settings.source
    forecast = Forecast(limit=None, shard=files.shard)
    with closing(open_source(source, format=written.format, field=written.field)) as opened:
        forecast.read(opened, _past(files, target))
        ids = count(forecast.input - forecast.invalid, "id")
        told = f"{opened.name} can be read: {ids}, {forecast.settled:,} of them settled"
        if forecast.invalid:
            told += f"; {count(forecast.invalid, 'line')} cannot be ids"
        return SourceTrial(told, (*opened.notes, *forecast.warnings), forecast.reading)


async def estimate_checks(settings: Settings, key: ApiKey, reading: ReadingCost) -> str:
    """Say what --check-first will cost; the list is asked how many sessions there are of the time
    in which those of the source were made. Where it does not tell, that is no failure."""
    from worker.api.client import Client  # noqa: PLC0415 - the whole of aiohttp

    one_each = f"{count(reading.ids, 'request')}, one for each id"
    if reading.least == reading.ids:
        return f"--check-first will take {one_each}"
    api = settings.api
    async with Client(
        api.base_url, key.reveal, connect_timeout_s=api.connect_timeout, timeout_s=api.timeout
    ) as client:
        reply = await client.list_sessions(reading.query())
    page = parse_page(reply.body) if isinstance(reply, Answer) and reply.status == 200 else None
    if page is None:
        return f"--check-first will take up to {one_each}: the API does not give its list"
    most = reading.given_total(page.total)
    return (
        f"--check-first will take about {count(most, 'request')} for {count(reading.ids, 'id')}: "
        f"the list holds {count(page.total, 'session')} of their time"
    )


def _past(files: RunFiles, target: Target | None) -> Past | None:
    """What the log tells; None where it cannot be read, which `try_results` finds."""
    try:
        return Ledger.preview(files.results(), target=target)
    except WorkerError:
        return None


def try_results(files: RunFiles, target: Target | None) -> str:
    """Look at the log, its lock, its journal and their directory. Raises what a run would."""
    if files.source is None and files.settings.results is None:
        return "beside the source, as none is named"
    path = Ledger.probe(files.results(), target=target)
    return f"{path} can be written"


def try_metrics(path: Path, files: RunFiles) -> str:
    """Look whether a metrics file can be made. Raises what a run would.

    Where it cannot be written a run goes on without it, and so this does not fail.
    """
    from worker.observers.metrics import MetricsFile  # noqa: PLC0415 - an extra

    files.check_metrics()
    MetricsFile(path, lambda _: None, Clock())
    if _is_replaceable(path):
        return f"{path} can be written"
    return f"{path} cannot be written: a run says so, and goes on without"


def _is_replaceable(path: Path) -> bool:
    """Whether a file can come to stand there by a rename, which is a matter of its directory."""
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return Disk().is_writable(path.parent)


def _is_stream(source: str) -> bool:
    """What is read once: a look at it would take something away from the run."""
    if names_stream(source):
        return True
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
