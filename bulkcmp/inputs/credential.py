"""Keys, certificates and requests, PEM, DER or PKCS#12: DER out.

Keys stand in files; certificates and requests in files or in cells.

Relative paths are the caller's affair: those of the command line are relative to the working
directory, those in a population's cells to the population's folder.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
)
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtensionOID

from bulkcmp.cmp import strength
from bulkcmp.cmp.algorithms import AgreementKey
from bulkcmp.cmp.trust import EXTENSION_ERRORS
from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.der import tlvs
from bulkcmp.inputs.file import read_file
from bulkcmp.inputs.material import Inline, Material, place, read_material
from bulkcmp.model import KeyFamily, KeySpec, Popo, RequestedExtension, Secret

SigningKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
"""The keys that can sign a request."""

PrivateKey = SigningKey | mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
"""The keys that can be certified."""

CredentialKey = PrivateKey | AgreementKey
"""The keys that protect messages; of those for key agreement, not all can be certified here."""

_FAMILIES: Final = {
    KeyFamily.RSA: rsa.RSAPrivateKey,
    KeyFamily.EC: ec.EllipticCurvePrivateKey,
    KeyFamily.ED25519: ed25519.Ed25519PrivateKey,
    KeyFamily.ED448: ed448.Ed448PrivateKey,
    KeyFamily.ML_DSA: (mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey),
    KeyFamily.ML_KEM: mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey,
}

_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

_PUBLIC_KEYS: Final = {
    ed25519.Ed25519PublicKey: "ed25519",
    ed448.Ed448PublicKey: "ed448",
    mldsa.MLDSA44PublicKey: "ml-dsa-44",
    mldsa.MLDSA65PublicKey: "ml-dsa-65",
    mldsa.MLDSA87PublicKey: "ml-dsa-87",
    mlkem.MLKEM768PublicKey: "ml-kem-768",
    mlkem.MLKEM1024PublicKey: "ml-kem-1024",
}
"""Key specs of public keys without parameters."""

_OF_CA: Final = frozenset(
    oid.dotted_string
    for oid in (
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS,
        ExtensionOID.PRECERT_POISON,
    )
)
"""Extensions by which a CA speaks of itself."""

_DAMAGED: Final = (ValueError, x509.InvalidVersion)
"""What `cryptography` raises on what it can't load."""

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")

_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)

T = TypeVar("T")


class PassphraseError(InputError):
    """The passphrase of a private key is wrong, or missing."""


class Credential(NamedTuple):
    """Attributes:
    key: PKCS#8 DER, not encrypted.
    chain: DER of the key's certificate, then of the others that its file held, in their order.
    """

    key: bytes
    chain: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Credential(key=***, chain={self.chain!r})"


def read_certificates(source: Material) -> tuple[bytes, ...]:
    """The certificates of a file or a cell, in their order: a PEM bundle, or one in DER.

    Raises:
        InputError: the file can't be read, or there is no certificate.
    """
    return _certificates(read_material(source), source)


def _certificates(data: bytes, source: Material) -> tuple[bytes, ...]:
    try:
        if _labels(data):
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
    except _DAMAGED:
        raise _not_a("certificate", data, place(source)) from None
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)


def read_crl(path: Path) -> bytes:
    """DER of the CRL of a file, PEM or DER.

    Raises:
        InputError: the file can't be read, or holds no CRL.
    """
    return crls_of(read_file(path), Where(str(path)))[0]


def crls_of(data: bytes, where: Where) -> tuple[bytes, ...]:
    """DER of the CRLs in some content: several in PEM, or one in DER.

    Args:
        where: it is from, for an error.

    Raises:
        InputError: there is no CRL in it.
    """
    is_pem = bool(_labels(data))
    load = x509.load_pem_x509_crl if is_pem else x509.load_der_x509_crl
    try:
        crls = [load(one) for one in (_PEM_CRL.findall(data) if is_pem else [data])]
    except _DAMAGED:
        crls = []
    if not crls:
        raise _not_a("CRL", data, where)
    return tuple(crl.public_bytes(Encoding.DER) for crl in crls)


def read_private_key(
    path: Path,
    password: Secret | None = None,
    popo: Popo = Popo.SIGNATURE,
    *,
    allow_weak: bool = False,
) -> bytes:
    """A private key as PKCS#8 DER, not encrypted; the file may be PEM or DER, encrypted or not.

    A password for a key that is not encrypted is ignored, as OpenSSL does.

    Args:
        popo: how the key must be able to prove itself.
        allow_weak: it may be weaker than `bulkcmp.cmp.strength` has it.

    Raises:
        InputError: the file can't be read, holds no private key or one of no use here, is
            encrypted and the password is missing or wrong.
    """
    key = _private_key(read_file(path), path, password, popo)
    refuse_weak(strength.of_key(key.public_key()), Where(str(path)), allow_weak=allow_weak)
    return _pkcs8(key)


