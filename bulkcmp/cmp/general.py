"""General messages: what may be asked for, and how question and answer are encoded (RFC 9810,
5.3.19 and 5.3.20; RFC 9483, 4.3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    sequence,
    tag,
    wrap,
)
from bulkcmp.cmp.messages import AttributeTypeAndValue, CertTemplate, directory_name
from bulkcmp.cmp.template import time
from bulkcmp.errors import InputError, RemoteCmpError
from bulkcmp.model import Itav

CA_PROT_ENC_CERT: Final = "1.3.6.1.5.5.7.4.1"
SIGN_KEY_PAIR_TYPES: Final = "1.3.6.1.5.5.7.4.2"
ENC_KEY_PAIR_TYPES: Final = "1.3.6.1.5.5.7.4.3"
PREFERRED_SYMM_ALG: Final = "1.3.6.1.5.5.7.4.4"
CA_KEY_UPDATE_INFO: Final = "1.3.6.1.5.5.7.4.5"
CURRENT_CRL: Final = "1.3.6.1.5.5.7.4.6"
UNSUPPORTED_OIDS: Final = "1.3.6.1.5.5.7.4.7"
KEY_PAIR_PARAM_REQ: Final = "1.3.6.1.5.5.7.4.10"
KEY_PAIR_PARAM_REP: Final = "1.3.6.1.5.5.7.4.11"
SUPP_LANG_TAGS: Final = "1.3.6.1.5.5.7.4.16"
CA_CERTS: Final = "1.3.6.1.5.5.7.4.17"
ROOT_CA_KEY_UPDATE: Final = "1.3.6.1.5.5.7.4.18"
CERT_REQ_TEMPLATE: Final = "1.3.6.1.5.5.7.4.19"
ROOT_CA_CERT: Final = "1.3.6.1.5.5.7.4.20"
CRL_STATUS_LIST: Final = "1.3.6.1.5.5.7.4.22"
CRLS: Final = "1.3.6.1.5.5.7.4.23"
KEM_CIPHERTEXT_INFO: Final = "1.3.6.1.5.5.7.4.24"

ALG_ID: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.1.11")
RSA_KEY_LEN: Final = ObjectIdentifier("1.3.6.1.5.5.7.5.1.12")

QUESTIONS: Final = {
    "caCerts": CA_CERTS,
    "rootCaCert": ROOT_CA_CERT,
    "certReqTemplate": CERT_REQ_TEMPLATE,
    "crlStatusList": CRL_STATUS_LIST,
    "caProtEncCert": CA_PROT_ENC_CERT,
    "signKeyPairTypes": SIGN_KEY_PAIR_TYPES,
    "encKeyPairTypes": ENC_KEY_PAIR_TYPES,
    "preferredSymmAlg": PREFERRED_SYMM_ALG,
    "caKeyUpdateInfo": CA_KEY_UPDATE_INFO,
    "currentCRL": CURRENT_CRL,
    "keyPairParamReq": KEY_PAIR_PARAM_REQ,
    "suppLangTags": SUPP_LANG_TAGS,
}
"""What a client asks for, by the names of RFC 9810 without `id-it-`."""

_NAMES: Final = {oid: name for name, oid in QUESTIONS.items()} | {
    ROOT_CA_KEY_UPDATE: "rootCaKeyUpdate",
    CRLS: "crls",
    KEY_PAIR_PARAM_REP: "keyPairParamRep",
    UNSUPPORTED_OIDS: "unsupportedOIDs",
    KEM_CIPHERTEXT_INFO: "KemCiphertextInfo",
}

ANSWERS: Final = {
    ROOT_CA_CERT: ROOT_CA_KEY_UPDATE,
    CRL_STATUS_LIST: CRLS,
    KEY_PAIR_PARAM_REQ: KEY_PAIR_PARAM_REP,
}
"""infoType of the answer where it is another than the question's."""

CRL_SOURCE_DPN: Final = 0xA0
_CRL_SOURCE_ISSUER: Final = 1


def name_of(oid: str) -> str:
    """The name of an infoType; the dotted OID where it has none."""
    return _NAMES.get(oid, oid)


# --- GenMsgContent and GenRepContent --------------------------------------------------------------


# GenMsgContent ::= SEQUENCE OF InfoTypeAndValue
# GenRepContent ::= SEQUENCE OF InfoTypeAndValue
def encode_infos(infos: Iterable[Itav]) -> bytes:
    """DER of a genm's or genp's body."""
    return wrap(
        0x30,
        *(wrap(0x30, encode(ObjectIdentifier(one.oid)), one.value or b"") for one in infos),
    )


def decode_infos(der: bytes | TLV) -> tuple[Itav, ...]:
    """The InfoTypeAndValues of a genm or genp.

    Raises:
        RemoteCmpError: `der` is no such body.
    """
    return tuple(map(_itav, decode_sequence_of(der)))


def _itav(info: TLV) -> Itav:
    elements = decode_sequence_of(info)
    if not 1 <= len(elements) <= 2:
        raise RemoteCmpError(f"an InfoTypeAndValue of {len(elements)} elements")
    oid = decode(ObjectIdentifier, elements[0]).dotted_string
    return Itav(oid, encode(elements[1]) if len(elements) > 1 else None)


# --- questions ------------------------------------------------------------------------------------


