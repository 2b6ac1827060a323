"""The benchmark's statistics and tables, and that every part of it runs. No timing decides."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.contenders import Contender
from tests.bench.figures import (
    Cost,
    Request,
    accepted_per_s,
    bytes_per_id,
    cpu_us_per_id,
    ids_per_s,
    next_success_s,
    ratios,
    recovery_s,
    refused_share,
    spread,
)
from tests.bench.neighbour import Phases
from tests.bench.neighbour import judge as judge_neighbour
from tests.bench.nginx import Nginx, nginx, parse
from tests.bench.outage import Outage
from tests.bench.outage import judge as judge_outage
from tests.bench.plot import draw
from tests.bench.process import BenchError, Command, python, run
from tests.bench.rounds import in_turn
from tests.bench.table import Column, Row, Table, Target, judged, render
from tests.bench.tools import find, why_missing
from worker.core.errors import ExitCode

needs_nginx = pytest.mark.skipif(find("nginx") is None, reason="nginx is not installed")


def even(count: int, gap_s: float, *, start: float = 100.0, status: int = 200) -> list[Request]:
    return [Request(start + number * gap_s, status, "worker") for number in range(count)]


def table(*rows: Row, targets: tuple[Target, ...] = ()) -> Table:
    columns = [Column("share", "share of all", places=1, percent=True), Column("cpu", "CPU, s")]
    return Table("name", "what it is", columns, list(rows), targets)


# --- statistics ---------------------------------------------------------------------------------


def test_a_spread_is_the_median_between_the_lowest_and_the_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_even_requests_are_accepted_at_their_rate() -> None:
    assert accepted_per_s(even(300, 0.1), 30.0) == pytest.approx(10.0)


def test_what_was_refused_is_not_counted_as_accepted() -> None:
    requests = sorted(even(11, 0.2) + even(10, 0.2, start=100.1, status=429))
    assert accepted_per_s(requests, 30.0) == pytest.approx(5.0)
    assert refused_share(requests) == pytest.approx(10 / 21)


def test_requests_after_the_window_change_no_rate() -> None:
    assert accepted_per_s(even(11, 0.1) + even(1, 0.1, start=900.0), 30.0) == pytest.approx(10.0)


def test_nothing_sent_is_nothing_accepted_and_nothing_refused() -> None:
    assert accepted_per_s([], 30.0) == 0.0
    assert refused_share([]) == 0.0


def test_what_starting_costs_falls_out() -> None:
    small, large = Cost(1_000, 0.5 + 0.1, 2.0), Cost(11_000, 0.5 + 1.1, 4.0)
    assert cpu_us_per_id(small, large) == pytest.approx(100.0)
    assert ids_per_s(small, large) == pytest.approx(5_000)
    assert bytes_per_id((1_000, 50_000), (2_000, 150_000)) == 100.0


def test_recovery_is_dated_from_where_the_rate_is_held() -> None:
    slow, fast = [number * 0.5 for number in range(20)], [10 + number * 0.1 for number in range(99)]
    assert recovery_s([*slow, *fast], 2.0, 9.5, 5.0) == pytest.approx(8.0, abs=0.6)
    assert recovery_s(slow, 2.0, 9.5, 5.0) == math.inf


def test_the_next_success_is_looked_for_after_the_return() -> None:
    assert next_success_s([1.0, 7.5, 9.0], 6.0) == 1.5
    assert next_success_s([1.0], 6.0) == math.inf


def test_each_phase_beside_the_customers_is_judged_by_itself() -> None:
    phases = Phases(shared_s=10.0, alone_s=10.0, crowded_s=10.0)
    customers = [Request(100 + number / 4, 200, "customers") for number in range(40)]
    worker = [*even(61, 1 / 6), *even(100, 0.1, start=110.0), *even(1, 1, start=125, status=429)]
    figures = judge_neighbour([*customers, *worker], phases)
    assert figures["accepted"] == pytest.approx(6.0, rel=0.02)
    assert (figures["refused"], figures["customers"]) == (0.0, 0.0)
    assert figures["back_s"] < 1.0
    assert figures["per_minute"] == 6.0


def test_an_outage_is_judged_by_outcomes_failed_requests_and_the_next_success() -> None:
    records = [
        {"id": "a", "outcome": "failed", "at": "2026-11-23T01:00:00.000Z"},
        {"id": "a", "outcome": "processing", "at": "2026-11-23T01:00:09.000Z"},
        {"id": "b", "outcome": "failed", "at": "2026-11-23T01:00:10.000Z"},
    ]
    events = [{"event": "retry_scheduled"}, {"event": "outage_began"}, {"event": "outcome_failed"}]
    returns_at = 1795395607.0
    assert judge_outage(3, records, events, returns_at) == {"failed": 2, "sent": 2, "back_s": 2.0}


def test_a_flapping_server_is_down_every_other_time() -> None:
    assert Outage(5.0, 15.0).spans(flapping=False) == [(5.0, 15.0)]
    assert Outage(5.0, 15.0).spans(flapping=True) == [(5.0, 7.0), (9.0, 11.0)]


# --- tables -------------------------------------------------------------------------------------


def test_a_cell_shows_the_median_and_the_spread_where_there_is_one() -> None:
    shown = render(table(Row("own", {"share": [0.5, 0.25, 0.75], "cpu": [1200.0]})))
    assert "| own | 50.0 % (25.0 % to 75.0 %) | 1,200  |" in shown


def test_a_contender_that_is_missing_or_failed_is_named_with_the_reason() -> None:
    failed = Row("other", {"share": [0.5]}, failed="exited with 70")
    shown = render(table(Row("peer", skipped="curl is not installed"), failed))
    assert "| peer  | skipped: curl is not installed |" in shown
    assert "| other | failed: exited with 70 " in shown


@pytest.mark.parametrize(
    ("sense", "value", "met"),
    [
        (">=", 0.5, True),
        (">=", 0.4, False),
        ("<", 0.5, False),
        ("<=", 0.5, True),
        ("<=", math.inf, False),
    ],
)
def test_a_target_is_held_against_the_median(sense: str, value: float, met: bool) -> None:
    target = Target("own", "share", sense, 0.5)  # type: ignore[arg-type]
    measured = table(Row("own", {"share": [value]}), targets=(target,))
    assert judged(measured, target) is met
    assert ("NOT MET" in render(measured)) is not met
    json.dumps(measured.raw(), allow_nan=False)


def test_a_target_without_a_figure_is_neither_met_nor_missed() -> None:
    target = Target("own", "share", "<", 0.5)
    assert judged(table(Row("own")), target) is None
    assert "not measured: own" in render(table(Row("own"), targets=(target,)))


# --- what is measured ---------------------------------------------------------------------------


def test_a_line_of_the_servers_log_holds_time_status_and_who() -> None:
    assert parse("1795395607.123 429 curl/7.88.1 x\n") == (1795395607.123, 429, "curl/7.88.1 x")


def test_rounds_go_there_and_back_and_end_for_whoever_fails(tmp_path: Path) -> None:
    met = []

    def measure(contender: Contender, row: Row, own: Path) -> None:
        assert own.is_dir()
        met.append(contender.name)
        if contender.name == "b":
            raise BenchError("exited with 70")

    others = [Contender(name, lambda job: Command([])) for name in "abc"]
    missing = Contender("d", lambda job: Command([]), needs=("no-such-program",))
    rows = in_turn([*others, missing], measure, 2, tmp_path)
    assert met == ["a", "b", "c", "c", "a"]
    assert [row.absent for row in rows[1::2]] == [
        "failed: exited with 70",
        "skipped: no-such-program is not installed",
    ]


def test_a_module_may_be_missing_too() -> None:
    assert why_missing(["python:no_such_module"]) == "the module no_such_module is not installed"
    assert why_missing(["python:json"]) == ""


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    sleeper = Command(python("-c", "import time; time.sleep(60)"))
    finished = run(sleeper, tmp_path, timeout_s=0.1)
    assert finished.code == -9
    with pytest.raises(BenchError, match="exited with -9"):
        finished.must_be(ExitCode.OK)


def test_a_childs_own_children_are_counted(tmp_path: Path) -> None:
    burner = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burner!r}])"
    assert run(Command(python("-c", script)), tmp_path, timeout_s=30).cpu_s >= 0.3


@needs_nginx
def test_the_server_counts_and_does_not_count_the_questions(tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", logged=False) as server:
        assert [server.count(), server.count()] == [0, 0]
        assert server.requests() == []


def logged(server: Nginx) -> list[Request]:
    """All that the server has counted: it logs a request after its answer has left."""
    ends_at = time.monotonic() + 10
    while len(requests := server.requests()) < server.count() and time.monotonic() < ends_at:
        time.sleep(0.01)
    return requests


def test_what_was_compared_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = (Row("own", {"cpu": [1.0, 2.0]}), Row("peer", skipped="curl is not installed"))
    drawn = replace(table(*rows), plotted="cpu")
    assert draw([drawn], tmp_path / "figures.svg")
    assert "</svg>" in (tmp_path / "figures.svg").read_text()
    assert not draw([table(*rows)], tmp_path / "none.svg")
