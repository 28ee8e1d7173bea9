"""Certificates and keys that can be served, and one line for those that cannot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relay.certificates import load_certificate
from relay.errors import CertificateError
from tests.certificates import Pair, make_pair, openssl


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


def test_a_pair_and_when_it_ends(pair: Pair) -> None:
    certificate = load_certificate(str(pair.cert), str(pair.key))
    # openssl's certificates are for 30 days.
    assert abs(certificate.expires - time.time() - 30 * 86400) < 3600
    assert "PRIVATE" not in repr(certificate)


def test_both_in_one_file(pair: Pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    assert load_certificate(str(both), "").expires


def refusal(cert: Path, key: Path | str) -> str:
    with pytest.raises(CertificateError) as caught:
        load_certificate(str(cert), str(key))
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestRefusals:
    def test_missing_files(self, pair: Pair, tmp_path: Path) -> None:
        missing = tmp_path / "missing"
        for words in (refusal(missing, pair.key), refusal(pair.cert, missing)):
            assert f"{str(missing)!r} cannot be read: No such file" in words

    def test_key_of_another_certificate(self, pair: Pair, tmp_path: Path) -> None:
        other = make_pair(tmp_path, "other")
        words = refusal(pair.cert, other.key)
        assert f"the key in {str(other.key)!r} is not that of its first certificate" in words

    def test_encrypted_key(self, pair: Pair, tmp_path: Path) -> None:
        openssl(
            *("pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:x", "-out", "locked"),
            cwd=tmp_path,
        )
        words = refusal(pair.cert, tmp_path / "locked")
        assert "is encrypted" in words and "openssl pkey -in" in words

    def test_expired(self, pair: Pair, tmp_path: Path) -> None:
        openssl("req", "-new", "-key", str(pair.key), "-subj", "/CN=x", "-out", "r", cwd=tmp_path)
        openssl(
            *("x509", "-req", "-in", "r", "-signkey", str(pair.key), "-days", "-1"),
            *("-out", "old"),
            cwd=tmp_path,
        )
        assert refusal(tmp_path / "old", pair.key).endswith("has expired; renew it")

    def test_no_key_and_no_certificate(self, pair: Pair) -> None:
        assert "name the file of its key with --tls-key" in refusal(pair.cert, "")
        assert "holds no private key in PEM form" in refusal(pair.cert, pair.cert)
        assert "holds no certificate in PEM form" in refusal(pair.key, pair.key)

    def test_damaged_certificate(self, pair: Pair) -> None:
        lines = pair.cert.read_text().splitlines()
        pair.cert.write_text("\n".join([lines[0], *lines[2:]]))
        assert f"TLS certificate {str(pair.cert)!r} cannot be used: OpenSSL says" in refusal(
            pair.cert, pair.key
        )
