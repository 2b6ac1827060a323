"""`complete-sessions check`: whether a run would work, tried without any side effect."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from worker.api.refusals import refusal
from worker.api.verdict import (
    Answer,
    Refused,
    Reply,
    Throttled,
    Transient,
    Unfinished,
    judge_check,
)
from worker.app.paths import RunFiles
from worker.app.preflight import estimate_checks, try_metrics, try_results, try_source
from worker.app.process.loop import run_to_the_end
from worker.app.process.streams import say
from worker.app.target import target_of
from worker.cli.options import (
    SectionedCommand,
    complete_file,
    config_option,
    given_flags,
    settings_options,
)
from worker.cli.queue_options import queue_option, shard_option
from worker.core.errors import (
    ExitCode,
    RefusedError,
    UnavailableError,
    UsageError,
    WorkerError,
)
from worker.core.secrets import redact
from worker.core.target import Target
from worker.core.text import visible
from worker.settings import ApiKey, Settings, load, load_key, resolve_rate
from worker.sources import Shard

_MARK_WIDTH: Final = 8
_SUBJECT_WIDTH: Final = 10


class Finding(msgspec.Struct, frozen=True):
    """One thing that was tried: `error` is None where it is well; `notes` are sentences."""

    subject: str
    detail: str
    error: WorkerError | None = None
    notes: tuple[str, ...] = ()


def _switches_of_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Take what else may stand behind `run`, so that one word makes the one command the other."""
    for names in (
        *(("--force",), ("--wait",), ("--dry-run",), ("--progress/--no-progress",)),
        *(("-v", "--verbose"), ("-q", "--quiet")),
    ):
        command = click.option(*names, is_flag=True, expose_value=False, hidden=True)(command)
    return command


@click.command(cls=SectionedCommand)
@click.argument("source", required=False, shell_complete=complete_file)
@settings_options()
@queue_option(required=False)
@shard_option
@config_option
@_switches_of_run
def check(
    source: str | None,
    queue: str | None,
    shard: Shard | None,
    config: Path | None,
    **values: Any,
) -> int:
    """Try the settings, the key, the API and the files of a run, without changing anything.

    Settings are given as to `run`, and its other options do no harm. With SOURCE it is tried too,
    and the results log beside it; with --shared whether Redis answers, with --queue whether the
    queue is there and safe in it. The exit code is that of the first failure.
    """
    code = ExitCode.OK
    # A program that reads this, and does not show it, wants one line for each finding.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for finding in _findings(source, queue, shard, given_flags(values), config):
        say("\n".join(table_rows(finding, width)))
        if finding.error is not None and code is ExitCode.OK:
            code = finding.error.exit_code
    return int(code)


def table_rows(finding: Finding, width: int) -> list[str]:
    """A row for the finding and one for each note, folded into its column at `width` characters."""
    mark, text = ("ok", finding.detail) if finding.error is None else ("FAILED", str(finding.error))
    rows = [_row(mark, finding.subject, text, width)]
    return rows + [_row("note", finding.subject, note, width) for note in finding.notes]


def _row(mark: str, subject: str, text: str, width: int) -> str:
    head = f"{mark:<{_MARK_WIDTH}}{subject:<{_SUBJECT_WIDTH}}"
    return textwrap.fill(
        redact(visible(text)),
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _findings(
    source: str | None,
    queue: str | None,
    shard: Shard | None,
    flags: dict[str, Any],
    config: Path | None,
) -> Iterator[Finding]:
    try:
        loaded = load(flags=flags, environ=os.environ, config=config)
    except UsageError as error:
        yield Finding("settings", "", error)
        return
    settings = loaded.settings
    yield Finding("settings", _origins(loaded.origins))
    key = None
    try:
        key = load_key(settings, os.environ)
        yield Finding("key", _describe(key, settings), notes=key.warnings)
    except UsageError as error:
        yield Finding("key", "", error)
    if key is not None:
        yield _try("API", lambda: run_to_the_end(_ask(settings, key)))
    files = RunFiles(settings, source, shard, loaded.file)
    target = None if key is None else target_of(settings, key)
    if source is not None:
        yield from _try_source(source, files, target, key)
    yield _try("results", lambda: try_results(files, target))
    if (metrics := settings.metrics_file) is not None:
        yield _try("metrics", lambda: try_metrics(metrics, files))
    if settings.shared.url is not None or queue is not None:
        yield _try_shared(settings, queue)


def _try_source(
    source: str, files: RunFiles, target: Target | None, key: ApiKey | None
) -> Iterator[Finding]:
    try:
        trial = try_source(source, files, target)
    except WorkerError as error:
        yield Finding("source", "", error)
        return
    yield Finding("source", trial.detail, notes=trial.notes)
    reading = trial.reading
    if reading is not None and key is not None and files.settings.retry.check_first:
        settings = files.settings
        yield _try("checks", lambda: run_to_the_end(estimate_checks(settings, key, reading)))


def _try_shared(settings: Settings, queue: str | None) -> Finding:
    from worker.app.cluster_session import describe  # noqa: PLC0415 - Redis

    try:
        answer, lacks = run_to_the_end(describe(settings, queue))
    except WorkerError as error:
        return Finding("shared", "", error)
    if queue is None:
        return Finding("shared", answer, notes=tuple(f"not safe for a queue: {it}" for it in lacks))
    if lacks:
        unsafe = UsageError("; ".join(lacks), "config/redis.conf has what is needed, with reasons")
        return Finding("shared", "", unsafe)
    return Finding("shared", f"{answer}, holds the queue {queue} and is safe for it")


def _try(subject: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, attempt())
    except WorkerError as error:
        return Finding(subject, "", error)


def _origins(origins: dict[str, str]) -> str:
    given = sorted({origin for origin in origins.values() if origin != "default"})
    return "valid; from " + (", ".join(given) if given else "defaults alone")


def _describe(key: ApiKey, settings: Settings) -> str:
    rates = resolve_rate(settings.pace.rate, key.kind)
    pace = f"{rates.highest_rate:g} requests a second" if rates.is_constant else f"rates {rates}"
    return f"{key.hint} ({key.kind}), {pace}"


async def _ask(settings: Settings, key: ApiKey) -> str:
    from worker.api.client import Client  # noqa: PLC0415 - the whole of aiohttp

    api = settings.api
    async with Client(
        api.base_url, key.reveal, connect_timeout_s=api.connect_timeout, timeout_s=api.timeout
    ) as client:
        reply = await client.list_one()
    if isinstance(reply, Answer) and reply.status == 200 and _is_list(reply.body):
        return f"{api.base_url} answers and accepts the key"
    raise _explain(reply, api.base_url)


def _is_list(body: bytes) -> bool:
    """Whether it is the beginning of a list as the API gives it: the client may have cut it."""
    return body.lstrip().startswith(b"{") and b'"items"' in body


def _explain(reply: Reply, base_url: str) -> WorkerError:
    verdict = judge_check(reply)
    if isinstance(verdict, Refused):
        refused = refusal(verdict)
        return RefusedError(f"{base_url}: {refused.message}", refused.advice)
    error = None if isinstance(verdict, Unfinished) else verdict.error
    told = f"{error.type}: {error.message}" if error else "a list was expected"
    if isinstance(verdict, Transient | Throttled):
        return UnavailableError(
            f"{base_url} did not answer as it should: {told}",
            "Look at the address and the network; a run would wait for --patience",
        )
    return RefusedError(f"{base_url} is not the API: {told}", "Correct --base-url")
