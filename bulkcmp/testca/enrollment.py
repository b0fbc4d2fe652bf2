"""What a requester asks for: one certificate, by CRMF (RFC 4211) or PKCS#10 (RFC 2986)."""

import datetime as dt
from dataclasses import dataclass
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from bulkcmp.cmp import algorithms, popo
from bulkcmp.cmp.asn1 import (
    TLV,
    content,
    decode,
    decode_sequence_of,
    encode,
    encode_sequence_of,
    tag,
)
from bulkcmp.cmp.messages import (
    CONTROL_OLD_CERT_ID,
    NULL_DN,
    BodyType,
    CertId,
    CertReqMsg,
    CertRequest,
    CertTemplate,
    PKIMessage,
    SubjectPublicKeyInfo,
    decode_cert_req_messages,
    directory_name_of,
    name_of,
)
from bulkcmp.cmp.template import time_of
from bulkcmp.cmp.trust import EXTENSION_ERRORS
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import KeyFamily, KeySpec, Popo, RequestedExtension
from bulkcmp.testca import attributes
from bulkcmp.testca.name import strictly
from bulkcmp.testca.refusal import RefusedError, rejected

REQUESTS: Final = frozenset({BodyType.IR, BodyType.CR, BodyType.KUR, BodyType.P10CR})
"""The message types that ask for a certificate."""

V3: Final = 2
"""Of a certificate with extensions (RFC 5280, 4.1.2.1)."""

DEFAULT_KEY: Final = KeySpec(KeyFamily.EC, "P-256")
"""The type of a key that is to be made where the template says none."""

