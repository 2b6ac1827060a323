"""What exit codes and error types mean, and what to do about each. Pure data."""

from __future__ import annotations

import re
import signal
from difflib import get_close_matches
from typing import Final, NamedTuple

from worker.core.errors import ExitCode
from worker.core.outcomes import ErrorType


class Explanation(NamedTuple):
    """Whole sentences, for people."""

    meaning: str
    what_to_do: str


_SAME_COMMAND = "Run the same command again"
_LATER = f"{_SAME_COMMAND} later: it reads what may have arrived before it sends anything twice."

EXIT_CODES: Final[dict[ExitCode, Explanation]] = {
    ExitCode.OK: Explanation(
        "Every id has settled: processing or not_found.",
        "Nothing is left to do.",
    ),
    ExitCode.SOME_FAILED: Explanation(
        "The run finished and some ids failed.",
        "See why with `complete-sessions report RESULTS`. The same command sends the failed ids "
        "again and skips the settled ones.",
    ),
    ExitCode.USAGE: Explanation(
        "An option, a setting, the key or a file is wrong; as a rule nothing was sent.",
        "The message names what is wrong and what is allowed. `run --print-settings` shows every "
        "value and where it came from.",
    ),
    ExitCode.REFUSED: Explanation(
        "Stopped: the API refuses the key or the account (401, 402, 403), a proxy (407) or Redis "
        "refuses, the TLS certificate is not valid, another server answers at the base URL, or too "
        "many ids fail alike.",
        "Mend the key, the plan, the proxy or the address; `complete-sessions check` tells when it "
        "is right. Then run the same command again: it goes on where this run stopped.",
    ),
    ExitCode.UNAVAILABLE: Explanation(
        "Stopped: the API stayed down, or throttled everything, for longer than the run's "
        "patience; or Redis stayed down, or the queue is gone. No session was given up for it.",
        "Look at the API's status page and at the account's monthly quota, or where the message "
        "speaks of Redis or a queue, ask `complete-sessions explain redis_unavailable` or "
        "`queue_gone`. "
        f"{_SAME_COMMAND} later, or with a longer `--patience`: it goes on where this run stopped.",
    ),
    ExitCode.STOPPED: Explanation(
        "Stopped at `--max-duration`, `--until` or `--limit`; ids remain.",
        f"{_SAME_COMMAND}, for instance the next night: it goes on where this run stopped.",
    ),
    ExitCode.INPUT_UNREADABLE: Explanation(
        "The source could be read in part only, or has changed meanwhile; every id that was read "
        "was completed or recorded.",
        "Mend the source (a broken disk, share or pipe), then run the same command again: it sends "
        "what is missing and skips what has settled.",
    ),
    ExitCode.DEFECT: Explanation(
        "The program met a defect of its own. What was recorded until then is safe.",
        f"Report the defect with the traceback from stderr. {_SAME_COMMAND} to go on: ids that "
        "may have reached the API are read before they are sent.",
    ),
    ExitCode.LOG_UNWRITABLE: Explanation(
        "The results log or its journal cannot be written; nothing more was sent.",
        "Free space on the disk or mend the permissions. Then run the same command again: ids "
        "that may have reached the API are read before they are sent.",
    ),
    ExitCode.LOCKED: Explanation(
        "Another run holds the results log; this one sent nothing.",
        "Wait for the other run, which the message names, or give this one a log of its own with "
        "`--results`. The lock goes with its process: there is no stale lock to remove.",
    ),
    ExitCode.INTERRUPTED: Explanation(
        "Interrupted by SIGINT (Ctrl-C); what was in flight was finished and recorded, "
        "but for what a second one cut off.",
        f"{_SAME_COMMAND}: it goes on where this run stopped.",
    ),
    ExitCode.TERMINATED: Explanation(
        "Interrupted by SIGTERM or SIGHUP; what was in flight was finished and recorded, "
        "but for what a second one cut off.",
        f"{_SAME_COMMAND}: it goes on where this run stopped.",
    ),
}

