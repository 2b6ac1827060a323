"""The page of `report --html`: safe to open, the same for the same logs, and written with care."""

from __future__ import annotations

import base64
import hashlib
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.log_samples import (
    FIRST_NIGHT,
    SECOND_NIGHT,
    at,
    hex_id,
    invoke,
    record,
    write_log,
)
from worker.cli.report import report
from worker.core.errors import UsageError
from worker.core.outcomes import Error, Outcome, Record, Via
from worker.report.aggregation import Aggregator
from worker.report.canvas import duration_ticks
from worker.report.model import summarise
from worker.report.page import MAX_ROWS, render_page
from worker.report.provenance import LogFile, Provenance, identify, labels_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}\u202e"
NO_CONTENT = {"meta", "link", "br", "input", "img"}


class Page(HTMLParser):
    """What a browser would make of the page: its elements, and the text of some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in NO_CONTENT:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts.setdefault(tag, []).append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]

    def text(self, tag: str) -> str:
        return "".join(self.texts.get(tag, []))


def render(*logs: list[Record], rate: float | None = None) -> str:
    aggregator = Aggregator()
    for number, records in enumerate(logs):
        aggregator.read(f"log{number}", records)
    return page_of(aggregator, rate)


def page_of(aggregator: Aggregator, rate: float | None = None) -> str:
    files = [LogFile(log.name, 1234, "ab" * 32) for log in aggregator.logs]
    provenance = Provenance(datetime(2026, 11, 26, 7, tzinfo=UTC), "1.2.3", files)
    return render_page(aggregator, summarise(aggregator), provenance, rate)


def night(run: str = "first", count: int = 200) -> list[Record]:
    start = FIRST_NIGHT if run == "first" else SECOND_NIGHT
    lines = [record(hex_id(n), run=run, at=at(n / 5, start), line=n) for n in range(count)]
    lines[7] = record(hex_id(7), "failed", "http_503", run=run, at=at(1.4, start))
    lines[9] = record(hex_id(9), "not_found", "resource_not_found", run=run, at=at(1.8, start))
    return lines


@cache
def one_night() -> str:
    return render(night())


@cache
def interrupted_night() -> str:
    """Idle for six minutes in its midst."""
    later = [record(hex_id(900 + n), at=at(400 + n / 5)) for n in range(200)]
    return render([*night(), *later])


@cache
def two_nights() -> str:
    return render(night("second"), night("first"))


def test_page_loads_nothing_and_says_so_to_the_browser() -> None:
    text = one_night()
    page = Page(text)
    assert "://" not in text.replace("data-", "")
    assert all(link.startswith("#") for link in page.values("href"))
    assert not page.values("src")
    assert not page.values("style")
    assert "default-src 'none'" in page.values("content")[0]
    assert "unsafe" not in text


@pytest.mark.parametrize("kind", ["style", "script"])
def test_policy_lets_the_pages_own_style_and_script_pass(kind: str) -> None:
    text = one_night()
    [content] = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)  # the script that runs
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    policy = Page(text).values("content")[0]
    assert f"{kind}-src 'sha256-{digest}'" in policy


def test_hostile_text_stays_text() -> None:
    bad = record(
        HOSTILE,
        "failed",
        run=HOSTILE,
        at=HOSTILE,
        session_status=HOSTILE,
        error=None,
    )
    worse = Record(
        HOSTILE, Outcome.FAILED, HOSTILE, 500, Error(HOSTILE, HOSTILE, HOSTILE), 1,
        *(Via.COMPLETE, 1.0, 1.0, at(0), HOSTILE, 1),
    )  # fmt: skip
    aggregator = Aggregator()
    aggregator.read(HOSTILE, [*night(), bad, worse, *night("second")])
    text = page_of(aggregator)
    page = Page(text)
    assert page.tags.count("script") == 4
    assert page.values("type").count("application/json") == 1
    assert page.values("type").count("application/octet-stream") == 2
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "alert(1)" in page.text("td")
    assert "49" not in page.text("th")
    assert "\u202e" not in text


def test_page_is_the_same_for_the_same_logs_whatever_matplotlib_is_set_to() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"axes.grid": True, "font.size": 30, "svg.fonttype": "path"}):
        assert render(night()) == one_night()


def test_no_two_elements_share_an_id_and_every_reference_has_its_target() -> None:
    text = two_nights()
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    references = set(re.findall(r"url\(#(\w+)\)", text)) | {
        link.removeprefix("#") for link in page.values("href")
    }
    assert references <= set(ids)


def test_page_says_what_was_asked_and_what_became_of_it() -> None:
    text = Page(one_night())
    assert text.text("title") == "1 of 200 sessions failed"
    assert "200 sessions were to be completed in 1 run between" in text.text("header")
    assert "200 ids = 198 processing + 1 not found + 1 failed" in text.text("header")
    assert "A proxy before the API" in text.text("article")


def test_all_settled_is_told_in_the_title() -> None:
    assert Page(render([record()])).text("title") == "1 session, all settled"


def test_empty_log_makes_a_page_that_says_so() -> None:
    page = Page(render([]))
    assert page.text("title") == "No outcome has been recorded yet"
    assert "svg" not in page.tags


def test_each_run_is_plotted_for_a_wide_and_a_narrow_screen() -> None:
    one, two = Page(one_night()), Page(two_nights())
    assert one.values("class").count("plot wide") == 2  # the run, the latency
    assert two.values("class").count("plot wide") == 4  # two runs, the latency, the history
    assert two.values("class").count("plot narrow") == 4


def test_run_too_short_for_a_plot_is_only_listed() -> None:
    page = Page(render([record(), record(hex_id(2))]))
    assert "svg" not in page.tags
    assert "first" in page.text("table")


def test_rate_that_was_allowed_is_drawn_and_compared_with() -> None:
    text = Page(render(night(), rate=10))
    assert "allowed: 10" in text.text("svg")
    assert "of the allowed 10 a second" in text.text("figcaption")


def test_rate_is_compared_with_the_best_minute_where_none_is_given() -> None:
    assert "best minute: " in Page(interrupted_night()).text("svg")


def test_pauses_are_marked_and_listed() -> None:
    later = [record(hex_id(900 + n), at=at(400 + n / 5)) for n in range(200)]
    waiting = record("w", at=at(400), elapsed_ms=390_000.0)
    page = Page(render([*night(), waiting, *later]))
    assert "waited" in page.text("svg")
    assert "waited 6m" in page.text("li")


def test_pause_without_retries_is_called_idle() -> None:
    assert "idle 6m" in Page(interrupted_night()).text("li")


def test_only_so_many_failed_ids_are_listed_and_the_page_says_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MAX_ROWS == 5_000
    monkeypatch.setattr("worker.report.page.MAX_ROWS", 50)
    failed = [record(hex_id(n), "failed", "timeout", at=at(n)) for n in range(51)]
    page = Page(render(failed))
    assert page.tags.count("tr") < 60
    assert "The newest 50 of 51 are shown" in page.text("section")
    assert hex_id(50) in page.text("tbody")
    assert hex_id(0) not in page.text("tbody")


def test_runs_of_several_logs_come_by_time_whatever_the_order_of_the_logs() -> None:
    page = two_nights()
    assert page.index("run second</summary>") < page.index("run first</summary>")


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(
            record,
            id=st.text(max_size=5),
            outcome=st.sampled_from([outcome.value for outcome in Outcome]),
            error=st.none() | st.text(max_size=5),
            at=st.text(max_size=3) | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
            run=st.sampled_from(["a", "b"]),
            attempts=st.integers(-5, 1000),
            latency_ms=st.floats(allow_nan=False, allow_infinity=False),
            elapsed_ms=st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=30,
    )
)
def test_whatever_a_log_holds_the_page_is_well_formed(records: list[Record]) -> None:
    Page(render(records))


def test_page_tells_what_it_was_made_from() -> None:
    foot = Page(two_nights()).text("footer")
    assert "Made 2026-11-26 07:00:00 UTC by complete-sessions 1.2.3" in foot
    assert f"1,234 bytes, 200 lines, SHA-256 {'ab' * 32}" in foot


def test_page_tells_where_its_logs_were_sent() -> None:
    live = record(target="https://api.example.com/v1 live 1a2b3c4d")
    odd = record(hex_id(2), run="other", target="<b>elsewhere")
    foot = Page(render([live, odd])).text("footer")
    assert "https://api.example.com/v1 with the live key of fingerprint 1a2b3c4d." in foot
    assert "Sent to <b>elsewhere." in foot


def test_what_is_one_is_told_as_one() -> None:
    lines = [
        record(hex_id(1)),
        record(hex_id(2), "not_found", "resource_not_found"),
        record(hex_id(3), "failed", "timeout"),
    ]
    header = Page(render(lines)).text("header")
    assert "1 is completed and processing, 1 is not known to the API in this account" in header
    assert "1 session was to be completed in 1 run" in Page(render([record()])).text("header")


def test_logs_of_one_name_are_told_apart() -> None:
    names = ["/x/a/night.jsonl", "/x/b/night.jsonl", "/x/other.jsonl", "c/night.jsonl"]
    assert list(labels_of(names).values()) == [
        *("a/night.jsonl", "b/night.jsonl", "other.jsonl", "c/night.jsonl")
    ]
    assert labels_of(["/x/night", "night"]) == {"/x/night": "x/night", "night": "night"}


def test_not_found_ids_are_listed_as_failed_ones_are() -> None:
    page = Page(one_night())
    assert {"failed-ids", "not-found-ids"} <= set(page.values("id"))
    assert "message of resource_not_found" in page.text("td")


def test_errors_beyond_the_first_six_are_folded() -> None:
    lines = [record(hex_id(n), "failed", f"type_{n}") for n in range(7)]
    assert "1 more error type" in Page(render(lines)).text("summary")
    assert "more error type" not in render(lines[:6])


def test_long_history_is_folded() -> None:
    lines = [
        record(hex_id(n), run=str(n), at=at(0, FIRST_NIGHT + n * (SECOND_NIGHT - FIRST_NIGHT)))
        for n in range(60)
    ]
    assert "46 older runs" in Page(render(lines)).text("summary")


@given(st.floats(1.0, 1e8), st.floats(1.2, 1e4))
def test_latency_axis_has_ticks_whatever_it_spans(low_ms: float, factor: float) -> None:
    ticks = duration_ticks(low_ms, low_ms * factor)
    assert 2 <= len(ticks) <= 8
    assert all(low_ms <= tick <= low_ms * factor for tick in ticks)


def test_percentile_of_a_lone_bin_is_a_point() -> None:
    [waiting] = [record("w", at=at(300), elapsed_ms=300_000.0, latency_ms=80.0)]
    lone = render(
        [*night()[:100], waiting, *(record(hex_id(900 + n), at=at(600 + n)) for n in range(99))]
    )
    dots = re.compile(r'<path id="m\w+" d="M 0 1\.7')
    assert dots.search(lone)
    assert not dots.search(one_night())


# The command


def test_log_is_identified_by_what_it_holds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"some bytes")
    assert identify(log, "name") == LogFile("name", 10, hashlib.sha256(b"some bytes").hexdigest())


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Of a run too short for a plot, as that is what takes the time."""
    return write_log(tmp_path / "night.results.jsonl", record())


