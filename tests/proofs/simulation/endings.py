"""How a run may end: which exit code with which sentence, and what must have happened for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.proofs.simulation.checks import Violation, expect
from worker.core.errors import EXIT_PRECEDENCE, ExitCode
from worker.core.events import RunFinished
from worker.core.outcomes import Outcome

if TYPE_CHECKING:
    from tests.proofs.simulation.run import Facts

_INSTANT_S: Final = 0.002
_FOREIGN_AT_FIRST: Final = 5
_SUSPICIOUS: Final = 20


class _Ending(NamedTuple):
    """`sentence` is a pattern; `is_earned` says whether the run gave cause for it."""

    code: ExitCode
    sentence: str
    is_earned: Callable[[Facts], bool]


def _has_outcomes(facts: Facts, least: int) -> bool:
    return facts.finished is not None and facts.finished.tally.recorded >= least


def _waited_in_vain(facts: Facts, seconds: float) -> bool:
    """Whether patience ended, or the API asked to wait for longer than that."""
    patience_s = facts.settings.stop.patience
    return seconds + facts.witness.longest_wait_s >= patience_s - _INSTANT_S


_ENDINGS: Final = (
    _Ending(
        ExitCode.REFUSED,
        "the API refuses this key or account: HTTP 40[123]",
        lambda facts: bool(facts.witness.refusals),
    ),
    _Ending(
        ExitCode.REFUSED,
        "answers were not the API's own",
        lambda facts: facts.witness.foreign_at_first >= _FOREIGN_AT_FIRST,
    ),
    _Ending(
        ExitCode.REFUSED,
        "none of the first 20 ids was found|all of the first 20 ids failed for one reason",
        lambda facts: _has_outcomes(facts, _SUSPICIOUS),
    ),
    _Ending(
        ExitCode.UNAVAILABLE,
        "stayed unavailable for longer than --patience|something else answered in the API's place",
        lambda facts: _waited_in_vain(facts, facts.witness.longest_silence_s),
    ),
    _Ending(
        ExitCode.UNAVAILABLE,
        "the API throttled everything",
        lambda facts: _waited_in_vain(
            facts, max(facts.witness.longest_throttle_s, facts.witness.longest_unserved_s)
        ),
    ),
    _Ending(
        ExitCode.UNAVAILABLE,
        "the API asks to wait .* longer than --patience",
        lambda facts: facts.witness.longest_wait_s > facts.settings.stop.patience,
    ),
    _Ending(
        ExitCode.UNAVAILABLE,
        "Redis stayed unavailable",
        lambda facts: facts.may_miss_redis,
    ),
    _Ending(
        ExitCode.STOPPED,
        "ids were taken, as --limit says",
        lambda facts: facts.plan.limit is not None,
    ),
    _Ending(
        ExitCode.STOPPED,
        "the time that --max-duration gives is over",
        lambda facts: facts.plan.max_duration_s is not None,
    ),
    _Ending(
        ExitCode.STOPPED,
        "the time that --until gives is over",
        lambda facts: facts.plan.until_s is not None,
    ),
    _Ending(ExitCode.INPUT_UNREADABLE, "breaks off", lambda facts: facts.source_failed),
    _Ending(ExitCode.LOG_UNWRITABLE, ".", lambda facts: facts.disk_failed),
    _Ending(ExitCode.INTERRUPTED, "SIGINT was received", lambda facts: _heard(facts, "SIGINT")),
    _Ending(ExitCode.TERMINATED, "SIGTERM was received", lambda facts: _heard(facts, "SIGTERM")),
    _Ending(ExitCode.TERMINATED, "SIGHUP was received", lambda facts: _heard(facts, "SIGHUP")),
    _Ending(ExitCode.SOME_FAILED, "^$", lambda facts: True),
    _Ending(ExitCode.OK, "^$", lambda facts: True),
)


def check(facts: Facts) -> None:
    """Hold a run's exit code and its sentence against what the run met."""
    finished = facts.finished
    if finished is None:
        return
    told = f"exit code {finished.exit_code}: {finished.reason!r}"
    expect(any(_fits(ending, facts, finished) for ending in _ENDINGS), f"no cause for {told}")
    tally = finished.tally
    is_rest = not finished.complete_input or tally.not_attempted or tally.outcomes[Outcome.FAILED]
    expect(finished.exit_code is not ExitCode.STOPPED or is_rest, f"{told}, and nothing is left")
    for code in _certain(facts, finished):
        if EXIT_PRECEDENCE.index(finished.exit_code) > EXIT_PRECEDENCE.index(code):
            raise Violation(f"{told}, and it should be {code}")


def _fits(ending: _Ending, facts: Facts, finished: RunFinished) -> bool:
    is_so = ending.code is finished.exit_code and re.search(ending.sentence, finished.reason)
    return bool(is_so) and ending.is_earned(facts)


def _heard(facts: Facts, name: str) -> bool:
    return facts.signalled_at is not None and facts.plan.signal == name


def _certain(facts: Facts, finished: RunFinished) -> Iterator[ExitCode]:
    """The codes that have a cause for sure; another may go before them."""
    tally = finished.tally
    if tally.outcomes[Outcome.FAILED]:
        yield ExitCode.SOME_FAILED
    if facts.source_failed:
        yield ExitCode.INPUT_UNREADABLE
    if facts.disk_failed:
        yield ExitCode.LOG_UNWRITABLE
    # What refuses a read ahead is taken for the list's own refusal: the next request tells.
    is_read_ahead = facts.settings.retry.check_first
    if facts.witness.is_refused or (facts.witness.refusals and not is_read_ahead):
        yield ExitCode.REFUSED
    if facts.signalled_at is not None and facts.ended_at > facts.signalled_at + _INSTANT_S:
        is_interrupt = facts.plan.signal == "SIGINT"
        yield ExitCode.INTERRUPTED if is_interrupt else ExitCode.TERMINATED
    if tally.not_attempted:
        yield ExitCode.STOPPED
