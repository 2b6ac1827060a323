"""Why no request of this run can succeed, as the error that ends it."""

from __future__ import annotations

from worker.api.verdict import Refused
from worker.core.errors import RefusedError
from worker.core.outcomes import ErrorType


def refusal(verdict: Refused) -> RefusedError:
    """Who refuses, and what is to be mended: the proxy's password, the certificate, or the key."""
    error = verdict.error
    if error.type == ErrorType.PROXY_REFUSED:
        return RefusedError(error.message, "Correct user and password in HTTPS_PROXY", error.type)
    if verdict.http_status is None:
        return RefusedError(
            f"the server's TLS certificate is not valid: {error.message}",
            "Correct the base URL, or this machine's clock and certificate authorities"
            " (SSL_CERT_FILE)",
            error.type,
        )
    return RefusedError(
        f"the API refuses this key or account: HTTP {verdict.http_status}, {error.type}:"
        f" {error.message}",
        "Mend the key or the plan, then run the same command again",
        error.type,
    )
