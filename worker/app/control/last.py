"""How the last run on a log ended: by its account, which is kept beside the log, its journal, and
the log itself."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from worker.app.control.protocol import RunStatus
from worker.core.files import READABLE_BY_OWNER, replace_file
from worker.core.outcomes import Outcome
from worker.ledger import Disk, Header, journal_path, read_journal
from worker.observers.account import Account, encode, may_hold_account
from worker.report.model import Report, RunSummary

SUFFIX: Final = ".account"
_LARGEST_BYTES: Final = 1 << 20
"""A choice: many times an account; a file of that name may be something else."""


def keep_account(results: Path, account: Account) -> None:
    """Keep it for `read_account`. Where that cannot be done, as on a full disk, nobody is bothered:
    what it says stands in the log of the run, too."""
    path = _path(results)
    with suppress(OSError):
        # A log into which nothing came has been taken away again.
        if results.exists() and may_hold_account(path):
            replace_file(path, encode(account), mode=READABLE_BY_OWNER)


def read_account(results: Path) -> Account | None:
    """The account of the last run that ended on this log; None where there is none."""
    try:
        with _path(results).open("rb") as file:
            account = msgspec.json.decode(file.read(_LARGEST_BYTES), type=Account)
        for moment in (account.began, account.ended):
            datetime.fromisoformat(moment)
    except (OSError, ValueError):
        return None
    return account


def last_status(log: Path, report: Report) -> RunStatus:
    """How the last run on this log ended. Raises LedgerError where its journal cannot be read.

    Args:
        report: what the log says.
    """
    account = read_account(log)
    left = read_journal(Disk(), journal_path(log.resolve()), _pass_over, alone=False)
    header = None if left is None else left.header
    if left is not None and header is not None and left.is_held:
        return _of_run_out_of_reach(log, report, header)
    # A run in good order leaves a journal, too, where ids are in doubt that were not its own.
    if header is not None and (account is None or account.run != header.run):
        return _of_dead_run(log, report, header)
    newest = report.runs[-1] if report.runs else None
    if account is not None and (newest is None or _is_of(account, newest)):
        return _of_account(log, report, account)
    return _status(log, report, run=newest and newest.run, ended=newest and newest.ended)


def _is_of(account: Account, newest: RunSummary) -> bool:
    """Whether the account is of the newest run of the log, or of one that recorded nothing."""
    return account.run == newest.run or (newest.ended or "") <= account.ended


def _of_run_out_of_reach(log: Path, report: Report, header: Header) -> RunStatus:
    """A run that is at work, on another host or in another container."""
    told = {"pid": header.pid, "host": header.host or None, "since": header.at}
    return _status(log, report, running=True, run=header.run, **told)


def _of_dead_run(log: Path, report: Report, header: Header) -> RunStatus:
    """A run that has not put its journal away, and writes to it no more."""
    reason = "it died, or had no room for its account: the next run reads what it may have sent"
    ended = report.runs[-1].ended if report.runs else None
    return _status(log, report, run=header.run, ended=ended, reason=reason)


def _of_account(log: Path, report: Report, account: Account) -> RunStatus:
    ids = None if account.work is None else account.work.ids
    return _status(
        log,
        report,
        run=account.run,
        host=account.host,
        since=account.began,
        ended=account.ended,
        exit_code=account.exit_code,
        reason=account.reason,
        total=ids and ids.input,
        left=ids and ids.not_attempted,
    )


def _status(log: Path, report: Report, **told: Any) -> RunStatus:
    ids = report.total.ids
    unknown: dict[str, Any] = dict.fromkeys(RunStatus.__struct_fields__)
    return RunStatus(
        **unknown
        | {
            "running": False,
            "stopping": False,
            "results": str(log),
            "outcomes": {outcome.value: getattr(ids, outcome.value) for outcome in Outcome},
        }
        | told
    )


def _pass_over(_id: str) -> None:
    """Which ids are in doubt is not asked."""


def _path(results: Path) -> Path:
    log = Path(os.path.realpath(results))
    return log.with_name(log.name + SUFFIX)
