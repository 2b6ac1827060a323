from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.settings_harness import FLAGS, KEY, OTHERS, Harness, as_yaml
from worker.core.errors import UsageError
from worker.settings import (
    OPTION_BY_PATH,
    OPTIONS,
    Loaded,
)

RANGES = [
    (
        "pace.rate",
        "0.001",
        "10000",
        ["0", "0.0009", "10000.1", "-1", "nan", "inf", "1e3", "8/s", "7:00,0"],
    ),
    ("pace.concurrency", "1", "1000", ["0", "1001", "-1", "1.5", "32.0", "1_0", "9" * 5000, "x"]),
    ("pace.window", "1", "100000", ["0", "100001", "true"]),
    ("retry.max_attempts", "1", "100", ["0", "101", "five"]),
    ("stop.outage_after", "1", "10000", ["0", "10001"]),
    ("stop.limit", "1", "1000000000", ["0", "1000000001", "-5"]),
    ("api.connect_timeout", "1ms", "10m", ["0", "0.0009", "601s", "-1s", "soon"]),
    ("api.timeout", "1ms", "1h", ["0s", "61m", "inf"]),
    ("retry.backoff_initial", "1ms", "60s", ["0", "2h", "1d"]),
    ("retry.backoff_max", "1s", "24h", ["999ms", "0", "25h"]),
    ("retry.throttle_initial", "1ms", "5m", ["0", "2h"]),
    ("retry.throttle_max", "30s", "24h", ["29s", "25h"]),
    ("stop.patience", "0", "720h", ["721h", "-1s", "nan"]),
    ("stop.max_duration", "1ms", "720h", ["0", "721h", "22:30"]),
    ("stop.until", "0:00", "23:59", ["24:00", "12:60", "1230", "12:30:00", "-1:00", "12:3", "6"]),
    ("log.progress_every", "10ms", "24h", ["0", "25h"]),
    ("source.field", "x", "x" * 200, ["x" * 201]),
    ("source.format", "lines", "jsonl", ["tsv", "line", "auto,csv"]),
    ("retry.on_ambiguous", "resend", "fail", ["skip"]),
    ("retry.check_first", "0", "YES", ["2", "maybe", "truee"]),
    ("log.format", "console", "JSON", ["text"]),
    ("log.level", "Warning", "error", ["warn", "loud"]),
    ("results", "a", "./-", ["-"]),
    ("ending.summary_json", "a", "-", ["~nobody-of-this-name/x"]),
    ("ending.exit_zero_on", "5", "1, 5,66", ["0", "5;1", "6"]),
    ("metrics_push", "http://gw", "https://u:p@gw:9091/x", []),
    ("metrics_file", "a", "b", ["-", "~nobody-of-this-name/x"]),
]


WRONG = [(path, text) for path, _, _, wrong in RANGES for text in wrong]


