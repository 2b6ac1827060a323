from __future__ import annotations

import copy
import json
import os
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.errors import ExitCode, UsageError
from worker.core.timetable import Timetable, parse_timetable
from worker.settings import ApiKey, ApiSettings, KeyKind, Settings, load_key, resolve_rate

SECRET = "R2tWdU1SSk5pZ3F4f3a9"
LIVE, TEST = f"live_{SECRET}", f"test_{SECRET}"


def from_environment(value: str) -> ApiKey:
    return load_key(Settings(), {"COMPLYCUBE_API_KEY": value})


def from_file(path: Path) -> ApiKey:
    return load_key(Settings(api=ApiSettings(key_file=path)), {})


def key_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "key"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return path


def everything_printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


class TestApiKey:
    @pytest.mark.parametrize(
        ("value", "kind", "hint"),
        [
            (LIVE, "live", "live_…f3a9"),
            (TEST, "test", "test_…f3a9"),
            (SECRET, "unknown", "…f3a9"),
            ("live_abcdefghijkl", "live", "live_…ijkl"),
            ("live_abcdefghijk", "live", "live_…"),
            ("test_a", "test", "test_…"),
            ("abcdefghijk", "unknown", "…"),
            ("LIVE_abcdefghijkl", "unknown", "…ijkl"),
        ],
    )
    def test_tells_its_kind_and_no_more_than_four_characters(
        self, value: str, kind: str, hint: str
    ) -> None:
        assert (ApiKey(value).kind, ApiKey(value).hint) == (kind, hint)
        assert ApiKey(value).reveal() == value

    def test_is_not_shown_by_anything_that_prints(self) -> None:
        key = ApiKey(LIVE)
        printed = [repr(key), str(key), f"{key}", f"{[key]}", f"{key!r}", "%s" % key]  # noqa: UP031
        assert not [text for text in printed if SECRET[:-4] in text or LIVE in text]
        assert all("f3a9" in text for text in printed)

    @pytest.mark.parametrize(
        "leak",
        [
            *(copy.copy, copy.deepcopy, pickle.dumps, vars, json.dumps, msgspec.json.encode),
            msgspec.to_builtins,
            lambda key: key.__getstate__(),
            lambda key: key.__reduce__(),
            lambda key: key.__reduce_ex__(4),
        ],
    )
    def test_is_neither_copied_nor_encoded(self, leak: object) -> None:
        assert callable(leak)
        with pytest.raises(TypeError) as caught:
            leak(ApiKey(LIVE))
        assert SECRET not in everything_printed(caught.value)

    @given(st.from_regex(r"(live_|test_)?[A-Za-z0-9+/=]{1,60}", fullmatch=True))
    def test_a_hint_holds_at_most_a_third_of_the_secret(self, value: str) -> None:
        shown = ApiKey(value).hint.partition("…")[2]
        assert len(shown) * 3 <= len(value.removeprefix("live_").removeprefix("test_"))


class TestFromTheEnvironment:
    @pytest.mark.parametrize("value", [LIVE, f"{LIVE}\n", f"  {LIVE}\r\n", f"\ufeff{LIVE}"])
    def test_is_found_and_trimmed(self, value: str) -> None:
        assert from_environment(value).reveal() == LIVE
        assert from_environment(value).warnings == ()

    @pytest.mark.parametrize("environ", [{}, *({"COMPLYCUBE_API_KEY": v} for v in ("", " \n"))])
    def test_a_missing_key_is_an_error_that_says_how_to_set_it(
        self, environ: dict[str, str]
    ) -> None:
        with pytest.raises(UsageError) as caught:
            load_key(Settings(), environ)
        assert "COMPLYCUBE_API_KEY" in str(caught.value)
        assert "--api-key-file" in str(caught.value)
        assert caught.value.exit_code is ExitCode.USAGE

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (f"Bearer {LIVE}", "Bearer"),
            (f"bearer {LIVE}", "Bearer"),
            (f"Authorization: Bearer {LIVE}", "Bearer"),
            (f"COMPLYCUBE_API_KEY={LIVE}", "assignment"),
            (f"export COMPLYCUBE_API_KEY={LIVE}", "assignment"),
            (f'"{LIVE}"', "quotation marks"),
            *((f"`{LIVE}`", "the sign `"), (f"<{LIVE}>", "the sign <"), (f"{LIVE};", "the sign ;")),
            *((f"key={LIVE}", "assignment"), (f"api-key:{LIVE}", "assignment")),
            (f'{{"key":"{LIVE}"}}', "the sign {"),
            *((f"{LIVE}\\n", "the sign \\"), (f"{LIVE}#live", "the sign #")),
            *((f"${LIVE}", "the sign $"), (f"{LIVE},", "the sign ,"), (f"{LIVE}'", "the sign '")),
            (f"'{LIVE}'", "quotation marks"),
            (f"{LIVE}\n{TEST}", "more than one line"),
            (f"{LIVE} {TEST}", "blank"),
            (f"{LIVE}\t{SECRET}", "blank"),
            (f"{LIVE}\u00e9{SECRET}", "not ASCII"),
            (f"{LIVE}\udc80{SECRET}", "not ASCII"),
            (f"{LIVE}\x00{SECRET}", "control character"),
            (f"{LIVE}\x7f{SECRET}", "control character"),
            ("live_", "prefix without a key"),
            ("test_", "prefix without a key"),
        ],
    )
    def test_what_cannot_be_a_key_is_named_but_not_shown(self, value: str, problem: str) -> None:
        with pytest.raises(UsageError) as caught:
            from_environment(value)
        assert str(caught.value).startswith("COMPLYCUBE_API_KEY ")
        assert problem in str(caught.value)
        assert SECRET not in everything_printed(caught.value)

    @pytest.mark.parametrize("value", [f"{SECRET}==", "bearerless_key_1234567", "a.b-c_d~e/f+g"])
    def test_an_unknown_prefix_is_a_warning(self, value: str) -> None:
        key = from_environment(value)
        (warning,) = key.warnings
        assert "live_" in warning
        assert value not in warning

    @given(st.text(st.characters(exclude_characters="\0"), max_size=40))
    def test_any_text_gives_a_key_fit_for_a_header_or_an_error(self, text: str) -> None:
        try:
            value = from_environment(text).reveal()
        except UsageError:
            return
        assert value
        assert value.isascii()
        assert value.isprintable()
        assert " " not in value