def test_page_is_written_for_its_owner_alone_and_nothing_beside_it(
    tmp_path: Path, log: str
) -> None:
    target = tmp_path / "page.html"
    shown = invoke(report, log, "--html", str(target))
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night.results.jsonl", "page.html"]
    assert "Ids by their latest outcome" in shown.stdout
    assert shown.stderr.startswith(f"wrote {target} (")


def test_older_page_is_replaced(tmp_path: Path, log: str) -> None:
    target = tmp_path / "page.html"
    target.write_text("<!DOCTYPE html>old", encoding="utf-8")
    invoke(report, log, "--html", str(target))
    assert "old" not in target.read_text(encoding="utf-8")[:200]


def test_page_and_json_go_together(tmp_path: Path, log: str) -> None:
    shown = invoke(report, log, "--json", "--html", str(tmp_path / "page.html"))
    assert shown.stdout.startswith("{")


def test_a_link_is_followed_to_the_page_it_names(tmp_path: Path, log: str) -> None:
    link = tmp_path / "latest.html"
    link.symlink_to(tmp_path / "page.html")
    invoke(report, log, "--html", str(link))
    assert link.is_symlink()
    assert (tmp_path / "page.html").is_file()


def test_log_in_the_place_of_the_page_is_not_overwritten(tmp_path: Path, log: str) -> None:
    other = Path(write_log(tmp_path / "other", record()))
    before = other.read_bytes()
    with pytest.raises(UsageError, match="is not overwritten"):
        invoke(report, log, "--html", str(other))
    assert other.read_bytes() == before


