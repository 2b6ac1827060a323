"""The bar: what it says, that it fits, and that it leaves no trace."""

from __future__ import annotations

import io
import os
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from tests.support.sample_events import (
    EIGHT,
    HandClock,
    finished,
    outage_began,
    outage_ended,
    retry_scheduled,
    started,
    stop_requested,
    survived_trouble,
    tally,
    ticked,
)
from worker.core.errors import ExitCode
from worker.core.events import Event, Pause, PauseReason, Snapshot, Ticked
from worker.core.outcomes import Error, Outcome
from worker.core.timetable import parse_timetable
from worker.observers import progress
from worker.observers.estimate import Estimate
from worker.observers.logs import LogObserver, configure
from worker.observers.messages import away
from worker.observers.progress import Part, ProgressBar, View, can_show, draw, fit

BUSY = tally(12_000, 300, 45)
SOME_COUNT = st.integers(0, 10**9)


def lines(event: Ticked, width: int = 200, **rest: object) -> list[str]:
    view = View(event.snapshot, **rest)  # type: ignore[arg-type]
    return [line.plain for line in draw(view, width)]


class Screen:
    """A console that believes it is a terminal, and what a run showed on it."""

    def __init__(self, width: int = 80, **environment: str) -> None:
        self.stream = io.StringIO()
        self.console = Console(
            file=self.stream,
            force_terminal=True,
            width=width,
            _environ={"TERM": "xterm-256color", **environment},
        )

    @property
    def raw(self) -> str:
        return self.stream.getvalue()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.raw)

    def show(self, *events: Event) -> None:
        with ProgressBar(self.console, HandClock()) as bar:
            for event in events:
                bar.notice(event)


# --- what it says -------------------------------------------------------------------------------


def test_says_how_far_it_is_in_words_and_numbers() -> None:
    first, second = lines(ticked(BUSY, total=100_000, elapsed_s=754), eta_s=9960.0)
    assert first.endswith("12,345 of 100,000 · 12 % · 2h 46m left · 12m 34s so far")
    assert second.startswith("processing 12,000 · not found 300 · failed 45 · 7.83 of 8 requests/s")


def test_bar_shows_the_share_without_colours() -> None:
    first, _ = lines(ticked(tally(500), total=1000))
    assert first.count("━") == first.count("─") == 30


def test_unknown_total_has_a_count_and_no_bar() -> None:
    first, _ = lines(ticked(BUSY, total=None))
    assert first == "12,345 done · 10s so far"


def test_more_done_than_was_foreseen_is_still_all() -> None:
    first, _ = lines(ticked(BUSY, total=12_000))
    assert " 100 % " in first
    assert "─" not in first


def test_retries_settled_ids_and_duplicates_show_where_there_are_any() -> None:
    counted = tally(5)
    _, without = lines(ticked(counted))
    counted.settled, counted.duplicates = 7, 3
    _, second = lines(ticked(counted, waiting=4))
    assert second.endswith("waiting for a retry 4 · in flight 12 · settled before 7 · duplicates 3")
    assert without.endswith("requests/s · in flight 12")


def test_a_number_in_flight_that_bounds_the_rate_is_named_beside_it() -> None:
    _, second = lines(ticked(BUSY, concurrency_bound=32), 79)
    assert second == "processing 12,000 · failed 45 · 7.83 of 8 requests/s, bound by 32 in flight"


def test_pause_says_why_how_long_and_until_when() -> None:
    screen = Screen(width=120)
    screen.show(outage_began(), ticked(pause=Pause(PauseReason.OUTAGE, 42.0)))
    until = HandClock().utc().replace(minute=17).astimezone().strftime("%H:%M")
    assert f"paused: API down · again in 42s · gives up at {until} · " in screen.text


def test_probe_under_way_and_the_end_of_a_pause_show() -> None:
    screen = Screen(width=120)
    screen.show(outage_began(), ticked(pause=Pause(PauseReason.THROTTLED, 0.0)))
    assert "paused: throttled · trying now · gives up" in screen.text
    after = Screen(width=120)
    after.show(outage_began(), outage_ended(), ticked(), ticked(pause=Pause(PauseReason.OUTAGE, 1)))
    assert "gives up" not in after.text


