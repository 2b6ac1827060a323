"""Mutants of the client and of what answers mean."""

from __future__ import annotations

from typing import Final

from tests.proofs.mutants.mutant import Mutant

_VERDICT: Final = "worker/api/verdict.py"
_CLIENT: Final = "worker/api/client.py"
_TESTS: Final = ("tests/unit/api",)
_READ_FIRST: Final = "a session that may have been completed is read before it is sent again"

API: Final = (
    Mutant(
        "a 503 counts as not acted upon",
        _READ_FIRST,
        _VERDICT,
        "return Transient(error, True, status, retry_after_s, is_final=is_own)",
        "return Transient(error, False, status, retry_after_s, is_final=is_own)",
        _TESTS,
    ),
    Mutant(
        "an answer of a gateway counts as the API's last word",
        "nothing is done twice by a backend that acts within retry.settle",
        _VERDICT,
        "retry_after_s, is_final=is_own)",
        "retry_after_s, is_final=True)",
        _TESTS,
    ),
    Mutant(
        "a success that makes no sense counts as not acted upon",
        _READ_FIRST,
        _VERDICT,
        "        return Transient(_unexpected(reply), ambiguous=True, http_status=reply.status)\n"
        "    return _judge_failure(reply)\n\n\ndef judge_check",
        "        return Transient(_unexpected(reply), ambiguous=False, http_status=reply.status)\n"
        "    return _judge_failure(reply)\n\n\ndef judge_check",
        _TESTS,
    ),
    Mutant(
        "a success that names another session counts",
        "no outcome is taken from another session's answer",
        _VERDICT,
        "    return None if is_another else session.status\n",
        "    return session.status\n",
        _TESTS,
    ),
    Mutant(
        "a 404 of something else is not_found",
        "what is not the API's own answer is nobody's outcome",
        _VERDICT,
        "    if status < 400 or not is_own or (status == 404 and error.type",
        "    if status < 400 or (status == 404 and is_own and error.type",
        _TESTS,
    ),
    Mutant(
        "a 429 is an id's failure",
        "a throttled request was not acted upon, and uses up no attempt",
        _VERDICT,
        "    if status == 429:\n",
        "    if status == 428:\n",
        _TESTS,
    ),
    Mutant(
        "a session with a status that is not known is sent",
        _READ_FIRST,
        _VERDICT,
        "        case _:\n            # It may be",
        "        case _:\n            return Unfinished(http_status)\n            # It may be",
        _TESTS,
    ),
    Mutant(
        "a Retry-After date counts from this machine's clock",
        "a date counts from the answer's own Date",
        _VERDICT,
        "parse_retry_after(answer.retry_after, parse_date(answer.date))",
        "parse_retry_after(answer.retry_after, datetime.now(UTC))",
        _TESTS,
    ),
    Mutant(
        "a request that was answered 401 is never sent with the new key",
        "a key that is replaced while a run lasts is taken up",
        _CLIENT,
        "        return self._marked(answer, key) if answer.status in _OF_THE_KEY else answer\n",
        "        return answer\n",
        _TESTS,
    ),
    Mutant(
        "a session that a replaced key does not know is not_found",
        "what was not_found under another key is asked again",
        _CLIENT,
        "frozenset({401, 402, 403, 404})",
        "frozenset({401, 402, 403})",
        _TESTS,
    ),
    Mutant(
        "redirects are followed",
        "the key is sent to no other host",
        _CLIENT,
        "                allow_redirects=False,\n",
        "                allow_redirects=True,\n",
        (*_TESTS, "tests/system/test_answers.py"),
    ),
)
