"""What happens to several runs at once, as plain values drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec

from tests.proofs.simulation.scenario import TREATMENTS, RunPlan, Scenario, SessionPlan, Spell
from tests.proofs.simulation.shrink import smaller as smaller_base


class MemberPlan(msgspec.Struct, frozen=True):
    """One process: when it begins, what befalls it, when it stands still (SIGSTOP) and for how
    long; whether it is begun anew, with its log, once it has ended before the queue has."""

    starts_at: float = 0.0
    run: RunPlan = RunPlan()
    stands_still: tuple[float, float] | None = None
    begins_anew: bool = False


class RedisPlan(msgspec.Struct, frozen=True):
    """`trouble` is the share of calls that are refused, or whose answer is lost, or late. When the
    server is away, from and to. How far its clock is off, when and by how much it is set."""

    trouble: float = 0.0
    latency_s: float = 0.001
    away: tuple[tuple[float, float], ...] = ()
    clock_off_s: float = 0.0
    clock_set: tuple[float, float] | None = None


class ClusterScenario(msgspec.Struct, frozen=True):
    """`base` says what one run alone would be told, its `runs` aside."""

    base: Scenario
    members: tuple[MemberPlan, ...]
    redis: RedisPlan = RedisPlan()

    @property
    def is_smooth(self) -> bool:
        """Whether permits of the budget are never held up between Redis and their use."""
        is_still = any(member.stands_still is not None for member in self.members)
        redis = self.redis
        return not (is_still or redis.trouble or redis.away or redis.clock_set)


def draw(seed: int) -> ClusterScenario:
    """The night of a seed."""
    random = Random(seed)
    trouble = random.choice((0.0, 0.1, 0.4))
    count = random.choice((1, 3, 10, 25))
    base = Scenario(
        seed=seed,
        sessions=tuple(_session(random, number, trouble) for number in range(count)),
        spells=_spells(random),
        rate=random.choice((2.0, 10.0, 10.0, 50.0)),
        concurrency=random.choice((1, 2, 8)),
        patience_s=random.choice((300.0, 900.0)),
        conflicts=random.random() < 0.2,
    )
    members = tuple(_member(random) for _ in range(random.randint(1, 4)))
    return ClusterScenario(base, members, _redis(random))


def _session(random: Random, number: int, trouble: float) -> SessionPlan:
    treatments = []
    while random.random() < trouble:
        treatments.append(random.choice(TREATMENTS))
    status = random.choice(("started",) * 8 + ("missing", "cancelled", "complete"))
    return SessionPlan(f"{number:024x}", status, tuple(treatments))


def _member(random: Random) -> MemberPlan:
    starts_at = random.choice((0.0, random.uniform(0.0, 5.0), random.uniform(0.0, 120.0)))
    still = (random.uniform(0.0, 20.0), random.choice((2.0, 40.0, 100.0, 400.0)))
    return MemberPlan(
        starts_at,
        _end(random),
        stands_still=still if random.random() < 0.3 else None,
        begins_anew=random.random() < 0.4,
    )


def _end(random: Random) -> RunPlan:
    match random.randrange(6):
        case 0 | 1:
            return RunPlan(dies_at_step=int(10 ** random.uniform(0.5, 3.5)))
        case 2:
            return RunPlan(dies_at_operation=random.randint(1, 20))
        case 3:
            first = random.uniform(0.0, 10.0)
            second = (first + random.uniform(0.6, 3.0),) if random.random() < 0.5 else ()
            return RunPlan(signals_s=(first, *second))
        case 4:
            return RunPlan(limit=random.randint(1, 10))
        case _:
            return RunPlan()


def _redis(random: Random) -> RedisPlan:
    away: list[tuple[float, float]] = []
    if random.random() < 0.3:
        begin = random.uniform(0.0, 20.0)
        away.append((begin, begin + random.choice((1.0, 10.0, 120.0))))
    is_set = random.random() < 0.2
    return RedisPlan(
        trouble=random.choice((0.0, 0.0, 0.02, 0.2)),
        latency_s=random.choice((0.0002, 0.005, 0.05)),
        away=tuple(away),
        clock_off_s=random.choice((0.0, -3600.0, 86400.0)),
        clock_set=(random.uniform(0.0, 60.0), random.uniform(-30.0, 5.0)) if is_set else None,
    )


def _spells(random: Random) -> tuple[Spell, ...]:
    if random.random() < 0.7:
        return ()
    begin = random.uniform(0.0, 20.0)
    kind = random.choice(("refused", "503", "acts_reset", "502", "late_502", "429", "hang"))
    return (Spell(begin, begin + random.choice((1.0, 10.0, 100.0)), kind),)


def smaller(scenario: ClusterScenario) -> Iterator[ClusterScenario]:
    """Scenarios with a part less, or a simpler one."""
    replace, members = msgspec.structs.replace, scenario.members
    for index, member in enumerate(members):
        before, behind = members[:index], members[index + 1 :]
        if len(members) > 1:
            yield replace(scenario, members=before + behind)
        if member.stands_still is not None:
            simpler = replace(member, stands_still=None)
            yield replace(scenario, members=(*before, simpler, *behind))
        if member.run != RunPlan():
            simpler = replace(member, run=RunPlan())
            yield replace(scenario, members=(*before, simpler, *behind))
    for plain in (RedisPlan(), replace(scenario.redis, trouble=0.0)):
        if plain != scenario.redis:
            yield replace(scenario, redis=plain)
    for base in smaller_base(scenario.base):
        yield replace(scenario, base=base)
