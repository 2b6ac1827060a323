from __future__ import annotations

import pytest

from worker.api.refusals import refusal
from worker.api.verdict import Refused
from worker.core.errors import ExitCode
from worker.core.outcomes import Error, ErrorType


@pytest.mark.parametrize(
    ("verdict", "told", "mend"),
    [
        (
            Refused(Error(ErrorType.PROXY_REFUSED, "the proxy answered 407"), None),
            "the proxy answered 407",
            "HTTPS_PROXY",
        ),
        (
            Refused(Error(ErrorType.CERTIFICATE, "it has expired"), None),
            "the server's TLS certificate is not valid: it has expired",
            "certificate authorities",
        ),
        (
            Refused(Error("unauthorized", "No such key"), 401),
            "the API refuses this key or account: HTTP 401, unauthorized: No such key",
            "Mend the key",
        ),
    ],
)
def test_a_refusal_says_who_refuses_and_what_is_to_be_mended(
    verdict: Refused, told: str, mend: str
) -> None:
    cause = refusal(verdict)
    assert (cause.exit_code, cause.error_type) == (ExitCode.REFUSED, verdict.error.type)
    assert cause.message == told
    assert mend in cause.advice
