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
    "proxy_page",
    "acts_proxy_page",
)
_SPELLS: Final = (
    "refused",
    "503",
    "acts_503",
    "hang",
    "429",
    "acts_reset",
    "502",
    "late_502",
    "proxy_page",
    "acts_proxy_page",
)
_STATUSES: Final = ("started",) * 12 + ("missing", "cancelled", "abandoned", "rejected", "complete")


class SessionPlan(msgspec.Struct, frozen=True):
    """A session as it stands at first, and what befalls the first requests that name it."""

    id: str
    status: str = "started"
    treatments: tuple[str, ...] = ()


class Spell(msgspec.Struct, frozen=True):
    """A time in which every request meets the same trouble; seconds since the night began."""

    begin: float
    end: float
    kind: str


class RunPlan(msgspec.Struct, frozen=True):
    """What befalls one run: `dies_at_step` of its loop or `dies_at_operation` of its disk, with
    `power_cut` or without; `fails_at_operation` of the disk; signals at seconds after its start."""

    dies_at_step: int | None = None
    dies_at_operation: int | None = None
    power_cut: bool = False
    fails_at_operation: int | None = None
    signals_s: tuple[float, ...] = ()
    limit: int | None = None
    max_duration_s: float | None = None
    source_fails_after: int | None = None


class Scenario(msgspec.Struct, frozen=True):
    """A night: runs over one backlog and one log; the last is left in peace."""

    seed: int
    sessions: tuple[SessionPlan, ...]
    runs: tuple[RunPlan, ...] = ()
    spells: tuple[Spell, ...] = ()
    rate: float = 10.0
    concurrency: int = 4
    window: int = 8
    is_pipe: bool = False

    @property
    def kinds(self) -> set[str]:
        """The kinds of trouble that may befall a request."""
        own = {kind for session in self.sessions for kind in session.treatments}
        return own | {spell.kind for spell in self.spells}


def draw(seed: int) -> Scenario:
    """The night of a seed."""
    random = Random(seed)
    trouble = random.choice((0.0, 0.2, 0.6))
    count = random.choice((1, 2, 5, 10, 20, 40))
    concurrency = random.choice((1, 2, 8))
    return Scenario(
        seed=seed,
        sessions=tuple(_session(random, number, trouble) for number in range(count)),
        runs=tuple(_run(random) for _ in range(random.randint(0, 3))),
        spells=_spells(random),
        rate=random.choice((0.5, 2.0, 10.0, 10.0, 200.0)),
        concurrency=concurrency,
        window=concurrency * random.choice((1, 3)),
        is_pipe=random.random() < 0.3,
    )


def _session(random: Random, number: int, trouble: float) -> SessionPlan:
    treatments = []
    while random.random() < trouble:
        treatments.append(random.choice(TREATMENTS))
    return SessionPlan(f"{number:024x}", random.choice(_STATUSES), tuple(treatments))


def _run(random: Random) -> RunPlan:
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
            second = (first + random.uniform(0.6, 3.0),) if random.random() < 0.5 else ()
            return RunPlan(signals_s=(first, *second))
        case 6:
            return RunPlan(limit=random.randint(1, 5), source_fails_after=random.choice((None, 3)))
        case _:
            return RunPlan(max_duration_s=random.uniform(0.2, 20.0))


def _spells(random: Random) -> tuple[Spell, ...]:
    spells, time = [], 0.0
    while random.random() < 0.35:
        begin = time + random.uniform(0.0, 10.0)
        time = begin + random.choice((0.5, 5.0, 60.0, 2000.0))
        spells.append(Spell(begin, time, random.choice(_SPELLS)))
    return tuple(spells)
