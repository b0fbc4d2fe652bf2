"""passwords.csv, in the clear and encrypted."""

import csv
import datetime as dt
import shutil
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.errors import InputError
from bulkcmp.model import Secret
from bulkcmp.outputs.passwords import RowPassword, write_passwords
from bulkcmp.outputs.recipient import age_recipients, cms_recipients, is_age

ROWS = [
    RowPassword("a", 1, "certs/a.p12", Secret(b"first")),
    RowPassword("=b", 3, "certs/%3Db.p12", Secret("=zweites, ü".encode())),
]


def table(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


EXPECTED = [
    ["id", "row", "key_file", "password"],
    ["a", "1", "certs/a.p12", "first"],
    ["'=b", "3", "certs/%3Db.p12", "=zweites, ü"],
]


def certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, usage: str | None = "key_encipherment"
) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vault")])
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=3650))
    )
    names = [
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ]  # fmt: skip
    if usage is not None:
        builder = builder.add_extension(
            x509.KeyUsage(**{name: name == usage for name in names}), critical=True
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_in_the_clear_it_is_for_the_user_alone(tmp_path: Path) -> None:
    assert write_passwords(tmp_path, ROWS, None) == "passwords.csv"
    path = tmp_path / "passwords.csv"
    assert table(path.read_text()) == EXPECTED
    assert path.stat().st_mode & 0o777 == 0o600
    assert "first" not in repr(ROWS)


def test_where_there_are_none_there_is_no_file(tmp_path: Path) -> None:
    assert write_passwords(tmp_path, [], None) is None
    assert list(tmp_path.iterdir()) == []


def test_each_age_recipient_opens_it(tmp_path: Path) -> None:
    identities = [pyrage.x25519.Identity.generate() for _ in range(2)]
    texts = [str(one.to_public()) for one in identities]
    assert all(map(is_age, texts))
    assert write_passwords(tmp_path, ROWS, age_recipients(texts)) == "passwords.csv.age"
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    for one in identities:
        assert table(pyrage.decrypt(path.read_bytes(), [one]).decode()) == EXPECTED


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl in PATH")
def test_openssl_opens_what_is_for_the_holder_of_a_certificate(
    tmp_path: Path, key: rsa.RSAPrivateKey
) -> None:
    recipients = cms_recipients([certificate(key), certificate(key, None)])
    folder = tmp_path / "run"
    folder.mkdir()
    assert write_passwords(folder, ROWS, recipients) == "passwords.csv.p7m"
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"first" not in path.read_bytes()
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    opened = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", path, "-inkey", "key.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert table(opened.decode()) == EXPECTED


def test_certificates_that_nothing_can_be_encrypted_to(key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(InputError, match="the key of CN=vault is not RSA"):
        cms_recipients([certificate(ec.generate_private_key(ec.SECP256R1()))])
    with pytest.raises(InputError, match="CN=vault is not for keyEncipherment"):
        cms_recipients([certificate(key, "digital_signature")])


def test_a_damaged_age_recipient_and_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not an age recipient"):
        age_recipients(["age1x"])
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(InputError, match="not installed") as raised:
        age_recipients(["age1x"])
    assert raised.value.hint == "pip install 'bulkcmp[age]'"
