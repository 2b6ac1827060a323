"""Limiters of many kinds, with and without jitter: what gets through, and what is refused."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.backends import Open, behind_nginx, limited
from tests.bench.contenders import UVLOOP, Contender, Job, paced, write_ids
from tests.bench.effort import Effort
from tests.bench.figures import Request, refused_share, within
from tests.bench.process import BenchError, run
from tests.bench.rounds import report
from tests.bench.table import Column, Row, Table, Target
from tests.bench.tools import why_missing
from worker.core.errors import ExitCode

_ENDS = (0, ExitCode.STOPPED, -signal.SIGKILL, -signal.SIGTERM)
_KILL_AFTER_S = 5.0
_PEERS = {"curl": "curl --rate", "parallel": "GNU parallel --delay, curl"}
_PEERS["official"] = "official client, sleep"
_OWN = "own"
_HALVED_AT_S, _BACK_AT_S, _ADAPT_S = 60.0, 150.0, 30.0
_FAST = 100
_FAST_SETTLE_S, _FAST_S = 5.0, 20.0
"""At hundreds a second less time tells as much, and rounds at the same time would use it up."""

_OTHERS_RATE = 10
"""Where others are measured beside: curl for each id is too dear for more."""


@dataclass(frozen=True)
class Scene:
    """What is to be reached, of `could` a second: a share, and at most so much refused.

    `rate` is what is asked for; `settle_s`: from when on, if not from `effort.settle_s`;
    `is_changing`: the limit is halved, and comes back.
    """

    server: Open
    share: float
    refused: float
    could: float = 10.0
    rate: int = 10
    settle_s: float | None = None
    is_changing: bool = False

    @property
    def is_fast(self) -> bool:
        return self.rate >= _FAST

    def effort(self, given: Effort) -> Effort:
        """How much of it is measured."""
        settle_s = given.settle_s if self.settle_s is None else min(given.settle_s, self.settle_s)
        if not self.is_fast:
            return replace(given, settle_s=settle_s)
        return replace(
            given, settle_s=min(settle_s, _FAST_SETTLE_S), scene_s=min(given.scene_s, _FAST_S)
        )


def _scenes() -> dict[str, Scene]:
    scenes: dict[str, Scene] = {}
    for jitter_ms, sliding, fixed, strict in ((0, 0.99, 0.99, 0.99), (30, 0.955, 0.97, 0.75)):
        scenes |= _jittered(jitter_ms, sliding, fixed, strict)
    scenes |= _jittered(100, 0.89, 0.95, 0.5)
    for share, reached in ((0.01, 0.93), (0.05, 0.8)):
        scenes[f"{share:.0%} shed"] = Scene(limited(f"shed:{share}"), reached, share * 1.4)
    for limit in (8, 5, 2):
        scenes[f"sliding, {limit}/s"] = Scene(limited(f"sliding:{limit}"), 0.92, 0.05, limit)
    changing = limited("sliding:10", then=((_HALVED_AT_S, 5), (_BACK_AT_S, 10)))
    scenes["sliding, 10, 5, 10/s"] = Scene(changing, 0.9, 0.05, is_changing=True)
    slow = limited("none", latency_s=6.0)
    scenes["6 s an answer"] = Scene(slow, 0.93, 0.0, settle_s=20.0)
    for rate, share in ((10, 0.1), (40, 0.02)):
        hanging = limited("none", hang=share)
        could = rate * (1 - share)
        scenes[f"{share:.0%} hang, {rate}/s"] = Scene(hanging, 0.9, 0.0, could, rate)
    for rate in (100, 500):
        server = behind_nginx(rate, rate // 10, jitter_ms=30)
        scenes[f"bucket, {rate}/s, 30 ms"] = Scene(server, 0.97, 0.005, rate, rate)
    return scenes


def _jittered(jitter_ms: int, sliding: float, fixed: float, strict: float) -> dict[str, Scene]:
    way = f", {jitter_ms} ms" if jitter_ms else ""
    return {
        f"sliding{way}": Scene(limited("sliding:10", jitter_ms=jitter_ms), sliding, 0.01),
        f"fixed{way}": Scene(limited("fixed:10", jitter_ms=jitter_ms), fixed, 0.01),
        f"bucket{way}": Scene(behind_nginx(10, 9, jitter_ms=jitter_ms), 0.99, 0.005),
        f"no burst{way}": Scene(behind_nginx(10, 0, jitter_ms=jitter_ms), strict, 0.02),
    }


SCENES = _scenes()


def scenes(effort: Effort, directory: Path) -> Table:
    """Rounds run at the same time, each with a server of its own: they hardly use the machine."""
    names = [name for name in SCENES if effort.scenes is None or name in effort.scenes]
    table = _table(names, effort)
    for number, name in enumerate(names):
        report(f"scene {number + 1} of {len(names)}: {name}")
        try:
            _measure(name, table, effort, directory / str(number))
        except BenchError as error:
            table.row(name).failed = str(error)
    return table


def _table(names: Sequence[str], effort: Effort) -> Table:
    columns = [_share_column(_OWN, "complete-sessions"), _refused_column(_OWN)]
    for key, name in _PEERS.items():
        columns += [_share_column(key, name), _refused_column(key)]
    targets = [Target(name, "own_share", ">=", SCENES[name].share) for name in names]
    targets += [Target(name, "own_refused", "<=", SCENES[name].refused) for name in names]
    title = (
        "limiters, each asked for 10 a second or what their name says: accepted, share of what "
        f"could be had, and answered 429, from {effort.settle_s:g} s after the first request on "
        f"for {effort.scene_s:g} s; others in one round"
    )
    return Table("scenes", title, columns, [Row(name) for name in names], targets)


def _share_column(key: str, name: str) -> Column:
    return Column(f"{key}_share", name, places=3)


def _refused_column(key: str) -> Column:
    return Column(f"{key}_refused", "429", places=1, percent=True)


def _measure(name: str, table: Table, effort: Effort, directory: Path) -> None:
    scene, row = SCENES[name], table.row(name)
    directory.mkdir()
    effort = scene.effort(effort)
    seconds = _BACK_AT_S + 2 * _ADAPT_S if scene.is_changing else effort.settle_s + effort.scene_s
    ids = write_ids(directory / "ids.txt", round(scene.rate * seconds * 1.1) + 10)
    entries = [(_OWN, round_) for round_ in range(effort.rounds_or(3))]
    if scene.rate <= _OTHERS_RATE:
        entries += [(key, 0) for key in _PEERS]
    contenders = {each.name: each for each in paced(seconds)}

    def one(entry: tuple[str, int]) -> list[Request]:
        key, round_ = entry
        contender = contenders[_PEERS.get(key, UVLOOP)]
        return _send(scene, contender, ids, directory / f"{key}{round_}", seconds)

    with ThreadPoolExecutor(1 if scene.is_fast else len(entries)) as pool:
        for entry, requests in zip(entries, pool.map(one, entries), strict=True):
            if requests:
                share, refused = judge(requests, scene, effort)
                row.add(**{f"{entry[0]}_share": share, f"{entry[0]}_refused": refused})
            if entry == (_OWN, 0):
                table.timelines[name] = timeline(requests, seconds)


def _send(
    scene: Scene, contender: Contender, ids: Path, directory: Path, seconds: float
) -> list[Request]:
    """What arrived; nothing where the contender is not installed."""
    if why_missing(contender.needs):
        return []
    directory.mkdir()
    with scene.server(directory / "server") as server:
        job = Job(server.url, ids, directory, scene.rate)
        run(contender.command(job), directory, timeout_s=seconds + _KILL_AFTER_S).must_be(*_ENDS)
        return server.requests()


def judge(requests: Sequence[Request], scene: Scene, effort: Effort) -> tuple[float, float]:
    """Of what could be had, the share that was accepted, and of what was sent, that refused."""
    began_at = requests[0].at
    if scene.is_changing:
        shares = [
            _share(requests, began_at + _ADAPT_S, _HALVED_AT_S - _ADAPT_S, 10.0),
            _share(requests, began_at + _HALVED_AT_S + _ADAPT_S, 60.0, 5.0),
            _share(requests, began_at + _BACK_AT_S + _ADAPT_S, _ADAPT_S - 2.0, 10.0),
        ]
        return min(shares), refused_share(requests)
    since = began_at + effort.settle_s
    share = _share(requests, since, effort.scene_s, scene.could)
    return share, refused_share(within(requests, since, effort.scene_s))


def _share(requests: Sequence[Request], since: float, seconds: float, could: float) -> float:
    seen = within(requests, since, seconds)
    return sum(request.status == 200 for request in seen) / seconds / could


def timeline(requests: Sequence[Request], seconds: float) -> list[tuple[int, int]]:
    """Accepted and not accepted in each second after the first request."""
    counts = [(0, 0)] * (int(seconds) + 1)
    for request in requests:
        second = int(request.at - requests[0].at)
        if second < len(counts):
            accepted, refused = counts[second]
            is_accepted = request.status == 200
            counts[second] = (accepted + is_accepted, refused + (not is_accepted))
    return counts
