from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ed448, ed25519, mldsa, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import (
    certified_names,
    read_certificates,
    read_credential,
    read_csr,
    read_private_key,
    requested_subject,
)
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.san import parse_sans
from bulkcmp.model import Secret

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

RIGHT = Secret(b"correct horse")
WRONG = Secret(b"battery staple")


def test_certificates(pki: "Pki") -> None:
    assert read_certificates(pki.folder / "cert.pem") == (pki.certificate, pki.ca)
    assert read_certificates(pki.folder / "cert.der") == (pki.certificate,)
    assert read_certificates(pki.folder / "both.pem") == (pki.certificate, pki.ca)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nope", "no such file"),
        ("empty.pem", "the file is empty"),
        ("garbage", "neither PEM nor the DER of a certificate"),
        ("key.der", "neither PEM nor the DER of a certificate"),
        ("key.pem", "no certificate in it, but: private key"),
        ("csr.pem", "no certificate in it, but: certificate request"),
        ("damaged.pem", "its certificate is damaged"),
    ],
)
def test_what_is_no_certificate(pki: "Pki", name: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        read_certificates(pki.folder / name)
    assert why in caught.value.what
    assert caught.value.where is not None
    assert caught.value.where.file == str(pki.folder / name)


@pytest.mark.parametrize("name", ["key.pem", "key.der", "sec1.pem", "both.pem"])
@pytest.mark.parametrize("password", [None, WRONG])
def test_plain_keys(pki: "Pki", name: str, password: Secret | None) -> None:
    assert read_private_key(pki.folder / name, password) == pki.key


@pytest.mark.parametrize("name", ["sealed.pem", "sealed.der", "sealed-sec1.pem"])
def test_encrypted_keys(pki: "Pki", name: str) -> None:
    assert read_private_key(pki.folder / name, RIGHT) == pki.key
    with pytest.raises(InputError, match="wrong passphrase") as caught:
        read_private_key(pki.folder / name, WRONG)
    assert "staple" not in str(caught.value)
    with pytest.raises(InputError, match="is encrypted, and no passphrase was given"):
        read_private_key(pki.folder / name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nope", "no such file"),
        ("garbage", "neither PEM nor the DER of a private key"),
        ("cert.pem", "no private key in it, but: certificate"),
        ("cert.der", "neither PEM nor the DER of a private key"),
    ],
)
def test_what_is_no_private_key(pki: "Pki", name: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_private_key(pki.folder / name)


def test_keys_of_every_type_that_signs(tmp_path: Path) -> None:
    for key in (
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        mldsa.MLDSA44PrivateKey.generate(),
        mldsa.MLDSA65PrivateKey.generate(),
        mldsa.MLDSA87PrivateKey.generate(),
    ):
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "key").write_bytes(der)
        assert read_private_key(tmp_path / "key") == der