def check_new_key(key: bytes, popo: Popo) -> bytes:
    """A private key (PKCS#8 DER) that is to be certified, as it is.

    Args:
        popo: how it must be able to prove itself.

    Raises:
        InputError: it can't.
    """
    # it was checked when it was read
    _usable(load_der_private_key(key, None, unsafe_skip_rsa_key_validation=True), None, popo)
    return key


def can_decrypt(key: bytes) -> bool:
    """Whether messages can be encrypted for the certificate of a private key (PKCS#8 DER)."""
    return isinstance(
        load_der_private_key(key, None), rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    )


def _private_key(
    data: bytes, path: Path, password: Secret | None, popo: Popo | None = None
) -> CredentialKey:
    load = load_pem_private_key if _labels(data) else load_der_private_key
    where = Where(str(path))
    try:
        try:
            key = load(data, None)
        except TypeError:  # it is encrypted
            if password is None:
                raise PassphraseError(
                    "the private key is encrypted, and no passphrase was given", where=where
                ) from None
            key = _unlock(load, data, password, where)
    except (ValueError, InternalError):  # the latter of a raw key of a wrong length
        raise _not_a("private key", data, place(path)) from None
    except UnsupportedAlgorithm:
        raise InputError("the private key is of an unknown type", where=where) from None
    return _usable(key, where, popo)


def _unlock(load: Callable[[bytes, bytes], T], data: bytes, password: Secret, where: Where) -> T:
    try:
        return load(data, password.reveal())
    except ValueError:
        raise PassphraseError("wrong passphrase for the private key", where=where) from None


def _usable(key: object, where: Where | None, popo: Popo | None = None) -> CredentialKey:
    def proves(family: KeyFamily) -> bool:
        return popo is None or family.proves_by(popo)

    if isinstance(key, PrivateKey) and any(
        isinstance(key, kind) and proves(family) for family, kind in _FAMILIES.items()
    ):
        return key
    if popo is None and isinstance(key, AgreementKey):
        return key
    usable = ", ".join(family for family in KeyFamily if proves(family))
    raise InputError(
        "the private key is of a type that can't sign requests"
        if popo is Popo.SIGNATURE
        else "the private key is of a type that is of no use here"
        if not isinstance(key, PrivateKey)
        else f"the private key is of a type that can't prove possession by {popo}",
        where=where,
        hint=f"usable are keys of {usable}",
    )


