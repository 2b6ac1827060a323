"""What must not be shown: the secrets that this process knows, and what may be one."""

from worker.core.secrets.known import (
    HIDDEN,
    Secrets,
    holds_secret,
    learn,
    learn_address,
    passwords_of,
    redact,
    redact_bytes,
)
from worker.core.secrets.lookalikes import NOT_SHOWN, holds_credential, may_be_key, shown

__all__ = [
    "HIDDEN",
    "NOT_SHOWN",
    "Secrets",
    "holds_credential",
    "holds_secret",
    "learn",
    "learn_address",
    "may_be_key",
    "passwords_of",
    "redact",
    "redact_bytes",
    "shown",
]