ERROR_TYPES: Final[dict[str, Explanation]] = {
    ErrorType.TIMEOUT.value: Explanation(
        "The request left, and no whole answer came within the time allowed.",
        f"{_LATER} Where many time out, raise `api.timeout` or lower `--concurrency`.",
    ),
    ErrorType.CONNECTION_RESET.value: Explanation(
        "The connection broke after the request had left.",
        f"{_LATER} Where it happens often, look for a proxy or firewall that cuts connections.",
    ),
    ErrorType.CONNECT_FAILED.value: Explanation(
        "No connection to the API could be opened (DNS, refused, TLS handshake); nothing was sent.",
        "Check the network, the proxy and the base URL with `complete-sessions check`, then run "
        "the same command again.",
    ),
    ErrorType.UNEXPECTED_RESPONSE.value: Explanation(
        "An answer came that the API does not document: a foreign body, a redirect or an unknown "
        "status.",
        "Read the message. A page of another site or a redirect says that the base URL is wrong "
        "or that a proxy answers in the API's place.",
    ),
    ErrorType.INVALID_ID.value: Explanation(
        "The line of the input cannot be an id: an id has 1 to 128 letters, digits, `_` or `-`.",
        "Mend these lines in the source; `line` in the log says which. They were never sent.",
    ),
    ErrorType.SESSION_CANCELLED.value: Explanation(
        "The session was cancelled: it cannot be completed.",
        "Nothing can be sent for it. Take it off the backlog, or start a new session with the "
        "client.",
    ),
    ErrorType.SESSION_ABANDONED.value: Explanation(
        "The client left the session incomplete and the API has closed it as abandoned.",
        "Nothing can be sent for it. Take it off the backlog, or start a new session with the "
        "client.",
    ),
    ErrorType.AMBIGUOUS.value: Explanation(
        "A request may have reached the API, and nobody could be asked whether it did; or the "
        "session has a status that this program does not know.",
        f"{_SAME_COMMAND}: it reads each of these sessions before it sends anything, so that "
        "no checks are billed twice.",
    ),
    ErrorType.CERTIFICATE.value: Explanation(
        "The server's TLS certificate is not valid, so the key was not sent to it.",
        "Check this machine's clock. Where a company's own authority signs, as a proxy that looks "
        "into TLS does, name its certificates (PEM) in SSL_CERT_FILE, or a directory prepared with "
        "`openssl rehash` in SSL_CERT_DIR. The check cannot be turned off.",
    ),
    ErrorType.PROXY_REFUSED.value: Explanation(
        "The proxy that HTTPS_PROXY names answered 407: it does not accept the user and password "
        "it was given, or wants some. Nothing was sent to the API.",
        "Correct HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT, special characters escaped as in "
        "%40 for @), try it with `complete-sessions check`, then run the same command again.",
    ),
    "redis_unavailable": Explanation(
        "The Redis that several runs share does not answer; nothing is sent meanwhile.",
        "Look at Redis, the network and the address in `--shared`. The run goes on by itself when "
        "it is back, and stops with 4 when that takes longer than `--patience`.",
    ),
    "redis_refused": Explanation(
        "The Redis that several runs share refuses the password, the user or a command, or its "
        "certificate is not valid.",
        "Correct the address in `--shared`, or give the user the rights that config/redis.conf "
        f"names; `complete-sessions check` tells when it is right. {_SAME_COMMAND} then: what was "
        "refused half way is made good.",
    ),
    "queue_gone": Explanation(
        "Somebody dropped the queue, or Redis has lost it, all or a part: a restart without its "
        "append-only file, a failover, an eviction from a full memory.",
        "What was settled stands in the results logs. Where `complete-sessions queue status` still "
        "knows the queue, `enqueue SOURCE --repair` puts back what is missing. Else drop what is "
        "left of it, enqueue the source again, and run with `--check-first`, because Redis no "
        "longer knows what was sent.",
    ),
    "invalid_request": Explanation(
        "The API took the request for malformed or incomplete; `param` names the part where known.",
        "Compare the id with the API's dashboard. Sending it again unchanged will not help.",
    ),
    "unauthorized": Explanation(
        "The API does not accept the key, or the plan gives no access.",
        "Check with `complete-sessions check` that the right key is in use, live or test, and "
        "that it has not been revoked. The next run sends these ids again. Where the key file "
        "holds another key by then, a run goes on with that by itself.",
    ),
    "resource_not_found": Explanation(
        "The API knows no such session in this account.",
        "Check that the ids belong to the key's account and kind: a live key does not see test "
        "sessions. Otherwise there is nothing to complete, and the id counts as settled.",
    ),
    "rate_limit_exceeded": Explanation(
        "The account's rate limit or its monthly quota was exceeded; the API did not act.",
        f"{_SAME_COMMAND} later. Where it happens all the time, lower `--rate`, or look whether "
        "other traffic of the account or the monthly quota uses the limit up.",
    ),
    "internal_server_error": Explanation(
        "Something went wrong at the API's end; it may have acted all the same.",
        f"{_LATER} Where it stays, give the vendor an id and the time from the log.",
    ),
}