class TestValues:
    @pytest.mark.parametrize(("path", "low", "high", "_wrong"), RANGES, ids=lambda v: str(v)[:20])
    def test_both_ends_of_a_range_are_allowed(
        self, harness: Harness, path: str, low: str, high: str, _wrong: object
    ) -> None:
        for text in (low, high):
            assert harness.load(flags={path: text}).origins[path] != "default"

    @pytest.mark.parametrize(("path", "text"), WRONG, ids=lambda v: v[:20])
    def test_a_wrong_value_is_named_with_what_is_allowed(
        self, harness: Harness, path: str, text: str
    ) -> None:
        option = OPTION_BY_PATH[path]
        error = harness.error(environ={option.env: text})
        assert option.env in error
        assert text[:40] in error
        assert "must be " in error
        assert len(error) < 300

    @pytest.mark.parametrize("none", ["none", "NONE", "null"])
    @pytest.mark.parametrize("path", [option.path for option in OPTIONS if option.syntax.null])
    def test_none_takes_any_optional_setting_away(
        self, harness: Harness, path: str, none: str
    ) -> None:
        option = OPTION_BY_PATH[path]
        given = OTHERS[path][0]
        stronger: list[dict[str, object]] = [
            {"environ": {option.env: none}},
            {"flags": {path: none}},
        ]
        harness.write(as_yaml(path, given))
        assert harness.value(path) is not None
        for source in stronger:
            assert harness.value(path, **source) is None
        assert harness.value(path, environ={option.env: given}, flags={path: none}) is None
        harness.write(as_yaml(path, none))
        assert harness.value(path) is None

    def test_whatever_may_be_absent_is_optional(self) -> None:
        for option in OPTIONS:
            assert option.syntax.null or option.default is not None

    def test_a_file_may_be_called_none(self, harness: Harness) -> None:
        harness.write("results: ./none\n")
        assert harness.value("results") == Path("none")
        assert OPTION_BY_PATH["results"].text_of(Path("none")) == "./none"

    def test_a_message_says_everything(self, harness: Harness) -> None:
        assert harness.error(flags={"pace.rate": "fast"}) == (
            "--rate is 'fast'; it must be a number from 0.001 to 10000 (requests a second), auto, "
            "or a timetable such as `07:00,4 22:00,10`"
        )
        assert harness.error(environ={"WORKER_LOG_LEVEL": "loud"}) == (
            "WORKER_LOG_LEVEL is 'loud'; it must be one of trace, debug, info, warning, error"
        )
        assert harness.error(flags={"stop.limit": "0"}) == (
            "--limit is '0'; it must be a whole number from 1 to 1000000000, or none"
        )

    def test_a_timetable_is_kept_in_one_form(self, harness: Harness) -> None:
        loaded = harness.load(flags={"pace.rate": " 7:00,4.0  sat-22:00,10"})
        assert loaded.settings.pace.rate == "07:00,4 Sat-22:00,10"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("07:00,4 07:00,5", "it must be a timetable in which 07:00 stands once"),
            ("Mo-07:00,4", "it must be a timetable whose days are Mon, Tue, Wed, Thu, Fri, Sat"),
            ("07:00,4 22:00,", "which '22:00,' is no slot of"),
            ("07:00,20000", "it must be a timetable of rates from 0 to 10000"),
            ("07:00,0.0001", "it must be a timetable of rates from 0.001 requests a second on"),
        ],
    )
    def test_what_is_wrong_with_a_timetable_is_said(
        self, harness: Harness, text: str, said: str
    ) -> None:
        assert said in harness.error(flags={"pace.rate": text})

    @pytest.mark.parametrize("path", [p for p in OTHERS if OPTION_BY_PATH[p].flag])
    def test_an_empty_flag_is_an_error(self, harness: Harness, path: str) -> None:
        assert harness.error(flags={path: ""}).startswith(f"{FLAGS[path]} is ''; it must be ")

    @given(path=st.sampled_from(list(OTHERS)), text=st.text(max_size=30))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_text_gives_settings_or_a_usage_error(
        self, shared_harness: Harness, path: str, text: str
    ) -> None:
        loaded = shared_harness.attempt(flags={path: text})
        if isinstance(loaded, UsageError):
            assert str(loaded).startswith((FLAGS.get(path, path), path))
        else:
            assert loaded.origins[path] == FLAGS.get(path, "command line")

    @pytest.mark.parametrize(
        ("given", "larger", "smaller"),
        [
            ({"WORKER_RETRY_BACKOFF_MAX": "500ms"}, "backoff_max (500ms", "backoff_initial (1s"),
            ({"WORKER_RETRY_THROTTLE_INITIAL": "10m"}, "throttle_max (5m", "throttle_initial (10m"),
            (
                {"WORKER_PACE_WINDOW": "8", "WORKER_PACE_CONCURRENCY": "32"},
                "pace.window (8",
                "pace.concurrency (32",
            ),
        ],
    )
    def test_two_settings_that_contradict_each_other_are_both_named(
        self, harness: Harness, given: dict[str, str], larger: str, smaller: str
    ) -> None:
        error = harness.error(environ=given)
        assert larger in error
        assert smaller in error
        assert ("from default" in error) == (len(given) == 1)
        assert all(name in error for name in given)

    def test_the_window_grows_with_a_concurrency_from_a_stronger_source(
        self, harness: Harness
    ) -> None:
        harness.write("pace: {window: 100}\n")
        loaded = harness.load(flags={"pace.concurrency": "500"})
        assert loaded.settings.pace.window == 500
        assert loaded.origins["pace.window"] == "config/worker.yaml, raised to pace.concurrency"
        assert harness.load(flags={"pace.concurrency": "100"}).settings.pace.window == 100

    def test_a_window_from_a_source_as_strong_is_not_overruled(self, harness: Harness) -> None:
        harness.write("pace: {window: 100, concurrency: 500}\n")
        assert "pace.window (100" in harness.error()


class TestTheKeyIsNotShown:
    @pytest.mark.parametrize("path", OTHERS)
    def test_a_key_in_the_place_of_another_value_is_hidden(
        self, harness: Harness, path: str
    ) -> None:
        for value in (KEY, f"Bearer {KEY}", KEY.removeprefix("live_"), f"{KEY},4"):
            error = harness.attempt(flags={path: value})
            # A log or a column may be called anything, and so may a command.
            assert isinstance(error, Loaded) == (
                path in {"results", "metrics_file", "source.field"}
                or path in {"ending.summary_json", "ending.on_exit"}
            )
            if isinstance(error, UsageError):
                assert "not shown" in str(error)
                assert "R2tWdU1S" not in "".join(traceback.format_exception(error))

    def test_a_key_in_the_place_of_its_file_is_refused(self, harness: Harness) -> None:
        error = harness.error(flags={"api.key_file": KEY})
        assert "and not the key itself" in error
        assert harness.error(environ={"WORKER_API_KEY_FILE": "live_" + "x1" * 500}) == (
            error.replace("--api-key-file", "WORKER_API_KEY_FILE")
        )

    def test_a_file_that_is_named_like_a_key_may_hold_it(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(harness.cwd)
        harness.write("", "live_key_of_2026.txt")
        loaded = harness.load(flags={"api.key_file": "live_key_of_2026.txt"})
        assert loaded.settings.api.key_file == Path("live_key_of_2026.txt")


class TestAPasswordIsNotShown:
    @pytest.mark.parametrize(
        "address",
        [
            "redis://:aB3/hunter2@db:6379",
            "redis://:aB3?hunter2@db:6379",
            "redis://db:99999/0?password=hunter2",
            "redis://db/hunter2",
            "hunter2",
        ],
    )
    @pytest.mark.parametrize("place", ["flag", "environment", "file"])
    def test_an_address_of_redis_that_cannot_be_used_is_not_quoted(
        self, harness: Harness, address: str, place: str
    ) -> None:
        if place == "file":
            error = harness.error_in_file(f'shared: {{url: "{address}"}}\n')
        elif place == "flag":
            error = harness.error(flags={"shared.url": address})
        else:
            error = harness.error(environ={"WORKER_SHARED_URL": address})
        assert "hunter2" not in error
        assert "a value not shown here because it may hold a password; it must be" in error
        assert "In a password write %2F for /" in error

    @pytest.mark.parametrize(
        "text", ["redis://:aB3/hunter2@db:6379", "redis://db/0?password=hunter2"]
    )
    def test_nor_is_one_in_the_place_of_another_value(self, harness: Harness, text: str) -> None:
        assert "hunter2" not in harness.error(flags={"pace.rate": text})
