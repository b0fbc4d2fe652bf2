import base64
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import (
    PassphraseError,
    PrivateKey,
    certified_extensions,
    certified_key_spec,
    certified_subject,
    read_certificates,
    read_contents,
    read_credential,
    read_csr,
    read_extensions,
    read_private_key,
    requested_subject,
)
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.san import parse_sans
from bulkcmp.model import KeySpec, Popo, RequestedExtension, Secret

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

RIGHT = Secret(b"correct horse")
WRONG = Secret(b"battery staple")


def _certificate(
    public_key: CertificatePublicKeyTypes, ca: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> x509.Certificate:
    nobody = x509.Name([])
    begin = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    end = begin + dt.timedelta(days=365)
    builder = x509.CertificateBuilder(nobody, nobody, public_key, 1, begin, end)
    return builder.sign(ca, hashes.SHA256())


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


def test_versions_that_do_not_exist(pki: "Pki", tmp_path: Path) -> None:
    path = tmp_path / "file.der"
    path.write_bytes(pki.certificate.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1))
    for read in (read_certificates, read_extensions):
        with pytest.raises(InputError, match="neither PEM nor the DER of a certificate"):
            read(path)
    with pytest.raises(InputError, match="the certificate's subject can't be read"):
        certified_subject(path.read_bytes())
    path.write_bytes(pki.csr.replace(b"\x02\x01\x00", b"\x02\x01\x07", 1))
    with pytest.raises(InputError, match="neither PEM nor the DER of a certificate request"):
        read_csr(path)
    pem = base64.encodebytes(path.read_bytes()).decode()
    path.write_text(
        f"-----BEGIN CERTIFICATE REQUEST-----\n{pem}-----END CERTIFICATE REQUEST-----\n"
    )
    with pytest.raises(InputError, match="its certificate request is damaged"):
        read_extensions(path)


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


@pytest.mark.parametrize(
    ("popo", "good"),
    [
        (Popo.SIGNATURE, ["rsa", "ec", "ed25519"]),
        (Popo.KEY_ENCIPHERMENT, ["rsa", "ml-kem"]),
        (Popo.KEY_AGREEMENT, ["ec"]),
        (Popo.RA_VERIFIED, ["rsa", "ec", "ed25519", "ml-kem"]),
        (Popo.NONE, ["rsa", "ec", "ed25519", "ml-kem"]),
    ],
)
def test_a_key_must_prove_itself_as_it_is_told(tmp_path: Path, popo: Popo, good: list[str]) -> None:
    keys: dict[str, PrivateKey] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ml-kem": mlkem.MLKEM1024PrivateKey.generate(),
    }
    path = tmp_path / "key"
    for name, key in keys.items():
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(der)
        if name in good:
            assert read_private_key(path, None, popo) == der
        else:
            wrong = "can't sign requests|can't prove possession by"
            with pytest.raises(InputError, match=wrong) as caught:
                read_private_key(path, None, popo)
            assert all(one in str(caught.value.hint) for one in good)
    path.write_bytes(
        x25519.X25519PrivateKey.generate().private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    with pytest.raises(InputError, match=r"can't sign requests|of no use here"):
        read_private_key(path, None, popo)


@pytest.mark.parametrize(
    "key",
    [
        mlkem.MLKEM768PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
        x448.X448PrivateKey.generate(),
    ],
    ids=["ml-kem", "x25519", "x448"],
)
def test_a_credential_may_be_of_a_key_that_can_not_sign(
    tmp_path: Path,
    key: mlkem.MLKEM768PrivateKey | x25519.X25519PrivateKey | x448.X448PrivateKey,
) -> None:
    """Its messages have a KEM-based MAC or a DHBasedMac."""
    certificate = _certificate(key.public_key(), ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "cert").write_bytes(certificate.public_bytes(Encoding.PEM))
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pkcs8)
    credential = read_credential(tmp_path / "cert", tmp_path / "key")
    assert credential == (pkcs8, (certificate.public_bytes(Encoding.DER),))


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
    assert certified_subject(pki.certificate) == parse_name("/CN=dev1")
    assert certified_extensions(pki.certificate) == (parse_sans("dev1.example"),)


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
    assert certified_subject(certificate) == parse_name("/CN=dev1")
    assert certified_extensions(certificate) == ()


