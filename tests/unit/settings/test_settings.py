from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.settings_harness import DEFAULTS, FLAGS, OTHERS, Harness, as_yaml
from worker.settings import (
    OPTION_BY_PATH,
    OPTIONS,
    Loaded,
    Option,
    Settings,
    format_duration,
    load,
    print_settings,
)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def values_of(loaded: Loaded) -> dict[str, object]:
    return {option.path: option.value_in(loaded.settings) for option in OPTIONS}


class TestTheTable:
    def test_describes_every_setting_once_and_in_order(self) -> None:
        paths = [option.path for option in OPTIONS]
        assert paths == list(flat(msgspec.to_builtins(Settings(), enc_hook=str)))
        assert list(OPTION_BY_PATH) == paths

    def test_has_the_documented_defaults(self) -> None:
        assert {option.path: option.default for option in OPTIONS} == DEFAULTS

    @pytest.mark.parametrize(
        ("path", "text"),
        [("pace.rate", "auto"), ("stop.patience", "15m"), ("results", "none")],
    )
    def test_shows_a_default_as_one_would_write_it(self, path: str, text: str) -> None:
        assert OPTION_BY_PATH[path].default_text == text

    def test_has_the_documented_flags(self) -> None:
        assert {option.path: option.flag for option in OPTIONS if option.flag} == FLAGS

    @pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.path)
    def test_each_option_says_how_it_is_written(self, option: Option) -> None:
        assert option.env == "WORKER_" + option.path.replace(".", "_").upper()
        assert option.name.isidentifier()
        assert option.help.endswith(".")
        assert option.allowed
        assert bool(option.metavar) + bool(option.choices) + option.is_flag == 1

    @pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.path)
    def test_each_value_is_read_back_as_it_is_shown(self, option: Option) -> None:
        for value in (option.default, OTHERS[option.path][1]):
            if value is not None:
                assert option.syntax.parse(option.text_of(value)) == value

    def test_only_one_option_stands_alone(self) -> None:
        assert [option.path for option in OPTIONS if option.is_flag] == ["retry.check_first"]


