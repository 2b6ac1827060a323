from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.settings_harness import DEFAULTS, KEY, Harness, as_yaml
from worker.settings import (
    OPTION_BY_PATH,
    OPTIONS,
    Loaded,
    Settings,
    load,
)

PROJECT = Path(__file__).parents[3]


class TestTheFileOfTheUser:
    @pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "HOME"])
    def test_it_is_read_where_none_is_given(self, harness: Harness, variable: str) -> None:
        place = "own" if variable == "XDG_CONFIG_HOME" else "own/.config"
        file = harness.cwd / place / "complete-sessions" / "worker.yaml"
        file.parent.mkdir(parents=True)
        file.write_text("stop: {outage_after: 77}\n")
        environ = {variable: str(harness.cwd / "own")}
        loaded = harness.load(environ=environ)
        assert loaded.settings.stop.outage_after == 77
        assert loaded.origins["stop.outage_after"] == str(file)
        harness.write("stop: {outage_after: 78}\n")
        assert harness.load(environ=environ).settings.stop.outage_after == 78

    @pytest.mark.parametrize("environ", [{}, {"XDG_CONFIG_HOME": "own"}, {"HOME": ""}])
    def test_a_directory_that_is_none_is_ignored(
        self, harness: Harness, environ: dict[str, str]
    ) -> None:
        assert harness.load(environ=environ).file is None