def test_a_damaged_certificate_has_no_names(pki: "Pki") -> None:
    san = parse_sans("dev1.example").value
    with pytest.raises(InputError, match="extensions can't be read"):
        certified_extensions(pki.certificate.replace(san, b"\x31" + san[1:]))
    with pytest.raises(InputError, match="extensions can't be read"):
        certified_extensions(b"")
    with pytest.raises(InputError, match="subject can't be read"):
        certified_subject(b"")


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_extensions_of_a_request_and_of_a_certificate(tmp_path: Path, encoding: Encoding) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev1")])
    san = x509.SubjectAlternativeName([x509.DNSName("dev1.example")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    own = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    expected = (
        RequestedExtension("2.5.29.17", True, san.public_bytes()),
        RequestedExtension("2.5.29.37", False, usage.public_bytes()),
        RequestedExtension("1.2.3.4", False, b"\x05\x00"),
    )
    csr = x509.CertificateSigningRequestBuilder().subject_name(name)
    csr = csr.add_extension(san, critical=True).add_extension(usage, critical=False)
    request = csr.add_extension(own, critical=False).sign(key, hashes.SHA256())
    assert read_extensions(_file(tmp_path / "csr", request.public_bytes(encoding))) == expected

    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(start)
    builder = builder.not_valid_after(start + dt.timedelta(days=1))
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://ca.test/crl")], None, None, None
    )
    for extension, critical in (
        (san, True),
        # what a CA says of itself is not asked for
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.CRLDistributionPoints([point]), False),
        (usage, False),
        (own, False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(encoding)
    assert read_extensions(_file(tmp_path / "cert", certificate)) == expected


def test_a_file_without_readable_extensions(pki: "Pki", tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"garbage: neither PEM nor the DER of a certificate"):
        read_extensions(_file(tmp_path / "garbage", b"\x01\x02"))
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(InputError, match=r"bad.pem: its certificate request is damaged"):
        read_extensions(_file(tmp_path / "bad.pem", pem))
    san = parse_sans("dev1.example").value
    damaged = pki.certificate.replace(san, b"\x31" + san[1:])
    with pytest.raises(InputError, match=r"/dam: the certificate's extensions can't be read"):
        read_extensions(_file(tmp_path / "dam", damaged))


# --- what files have, and keys are ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "has_key"),
    [
        ("cert.pem", 2, False),
        ("cert.der", 1, False),
        ("both.pem", 2, True),
        ("key.pem", 0, True),
        ("key.der", 0, True),
        ("sealed.pem", 0, True),
        ("sealed.der", 0, True),
        ("dev1.p12", 2, True),
        ("open.p12", 1, True),
        ("csr.pem", 0, False),
        ("csr.der", 0, False),
        ("garbage", 0, False),
    ],
)
def test_what_a_file_has(pki: "Pki", name: str, count: int, has_key: bool) -> None:
    found = read_contents(pki.folder / name, Secret(b"correct horse"))
    assert (len(found.certificates), found.has_key) == (count, has_key)


def test_a_passphrase_that_is_wrong_or_missing_has_its_own_error(pki: "Pki") -> None:
    for password in (None, Secret(b"wrong")):
        with pytest.raises(PassphraseError):
            read_contents(pki.folder / "dev1.p12", password)
        with pytest.raises(PassphraseError):
            read_private_key(pki.folder / "sealed.pem", password)


def test_the_key_of_a_certificate_in_a_pkcs12_of_another(pki: "Pki") -> None:
    found = read_credential(
        pki.folder / "cert.pem", pki.folder / "dev1.p12", Secret(b"correct horse")
    )
    assert found.key == pki.key


def test_the_type_of_a_certified_key(pki: "Pki") -> None:
    assert certified_key_spec(pki.certificate) == KeySpec.parse("ec:P-256")
    (ed,) = read_certificates(pki.folder / "ed-cert.pem")
    assert certified_key_spec(ed) == KeySpec.parse("ed25519")
    with pytest.raises(InputError, match="public key can't be read"):
        certified_key_spec(b"")


def test_what_files_hold_must_not_be_weak(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    nobody = x509.Name([])
    csr = x509.CertificateSigningRequestBuilder().subject_name(nobody).sign(key, hashes.SHA256())
    certificate = _certificate(key.public_key(), key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = {
        "key.pem": pem,
        "csr.pem": csr.public_bytes(Encoding.PEM),
        "cert.pem": certificate.public_bytes(Encoding.PEM) + pem,
    }
    for file, octets in files.items():
        (tmp_path / file).write_bytes(octets)
        read: Any = {"key.pem": read_private_key, "csr.pem": read_csr}.get(file, read_credential)
        with pytest.raises(
            InputError, match=f"{file}: too weak: an RSA key of 1024 bits"
        ) as caught:
            read(tmp_path / file)
        assert "--allow-weak" in str(caught.value.hint)
        assert read(tmp_path / file, allow_weak=True)


def test_a_raw_key_of_a_wrong_length(tmp_path: Path) -> None:
    path = tmp_path / "ed448.key"
    # Ed448 (RFC 8410, 7) with the 32 octets of an Ed25519 key
    path.write_bytes(bytes.fromhex("302e020100300506032b657104220420") + bytes(32))
    with pytest.raises(InputError, match="neither PEM nor the DER of a private key"):
        read_private_key(path, None, Popo.SIGNATURE)
    assert not read_contents(path, None).has_key
