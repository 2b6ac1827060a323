"""What exit codes and error types are said to mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.log_samples import invoke
from worker.cli.explain import explain
from worker.core.errors import ExitCode, UsageError
from worker.core.explanations import (
    ERROR_TYPES,
    EXIT_CODES,
    explain_error,
    explain_exit_code,
    is_known_error,
)
from worker.core.outcomes import ErrorType

WORKER = Path(__file__).parents[3] / "worker"


def test_every_exit_code_and_error_type_of_ours_is_explained() -> None:
    assert set(EXIT_CODES) == set(ExitCode)
    assert set(ErrorType) <= set(ERROR_TYPES)


def test_every_error_type_that_the_code_names_is_explained() -> None:
    sources = (path.read_text(encoding="utf-8") for path in WORKER.rglob("*.py"))
    named = {name for text in sources for name in re.findall(r"\bError\(\s*\"(\w+)\"", text)}
    assert named
    assert named <= set(ERROR_TYPES)


@pytest.mark.parametrize("explanation", [*EXIT_CODES.values(), *ERROR_TYPES.values()])
def test_explanations_are_whole_sentences(explanation: tuple[str, str]) -> None:
    for text in explanation:
        assert text[0].isupper()
        assert text.endswith(".")


@given(st.text() | st.from_regex(r"http_\d+", fullmatch=True))
def test_every_error_type_has_an_explanation(error_type: str) -> None:
    assert all(explain_error(error_type))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599, 408, 425])
def test_transient_statuses_tell_to_run_again(status: int) -> None:
    assert "same command again" in explain_error(f"http_{status}").what_to_do


def test_statuses_without_a_text_of_their_own_go_by_their_class() -> None:
    assert explain_error("http_418").meaning.startswith("The API or a proxy before it refused")
    assert explain_error("http_302") == explain_error("unexpected_response")
    assert not is_known_error("http_999")


@pytest.mark.parametrize(
    ("subject", "start"),
    [
        ("4", "Exit code 4: Stopped: the API stayed down"),
        ("unavailable", "Exit code 4: "),
        ("143", "Exit code 143: Interrupted by SIGTERM"),
        ("0000004", "Exit code 4: Stopped"),
        ("000", "Exit code 0: "),
        ("137", "Exit code 137: The process was killed by SIGKILL"),
        ("http_503", "http_503: A proxy"),
        ("Rate-Limit-Exceeded", "rate_limit_exceeded: "),
    ],
)
def test_subject_is_explained(subject: str, start: str) -> None:
    shown = invoke(explain, subject).stdout
    assert shown.startswith(start)
    assert shown.count("\n") == 2


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("conection_reset", "connection_reset"), ("htp_503", "http_503"), ("not found", None)],
)
def test_misspelt_subject_gets_the_nearest(misspelt: str, meant: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        invoke(explain, misspelt)
    assert meant is None or f"Did you mean {meant!r}?" in str(caught.value)


@pytest.mark.parametrize("code", ["6", "255", "99999999999999999999"])
def test_foreign_exit_code_is_wrong_usage(code: str) -> None:
    with pytest.raises(UsageError, match="no exit code of this program"):
        invoke(explain, code)


def test_code_of_no_signal_is_not_explained() -> None:
    assert explain_exit_code(128) is None


def test_without_a_subject_all_are_listed() -> None:
    shown = invoke(explain).stdout
    for subject in [*ERROR_TYPES, *(str(int(code)) for code in EXIT_CODES)]:
        assert f"  {subject} " in shown