@pytest.mark.parametrize("reason", PauseReason)
def test_every_reason_of_a_pause_has_its_words(reason: PauseReason) -> None:
    _, second = lines(ticked(pause=Pause(reason, 1.0)))
    assert second.startswith("paused: ")
    assert away(reason) != reason


def test_stop_shows_at_once_and_says_what_another_ctrl_c_does() -> None:
    screen = Screen()
    screen.show(ticked(), stop_requested())
    assert "stopping: 12 in flight, Ctrl-C again stops at once" in screen.text


def test_stop_by_a_deadline_does_not_speak_of_another_ctrl_c() -> None:
    screen = Screen()
    screen.show(ticked(), stop_requested(ExitCode.STOPPED), ticked(draining=True))
    assert "stopping: 12 in flight · processing" in screen.text
    assert "Ctrl-C" not in screen.text


# --- that it fits -------------------------------------------------------------------------------


@given(
    width=st.integers(1, 250),
    counts=st.tuples(SOME_COUNT, SOME_COUNT, SOME_COUNT),
    total=st.none() | SOME_COUNT,
    pause=st.none() | st.builds(Pause, st.sampled_from(PauseReason), st.floats(0, 1e7)),
    eta_s=st.none() | st.floats(0, 1e9),
    elapsed_s=st.floats(0, 1e8),
    draining=st.booleans(),
    ascii_only=st.booleans(),
)
def test_two_lines_never_wider_than_the_terminal(
    width: int,
    counts: tuple[int, int, int],
    total: int | None,
    pause: Pause | None,
    eta_s: float | None,
    elapsed_s: float,
    draining: bool,
    ascii_only: bool,
) -> None:
    counted = tally()
    counted.outcomes.update(dict(zip(Outcome, counts, strict=True)))
    snapshot = Snapshot(counted, elapsed_s, total, 12, 3, 8.0, 7.83, pause, draining, EIGHT, 0.0)
    drawn = draw(View(snapshot, eta_s), width, ascii_only=ascii_only)
    assert len(drawn) == 2
    assert all(line.cell_len <= width and "\n" not in line.plain for line in drawn)


@pytest.mark.parametrize(
    ("width", "first", "second"),
    [
        (39, "12,345 of 100,000 · 12 % · 2h 46m left", "processing 12,000 · failed 45"),
        (
            79,
            "━━━──────────────────────── 12,345 of 100,000 · 12 % · 2h 46m left · 10s so far",
            "processing 12,000 · not found 300 · failed 45 · 7.83 of 8 requests/s",
        ),
    ],
)
def test_narrow_terminal_keeps_what_matters(width: int, first: str, second: str) -> None:
    assert lines(ticked(BUSY, total=100_000), width, eta_s=9960.0) == [first, second]


def test_pause_comes_before_counts_where_room_is_short() -> None:
    event = ticked(BUSY, pause=Pause(PauseReason.THROTTLED, 250.0))
    assert lines(event, 39)[1] == "paused: throttled · again in 4m 10s"


def test_parts_go_by_rank_and_stay_in_order() -> None:
    parts = [Part(2, "aaaa"), Part(0, "bbbb"), Part(1, "cccc")]
    assert [part.text for part in fit(parts, 18)] == ["aaaa", "bbbb", "cccc"]
    assert [part.text for part in fit(parts, 17)] == ["bbbb", "cccc"]
    assert [part.text for part in fit(parts, 1)] == ["bbbb"]


def test_terminal_without_unicode_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console = Console(file=stream, force_terminal=True, width=80)
    with ProgressBar(console, HandClock()) as bar:
        bar.notice(ticked(tally(500)))
    shown = raw.getvalue()
    assert b"##########" in shown
    assert b" requests/s | " in shown


# --- on a terminal ------------------------------------------------------------------------------


def test_new_width_is_heeded_at_the_next_tick() -> None:
    screen = Screen(width=200)
    with ProgressBar(screen.console, HandClock()) as bar:
        bar.notice(ticked(BUSY))
        assert "in flight 12" in screen.text
        screen.console.width = 40
        before = len(screen.text)
        bar.notice(ticked(BUSY))
    assert "in flight" not in screen.text[before:]


