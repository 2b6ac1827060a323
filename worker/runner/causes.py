"""Why a run ends before its input does, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from worker.api.verdict import Foreign
from worker.core.durations import format_duration
from worker.core.errors import (
    EXIT_PRECEDENCE,
    ExitCode,
    RefusedError,
    UnavailableError,
    WorkerError,
)
from worker.core.outcomes import Outcome
from worker.core.tally import Tally


class StoppedError(WorkerError):
    """The run ended where it was told to: at a deadline or a limit."""

    exit_code = ExitCode.STOPPED


def wrong_address(verdict: Foreign, answers: int) -> WorkerError:
    """The first `answers` answers were all something else's, the last of them `verdict`."""
    return RefusedError(
        f"the first {answers} answers were not the API's own ({verdict.error.message[:120]})",
        "The base URL looks wrong, or a proxy or a firewall answers in the API's place: correct"
        " --base-url (api.base_url), or let this machine through",
    )


def throttled_out() -> WorkerError:
    """Nothing but 429s for as long as patience lasts."""
    return UnavailableError(
        "the API throttled everything that was sent",
        "The account's rate limit or its monthly quota is exhausted: look at the account, then run"
        " the same command again",
    )


def too_long_a_wait(wait_s: float, patience_s: float) -> WorkerError:
    """All that is left has been told to wait, the first of it for `wait_s` seconds."""
    return UnavailableError(
        f"the API asks to wait {format_duration(round(wait_s))} before the rest is sent, which is"
        f" longer than --patience ({format_duration(patience_s)})",
        "Run the same command again then",
    )


def limit_reached(admitted: int) -> WorkerError:
    """The limit of `admitted` ids is used up, and there may be more."""
    return StoppedError(
        f"{admitted} ids were taken, as --limit says", "Run the same command again for the rest"
    )


def deadline_reached(name: str) -> WorkerError:
    """The time is over that the option `name` has set."""
    return StoppedError(
        f"the time that {name} gives is over", "Run the same command again for the rest"
    )


def defect(error: Exception) -> WorkerError:
    """An exception that nobody foresaw; the exception itself is the cause's `__cause__`."""
    cause = WorkerError(
        f"a defect of this program: {type(error).__name__}: {error}",
        "No outcome that was counted is lost: run the same command again, and report this",
    )
    cause.__cause__ = error
    return cause


def reason(cause: WorkerError | None, cut_off: int) -> str:
    """Why the run ended, in a sentence, and how many requests were cut off by that."""
    if cause is None or not cut_off:
        return cause.message if cause is not None else ""
    requests = f"{cut_off} request{'s were' if cut_off > 1 else ' was'} cut off"
    return f"{cause.message}; {requests}, and the next run reads those sessions first"


def exit_code(causes: Mapping[ExitCode, WorkerError], tally: Tally) -> ExitCode:
    """The first cause in the order of precedence; a sum that does not add up is a defect."""
    codes = {ExitCode.OK, *causes}
    if tally.outcomes[Outcome.FAILED]:
        codes.add(ExitCode.SOME_FAILED)
    if not tally.balanced or (tally.not_attempted and not causes):
        codes.add(ExitCode.DEFECT)
    return min(codes, key=EXIT_PRECEDENCE.index)