@pytest.mark.parametrize("name", ["missing/page.html", "."])
def test_page_that_cannot_be_written_is_wrong_usage(tmp_path: Path, log: str, name: str) -> None:
    with pytest.raises(UsageError, match=r"no directory|is not overwritten"):
        invoke(report, log, "--html", str(tmp_path / name))


@pytest.mark.parametrize(
    "arguments", [["--rate", "8"], ["--html", "page.html", "--id", "x"]], ids=["rate", "id"]
)
def test_options_that_say_nothing_together_are_wrong_usage(log: str, arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        invoke(report, log, *arguments)


@pytest.mark.parametrize("rate", ["inf", "-inf", "nan", "0", "-1"])
def test_rate_that_no_account_has_is_wrong_usage(tmp_path: Path, log: str, rate: str) -> None:
    with pytest.raises(UsageError, match=f"--rate is '{rate}'; it must be a number of 0.001"):
        invoke(report, log, "--html", str(tmp_path / "page.html"), "--rate", rate)


def test_page_is_not_written_to_a_file_called_dash(log: str) -> None:
    with pytest.raises(UsageError, match="--html"):
        invoke(report, log, "--html", "-")


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_missing_extra_says_what_to_install(
    tmp_path: Path, log: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("worker.report.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"pip install '\.\[report\]'"):
        invoke(report, log, "--html", str(tmp_path / "page.html"))


def test_page_is_made_without_a_word_where_home_cannot_be_written(tmp_path: Path, log: str) -> None:
    nowhere = {"HOME": "/proc/nowhere", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "worker", "report", log, "--html", str(tmp_path / "p.html")]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert re.fullmatch(r"wrote .*p\.html \(.*\)\n", done.stderr)


def test_targets_are_shown_where_there_are_several() -> None:
    places = ["https://api.test/v1 live 5d0c91aa", HOSTILE]
    logs = [[record(hex_id(1), target=place)] for place in places]
    page = Page(render(*logs))
    assert places[0] in page.text("th")
    assert "script>alert(1)" in page.text("th")
    assert places[0] not in Page(render(logs[0])).text("th")
