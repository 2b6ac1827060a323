"""What is done, and said, when the API refuses a key that its file may have replaced."""

from __future__ import annotations

from collections.abc import Callable

from worker.core.errors import UsageError
from worker.core.secrets import redact
from worker.settings import ApiKey, RenewableKey


def renewal(
    key: RenewableKey,
    tell: Callable[[str], None],
    on_renewed: Callable[[ApiKey], None] = lambda key: None,
) -> Callable[[], bool]:
    """For the client, when the API answers 401: whether `key` is another one from now on.

    Args:
        key: the key in use.
        tell: takes a sentence for the operator; none holds the key.
        on_renewed: is called with the new key.
    """

    def renew() -> bool:
        try:
            renewed = key.renew()
        except UsageError as error:
            tell(redact(f"the API refuses the key, and no other one is there: {error.message}"))
            return False
        if renewed:
            on_renewed(key.current)
            tell(
                "the API refused the key (401), and the key file holds another one now:"
                f" going on with {key.current.hint}"
            )
        return renewed

    return renew
