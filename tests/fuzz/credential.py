"""Files and cells with keys, certificates, requests and CRLs: PEM, DER, PKCS#7, PKCS#12.

An input is an octet for what is looked for, and the file.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)

from bulkcmp.cmp.crl import RevocationList
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.cmp.general import CURRENT_CRL
from bulkcmp.cmp.trust import TrustStore
from bulkcmp.errors import InputError, RemoteCmpError, Where
from bulkcmp.inputs import credential
from bulkcmp.inputs.attribute import certificate_values, request_values
from bulkcmp.inputs.content import read_content
from bulkcmp.inputs.material import Inline, inline, parse_material, read_material
from bulkcmp.model import Secret
from tests.cmp.conftest import NOW, Pki, name
from tests.cmp.ways import told
from tests.fuzz.keys import fixed_pki
from tests.fuzz.target import written

_PASSWORD: Final = Secret(b"open")
_NOW: Final = dt.datetime.fromtimestamp(NOW, dt.UTC)

_PKCS12_ENCRYPTION: Final = (
    PrivateFormat.PKCS12.encryption_builder().kdf_rounds(10).build(_PASSWORD.reveal())
)


@cache
def _pki() -> Pki:
    return fixed_pki()


def _certificates(path: Path) -> None:
    for der in credential.read_certificates(path):
        certificate_values([der])
        credential.certified_public_key(der)
        credential.certified_key_spec(der)
        credential.certified_subject(der)
        credential.certified_extensions(der)


def _anchors(path: Path) -> None:
    with suppress(RemoteCmpError):
        TrustStore(credential.read_certificates(path))


def _requests(path: Path) -> None:
    der = credential.read_csr(path)
    request_values(der)
    credential.requested_subject(der)
    credential.read_extensions(path)


def _lists(path: Path) -> None:
    evidence = Evidence(_pki().trust(), (), _NOW)
    for der in credential.crls_of(path.read_bytes(), Where(str(path))):
        with suppress(RemoteCmpError):
            RevocationList(der, evidence).statuses(range(10))


def _contents(path: Path) -> None:
    read_content(path.read_bytes())
    credential.read_contents(path, _PASSWORD)


def _cell(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    material = parse_material(path.parent, text)
    if isinstance(material, Inline):
        read_material(material)
        credential.read_csr(material)


_READERS: Final[tuple[Callable[[Path], object], ...]] = (
    _certificates,
    _anchors,
    _requests,
    _lists,
    _contents,
    _cell,
    lambda path: credential.read_private_key(path, _PASSWORD),
    lambda path: credential.read_credential(path, None, _PASSWORD),
    lambda path: credential.public_key_in(path, _PASSWORD),
)


def one(data: bytes) -> None:
    """Whatever stands in a file or a cell, what it holds is read, or an InputError says why not."""
    if data:
        path = written("credential.bin", data[1:])
        with suppress(InputError):
            _READERS[data[0] % len(_READERS)](path)


def _key_files() -> Iterator[bytes]:
    pki = _pki()
    for key in (pki.keys["ec"], pki.keys["ed25519"], pki.kem_keys["ml-kem-768"]):
        for encoding in (Encoding.DER, Encoding.PEM):
            for encryption in (NoEncryption(), BestAvailableEncryption(_PASSWORD.reveal())):
                yield key.private_bytes(encoding, PrivateFormat.PKCS8, encryption)


def files() -> Iterator[bytes]:
    """A file of each kind."""
    pki = _pki()
    key = pki.device.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificates = [
        x509.load_der_x509_certificate(one.certificate) for one in (pki.device, pki.root)
    ]
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name("device"))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.test")]), critical=False)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    crl = told(pki)[CURRENT_CRL]
    yield from _key_files()
    yield certificates[0].public_bytes(Encoding.DER)
    yield b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
    yield csr.public_bytes(Encoding.DER)
    yield csr.public_bytes(Encoding.PEM)
    yield crl
    yield x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM)
    yield pkcs7.serialize_certificates(certificates, Encoding.DER)
    yield pkcs7.serialize_certificates(certificates, Encoding.PEM)
    for encryption in (NoEncryption(), _PKCS12_ENCRYPTION):
        yield pkcs12.serialize_key_and_certificates(
            b"device", key, certificates[0], certificates[1:], encryption
        )
    yield inline(csr.public_bytes(Encoding.DER)).encode()


def seeds() -> Iterator[bytes]:
    """A file of each kind for each reader that wants it, and for one that does not."""
    for number in range(len(_READERS)):
        for file in files():
            yield bytes((number,)) + file