# CRLStatusListValue ::= SEQUENCE SIZE (1..MAX) OF CRLStatus
# CRLStatus ::= SEQUENCE {
#     source       CRLSource,
#     thisUpdate   Time OPTIONAL }
# CRLSource ::= CHOICE {
#     dpn          [0] DistributionPointName,
#     issuer       [1] GeneralNames }
def crl_status_list(certificate: bytes | None, crl: bytes | None) -> bytes:
    """DER of a CRLStatusListValue that names one CRL.

    Args:
        certificate: DER of one whose status the CRL tells, or None.
        crl: DER of the CRL that is at hand: a newer one is wanted. None: any.

    Raises:
        InputError: neither is given, or one can't be read.
    """
    if certificate is None and crl is None:
        raise InputError("of which CRL? Neither a certificate nor a CRL is given")
    try:
        held = None if crl is None else x509.load_der_x509_crl(crl)
        subject = None if certificate is None else x509.load_der_x509_certificate(certificate)
        known = subject or held
        assert known is not None
        source = _distribution_point(known) or explicit(
            _CRL_SOURCE_ISSUER, wrap(0x30, encode(directory_name(known.issuer.public_bytes())))
        )
        has = b"" if held is None else time(held.last_update_utc)
    except Exception as error:
        # a name or an extension that cryptography can't read raises whatever it likes
        raise InputError(f"not a usable certificate or CRL: {error}") from error
    return wrap(0x30, wrap(0x30, source, has))


def _distribution_point(
    known: x509.Certificate | x509.CertificateRevocationList,
) -> bytes | None:
    """DER CRLSource of the distribution point that a certificate, or a CRL, names (RFC 5280,
    4.2.1.13 and 5.2.5)."""
    kind: type[x509.CRLDistributionPoints | x509.IssuingDistributionPoint]
    if isinstance(known, x509.Certificate):
        kind = x509.CRLDistributionPoints
    else:
        kind = x509.IssuingDistributionPoint
    try:
        value = known.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    points = [any_from(value.public_bytes())]
    if isinstance(known, x509.Certificate):
        points = decode_sequence_of(points[0])
    # `distributionPoint [0] DistributionPointName` is encoded as `dpn [0]` is
    names = (part for point in points for part in decode_sequence_of(point))
    return next((encode(part) for part in names if tag(part) == CRL_SOURCE_DPN), None)


# --- answers --------------------------------------------------------------------------------------


# RootCaKeyUpdateContent ::= SEQUENCE {
#     newWithNew       CMPCertificate,
#     newWithOld   [0] CMPCertificate OPTIONAL,
#     oldWithNew   [1] CMPCertificate OPTIONAL }
@dataclass(frozen=True, slots=True)
class RootCaKeyUpdate:
    """A new root, and what links it with the old one; each a DER certificate (RFC 9810, 4.4)."""

    new_with_new: bytes
    new_with_old: bytes | None = None
    old_with_new: bytes | None = None

    @classmethod
    def decode(cls, der: bytes) -> "RootCaKeyUpdate":
        """
        Raises:
            RemoteCmpError: it is no RootCaKeyUpdateContent.
        """
        elements = decode_sequence_of(der)
        links = {tag(one) - 0xA0: content(one) for one in elements[1:]}
        if list(links) not in ([], [0], [1], [0, 1]) or len(elements) != 1 + len(links):
            raise RemoteCmpError("not a RootCaKeyUpdateContent")
        return cls(encode(elements[0]), links.get(0), links.get(1))

    def encode(self) -> bytes:
        return wrap(
            0x30,
            self.new_with_new,
            b"" if self.new_with_old is None else explicit(0, self.new_with_old),
            b"" if self.old_with_new is None else explicit(1, self.old_with_new),
        )


# CAKeyUpdContent ::= CHOICE {
#     cAKeyUpdAnnV2      CAKeyUpdAnnContent,
#     cAKeyUpdAnnV3  [0] RootCaKeyUpdateContent }
# CAKeyUpdAnnContent ::= SEQUENCE {
#     oldWithNew   CMPCertificate,
#     newWithOld   CMPCertificate,
#     newWithNew   CMPCertificate }
def ca_key_update(der: bytes) -> RootCaKeyUpdate:
    """The new root in a CAKeyUpdContent.

    Raises:
        RemoteCmpError: it is none.
    """
    element = any_from(der)
    if tag(element) == 0xA0:
        return RootCaKeyUpdate.decode(content(element))
    parts = [encode(one) for one in decode_sequence_of(element)]
    if len(parts) != 3:
        raise RemoteCmpError(f"a CAKeyUpdAnnContent of {len(parts)} elements")
    old_with_new, new_with_old, new_with_new = parts
    return RootCaKeyUpdate(new_with_new, new_with_old, old_with_new)


# CertReqTemplateContent ::= SEQUENCE {
#     certTemplate     CertTemplate,
#     keySpec          Controls OPTIONAL }
# Controls ::= SEQUENCE SIZE (1..MAX) OF AttributeTypeAndValue
# AlgIdCtrl ::= AlgorithmIdentifier{ALGORITHM, {...}}  -- id-regCtrl-algId
# RsaKeyLenCtrl ::= INTEGER (1..MAX)                   -- id-regCtrl-rsaKeyLen
@sequence
class CertReqTemplateContent:
    certTemplate: CertTemplate
    keySpec: list[AttributeTypeAndValue] | None = None