class TestWhereValuesComeFrom:
    def test_without_anything_the_defaults_hold(self, harness: Harness) -> None:
        loaded = harness.load()
        assert loaded.settings == Settings()
        assert loaded.origins == dict.fromkeys(DEFAULTS, "default")

    @pytest.mark.parametrize("path", OTHERS)
    def test_each_setting_is_read_from_the_file(self, harness: Harness, path: str) -> None:
        text, value = OTHERS[path]
        harness.write(as_yaml(path, text))
        self.assert_only(harness.load(), path, value, "config/worker.yaml")

    @pytest.mark.parametrize("path", OTHERS)
    def test_each_setting_is_read_from_the_environment(self, harness: Harness, path: str) -> None:
        text, value = OTHERS[path]
        variable = OPTION_BY_PATH[path].env
        self.assert_only(harness.load(environ={variable: text}), path, value, variable)

    @pytest.mark.parametrize("path", OTHERS)
    def test_each_setting_is_read_from_the_command_line(self, harness: Harness, path: str) -> None:
        text, value = OTHERS[path]
        origin = FLAGS.get(path, "command line")
        self.assert_only(harness.load(flags={path: text}), path, value, origin)

    @staticmethod
    def assert_only(loaded: Loaded, path: str, value: object, origin: str) -> None:
        assert values_of(loaded) == {**DEFAULTS, path: value}
        assert loaded.origins == {**dict.fromkeys(DEFAULTS, "default"), path: origin}

    def test_flag_before_environment_before_file_before_default(self, harness: Harness) -> None:
        harness.write("pace: {rate: 1, concurrency: 2, window: 3}\n")
        environ = {"WORKER_PACE_RATE": "4", "WORKER_PACE_CONCURRENCY": "5"}
        loaded = harness.load(
            environ={**environ, "WORKER_PACE_WINDOW": "6"}, flags={"pace.rate": "7"}
        )
        pace = loaded.settings.pace
        assert (pace.rate, pace.concurrency, pace.window) == (7.0, 5, 6)
        assert loaded.origins["pace.rate"] == "--rate"
        assert loaded.origins["pace.concurrency"] == "WORKER_PACE_CONCURRENCY"

    def test_what_was_not_given_does_not_count(self, harness: Harness) -> None:
        flags = {"pace.rate": None, "retry.check_first": False}
        environ = {"WORKER_PACE_CONCURRENCY": "", "WORKER_STOP_LIMIT": " ", "WORKER_PACE_X": ""}
        harness.write("retry: {check_first: true}\n")
        loaded = harness.load(flags=flags, environ=environ)
        assert loaded.settings.retry.check_first is True
        assert set(loaded.origins.values()) == {"default", "config/worker.yaml"}

    def test_a_flag_that_stands_alone_may_be_true(self, harness: Harness) -> None:
        assert harness.load(flags={"retry.check_first": True}).settings.retry.check_first is True

    def test_a_named_file_is_read_instead_of_the_one_that_stands_there(
        self, harness: Harness
    ) -> None:
        harness.write("pace: {rate: 1, concurrency: 1}\n")
        harness.write("pace: {rate: 2}\n", "other.yaml")
        loaded = harness.load(config=Path("other.yaml"))
        assert (loaded.settings.pace.rate, loaded.settings.pace.concurrency) == (2.0, "auto")
        assert loaded.origins["pace.rate"] == "other.yaml"

    def test_the_working_directory_is_where_the_file_is_looked_for(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness.write("pace: {rate: 3}\n")
        monkeypatch.chdir(harness.cwd)
        assert load(flags={}, environ={}).settings.pace.rate == 3.0

    @pytest.mark.parametrize("path", ["stop.max_duration", "stop.until", "stop.limit"])
    @pytest.mark.parametrize("word", ["none", "null", "None"])
    def test_none_takes_back_what_the_file_says(
        self, harness: Harness, path: str, word: str
    ) -> None:
        harness.write(as_yaml(path, OTHERS[path][0]))
        loaded = harness.load(flags={path: word})
        assert loaded.settings.stop == Settings().stop
        assert loaded.origins[path] == FLAGS[path]

    def test_the_home_directory_is_understood(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", "/home/somebody")
        loaded = harness.load(flags={"results": "~/log.jsonl"})
        assert loaded.settings.results == Path("/home/somebody/log.jsonl")

    def test_an_error_in_a_weaker_source_is_an_error_still(self, harness: Harness) -> None:
        harness.write("pace: {rate: fast}\n")
        error = harness.error(flags={"pace.rate": "8"})
        assert error.startswith("config/worker.yaml, line 1: pace.rate is 'fast'; it must be")


class TestPrinted:
    def test_shows_every_value_and_where_it_came_from(self, harness: Harness) -> None:
        harness.write("stop: {until: 22:30}\n")
        environ = {"WORKER_RETRY_THROTTLE_MAX": "90s", "WORKER_RESULTS": "a log.jsonl"}
        lines = print_settings(harness.load(flags={"pace.rate": "8"}, environ=environ)).splitlines()
        shown = {line.split("#")[0].strip(): line.split("# ")[-1] for line in lines if "#" in line}
        assert shown['results: "a log.jsonl"'] == "WORKER_RESULTS"
        assert shown["rate: 8"] == "--rate"
        assert shown['until: "22:30"'] == "config/worker.yaml"
        assert shown["throttle_max: 1m30s"] == "WORKER_RETRY_THROTTLE_MAX"
        assert shown["patience: 15m"] == "default"
        assert shown["check_first: false"] == "default"
        assert shown["limit: null"] == "default"

    def test_says_that_a_password_is_left_out(self, harness: Harness) -> None:
        def line(url: str) -> str:
            loaded = harness.load(environ={"WORKER_SHARED_URL": url})
            lines = print_settings(loaded).splitlines()
            return " ".join(next(line for line in lines if " url:" in line).split())

        shown = "url: redis://db:6379/0 # WORKER_SHARED_URL"
        assert line("redis://:s3cret@db:6379/0") == f"{shown} (password not shown)"
        assert line("redis://db:6379/0") == shown
        assert "password" not in print_settings(harness.load())

    def test_is_aligned(self, harness: Harness) -> None:
        lines = print_settings(harness.load()).splitlines()
        assert len({line.index("#") for line in lines if "#" in line}) == 1
        assert len(lines) == len(OPTIONS) + 8

    def test_can_be_pasted_into_a_settings_file(self, harness: Harness) -> None:
        loaded = harness.load(flags={path: text for path, (text, _) in OTHERS.items()})
        harness.write(print_settings(loaded))
        assert harness.load().settings == loaded.settings

    @given(
        field=st.text(min_size=1, max_size=30),
        file=st.text(st.characters(exclude_characters="\0~"), min_size=1, max_size=30),
        patience_s=st.floats(0, 1e6),
    )
    @example(field="null", file="~", patience_s=0)
    @example(field="a: b #c", file="\udc80\U0001f600\\\"'", patience_s=1e-5)
    @example(field="a:", file="\x85\u2028\n", patience_s=0)
    @example(field="-", file="-", patience_s=0)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_value_survives_and_other_readers_agree(
        self, shared_harness: Harness, field: str, file: str, patience_s: float
    ) -> None:
        flags = {"source.field": field, "results": f"./{file}"}
        loaded = shared_harness.load(flags={**flags, "stop.patience": format_duration(patience_s)})
        printed = print_settings(loaded)
        path = shared_harness.write(printed.encode("utf-8"), "printed.yaml")
        assert shared_harness.load(config=path).settings == loaded.settings
        assert yaml.safe_load(printed)["source"]["field"] == field

    def test_an_origin_stays_on_its_line(self, harness: Harness) -> None:
        harness.write("pace: {rate: 2}\n", "a\nb.yaml")
        loaded = harness.load(config=Path("a\nb.yaml"))
        harness.write(print_settings(loaded))
        assert harness.load().settings == loaded.settings


def test_importing_the_settings_brings_in_no_parser_and_no_client() -> None:
    heavy = "{'yaml', 'aiohttp', 'rich', 'click', 'asyncio'}"
    code = f"import sys, worker.settings; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
