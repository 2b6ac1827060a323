from __future__ import annotations

import html
import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.secrets import Secrets, holds_secret, learn, learn_address, redact, redact_bytes

KEY = "live_R2tW/dU1SSk5+Z3F4==f3a9"
PASSWORD = 'pä"ss/wö&rd<1>'


def knowing(*secrets: str, **given: bool) -> Secrets:
    known = Secrets()
    known.learn(*secrets, **given)
    return known


def in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def in_json_of_php(text: str) -> str:
    return in_json(text).replace("/", "\\/")


def in_units(sign: str) -> str:
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))


def in_full(escape: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "".join(map(escape, text))


ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "JSON": in_json,
    "JSON of PHP": in_json_of_php,
    "JSON, all of it": in_full(in_units),
    "JSON in JSON": lambda text: in_json(in_json(text)),
    "JSON of PHP in JSON": lambda text: in_json(in_json_of_php(text)),
    "repr": in_full(lambda sign: f"\\x{ord(sign):02x}" if ord(sign) < 256 else sign),
    "YAML": in_full(lambda sign: f"\\U{ord(sign):08x}"),
    "URL": lambda text: quote(text, safe=""),
    "URL in URL": lambda text: quote(quote(text, safe=""), safe=""),
    "URL, all of it": in_full(lambda sign: "".join(f"%{byte:02x}" for byte in sign.encode())),
    "HTML": html.escape,
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "HTML by names": lambda text: text.replace("&", "&amp;").replace("/", "&sol;"),
    "HTML, decimal": in_full(lambda sign: f"&#{ord(sign)};"),
    "HTML, padded hexadecimal": in_full(lambda sign: f"&#x00{ord(sign):X};"),
    "shell": in_full(lambda sign: sign if sign.isalnum() else f"\\{sign}"),
}


@pytest.mark.parametrize("secret", [KEY, PASSWORD, "a\U0001f511b c"])
@pytest.mark.parametrize("escape", ESCAPES)
def test_a_secret_is_found_however_it_is_escaped(escape: str, secret: str) -> None:
    said = ESCAPES[escape](secret)
    assert knowing(secret).redact(f"<{said}> {said}") == "<[secret]> [secret]"
    content = f"<{said}> {said}".encode()
    assert knowing(secret).redact_bytes(content) == b"<[secret]> [secret]"


@pytest.mark.parametrize("last", "uUxX")
@pytest.mark.parametrize("case", [str.lower, str.upper])
@pytest.mark.parametrize("escape", ["JSON, all of it", "repr", "YAML"])
def test_of_an_escape_that_begins_with_a_secrets_last_sign_nothing_is_left(
    escape: str, case: Callable[[str], str], last: str
) -> None:
    said = ESCAPES[escape](case(last))
    assert knowing(f"s3cr3t{last}").redact(f"<s3cr3t{said}>") == "<[secret]>"


printable = st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" ")


any_secret = st.text(printable, min_size=4, max_size=60)