class TestFromAFile:
    @pytest.mark.parametrize(
        "content", [LIVE, f"{LIVE}\n", f"\n {LIVE} \r\n\n", f"\ufeff{LIVE}\r\n"]
    )
    def test_is_found_and_trimmed(self, tmp_path: Path, content: str) -> None:
        key = from_file(key_file(tmp_path, content))
        assert key.reveal() == LIVE
        assert key.warnings == ()

    def test_comes_before_the_environment(self, tmp_path: Path) -> None:
        settings = Settings(api=ApiSettings(key_file=key_file(tmp_path, TEST)))
        assert load_key(settings, {"COMPLYCUBE_API_KEY": LIVE}).reveal() == TEST

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("", "empty"),
            (" \n", "empty"),
            (LIVE.encode() + b"\xff", "not UTF-8 text (line 1)"),
            (LIVE.encode("utf-16"), "not UTF-8"),
            (f"{LIVE}\n" * 200, "larger than 4 KiB"),
            (f"Bearer {LIVE}", "Bearer"),
            (f"COMPLYCUBE_API_KEY={LIVE}\n", "assignment"),
            (f"# the key\n{LIVE}\n", "more than one line"),
        ],
    )
    def test_a_file_that_holds_no_key_is_an_error_without_its_content(
        self, tmp_path: Path, content: str | bytes, problem: str
    ) -> None:
        path = key_file(tmp_path, content)
        with pytest.raises(UsageError) as caught:
            from_file(path)
        assert problem in str(caught.value)
        assert str(path) in str(caught.value)
        assert SECRET not in everything_printed(caught.value)

    def test_the_largest_file_is_still_read(self, tmp_path: Path) -> None:
        assert from_file(key_file(tmp_path, LIVE.ljust(4096))).reveal() == LIVE
        with pytest.raises(UsageError, match="larger"):
            from_file(key_file(tmp_path, LIVE.ljust(4097)))

    def test_a_missing_file_and_a_directory_are_errors(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            from_file(tmp_path / "absent")
        with pytest.raises(UsageError, match="is a directory"):
            from_file(tmp_path)
        with pytest.raises(UsageError, match="file name too long"):
            from_file(tmp_path / ("x" * 300))

    @pytest.mark.usefixtures("permissions")
    def test_an_unreadable_file_is_an_error(self, tmp_path: Path) -> None:
        path = key_file(tmp_path, LIVE)
        path.chmod(0)
        with pytest.raises(UsageError, match="permission denied"):
            from_file(path)

    def test_a_key_in_place_of_a_path_is_not_shown(self) -> None:
        with pytest.raises(UsageError) as caught:
            from_file(Path(LIVE))
        assert SECRET not in everything_printed(caught.value)

    @pytest.mark.parametrize(("mode", "warns"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)])
    def test_a_file_that_others_can_read_is_a_warning(
        self, tmp_path: Path, mode: int, warns: int
    ) -> None:
        path = key_file(tmp_path, LIVE)
        path.chmod(mode)
        warnings = from_file(path).warnings
        assert [w for w in warnings if str(path) in w and "chmod 600" in w] == list(warnings)
        assert len(warnings) == warns

    def test_a_file_that_its_owner_hands_to_a_group_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = key_file(tmp_path, LIVE)
        path.chmod(0o440)
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
        assert from_file(path).warnings == ()
        path.chmod(0o444)
        assert len(from_file(path).warnings) == 1

    def test_a_pipe_will_do(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.write(writing, f"{LIVE}\n".encode())
        os.close(writing)
        try:
            key = from_file(Path(f"/dev/fd/{reading}"))
        finally:
            os.close(reading)
        assert (key.reveal(), key.warnings) == (LIVE, ())


@pytest.mark.parametrize(
    ("rate", "kind", "expected"),
    [
        ("auto", "live", Timetable.constant(8.0)),
        ("auto", "test", Timetable.constant(4.0)),
        ("auto", "unknown", Timetable.constant(4.0)),
        (2.5, "live", Timetable.constant(2.5)),
        ("07:00,4 22:00,10", "test", parse_timetable("07:00,4 22:00,10")),
    ],
)
def test_auto_is_four_fifths_of_the_documented_limit(
    rate: float | str, kind: KeyKind, expected: Timetable
) -> None:
    assert resolve_rate(rate, kind) == expected
