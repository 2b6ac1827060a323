from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.settings_harness import KEY, Harness
from worker.core.errors import UsageError


class TestTheAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("https://api.complycube.com/v1/", "https://api.complycube.com/v1"),
            ("https://api.complycube.com/v1///", "https://api.complycube.com/v1"),
            ("https://example.org", "https://example.org"),
            ("https://example.org/", "https://example.org"),
            ("HTTPS://API.Example.org:8443/V1", "https://api.example.org:8443/V1"),
            ("https://10.0.0.1/a/b-c_d.e~f", "https://10.0.0.1/a/b-c_d.e~f"),
            ("https://[2001:db8::1]/v1", "https://[2001:db8::1]/v1"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
            ("http://127.255.255.254", "http://127.255.255.254"),
            ("http://[::1]:65535/v1", "http://[::1]:65535/v1"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[0:0:0:0:0:0:0:1]"),
        ],
    )
    def test_is_normalised(self, harness: Harness, text: str, address: str) -> None:
        assert harness.load(flags={"api.base_url": text}).settings.api.base_url == address

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("http://api.complycube.com/v1", "http:// only to a loopback"),
            ("http://128.0.0.1", "http:// only to a loopback"),
            ("http://0.0.0.0:8080", "http:// only to a loopback"),
            ("http://127.0.0.1.example.org", "http:// only to a loopback"),
            ("http://localhost.example.org", "http:// only to a loopback"),
            ("http://2130706433", "a valid host"),
            ("https://1/", "a valid host"),
            ("https://127.1/", "a valid host"),
            ("https://0x7f.0.0.1/", "a valid host"),
            (f"https://{'a' * 64}.org", "a valid host"),
            (f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 63}", "a valid host"),
            ("http://[::2]", "http:// only to a loopback"),
            ("http://[::ffff:127.0.0.1]", "http:// only to a loopback"),
            ("ftp://localhost", "an https:// address"),
            ("file:///etc/passwd", "an https:// address"),
            ("api.complycube.com/v1", "an https:// address"),
            ("localhost:8080", "an https:// address"),
            ("//api.complycube.com", "an https:// address"),
            ("https://", "an https:// address"),
            ("https:///v1", "an https:// address"),
            ("https://:443/v1", "a valid host"),
            ("https://[::1", "a valid host"),
            ("https://[::1%25lo]/", "a valid host"),
            ("https://exa_mple..org", "a valid host"),
            ("https://-a.org", "a valid host"),
            ("https://a.org:0", "a port from 1"),
            ("https://a.org:65536", "a port from 1"),
            ("https://a.org:x", "a port from 1"),
            ("https://a.org:/v1", "a port from 1"),
            ("https://user@a.org", "without user name"),
            ("https://user:secret@a.org", "without user name"),
            ("https://@a.org", "without user name"),
            (f"https://{KEY}@a.org", "without user name"),
            ("http://127.0.0.1@a.org", "without user name"),
            ("https://a.org/v1?", "without query"),
            ("https://a.org/v1?a=b", "without query"),
            ("https://a.org/v1#", "without query"),
            ("https://a.org/../v1", "plain names"),
            ("https://a.org//v1", "plain names"),
            ("https://a.org/v%31", "plain names"),
            ("https://a.org/v1;x", "plain names"),
            ("https://a.org\\@b.org", ""),
            ("https://a.org/v 1", "without blanks"),
            ("https://a.org/v1\n", "without blanks"),
            ("ht\ttps://a.org/", "without blanks"),
            (" https://a.org", "without blanks"),
            ("https://ä.org", "ASCII"),
        ],
    )
    def test_is_refused_where_the_key_might_go_astray(
        self, harness: Harness, text: str, hint: str
    ) -> None:
        error = harness.error(flags={"api.base_url": text})
        assert error.startswith("--base-url is ")
        assert hint in error
        assert "secret" not in error

    @given(st.from_regex(r"https?://[\w.:@\[\]/%?#\\-]{0,30}", fullmatch=True))
    @example("http://[::1]]")
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_address_is_normal_or_refused(self, shared_harness: Harness, text: str) -> None:
        loaded = shared_harness.attempt(flags={"api.base_url": text})
        if isinstance(loaded, UsageError):
            return
        address = loaded.settings.api.base_url
        again = shared_harness.load(flags={"api.base_url": address}).settings.api.base_url
        assert again == address
        assert not set(address) & set("@?#\\% ")
