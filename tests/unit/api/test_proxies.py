"""The proxy's variables, read as curl and Go read them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.proxies import Proxy, is_excepted, proxy_for
from worker.core.errors import UsageError

API = "https://api.test/v1"
PORT = st.integers(1, 65535)
LABEL = st.text("abcxyz019", min_size=1, max_size=5).map(lambda text: f"n{text}")
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128"),
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("proxy.test", "http://proxy.test:80"),
        ("https://proxy.test", "https://proxy.test:443"),
        ("HTTP://Proxy.Test:3128/", "http://proxy.test:3128"),
        (" http://10.0.0.1:8080 ", "http://10.0.0.1:8080"),
        ("[::1]:3128", "http://[::1]:3128"),
        ("http://[fe80::1]", "http://[fe80::1]:80"),
    ],
)
def test_an_address_of_a_proxy_is_read(named: str, expected: str) -> None:
    assert proxy_for(API, {"HTTPS_PROXY": named}) == Proxy(expected)


@pytest.mark.parametrize("named", ["http://jo:hunter22@p.test:1", "jo:hunter22@p.test:1"])
def test_credentials_leave_the_address(named: str) -> None:
    proxy = Proxy("http://p.test:1", "Basic am86aHVudGVyMjI=")
    assert proxy_for(API, {"HTTPS_PROXY": named}) == proxy


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("socks5://jo:hunter22@proxy.test:1080", "names a SOCKS proxy, which is not supported"),
        ("socks5h://proxy.test", "names a SOCKS proxy"),
        ("ftp://hunter22@proxy.test", "begins with neither http:// nor https://"),
        ("http://proxy.test:0", "has a port that is not one from 1 to 65535"),
        ("http://proxy.test:65536", "has a port"),
        ("http://jo:hunter22@proxy.test:x", "has a port"),
        ("http://proxy.test:", "has a port"),
        ("http://jo:hunter22", "has a port"),
        ("http://", "is not the address of a proxy"),
        ("://", "begins with neither"),
        ("http://[::1", "is not the address of a proxy"),
        ("http://pro xy.test", "is not the address of a proxy"),
        ("http://proxy.test/hunter22", "is not the address of a proxy"),
        ("http://jo:hunter22/x@proxy.test", "not"),
        (f"http://{'a' * 64}.test", "is not the address of a proxy"),
    ],
)
def test_what_is_no_proxy_is_a_usage_error_that_names_the_variable(named: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        proxy_for(API, {"https_proxy": named})
    assert str(caught.value).startswith("https_proxy ")
    assert told in str(caught.value)
    assert "hunter22" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_the_variable_holds_is_a_proxy_or_a_usage_error(text: str) -> None:
    try:
        proxy = proxy_for(API, {"HTTPS_PROXY": text})
    except UsageError:
        return
    assert (proxy is None) == (not text.strip())
    assert proxy is None or "@" not in proxy.url


def test_small_letters_come_first_and_empty_ones_do_not_count() -> None:
    both = {"https_proxy": "small.test:1", "HTTPS_PROXY": "LARGE.test:1"}
    assert proxy_for(API, both) == Proxy("http://small.test:1")
    assert proxy_for(API, both | {"https_proxy": ""}) == Proxy("http://large.test:1")


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        (API, {}),
        (API, {"HTTPS_PROXY": ""}),
        (API, {"http_proxy": "p.test:1", "ALL_PROXY": "socks5://p.test:1"}),
        (API, {"https_proxy": "p.test:1", "no_proxy": "api.test"}),
        (API, {"https_proxy": "p.test:1", "NO_PROXY": "api.test"}),
        ("http://127.0.0.1:8080/v1", {"http_proxy": "p.test:1"}),
        ("https://127.0.0.1:8080/v1", {"https_proxy": "p.test:1"}),
        ("https://localhost/v1", {"https_proxy": "p.test:1"}),
    ],
)
def test_no_proxy_is_used(url: str, environ: dict[str, str]) -> None:
    assert proxy_for(url, environ) is None


@pytest.mark.parametrize(
    ("host", "port", "exceptions"),
    [
        ("api.test", 443, "*"),
        ("api.test", 443, "other,api.test"),
        ("api.test", 443, "other , API.test ,x"),
        ("api.test", 443, "other api.test"),
        ("api.test", 443, ".api.test"),
        ("api.test", 443, "test"),
        ("api.test", 443, ".test"),
        ("api.test", 443, "*.test"),
        ("api.test", 443, "api.test."),
        ("api.test.", 443, "api.test"),
        ("api.test", 8443, "api.test:8443"),
        ("10.1.2.3", 443, "10.0.0.0/8"),
        ("10.1.2.3", 443, "10.1.2.3:443"),
        ("10.1.2.3", 443, "10.9.9.9/8"),
        ("fd00::1", 443, "[fd00::1]"),
        ("fd00::1", 443, "fd00:0::1"),
        ("fd00::1", 443, "[fd00::1]:443"),
        ("fd00::1", 443, "fd00::/8"),
    ],
)
def test_a_host_is_excepted(host: str, port: int, exceptions: str) -> None:
    assert is_excepted(host, port, exceptions)


@pytest.mark.parametrize(
    ("host", "port", "exceptions"),
    [
        ("api.test", 443, ""),
        ("api.test", 443, ", ."),
        ("api.test", 443, "myapi.test,pi.test,api.tes"),
        ("api.test", 443, "sub.api.test"),
        ("api.test", 443, "api.test:8443"),
        ("10.1.2.3", 443, "11.0.0.0/8,10.1.2.3:80,10.0.0.0/x"),
        ("fd00::1", 443, "fe00::/8,[fd00::1]:80,[fd00::1"),
    ],
)
def test_a_host_is_not_excepted(host: str, port: int, exceptions: str) -> None:
    assert not is_excepted(host, port, exceptions)


@given(NAME, NAME, PORT, PORT, st.sampled_from(["", ".", "*."]), st.booleans())
def test_a_domain_stands_for_itself_and_its_subdomains(
    host: str, domain: str, port: int, other: int, before: str, has_port: bool
) -> None:
    labels, ends = host.split("."), domain.split(".")
    is_within = labels[-len(ends) :] == ends
    suffix = f":{other}" if has_port else ""
    expected = is_within and (not has_port or port == other)
    assert is_excepted(host, port, f"x.invalid, {before}{domain}{suffix}") == expected
    assert is_excepted(f"a.{domain}", port, f"{before}{domain}:{port}")


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_network_stands_for_its_addresses(host: int, base: int, bits: int) -> None:
    network = IPv4Network((base, bits), strict=False)
    expected = host >> (32 - bits) == base >> (32 - bits)
    assert is_excepted(str(IPv4Address(host)), 443, str(network)) == expected


@given(NAME, PORT, st.text())
def test_no_list_is_an_error(host: str, port: int, exceptions: str) -> None:
    assert is_excepted(host, port, exceptions) in (True, False)
