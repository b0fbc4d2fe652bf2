"""Certificates that were issued: what they say, as `cryptography` reads it, and what stands there,
to be compared and verified as it is (RFC 5280, 4.1).
"""

from dataclasses import dataclass
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import (
    TLV,
    BitString,
    Explicit,
    Implicit,
    SetOf,
    decode,
    encode,
    list_of,
    sequence,
)
from bulkcmp.cmp.messages import AttributeTypeAndValue, Extension
from bulkcmp.errors import RemoteCmpError


# TBSCertificate ::= SEQUENCE {
#     version         [0] Version DEFAULT v1,
#     serialNumber        CertificateSerialNumber,
#     signature           AlgorithmIdentifier,
#     issuer              Name,
#     validity            Validity,
#     subject             Name,
#     subjectPublicKeyInfo SubjectPublicKeyInfo,
#     issuerUniqueID  [1] IMPLICIT UniqueIdentifier OPTIONAL,
#     subjectUniqueID [2] IMPLICIT UniqueIdentifier OPTIONAL,
#     extensions      [3] Extensions OPTIONAL }
@sequence
class TBSCertificate:
    version: Annotated[int | None, Explicit(0)] = None
    serialNumber: TLV
    signature: TLV
    issuer: TLV
    validity: TLV
    subject: TLV
    subjectPublicKeyInfo: TLV
    issuerUniqueID: Annotated[BitString | None, Implicit(1)] = None
    subjectUniqueID: Annotated[BitString | None, Implicit(2)] = None
    extensions: Annotated[list[Extension] | None, Explicit(3)] = None


# Certificate ::= SEQUENCE {
#     tbsCertificate      TBSCertificate,
#     signatureAlgorithm  AlgorithmIdentifier,
#     signatureValue      BIT STRING }
# tbsCertificate stays an ANY: the signature is over its very bytes.
@sequence
class Certificate:
    tbsCertificate: TLV
    signatureAlgorithm: TLV
    signatureValue: BitString


# RDNSequence ::= SEQUENCE OF RelativeDistinguishedName
# RelativeDistinguishedName ::= SET SIZE (1..MAX) OF AttributeTypeAndValue
decode_name = list_of(SetOf[AttributeTypeAndValue])


@dataclass(frozen=True, slots=True)
class ReadCertificate:
    """A certificate that was read, once.

    Attributes:
        der: all of it.
        said: what it says.
        public_key: its key.
        parts, tbs: what stands there.
    """

    der: bytes
    said: x509.Certificate
    public_key: CertificatePublicKeyTypes
    parts: Certificate
    tbs: TBSCertificate

    @classmethod
    def read(cls, der: bytes) -> "ReadCertificate":
        """
        Raises:
            RemoteCmpError: not a certificate, or one whose key can't be read.
        """
        try:
            said = x509.load_der_x509_certificate(der)
            public_key = said.public_key()
        except Exception as error:
            # a key type that cryptography can't read raises whatever it likes
            raise RemoteCmpError(str(error)) from error
        parts = decode(Certificate, der)
        return cls(der, said, public_key, parts, decode(TBSCertificate, parts.tbsCertificate))

    def is_for(self, public_key: bytes) -> bool:
        """Whether its key is this one (DER SubjectPublicKeyInfo), whatever form it is given in."""
        stands = encode(self.tbs.subjectPublicKeyInfo)
        return stands == public_key or algorithms.public_bytes(self.public_key) == public_key