def test_keys_that_cannot_sign_a_request(tmp_path: Path) -> None:
    for key in (x25519.X25519PrivateKey.generate(), dsa.generate_private_key(1024)):
        (tmp_path / "key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        with pytest.raises(InputError, match="can't sign requests"):
            read_private_key(tmp_path / "key")


EC_KEY, UNKNOWN_KEY = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f")


def test_keys_of_unknown_types(pki: "Pki", tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(pki.key.replace(EC_KEY, UNKNOWN_KEY))
    with pytest.raises(InputError, match="the private key is of an unknown type"):
        read_private_key(tmp_path / "key")
    (tmp_path / "cert").write_bytes(pki.certificate.replace(EC_KEY, UNKNOWN_KEY))
    with pytest.raises(InputError, match="the certificate's public key can't be read"):
        read_credential(tmp_path / "cert", pki.folder / "key.pem")


def test_requests(pki: "Pki") -> None:
    assert read_csr(pki.folder / "csr.pem") == read_csr(pki.folder / "csr.der") == pki.csr
    assert requested_subject(pki.csr) == parse_name("/CN=dev1")


def test_a_request_of_ml_dsa(tmp_path: Path) -> None:
    key = mldsa.MLDSA65PrivateKey.generate()
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    (tmp_path / "csr").write_bytes(csr.public_bytes(Encoding.DER))
    assert read_csr(tmp_path / "csr") == csr.public_bytes(Encoding.DER)


def test_a_request_with_a_bad_signature(pki: "Pki", tmp_path: Path) -> None:
    # another name of the same length, under the signature of the first
    (tmp_path / "csr").write_bytes(pki.csr.replace(b"dev1", b"dev2"))
    with pytest.raises(InputError, match="self-signature is bad"):
        read_csr(tmp_path / "csr")


def test_a_request_whose_signature_cannot_be_checked(pki: "Pki", tmp_path: Path) -> None:
    (tmp_path / "csr").write_bytes(pki.csr.replace(EC_KEY, UNKNOWN_KEY))
    with pytest.raises(InputError, match="can't be checked: unknown algorithm"):
        read_csr(tmp_path / "csr")


def test_what_is_no_request(pki: "Pki") -> None:
    with pytest.raises(InputError, match="no certificate request in it, but: certificate"):
        read_csr(pki.folder / "cert.pem")
    with pytest.raises(InputError, match="neither PEM nor the DER of a certificate request"):
        read_csr(pki.folder / "cert.der")


@pytest.mark.parametrize(
    ("cert", "key", "chain"),
    [
        ("cert.pem", "key.pem", 2),
        ("cert.pem", "sealed.pem", 2),
        ("cert.der", "key.der", 1),
        ("both.pem", None, 2),
        ("dev1.p12", None, 2),
        ("dev1.p12", "key.pem", 2),
        ("open.p12", None, 1),
    ],
)
def test_credentials(pki: "Pki", cert: str, key: str | None, chain: int) -> None:
    password = None if cert == "open.p12" else RIGHT
    credential = read_credential(
        pki.folder / cert, None if key is None else pki.folder / key, password
    )
    assert credential.key == pki.key
    assert credential.chain == (pki.certificate, pki.ca)[:chain]
    assert repr(pki.key) not in repr(credential)


@pytest.mark.parametrize(
    ("cert", "key", "password", "why"),
    [
        ("cert.pem", None, None, "private key is missing"),
        ("cert.der", None, None, "private key is missing"),
        ("cert.pem", "other-key.pem", None, "not that of the certificate in"),
        ("ca.pem", "key.pem", None, "not that of the certificate in"),
        ("cert.pem", "sealed.pem", WRONG, "wrong passphrase"),
        ("dev1.p12", None, WRONG, "wrong passphrase for the PKCS#12"),
        ("dev1.p12", None, None, "is encrypted, and no passphrase was given"),
        ("bad.p12", None, RIGHT, "holds no certificate with its key"),
        ("dev1.p12", "other-key.pem", RIGHT, "not that of the certificate in"),
        ("key.pem", None, None, "no certificate in it"),
    ],
)
def test_what_is_no_credential(
    pki: "Pki", cert: str, key: str | None, password: Secret | None, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        read_credential(pki.folder / cert, None if key is None else pki.folder / key, password)


def test_a_key_beside_another_ones_certificate_in_one_file(pki: "Pki", tmp_path: Path) -> None:
    mixed = (pki.folder / "ca.pem").read_bytes() + (pki.folder / "key.pem").read_bytes()
    (tmp_path / "mixed.pem").write_bytes(mixed)
    with pytest.raises(InputError, match="not that of the first certificate"):
        read_credential(tmp_path / "mixed.pem")


def test_names_of_a_certificate(pki: "Pki") -> None:
    assert certified_names(pki.certificate) == (parse_name("/CN=dev1"), parse_sans("dev1.example"))


def test_a_certificate_without_alternative_names(pki: "Pki") -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    loaded = x509.load_der_x509_certificate(pki.certificate)
    certificate = (
        x509.CertificateBuilder(
            loaded.issuer,
            loaded.subject,
            key.public_key(),
            1,
            loaded.not_valid_before_utc,
            loaded.not_valid_after_utc,
        )
        .sign(key, None)
        .public_bytes(Encoding.DER)
    )
    assert certified_names(certificate) == (parse_name("/CN=dev1"), None)


def test_a_damaged_certificate_has_no_names(pki: "Pki") -> None:
    san = parse_sans("dev1.example")
    with pytest.raises(InputError, match="names can't be read"):
        certified_names(pki.certificate.replace(san, b"\x31" + san[1:]))
    with pytest.raises(InputError, match="names can't be read"):
        certified_names(b"")