class TestTheFile:
    @pytest.mark.parametrize(
        "text",
        ["", "\n", "# only a comment\n", "---\n", "null\n", "{}", "pace:\n", "pace: {}\nlog:\n"],
    )
    def test_may_say_nothing(self, harness: Harness, text: str) -> None:
        harness.write(text)
        assert harness.load().settings == Settings()

    @pytest.mark.parametrize("text", ["\ufeffpace: {rate: 2}", "pace:\r\n  rate: 2\r\n"])
    def test_may_come_from_windows(self, harness: Harness, text: str) -> None:
        harness.write(text)
        assert harness.load().settings.pace.rate == 2.0

    def test_a_timetable_may_be_a_list(self, harness: Harness) -> None:
        harness.write("pace:\n  rate: ['07:00,4', '22:00,10']\n")
        assert harness.load().settings.pace.rate == "07:00,4 22:00,10"
        harness.write("pace:\n  rate:\n    - 07:00,4\n    - 22:00,10\n")
        assert harness.load().settings.pace.rate == "07:00,4 22:00,10"

    def test_may_use_anchors(self, harness: Harness) -> None:
        harness.write("api: {timeout: &d 20s, connect_timeout: *d}\n")
        assert harness.load().settings.api.connect_timeout == 20.0

    @pytest.mark.parametrize(
        ("path", "written", "value"),
        [
            ("stop.until", "22:30", time(22, 30)),
            ("stop.until", "6:05", time(6, 5)),
            ("stop.until", "'06:05'", time(6, 5)),
            ("stop.patience", "90", 90.0),
            ("stop.patience", "1.5", 1.5),
            ("pace.concurrency", "010", 10),
            ("pace.concurrency", '"32"', 32),
            ("retry.check_first", "yes", True),
            ("retry.check_first", "Off", False),
            ("source.field", "on", "on"),
            ("source.field", "y", "y"),
            ("source.field", "1", "1"),
            ("source.field", "'null'", "null"),
            ("source.field", "2026-11-23", "2026-11-23"),
            ("results", "1_000", Path("1_000")),
            ("stop.limit", "~", None),
            ("stop.limit", "none", None),
            ("results", "", None),
        ],
    )
    def test_means_what_was_written(
        self, harness: Harness, path: str, written: str, value: object
    ) -> None:
        harness.write(as_yaml(path, written))
        assert OPTION_BY_PATH[path].value_in(harness.load().settings) == value

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("pace:\n  rat: 5\n", "line 2: 'pace.rat' is not a setting. Did you mean pace.rate?"),
            ("rate: 5\n", "line 1: 'rate' is not a setting. Did you mean pace.rate?"),
            ("api: {rate: 5}", "line 1: 'api.rate' is not a setting. Did you mean pace.rate?"),
            ("pacing:\n  rate: 5", "'pacing.rate' is not a setting. Did you mean pace.rate?"),
            ("pacing:\n", "line 1: 'pacing' is not a setting. Did you mean"),
            ("format: csv", "Did you mean source.format or log.format?"),
            ("zzzz: 1", "line 1: 'zzzz' is not a setting"),
            ("1: 1", "line 1: '1' is not a setting"),
            ("null: 1", "line 1: 'null' is not a setting"),
            ("<<: {pace: {rate: 1}}", "line 1: '<<.pace' is not a setting"),
            ("results: {file: x}", "line 1: 'results.file' is not a setting"),
            (f"api:\n  key: {KEY}\n", "line 2: 'api.key' is not a setting. The key itself belongs"),
            (f"api_key: {KEY}\n", "COMPLYCUBE_API_KEY"),
            (f"{KEY}: 1\n", "line 1: a value not shown here"),
            (
                "pace.rate: 5\n",
                "must not hold a dot. Write `pace:` and below it, indented, `rate:`",
            ),
            ("pace: 5\n", "line 1: pace must be a section. Its keys are rate, concurrency, window"),
            ("pace: [rate, 5]\n", "line 1: pace must be a section"),
            ("pace:\n  rate:\n", "line 2: pace.rate is empty; it must be a number"),
            ("pace:\n  rate: {}\n", "line 2: pace.rate is empty; it must be a number"),
            ("pace:\n  concurrency: [5]\n", "line 2: pace.concurrency is a list; it must be a"),
            ("pace:\n  rate: {a: 1}\n", "line 2: pace.rate is a section; it must be a number"),
            ("results: [a]\n", "line 1: results is a list; it must be the path of a file"),
            ("source:\n  field: ''\n", "line 2: source.field is ''; it must be a name"),
            ('results: "a\\0b"\n', r"line 1: results is 'a\x00b'; it must be the path of a file"),
            ("pace:\n  ? [a]\n  : 1\n", "line 2: a key must be a word, but is a list"),
            ("pace:\n  rate: 5\n  rate: 6\n", "line 3: 'rate' stands there twice, first on line 2"),
            ("pace: {rate: 5, rate: 6}", "line 1: 'rate' stands there twice"),
            ("pace:\n  rate: 5\nlog:\npace:\n", "line 4: 'pace' stands there twice"),
            ("pace: {rate: !!python/object/apply:os.getcwd []}", "pace.rate is a list"),
            ("pace: {rate: !!python/name:os.getcwd }", "pace.rate is a value with a tag"),
            ("pace: {rate: !secret 5}", "pace.rate is a value with a tag"),
            ("pace: {concurrency: !!binary MzI=}", "pace.concurrency is a value with a tag"),
            ("pace: &p {rate: *p}", "line 1: pace.rate is a section"),
            ("- pace\n", "config/worker.yaml must be a mapping of settings, but is a list"),
            (KEY, "config/worker.yaml must be a mapping of settings, but is a single value"),
            ("pace:\n  rate: 5\n bad: 1\n", "line 3: not valid YAML"),
            ("a: b: c\n", "line 1: not valid YAML"),
            ("pace:\n\trate: 5\n", "line 2: not valid YAML"),
            ("a: {\n", "line 2: not valid YAML"),
            ("a: 1\n---\nb: 2\n", "line 2: not valid YAML"),
            (f"a: *{KEY.replace('_', '_x-')}\n", "line 1: not valid YAML"),
            ("a: 1\nb: \x01\n", "line 2: not valid YAML: it holds a character"),
            ("[" * 20_000, "nested too deeply"),
            (b"a: 1\nb: \xff\n", "cannot be read: it is not UTF-8 text (line 2)"),
            ("pace: {}\n".encode("utf-16"), "cannot be read: it is not UTF-8 text (line 1)"),
            ("#" * (1024 * 1024 + 1), "cannot be read: it is larger than 1024 KiB"),
        ],
        ids=lambda value: ascii(value[:30]),
    )
    def test_what_is_wrong_in_it_is_named_with_its_line(
        self, harness: Harness, text: str | bytes, error: str
    ) -> None:
        message = harness.error_in_file(text)
        assert "config/worker.yaml" in message
        assert error in message

    def test_an_alias_that_may_be_the_key_is_not_quoted(self, harness: Harness) -> None:
        assert "R2tWdU1SSk5pZ3F4f3a9" not in harness.error_in_file(f"a: *{KEY}\n")

    def test_a_named_file_must_be_there(self, harness: Harness) -> None:
        error = harness.error(config=Path("absent.yaml"))
        problem = "the settings file 'absent.yaml' cannot be read: no such file or directory"
        assert error == f"{problem}. Name another with --config, or mend this one"

    def test_a_directory_is_no_file(self, harness: Harness) -> None:
        (harness.cwd / "config/worker.yaml").mkdir(parents=True)
        assert "'config/worker.yaml' cannot be read: is a directory" in harness.error()

    def test_a_config_that_is_no_directory_holds_no_settings(self, harness: Harness) -> None:
        (harness.cwd / "config").write_text("")
        assert harness.load().settings == Settings()

    @pytest.mark.usefixtures("permissions")
    def test_a_file_that_may_not_be_read_is_not_passed_over(self, harness: Harness) -> None:
        harness.write("").parent.chmod(0)
        assert "permission denied" in harness.error()

    @given(st.text(st.sampled_from("pace: rte\n-{}[]&*!|>'\"%@`#,0"), max_size=40))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_file_gives_settings_or_a_usage_error(
        self, shared_harness: Harness, text: str
    ) -> None:
        path = shared_harness.write(text, "any.yaml")
        loaded = shared_harness.attempt(config=path)
        assert isinstance(loaded, Loaded) or str(path) in str(loaded)

    def test_the_sample_holds_every_setting_with_its_default(self) -> None:
        loaded = load(flags={}, environ={}, cwd=PROJECT)
        assert loaded.settings == Settings()
        assert loaded.origins == dict.fromkeys(DEFAULTS, "config/worker.yaml")

    def test_the_sample_explains_each_setting_above_it(self) -> None:
        lines = (PROJECT / "config/worker.yaml").read_text().splitlines()
        explained = [(line.strip(), lines[at - 1].strip()) for at, line in enumerate(lines)]
        for option in OPTIONS:
            key = option.path.rpartition(".")[2] + ":"
            above = [help_ for line, help_ in explained if line.startswith(key)]
            assert f"# {option.help}" in above