def _pkcs8(key: CredentialKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def refuse_weak(weak: str, where: Where | None, *, allow_weak: bool) -> None:
    """Refuse what `bulkcmp.cmp.strength` finds weak.

    Raises:
        InputError: it is, and may not be.
    """
    if weak and not allow_weak:
        raise InputError(f"too weak: {weak}", where=where, hint="--allow-weak takes it")


def read_csr(source: Material, *, allow_weak: bool = False) -> bytes:
    """The DER of a PKCS#10 request (PEM or DER) whose self-signature was checked.

    Args:
        allow_weak: key and signature may be weaker than `bulkcmp.cmp.strength` has it.

    Raises:
        InputError: the file can't be read, there is no request, or its signature is bad.
    """
    data = read_material(source)
    pem = bool(_labels(data))
    try:
        csr = x509.load_pem_x509_csr(data) if pem else x509.load_der_x509_csr(data)
    except _DAMAGED:
        raise _not_a("certificate request", data, place(source)) from None
    try:
        valid = csr.is_signature_valid
    except (UnsupportedAlgorithm, ValueError):
        raise InputError(
            "the request's self-signature can't be checked: unknown algorithm",
            where=place(source),
        ) from None
    if not valid:
        raise InputError("the request's self-signature is bad", where=place(source))
    refuse_weak(strength.of_request(csr), place(source), allow_weak=allow_weak)
    return csr.public_bytes(Encoding.DER)


def read_credential(
    cert: Material,
    key_path: Path | None = None,
    password: Secret | None = None,
    *,
    allow_weak: bool = False,
) -> Credential:
    """A certificate with its chain and its private key.

    Args:
        cert: PEM bundle, DER, or the file of a PKCS#12.
        key_path: PEM, DER or PKCS#12; by default the key stands in the certificate's file.
        password: of the key, or of the PKCS#12.
        allow_weak: the key may be weaker than `bulkcmp.cmp.strength` has it.

    Raises:
        InputError: a file can't be read or used, the password is missing or wrong, or the key is
            not that of the first certificate.
    """
    data = read_material(cert)
    if is_pkcs12(data):
        if isinstance(cert, Inline):
            raise InputError(
                "a PKCS#12 stands in the cell, and that holds a private key",
                hint="keys stand in files: name the PKCS#12 by its path",
            )
        key, chain = _pkcs12(data, cert, password)
        if key_path is not None:
            key = _key_in(key_path, password)
    else:
        chain = _certificates(data, cert)
        if key_path is not None:
            key = _key_in(key_path, password)
        elif isinstance(cert, Inline) or b"PRIVATE KEY" not in b"".join(_labels(data)):
            raise InputError(
                "the certificate's private key is missing",
                where=place(cert),
                hint="name its file in column key or with --key",
            )
        else:
            key = _private_key(data, cert, password)
    _check_match(key, chain[0], key_path, cert)
    refuse_weak(strength.of_key(key.public_key()), place(cert), allow_weak=allow_weak)
    return Credential(_pkcs8(key), chain)


def _key_in(path: Path, password: Secret | None) -> CredentialKey:
    data = read_file(path)
    return (
        _pkcs12(data, path, password)[0] if is_pkcs12(data) else _private_key(data, path, password)
    )


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file has.

    Attributes:
        certificates: DER, in their order.
        has_key: a private key is in it, perhaps encrypted.
    """

    certificates: tuple[bytes, ...] = ()
    has_key: bool = False


def read_contents(path: Path, password: Secret | None) -> Contents:
    """The certificates of a file, and whether it has a private key; nothing where it is something
    else.

    Args:
        password: of a PKCS#12.

    Raises:
        InputError: the file can't be read, or what it has is damaged or can't be opened.
    """
    data = read_file(path)
    labels = _labels(data)
    if not labels and is_pkcs12(data):
        return Contents(_pkcs12(data, path, password)[1], True)
    if labels:
        has_key = any(label.endswith(b"PRIVATE KEY") for label in labels)
        return Contents(_certificates(data, path) if b"CERTIFICATE" in labels else (), has_key)
    try:
        return Contents((x509.load_der_x509_certificate(data).public_bytes(Encoding.DER),))
    except ValueError:
        return Contents(has_key=_is_der_key(data))


def _is_der_key(data: bytes) -> bool:
    try:
        load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:  # it is encrypted
        return True
    except (ValueError, UnsupportedAlgorithm, InternalError):
        return False
    return True


def public_key_in(path: Path, password: Secret | None) -> bytes | None:
    """DER SubjectPublicKeyInfo of a private key's file; None where it can't be opened."""
    try:
        return _spki(_key_in(path, password).public_key())
    except InputError:
        return None


def certified_public_key(certificate: bytes) -> bytes | None:
    """DER SubjectPublicKeyInfo of a certificate; None where it can't be read."""
    try:
        return _spki(x509.load_der_x509_certificate(certificate).public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_match(
    key: CredentialKey, certificate: bytes, key_path: Path | None, cert: Material
) -> None:
    try:
        certified = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise InputError("the certificate's public key can't be read", where=place(cert)) from None
    if _spki(key.public_key()) != _spki(certified):
        raise InputError(
            "the private key is not that of the first certificate"
            if key_path in (None, cert)
            else f"the private key is not that of the certificate in {cert}"
            if isinstance(cert, Path)
            else "the private key is not that of the certificate in the cell",
            where=place(cert if key_path is None else key_path),
        )


def is_pkcs12(data: bytes) -> bool:
    # PFX ::= SEQUENCE { version INTEGER {v3(3)}, ... } (RFC 7292, 4); a certificate's first
    # element is a SEQUENCE
    if data[:1] != b"\x30" or len(data) < 2:
        return False
    begin = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    return data[begin : begin + 3] == b"\x02\x01\x03"


def _opened(
    data: bytes, password: Secret | None
) -> tuple[object, x509.Certificate | None, list[x509.Certificate]]:
    try:
        return pkcs12.load_key_and_certificates(data, None)
    except ValueError:
        # one that is not encrypted needs no password, as a private key needs none
        if password is None:
            raise
    return pkcs12.load_key_and_certificates(data, password.reveal())


def _pkcs12(
    data: bytes, path: Path, password: Secret | None
) -> tuple[CredentialKey, tuple[bytes, ...]]:
    where = Where(str(path))
    try:
        key, certificate, others = _opened(data, password)
    except ValueError:
        raise PassphraseError(
            "the PKCS#12 is encrypted, and no passphrase was given"
            if password is None
            else "wrong passphrase for the PKCS#12, or it is damaged",
            where=where,
        ) from None
    except UnsupportedAlgorithm:
        raise InputError("the PKCS#12 uses an unknown algorithm", where=where) from None
    if key is None or certificate is None:
        raise InputError("the PKCS#12 holds no certificate with its key", where=where)
    chain = tuple(c.public_bytes(Encoding.DER) for c in (certificate, *others))
    return _usable(key, where), chain


def certified_key_spec(certificate: bytes) -> KeySpec | None:
    """The type of a certificate's key; None where bulkcmp makes no such keys.

    Raises:
        InputError: the certificate is damaged.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except UnsupportedAlgorithm:
        return None
    except ValueError:
        raise InputError("the certificate's public key can't be read") from None
    match key:
        case rsa.RSAPublicKey():
            found = f"rsa:{key.key_size}"
        case ec.EllipticCurvePublicKey():
            found = f"ec:{_CURVES.get(key.curve.name, key.curve.name)}"
        case _:
            found = next((spec for kind, spec in _PUBLIC_KEYS.items() if isinstance(key, kind)), "")
    try:
        return KeySpec.parse(found)
    except InputError:
        return None


def certified_subject(certificate: bytes) -> bytes:
    """The DER of a certificate's subject, byte for byte.

    Raises:
        InputError: the certificate is damaged.
    """
    try:
        fields = _elements(x509.load_der_x509_certificate(certificate).tbs_certificate_bytes)
    except _DAMAGED:
        raise InputError("the certificate's subject can't be read") from None
    # TBSCertificate ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer, validity,
    # subject, ... } (RFC 5280, 4.1)
    return fields[5 if fields[0][0] == 0xA0 else 4]


def certified_extensions(certificate: bytes) -> tuple[RequestedExtension, ...]:
    """The extensions of a certificate that can be asked for again.

    Left out is what a CA says of itself: key identifiers, its name, where it publishes, and the
    proofs of logs.

    Raises:
        InputError: the certificate is damaged.
    """
    try:
        found = _extensions(x509.load_der_x509_certificate(certificate))
    except EXTENSION_ERRORS:
        raise InputError("the certificate's extensions can't be read") from None
    return tuple(extension for extension in found if extension.oid not in _OF_CA)


def read_extensions(source: Material) -> tuple[RequestedExtension, ...]:
    """The extensions that a PKCS#10 request asks for, or that a certificate has; PEM or DER.

    Raises:
        InputError: the file can't be read, or there is neither, or it is damaged.
    """
    data = read_material(source)
    labels = _labels(data)
    try:
        if any(b"REQUEST" in label for label in labels):
            return _extensions(x509.load_pem_x509_csr(data))
        if not labels and _is_pkcs10(data):
            return _extensions(x509.load_der_x509_csr(data))
    except (x509.InvalidVersion, *EXTENSION_ERRORS):
        raise _not_a("certificate request", data, place(source)) from None
    certificate = _certificates(data, source)[0]
    try:
        return certified_extensions(certificate)
    except InputError as error:
        raise InputError(error.what, where=place(source)) from None


def _extensions(
    source: x509.Certificate | x509.CertificateSigningRequest,
) -> tuple[RequestedExtension, ...]:
    return tuple(
        RequestedExtension(e.oid.dotted_string, e.critical, e.value.public_bytes())
        for e in source.extensions
    )


def _is_pkcs10(data: bytes) -> bool:
    try:
        x509.load_der_x509_csr(data)
    except _DAMAGED:
        return False
    return True


def requested_subject(csr: bytes) -> bytes:
    """The DER of a PKCS#10 request's subject, byte for byte."""
    # CertificationRequestInfo ::= SEQUENCE { version, subject, ... } (RFC 2986, 4.1)
    return _elements(x509.load_der_x509_csr(csr).tbs_certrequest_bytes)[1]


def _elements(sequence: bytes) -> list[bytes]:
    ((_, content, _),) = tlvs(sequence)
    return [whole for _, _, whole in tlvs(content)]


def _labels(data: bytes) -> list[bytes]:
    return _LABEL.findall(data)


def _not_a(wanted: str, data: bytes, where: Where | None) -> InputError:
    labels = [label.decode().lower() for label in dict.fromkeys(_labels(data))]
    if not data.strip():
        why = "the file is empty"
    elif not labels:
        why = f"neither PEM nor the DER of a {wanted}"
    elif any(label.endswith(wanted.lower()) for label in labels):
        why = f"its {wanted} is damaged, or of an unknown type"
    else:
        why = f"no {wanted} in it, but: {', '.join(labels)}"
    return InputError(why, where=where)
