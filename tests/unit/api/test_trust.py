"""Whose certificates the environment names: what is no such thing is said before a run begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from worker.api.trust import check_trust
from worker.core.errors import UsageError


@pytest.fixture
def roots(tmp_path: Path, authority: trustme.CA) -> Path:
    path = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_a_file_with_an_authority_is_taken(roots: Path) -> None:
    check_trust({"SSL_CERT_FILE": str(roots)})


def test_one_directory_with_authorities_under_their_hashes_will_do(roots: Path) -> None:
    hashed = roots.parent / "certificates"
    hashed.mkdir()
    (hashed / "0a1b2c3d.0").symlink_to(roots)
    check_trust({"SSL_CERT_DIR": f"/nonexistent:{hashed}"})


def test_what_is_empty_names_no_directory() -> None:
    check_trust({"SSL_CERT_DIR": ""})


BROKEN = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"
REVOCATIONS = b"""-----BEGIN X509 CRL-----
MIGFMDkCAQEwBQYDK2VwMA8xDTALBgNVBAMMBHRlc3QXDTI2MTEyMzAwMDAwMFoX
DTM2MTEyMzAwMDAwMFowBQYDK2VwA0EAyPkDpjsxcGc+gMER/VIFNQpd4ehu/VMW
R+eUOlUcMlK76wWM1trakPfOqjtSUhbc+PM/coUMTFP49T1pAi08Ag==
-----END X509 CRL-----
"""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "holds no certificate"),
        (b"no certificate\n", "holds no certificate"),
        (REVOCATIONS, "holds no certificate"),
        (BROKEN, "holds no certificate that can be read"),
    ],
)
def test_a_file_without_an_authority_is_wrong_usage(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        check_trust({"SSL_CERT_FILE": str(path)})
    assert caught.value.message.startswith(f"the file that SSL_CERT_FILE names ('{path}') {told}")
    assert "unset it" in caught.value.advice


def test_what_cannot_be_a_path_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(not a path\)"):
        check_trust({"SSL_CERT_FILE": "/roots\0.pem"})
    with pytest.raises(UsageError, match="names no directory"):
        check_trust({"SSL_CERT_DIR": "/roots\0"})


@pytest.mark.parametrize("name", ["missing", "roots.pem", "."])
def test_a_directory_without_hashed_names_is_wrong_usage(roots: Path, name: str) -> None:
    directory = roots.parent / name
    with pytest.raises(UsageError, match="names no directory with certificates") as caught:
        check_trust({"SSL_CERT_DIR": str(directory)})
    assert "openssl rehash" in caught.value.advice
