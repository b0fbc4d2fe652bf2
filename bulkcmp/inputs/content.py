"""What a file holds of a PKI: certificates, requests, a private key, alone or together."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    pkcs7,
)

from bulkcmp.cmp.trust import EXTENSION_ERRORS
from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import is_pkcs12, read_certificates, read_csr
from bulkcmp.inputs.der import oid_tlv
from bulkcmp.inputs.material import Inline

_PEM: Final = b"-----BEGIN "
_PKCS7: Final = (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS")
_SIGNED_DATA: Final = oid_tlv("1.2.840.113549.1.7.2")

_KEYSTORES: Final = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
"""What JKS and JCEKS begin with."""

_UNKNOWN: Final = "neither a certificate nor a request, a PKCS#7 or a PKCS#12, in PEM or DER"


class Content(NamedTuple):
    """Attributes:
    certificates: DER, in the order of the file.
    requests: DER of PKCS#10 requests whose signatures were checked.
    has_key: it holds a private key.
    is_pkcs12: it is a PKCS#12, whose certificates take a password to read.
    """

    certificates: tuple[bytes, ...] = ()
    requests: tuple[bytes, ...] = ()
    has_key: bool = False
    is_pkcs12: bool = False


def read_content(data: bytes) -> Content:
    """Tell what is in a file.

    Raises:
        InputError: nothing of use, or it is damaged, or the signature of a request is bad.
    """
    if not data.strip():
        raise InputError("the file is empty")
    if data.startswith(_KEYSTORES):
        raise InputError(
            "a Java keystore (JKS or JCEKS)",
            hint="keytool -importkeystore -deststoretype pkcs12 makes a PKCS#12 of it",
        )
    return _of_pem(data) if _PEM in data else _of_der(data)


def looks_like_content(head: bytes) -> bool:
    """Whether the first octets of a file are those of PEM or DER."""
    # nothing of these is shorter than 128 octets
    is_der = head[:1] == b"\x30" and head[1:2] in (b"\x80", b"\x81", b"\x82", b"\x83", b"\x84")
    is_pem = head.startswith(_PEM) or b"\n" + _PEM in head
    return is_pem or is_der or head.startswith(_KEYSTORES)


def end_entities(certificates: Sequence[bytes]) -> tuple[bytes, ...]:
    """The certificates of end entities among those of a file, each once.

    A certificate that issued another one of the file, by its name, is part of a chain, and so is
    that of a CA.

    Raises:
        InputError: there is none, but CAs'.
    """
    loaded = {der: x509.load_der_x509_certificate(der) for der in certificates}
    names = {der: (_name(one.subject), _name(one.issuer)) for der, one in loaded.items()}
    issuers = Counter(issuer for subject, issuer in names.values() if issuer != subject)
    found = tuple(
        der for der, one in loaded.items() if not issuers[names[der][0]] and not _is_ca(one)
    )
    if not found:
        raise InputError("the certificate is a CA's, and none of an end entity")
    return found


def _name(name: x509.Name) -> bytes:
    return name.public_bytes()


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *EXTENSION_ERRORS):
        return False


def _of_pem(data: bytes) -> Content:
    certificates: list[bytes] = []
    requests: list[bytes] = []
    has_key = False
    for block in data.split(_PEM)[1:]:
        label, pem = block.partition(b"-----")[0], Inline(_PEM + block)
        if label in _PKCS7:
            certificates.extend(_of_pkcs7(pem.data))
        elif label.endswith(b"CERTIFICATE REQUEST"):
            # how strong it must be, whoever reads its row knows
            requests.append(read_csr(pem, allow_weak=True))
        elif label.endswith(b"CERTIFICATE"):
            certificates.extend(read_certificates(pem))
        elif label.endswith(b"PRIVATE KEY"):
            has_key = True
    if not certificates and not requests and not has_key:
        raise InputError(_UNKNOWN)
    return Content(tuple(certificates), tuple(requests), has_key)


def _of_der(data: bytes) -> Content:
    if is_pkcs12(data):
        return Content(has_key=True, is_pkcs12=True)
    # ContentInfo ::= SEQUENCE { contentType, ... } (RFC 5652, 3)
    if _SIGNED_DATA in data[:32]:
        return Content(_of_pkcs7(data))
    if _loads(x509.load_der_x509_certificate, data):
        return Content(certificates=read_certificates(Inline(data)))
    if _loads(x509.load_der_x509_csr, data):
        return Content(requests=(read_csr(Inline(data), allow_weak=True),))
    try:
        load_der_private_key(data, None)
    except TypeError:  # it is encrypted
        pass
    except (ValueError, UnsupportedAlgorithm, InternalError):
        raise InputError(_UNKNOWN) from None
    return Content(has_key=True)


def _loads(load: Callable[[bytes], object], data: bytes) -> bool:
    try:
        load(data)
    except (ValueError, x509.InvalidVersion):
        return False
    return True


def _of_pkcs7(data: bytes) -> tuple[bytes, ...]:
    load = (
        pkcs7.load_pem_pkcs7_certificates
        if data.startswith(_PEM)
        else pkcs7.load_der_pkcs7_certificates
    )
    try:
        found = [one.public_bytes(Encoding.DER) for one in load(data)]
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise InputError("its PKCS#7 is damaged, or holds no certificates") from None
    if not found:
        raise InputError("its PKCS#7 holds no certificates")
    return tuple(found)