@given(any_secret.filter(lambda text: not text.endswith("\\")), st.data())
def test_any_secret_is_found_in_any_mixture_of_escapes(secret: str, data: st.DataObject) -> None:
    kinds = [name for name in ESCAPES if "case" not in name]
    escapes = [ESCAPES[data.draw(st.sampled_from(kinds))] for _ in secret]
    said = "".join(escape(sign) for escape, sign in zip(escapes, secret, strict=True))
    assert knowing(secret).redact(f"before {said} behind") == "before [secret] behind"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "Basic "])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_a_secret_is_found_in_base64_wherever_it_begins(
    before: str, encode: Callable[[bytes], bytes]
) -> None:
    said = encode(f"{before}{KEY} and more".encode()).decode()
    shown = knowing(KEY).redact(f"it was {said}")
    assert "[secret]" in shown
    rest = shown.removeprefix("it was ").partition("[secret]")
    readable = [b64decode(part[: len(part) // 4 * 4]) for part in (rest[0], rest[2][-12:])]
    assert not [part for part in readable if KEY[:5].encode() in part or KEY[-5:].encode() in part]


def test_a_secret_that_holds_another_leaves_nothing_standing() -> None:
    assert knowing("abcd", "abcdef-abcd-123").redact("x abcdef-abcd-123") == "x [secret]"


@pytest.mark.parametrize("text", ["", "abc", "a%41 &amp; \\n", "[secret]", "\udc80 \x00"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert knowing(KEY, PASSWORD).redact(text) == text
    content = text.encode("utf-8", "surrogateescape")
    assert knowing(KEY, PASSWORD).redact_bytes(content) == content


@given(st.binary(max_size=200))
def test_no_byte_of_another_answer_is_changed(content: bytes) -> None:
    assert knowing(KEY).redact_bytes(content) == content


def test_what_is_too_short_would_blot_out_other_text() -> None:
    assert knowing("", "a", "abc").redact("abc of a") == "abc of a"


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "secrets"),
        [
            ("redis://:hunter22@db:6379/0", ["hunter22"]),
            ("rediss://worker:hunter22@db", ["hunter22", "worker:hunter22"]),
            ("redis://db?password=hunter22&x=1", ["hunter22"]),
            ("http://proxy-user:p%40ss%2Fword@proxy:3128", ["p@ss/word", "p%40ss%2Fword"]),
            ("proxy-user:hunter22@proxy:3128", ["hunter22", "proxy-user:hunter22"]),
            ("http://u:pa/ss/word@proxy:3128", ["pa/ss/word"]),
            ("http://u:hunter22@proxy", [b64encode(b"u:hunter22").decode()]),
            ("http://R2tWdU1SSk5pZ3F4f3a9@proxy", ["R2tWdU1SSk5pZ3F4f3a9"]),
            ("http://token:@proxy", [b64encode(b"token:").decode()]),
        ],
    )
    def test_password_of_an_address_is_learned_in_all_its_forms(
        self, address: str, secrets: list[str]
    ) -> None:
        known = Secrets()
        known.learn_address(address)
        assert [known.redact(f"it is {secret}!") for secret in secrets] == [
            "it is [secret]!" for _ in secrets
        ]

    @pytest.mark.parametrize(
        "address", ["redis://db:6379/0", "http://proxy:3128", "proxy:3128", "", "http://[::1", "@"]
    )
    def test_address_without_a_password_teaches_nothing(self, address: str) -> None:
        known = Secrets()
        known.learn_address(address)
        text = f"{address} proxy:3128 db:6379 [::1]"
        assert known.redact(text) == text

    def test_name_of_a_user_stays_where_it_is_a_word(self) -> None:
        known = Secrets()
        known.learn_address("http://alice:hunter22@proxy:3128")
        assert known.redact("/home/alice/ids.txt") == "/home/alice/ids.txt"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("url='http://alice:x@proxy:3128'", "url='http://[secret]@proxy:3128'"),
            ("see https://alice@proxy", "see https://[secret]@proxy"),
            ("redis://:x@db/0", "redis://[secret]@db/0"),
            ("redis://worker@db/0", "redis://worker@db/0"),
            ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
            ("http://proxy me@home", "http://proxy me@home"),
        ],
    )
    def test_user_and_password_are_hidden_in_any_address(self, text: str, shown: str) -> None:
        assert Secrets().redact(text) == shown

    def test_a_password_that_may_be_a_word_is_left_in_answers_and_ids(self) -> None:
        known = Secrets()
        known.learn_address("redis://:started@db")
        assert known.redact("the password started") == "the password [secret]"
        assert known.redact_bytes(b'{"status": "started"}') == b'{"status": "started"}'
        assert not known.holds_secret("started-1")


class TestIds:
    @pytest.mark.parametrize(
        "id", [KEY, KEY[:20], f"x{KEY}", b64encode(KEY.encode()).decode().rstrip("="), "5eb2-5eb2"]
    )
    def test_id_that_is_or_holds_a_secret_is_found(self, id: str) -> None:
        assert knowing(KEY, KEY[:20], "5eb2-5eb2").holds_secret(id)

    @pytest.mark.parametrize("id", ["5eb2b61e02df0a0008f1cf2b", "5eb2", "live_1", "x-demo-x"])
    def test_other_ids_may_hold_what_is_short(self, id: str) -> None:
        assert not knowing(KEY, "demo", "b61e").holds_secret(id)


def test_what_the_process_learned_is_kept_out_of_everything() -> None:
    learn(KEY)
    learn_address("http://proxy-user:hunter22@proxy")
    assert redact(f"{KEY} hunter22") == "[secret] [secret]"
    assert redact_bytes(KEY.encode()) == b"[secret]"
    assert holds_secret(KEY)


def test_advice_that_shows_where_user_and_password_stand_is_legible() -> None:
    advice = "It must be like http://USER:PASSWORD@HOST:PORT or redis://USER:PASSWORD@HOST"
    assert Secrets().redact(advice) == advice
    assert Secrets().redact("http://USER:secret@HOST") == "http://[secret]@HOST"