_KEY_SPECS: Final = {
    algorithms.key_identifier(spec): spec
    for spec in map(
        KeySpec.parse,
        (
            # the length of an RSA key can't be asked for
            "rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-44",
            "ml-dsa-65", "ml-dsa-87", "ml-kem-768", "ml-kem-1024",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CertificateReference:
    """A certificate named by its issuer (DER Name, None if it is no directoryName) and serial."""

    issuer: bytes | None
    serial: int


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One request for a certificate, its proof of possession checked.

    Attributes:
        cert_req_id: to be repeated in the answer.
        subject: DER Name, or None where it is left to the CA; an empty Name counts as that.
        common_name: the (first) CN of the subject, None where there is none.
        public_key: to be certified; None where the CA is to make one,
        key_spec: of this type.
        issuer: DER Name of the CA that is asked, or None.
        popo: how possession of the key is proven: what is signed was checked, raVerified is the
            word of an RA, and what is indirect is yet to be proven.
        old_certificate: the one to update, if it is named.
    """

    cert_req_id: int
    subject: bytes | None
    common_name: str | None
    public_key: PublicKeyTypes | None
    popo: Popo
    key_spec: KeySpec = DEFAULT_KEY
    issuer: bytes | None = None
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None
    extensions: tuple[RequestedExtension, ...] = ()
    old_certificate: CertificateReference | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request among those of a message, not yet judged.

    Attributes:
        cert_req_id: its certReqId.
        asked: its CertReqMsg, or the DER of a PKCS#10 request.
    """

    cert_req_id: int
    asked: CertReqMsg | bytes

    @property
    def is_indirect(self) -> bool:
        """Whether possession of the key is to be proven by a certificate that goes encrypted."""
        if isinstance(self.asked, bytes) or self.asked.popo is None:
            return False
        return self.asked.popo.tag in (Popo.KEY_ENCIPHERMENT, Popo.KEY_AGREEMENT)


def requests_in(message: PKIMessage, p10cr_id: int) -> list[Request]:
    """The requests of an ir, cr, kur or p10cr, in their order.

    Args:
        p10cr_id: the certReqId that stands for a PKCS#10 request.

    Raises:
        RemoteCmpError: the body can't be decoded.
    """
    if message.body_type is BodyType.P10CR:
        return [Request(p10cr_id, message.body)]
    requests: list[CertReqMsg] = decode_cert_req_messages(message.body)
    return [Request(one.request.certReqId, one) for one in requests]


def read(request: Request, sender: TLV) -> Enrollment:
    """What a request asks for.

    Args:
        sender: of the message's header.

    Raises:
        RefusedError: a template that can't be met, or no good proof of possession.
        RemoteCmpError: the request can't be decoded.
    """
    if isinstance(request.asked, bytes):
        return _read_pkcs10(request.asked, request.cert_req_id)
    return _read_crmf(request.asked, sender)


def _read_crmf(request: CertReqMsg, sender: TLV) -> Enrollment:
    cert_request = request.request
    template = cert_request.certTemplate
    if cert_request.certReqId < 0:
        # -1 stands for a PKCS#10 request (RFC 9483, 4.1.4)
        raise rejected("badRequest", "certReqId is negative")
    public_key, method, key_spec = None, Popo.NONE, DEFAULT_KEY
    info = template.publicKey
    if info is None or not info.subjectPublicKey.as_bytes():
        if request.popo is not None:
            # RFC 9483, 4.1.6
            raise rejected("badPOP", "a proof of possession of a key that is to be made here")
        key_spec = DEFAULT_KEY if info is None else _key_spec(info)
    else:
        public_key = _public_key(info)
        try:
            method = popo.check(request, encode(sender))
        except RemoteCmpError as error:
            raise rejected("badPOP", error.what) from error
    if any(
        field is not None
        for field in (
            template.serialNumber,
            template.signingAlg,
            template.issuerUID,
            template.subjectUID,
        )
    ):
        # RFC 4211, 5
        raise rejected(
            "badCertTemplate", "serial number, signingAlg and unique identifiers are the CA's"
        )
    if template.version not in (None, V3):
        raise rejected("badCertTemplate", "certificates of this CA are of version v3")
    # what is wrong with them is told; nothing of them is put into the certificate
    attributes.read(request)
    not_before, not_after = _validity(template)
    subject, name = requested_subject(template)
    return Enrollment(
        cert_req_id=cert_request.certReqId,
        subject=subject,
        common_name=name,
        public_key=public_key,
        popo=method,
        key_spec=key_spec,
        issuer=None if template.issuer is None else name_of(template.issuer),
        not_before=not_before,
        not_after=not_after,
        extensions=tuple(
            RequestedExtension(e.extnID.dotted_string, e.critical, e.extnValue)
            for e in template.extensions or ()
        ),
        old_certificate=_old_certificate(cert_request),
    )


def _read_pkcs10(der: bytes, cert_req_id: int) -> Enrollment:
    # the subject's own bytes: cryptography would encode it anew
    outer = decode_sequence_of(der)
    info = decode_sequence_of(outer[0]) if outer else []
    try:
        csr = x509.load_der_x509_csr(der)
    except x509.InvalidVersion as error:
        raise rejected("badCertTemplate", f"the PKCS#10 request: {error}") from error
    except ValueError as error:
        raise RefusedError("badDataFormat", f"no PKCS#10 request: {error}") from error
    try:
        proven = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise rejected("badPOP", f"the PKCS#10 request's signature: {error}") from error
    if not proven:
        raise rejected("badPOP", "the PKCS#10 request's signature is wrong")
    try:
        extensions = tuple(
            RequestedExtension(e.oid.dotted_string, e.critical, e.value.public_bytes())
            for e in csr.extensions
        )
    except EXTENSION_ERRORS as error:
        raise rejected("badCertTemplate", f"the extensions asked for: {error}") from error
    subject, name = _subject(encode(info[1]))
    return Enrollment(
        cert_req_id=cert_req_id,
        subject=subject,
        common_name=name,
        public_key=_public_key(decode(SubjectPublicKeyInfo, info[2])),
        popo=Popo.SIGNATURE,
        extensions=extensions,
    )


def requested_subject(template: CertTemplate) -> tuple[bytes | None, str | None]:
    """DER of the subject that a template asks for, None where it is left to the CA; and its CN.

    Raises:
        RefusedError: it is no Name.
    """
    return _subject(None if template.subject is None else name_of(template.subject))


def common_name(subject: bytes | None) -> str | None:
    """The (first) CN of a Name: the user name of its end entity. None where there is none."""
    return None if subject is None else _common_name(x509.Name.from_bytes(subject))


def _common_name(name: x509.Name) -> str | None:
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    # bytes are the value of an x500UniqueIdentifier only
    return cast(str, names[0].value) if names else None


def _subject(der: bytes | None) -> tuple[bytes | None, str | None]:
    if der is None or der == NULL_DN:
        return None, None
    try:
        with strictly():
            return der, _common_name(x509.Name.from_bytes(der))
    except ValueError as error:
        raise rejected("badCertTemplate", f"the subject is no Name: {error}") from error


def _public_key(info: SubjectPublicKeyInfo) -> PublicKeyTypes:
    try:
        return info.key
    except (ValueError, UnsupportedAlgorithm) as error:
        raise rejected("badCertTemplate", f"the public key can't be read: {error}") from error


def _key_spec(info: SubjectPublicKeyInfo) -> KeySpec:
    """The type of the key that is to be made."""
    identifier = encode_sequence_of(info.algorithm)
    try:
        return _KEY_SPECS[identifier]
    except KeyError:
        raise rejected("badCertTemplate", "keys of this type are not made here") from None


def _validity(template: CertTemplate) -> tuple[dt.datetime | None, dt.datetime | None]:
    times: dict[int, dt.datetime] = {}
    for element in template.validity or ():
        try:
            times[tag(element) - 0xA0] = time_of(decode(TLV, content(element)))
        except ValueError as error:
            raise rejected("badCertTemplate", f"the validity: {error}") from error
    return times.get(0), times.get(1)


def _old_certificate(request: CertRequest) -> CertificateReference | None:
    for control in request.controls or ():
        if control.type == CONTROL_OLD_CERT_ID:
            cert_id = decode(CertId, control.value)
            return CertificateReference(directory_name_of(cert_id.issuer), cert_id.serialNumber)
    return None
