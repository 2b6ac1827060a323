"""What happens in one simulated night, as plain values: drawn from a seed, and easily cut down."""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

TREATMENTS: Final = (
    "reset",
    "acts_reset",
    "503",
    "acts_503",
    "502",
    "acts_502",
    "503_wait",
    "acts_503_wait",
    "garbled",
    "acts_garbled",
    "hang",
    "acts_hang",
    "refused",
    "429",
    "429_wait",
    "late_502",
    "late_reset",
    "late_hang",
    "very_late_502",
    "proxy_page",
    "acts_proxy_page",
    "moved",
    "slow_connect",
    "unconnected",
    "stale",
)
_RARE: Final = ("401", "402", "403", "429_far", "503_far")
_SPELLS: Final = (
    "refused",
    "503",
    "acts_503",
    "hang",
    "429",
    "429_wait",
    "acts_reset",
    "502",
    "late_502",
    "proxy_page",
    "acts_proxy_page",
    "slow_connect",
    "stalled",
    "403",
)
LISTINGS: Final = ("true", "lags", "refused", "fails", "lies")
_WIDE: Final = 64
"""More than what may be in flight at first where the program chooses the number."""

_SECOND: Final = 0x68000000  # 2025-04-16
_STATUSES: Final = ("started",) * 12 + ("missing", "cancelled", "abandoned", "rejected", "complete")


class SessionPlan(msgspec.Struct, frozen=True):
    """A session as it stands at first, and what befalls the first requests that name it."""

    id: str
    status: str = "started"
    treatments: tuple[str, ...] = ()
    is_of_second_key: bool = False


class Spell(msgspec.Struct, frozen=True):
    """A time in which every request meets the same trouble; seconds since the night began."""

    begin: float
    end: float
    kind: str


class Rotation(msgspec.Struct, frozen=True):
    """A second key: since when the key file holds it, and since when the API refuses the first."""

    there_from: float
    refused_from: float


class RunPlan(msgspec.Struct, frozen=True):
    """What befalls one run: `dies_at_step` of its loop or `dies_at_operation` of its disk, with
    `power_cut` or without; `fails_at_operation` of the disk. At seconds after its start: signals;
    the wall clock is set, by how many seconds. `until_s`: --until names a time so far away. Without
    `suspects` stop.suspicious_after is none."""

    dies_at_step: int | None = None
    dies_at_operation: int | None = None
    power_cut: bool = False
    fails_at_operation: int | None = None
    signals_s: tuple[float, ...] = ()
    signal: str = "SIGTERM"
    limit: int | None = None
    max_duration_s: float | None = None
    until_s: float | None = None
    source_fails_after: int | None = None
    force: bool = False
    clock_set: tuple[tuple[float, float], ...] = ()
    suspects: bool = True


class Scenario(msgspec.Struct, frozen=True):
    """A night: runs over one backlog and one log; the last is left in peace.

    `conflicts`: the API answers 409 to what is completed. `closes`: it closes a connection after
    each answer. `listing`: what the list of sessions is like, if ids tell when they were made; None
    where they do not. `grows`: so many of the last ids are added while the source is read.
    """

    seed: int
    sessions: tuple[SessionPlan, ...]
    runs: tuple[RunPlan, ...] = ()
    spells: tuple[Spell, ...] = ()
    rate: float = 10.0
    concurrency: int | str = 4
    window: int = 8
    is_pipe: bool = False
    pipe_gap_s: float = 1.0
    grows: int = 0
    repeats: bool = False
    patience_s: float = 900.0
    max_attempts: int = 5
    on_ambiguous: str = "check"
    check_first: bool = False
    conflicts: bool = False
    closes: bool = False
    first_probe: int | None = None
    rotation: Rotation | None = None
    listing: str | None = None