def test_rows_that_a_narrower_terminal_makes_of_the_bar_are_taken_away() -> None:
    screen = Screen(width=160)
    with ProgressBar(screen.console, HandClock()) as bar:
        bar.notice(ticked(BUSY))
        rows = [-(-len(line) // 60) for line in screen.text.splitlines()]
        screen.console.width = 60
        before = len(screen.raw)
        bar.notice(ticked(BUSY))
        assert screen.raw[before:].count("\x1b[1A") == sum(rows) - 1 > 1
        before = len(screen.raw)
        bar.notice(ticked(BUSY))
        assert screen.raw[before:].count("\x1b[1A") == 1


def test_bar_never_wraps_and_the_log_may() -> None:
    screen = Screen()
    screen.show(ticked(BUSY), finished())
    off, on = screen.raw.index("\x1b[?7l"), screen.raw.index("\x1b[?7h")
    assert off < screen.raw.index("failed 45") < on
    assert screen.raw.count("\x1b[?7l") == screen.raw.count("\x1b[?7h")


def test_log_scrolls_above_the_bar_and_the_bar_comes_back_below() -> None:
    screen = Screen()
    log = LogObserver(configure("console", "info", None, screen.console), None, HandClock())
    with ProgressBar(screen.console, HandClock()) as bar:
        bar.notice(ticked(BUSY))
        before = len(screen.text)
        log.notice(retry_scheduled(Error("http_503", "down")))
        line, bar_line, state_line = screen.text[before:].splitlines()
    assert line.rstrip().endswith("after http_503: down")
    assert "12,345 of 1,000" in bar_line
    assert "failed 45" in state_line


def test_bar_removes_itself_and_gives_the_cursor_back() -> None:
    screen = Screen()
    screen.show(ticked(BUSY), finished())
    # The cursor hidden; what was drawn erased line by line; the cursor shown.
    assert screen.raw.startswith("\x1b[?25l")
    assert screen.raw.count("\x1b[2K") >= 2
    assert screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("failed 45")


def test_cursor_comes_back_when_the_run_breaks() -> None:
    screen = Screen()

    def break_off() -> None:
        with ProgressBar(screen.console, HandClock()) as bar:
            bar.notice(ticked())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert "\x1b[?25h" in screen.raw


def test_no_color_shows_the_same_words() -> None:
    plain, coloured = Screen(NO_COLOR="1"), Screen()
    plain.show(ticked(BUSY))
    coloured.show(ticked(BUSY))
    assert plain.text == coloured.text
    assert "\x1b[32m" in coloured.raw
    assert "\x1b[32m" not in plain.raw


@pytest.mark.parametrize(
    "console",
    [
        Screen(TERM="dumb").console,
        Screen(TERM="unknown").console,
        Console(file=io.StringIO(), force_terminal=False),
    ],
)
def test_without_a_terminal_that_can_there_is_no_bar_and_no_escape(console: Console) -> None:
    stream = console.file
    assert isinstance(stream, io.StringIO)
    with ProgressBar(console, HandClock()) as bar:
        for event in [*survived_trouble(), ticked()]:
            bar.notice(event)
    assert not can_show(console)
    assert stream.getvalue() == ""


def test_bar_that_cannot_be_drawn_goes_away_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object, **_options: object) -> list[Text]:
        raise RuntimeError

    screen = Screen()
    monkeypatch.setattr(progress, "draw", fail)
    screen.show(started(), ticked(), ticked())
    screen.console.print("after")
    assert screen.text.endswith("after\n")
    assert "\x1b[?25h" in screen.raw


def test_terminal_that_goes_away_does_not_end_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        console = Console(file=stream, force_terminal=True)
        with ProgressBar(console, HandClock()) as bar:
            bar.notice(ticked())
            bar.notice(ticked())


# --- the estimate -------------------------------------------------------------------------------


def estimates(*steps: tuple[float, int], total: int | None = 1000) -> list[float | None]:
    estimate = Estimate()
    return [
        estimate.update(ticked(tally(done), elapsed_s=at, total=total).snapshot)
        for at, done in steps
    ]


def test_estimate_begins_with_the_allowed_rate() -> None:
    assert estimates((0, 0), (1, 8)) == [125.0, 124.0]


def test_estimate_goes_by_the_speed_that_is_really_had() -> None:
    assert estimates((0, 0), (10, 40))[-1] == pytest.approx(240.0)


def test_estimate_never_hopes_for_more_than_is_allowed() -> None:
    assert estimates((0, 0), (10, 400))[-1] == pytest.approx(600 / 8)


def test_estimate_forgets_what_is_more_than_a_minute_old() -> None:
    slow_then_fast = [(float(second), 2 * second) for second in range(100)]
    slow_then_fast += [(100.0 + second, 200 + 4 * second) for second in range(70)]
    assert estimates(*slow_then_fast)[-1] == pytest.approx((1000 - 476) / 4)


def test_settled_ids_are_done_but_make_no_speed() -> None:
    estimate = Estimate()
    estimate.update(ticked(tally(0), elapsed_s=0).snapshot)
    resumed = tally(20)
    resumed.settled = 600
    assert estimate.update(ticked(resumed, elapsed_s=10).snapshot) == pytest.approx(380 / 2)


@pytest.mark.parametrize(
    "event",
    [
        ticked(tally(80), elapsed_s=10, total=None),
        ticked(tally(80), elapsed_s=10, pause=Pause(PauseReason.OUTAGE, 1)),
        ticked(tally(80), elapsed_s=10, draining=True),
        ticked(tally(0), elapsed_s=10),
    ],
    ids=["unknown total", "pause", "stop", "no headway"],
)
def test_no_estimate_where_nobody_can_know(event: Ticked) -> None:
    estimate = Estimate()
    estimate.update(ticked(tally(0), elapsed_s=0).snapshot)
    assert estimate.update(event.snapshot) is None


EVENING = datetime(2026, 11, 26, 20, tzinfo=UTC).timestamp()
BY_NIGHT = parse_timetable("06:00,0 22:00,10")


@pytest.mark.usefixtures("greenwich")
def test_by_a_timetable_the_estimate_knows_quiet_hours_and_other_rates() -> None:
    quiet = ticked(tally(0), rates=BY_NIGHT, utc_s=EVENING, pause=Pause(PauseReason.QUIET, 7200))
    assert Estimate().update(quiet.snapshot) == 2 * 3600 + 1000 / 10


@pytest.mark.usefixtures("greenwich")
def test_by_a_timetable_the_estimate_keeps_the_share_that_was_had() -> None:
    estimate = Estimate()
    night = EVENING + 3 * 3600
    estimate.update(ticked(tally(0), elapsed_s=0, rates=BY_NIGHT, utc_s=night).snapshot)
    later = ticked(tally(40), elapsed_s=10, rates=BY_NIGHT, utc_s=night + 10)
    assert estimate.update(later.snapshot) == pytest.approx(960 / 4)


@pytest.mark.usefixtures("greenwich")
def test_by_a_timetable_the_bar_says_when_it_will_be_done() -> None:
    event = ticked(tally(0), rates=BY_NIGHT, utc_s=EVENING, pause=Pause(PauseReason.QUIET, 7200.0))
    done = datetime.fromtimestamp(EVENING + 7300, UTC).astimezone()
    drawn = lines(event, 120, eta_s=7300.0)
    assert f"done on {done:%A} about {done:%H:%M}" in drawn[0]
    assert drawn[1].startswith("paused: quiet hours · again in 2h")


def test_pause_does_not_count_into_the_speed() -> None:
    estimate = Estimate()
    estimate.update(ticked(tally(0), elapsed_s=0).snapshot)
    estimate.update(ticked(tally(40), elapsed_s=5, pause=Pause(PauseReason.OUTAGE, 1)).snapshot)
    estimate.update(ticked(tally(40), elapsed_s=500).snapshot)
    assert estimate.update(ticked(tally(80), elapsed_s=510).snapshot) == pytest.approx(920 / 4)