_HTTP_STATUSES: Final[dict[int, Explanation]] = {
    400: ERROR_TYPES["invalid_request"],
    401: ERROR_TYPES["unauthorized"],
    402: Explanation(
        "Payment is due on the account.",
        "Settle the bill or add credit, then run the same command again.",
    ),
    403: ERROR_TYPES["unauthorized"],
    404: ERROR_TYPES[ErrorType.UNEXPECTED_RESPONSE.value],
    407: ERROR_TYPES[ErrorType.PROXY_REFUSED.value],
    408: ERROR_TYPES[ErrorType.TIMEOUT.value],
    413: Explanation(
        "The request was too large, for the API or for a proxy before it.",
        "The program sends next to nothing: look for a proxy with a very small limit.",
    ),
    422: Explanation(
        "The API could not process the session as it is.",
        "Look at the session in the API's dashboard. Sending it again unchanged will not help.",
    ),
    425: Explanation("The API or a proxy asked to send the request later.", _LATER),
    429: ERROR_TYPES["rate_limit_exceeded"],
    500: ERROR_TYPES["internal_server_error"],
}

_GATEWAY = Explanation(
    "A proxy before the API answered that the API is down, overloaded or slow; it may have acted "
    "all the same.",
    _LATER,
)
_CLIENT_ERROR = Explanation(
    "The API or a proxy before it refused this request.",
    "Read the message. Sending the id again unchanged will hardly help.",
)
_REDIRECT = ERROR_TYPES[ErrorType.UNEXPECTED_RESPONSE.value]
_UNKNOWN = Explanation(
    "A type of the API's own that this program does not know.",
    "Read the message and the API's documentation of errors. The next run sends these ids again.",
)


def explain_error(error_type: str) -> Explanation:
    """What an error's type means; total: `http_<status>` and unknown types have an answer too."""
    known = ERROR_TYPES.get(error_type)
    if known is not None:
        return known
    match = re.fullmatch(r"http_([1-5]\d\d)", error_type, re.ASCII)
    return _UNKNOWN if match is None else _explain_status(int(match[1]))


def _explain_status(status: int) -> Explanation:
    if status in _HTTP_STATUSES:
        return _HTTP_STATUSES[status]
    if status >= 500 or status < 200:
        return _GATEWAY
    return _CLIENT_ERROR if status >= 400 else _REDIRECT


def explain_exit_code(code: int) -> Explanation | None:
    """What an exit code means; None where it is neither ours nor a death by a signal."""
    try:
        return EXIT_CODES[ExitCode(code)]
    except ValueError:
        pass
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return None
    return Explanation(
        f"The process was killed by {name}; what was recorded until then is safe.",
        f"{_SAME_COMMAND}: ids that may have reached the API are read before they are sent.",
    )


def is_known_error(error_type: str) -> bool:
    """Whether `explain_error` has more to say than that it does not know the type."""
    return explain_error(error_type) is not _UNKNOWN


def nearest(text: str) -> str | None:
    """The error type or exit code's name that a misspelt word most likely means."""
    statuses = (*_HTTP_STATUSES, 502, 503, 504)
    names = [
        *ERROR_TYPES,
        *(code.name.lower() for code in ExitCode),
        *(f"http_{status}" for status in statuses),
    ]
    matches = get_close_matches(text.lower().replace("-", "_"), names, n=1, cutoff=0.55)
    return matches[0] if matches else None