def draw(seed: int) -> Scenario:
    """The night of a seed."""
    random = Random(seed)
    trouble = random.choice((0.0, 0.2, 0.6))
    count = random.choice((1, 2, 5, 10, 20, 40))
    concurrency = random.choice((1, 2, 8))
    is_pipe = random.random() < 0.3
    runs = tuple(_run(random) for _ in range(random.randint(0, 3)))
    scenario = Scenario(
        seed=seed,
        sessions=tuple(_session(random, number, trouble) for number in range(count)),
        runs=runs,
        spells=_spells(random),
        rate=random.choice((0.5, 2.0, 10.0, 10.0, 200.0)),
        concurrency=concurrency,
        window=concurrency * random.choice((1, 3)),
        is_pipe=is_pipe,
        pipe_gap_s=random.choice((0.1, 1.0, 16.0)),
        grows=0 if is_pipe else random.choice((0, 0, 0, 1, 10)),
        repeats=random.random() < 0.2,
        patience_s=random.choice((60.0, 300.0, 900.0)),
        max_attempts=random.choice((1, 2, 5, 5, 5)),
        on_ambiguous=random.choice((*("check",) * 10, "fail", "resend")),
        check_first=random.random() < 0.2,
        conflicts=random.random() < 0.3,
        closes=random.random() < 0.2,
        first_probe=random.choice((None, 10, 15)),
        rotation=_rotation(random),
    )
    listing = random.choice((None, *LISTINGS))
    if random.random() < 0.2:
        scenario = msgspec.structs.replace(scenario, concurrency="auto", window=_WIDE)
    return scenario if listing is None else listed(scenario, listing)


def listed(scenario: Scenario, listing: str) -> Scenario:
    """The night with ids that tell when their sessions were made, and with such a list of them."""
    per_second = Random(scenario.seed).choice((1, 2, 40))
    sessions = tuple(
        msgspec.structs.replace(session, id=f"{_SECOND + number // per_second:08x}{number:016x}")
        for number, session in enumerate(scenario.sessions)
    )
    return msgspec.structs.replace(scenario, sessions=sessions, listing=listing)


def _session(random: Random, number: int, trouble: float) -> SessionPlan:
    treatments = []
    while random.random() < trouble:
        kinds = TREATMENTS if random.random() < 0.99 else _RARE
        treatments.append(random.choice(kinds))
    is_of_second_key = random.random() < 0.05
    return SessionPlan(
        f"{number:024x}", random.choice(_STATUSES), tuple(treatments), is_of_second_key
    )


def _run(random: Random) -> RunPlan:
    """One way to end, and now and then a flag, or a clock that is set."""
    return msgspec.structs.replace(
        _end(random),
        force=random.random() < 0.05,
        clock_set=_clock_set(random),
    )


def _end(random: Random) -> RunPlan:
    power_cut = random.random() < 0.5
    match random.randrange(8):
        case 0 | 1:
            steps = int(10 ** random.uniform(0.5, 3.3))
            return RunPlan(dies_at_step=steps, power_cut=power_cut)
        case 2 | 3:
            return RunPlan(dies_at_operation=random.randint(1, 30), power_cut=power_cut)
        case 4:
            return RunPlan(fails_at_operation=random.randint(1, 20))
        case 5:
            first = random.uniform(0.0, 5.0)
            second = (first + random.uniform(0.1, 3.0),) if random.random() < 0.5 else ()
            number = random.choice(("SIGTERM", "SIGINT", "SIGHUP"))
            return RunPlan(signals_s=(first, *second), signal=number)
        case 6:
            return RunPlan(limit=random.randint(1, 5), source_fails_after=random.choice((None, 3)))
        case _ if random.random() < 0.3:
            return RunPlan(until_s=random.uniform(0.0, 90.0))
        case _:
            return RunPlan(max_duration_s=random.uniform(0.2, 20.0))


def _rotation(random: Random) -> Rotation | None:
    if random.random() < 0.85:
        return None
    there_from = random.uniform(0.0, 20.0)
    return Rotation(there_from, there_from + random.uniform(-2.0, 10.0))


def _clock_set(random: Random) -> tuple[tuple[float, float], ...]:
    if random.random() < 0.9:
        return ()
    return ((random.uniform(0.0, 10.0), random.choice((-86400.0, -3600.0, -30.0, 0.5, 3600.0))),)


def _spells(random: Random) -> tuple[Spell, ...]:
    spells, time = [], 0.0
    while random.random() < 0.35:
        begin = time + random.uniform(0.0, 10.0)
        time = begin + random.choice((0.5, 5.0, 60.0, 2000.0))
        spells.append(Spell(begin, time, random.choice(_SPELLS)))
    return tuple(spells)
