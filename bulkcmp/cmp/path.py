"""Certification paths that hold for many certificates.

The certificates that a CA issues in a run are siblings. They differ in what belongs to the end
entity alone (serial number, validity, subject, key, subjectKeyIdentifier, subjectAltName) and in
the signature; all else is the same to the octet: the issuer and what points to its certificate, the
algorithm, each other extension, critical or not. When OpenSSL has validated the path of one of them
(RFC 5280, 6.1), it need not do so for its siblings: the issuers are the same ones, and of what it
looks at in the certificate itself nothing is left but the signature and the validity.

Only yes is said here. All else is OpenSSL's to judge, and to find a reason for: a certificate that
is nobody's sibling yet, or that OpenSSL might read in another way; one below a CA with name
constraints, which are about what siblings differ in; one that is not good.
"""

import datetime as dt
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import TLV, content, decode_sequence_of, encode, tag
from bulkcmp.cmp.certificate import ReadCertificate, decode_name
from bulkcmp.cmp.messages import Extension
from bulkcmp.errors import RemoteCmpError

_TEXTS: Final = frozenset({0x0C, 0x13, 0x16})
"""UTF8String, PrintableString, IA5String."""

_PLAIN_NAMES: Final = frozenset({0x81, 0x82, 0x86, 0x87})
"""GeneralNames that are mere octets: rfc822Name, dNSName, uniformResourceIdentifier, iPAddress."""


@dataclass(frozen=True, slots=True)
class _Path:
    """From the issuer of certificates to an anchor.

    Attributes:
        chain: DER of their certificates, the anchor last.
        not_before, not_after: all of them are valid between these.
        key: public key of the issuer.
        key_identifier: DER AlgorithmIdentifier of that key where it is for RSASSA-PSS only.
        letters: of the issuer's name.
    """

    chain: tuple[bytes, ...]
    not_before: dt.datetime
    not_after: dt.datetime
    key: object
    key_identifier: bytes | None
    letters: bytes


class Siblings:
    """The paths of certificates whose siblings are still to come."""

    def __init__(self) -> None:
        self._paths: dict[Hashable, _Path] = {}

    def chain(self, certificate: ReadCertificate, at: dt.datetime) -> tuple[bytes, ...] | None:
        """The issuers of a certificate, if it is good, and the sibling of one whose path is known.

        Args:
            at: the time of validation, aware.

        Returns:
            DER of the issuers' certificates, nearest first, the anchor last; None where OpenSSL is
            to say.
        """
        said, parts = certificate.said, certificate.parts
        try:
            path = self._paths.get(_common(certificate))
            if path is None or _letters(certificate.tbs.subject) == path.letters:
                return None
            not_before = max(path.not_before, said.not_valid_before_utc)
            not_after = min(path.not_after, said.not_valid_after_utc)
            if not not_before <= at < not_after:
                return None
            algorithms.verify(
                path.key,
                encode(parts.signatureAlgorithm),
                parts.signatureValue.as_bytes(),
                encode(parts.tbsCertificate),
                key_identifier=path.key_identifier,
            )
        except RemoteCmpError:
            return None
        return path.chain

    def remember(self, certificate: ReadCertificate, chain: tuple[bytes, ...]) -> None:
        """Take the path of a certificate that OpenSSL has validated.

        Args:
            chain: DER of its issuers' certificates, nearest first, the anchor last.
        """
        try:
            common = _common(certificate)
            issuers = list(map(ReadCertificate.read, chain))
            if common is None or any(map(_constrains_names, issuers)):
                return
            path = _Path(
                chain,
                max(one.said.not_valid_before_utc for one in issuers),
                min(one.said.not_valid_after_utc for one in issuers),
                issuers[0].public_key,
                algorithms.pss_key_identifier(issuers[0].said),
                _letters(certificate.tbs.issuer),
            )
        except RemoteCmpError:
            return
        if len(self._paths) >= algorithms.REMEMBERED:
            self._paths.clear()
        self._paths[common] = path


def _common(certificate: ReadCertificate) -> Hashable | None:
    """What siblings have in common; None where a certificate can be nobody's sibling.

    Raises:
        RemoteCmpError: a subjectAltName that is none.
    """
    parts, tbs = certificate.parts, certificate.tbs
    algorithm = encode(parts.signatureAlgorithm)
    if (
        encode(tbs.signature) != algorithm
        or parts.signatureValue.padding_bits()
        or tbs.issuerUniqueID is not None
        or tbs.subjectUniqueID is not None
    ):
        return None
    extensions = tuple(map(_common_in, tbs.extensions or ()))
    return tbs.version, algorithm, encode(tbs.issuer), extensions


def _common_in(extension: Extension) -> Hashable:
    kind, value = extension.extnID, extension.extnValue
    if kind == x509.SubjectKeyIdentifier.oid:
        # tag and length
        return kind, extension.critical, value[:2], len(value)
    if kind == x509.SubjectAlternativeName.oid and all(
        tag(name) in _PLAIN_NAMES for name in decode_sequence_of(value)
    ):
        return kind, extension.critical
    return kind, extension.critical, value


def _letters(name: TLV) -> bytes:
    """The letters of all values of a Name. Names that OpenSSL takes for the same one have the same:
    it looks neither at their case nor at how much white space there is.

    Raises:
        RemoteCmpError: a value that is no text, or has octets that are no characters.
    """
    values = [one.value for rdn in decode_name(name) for one in rdn.as_list()]
    octets = b"\n".join(map(content, values))
    if not _TEXTS.issuperset(map(tag, values)):
        raise RemoteCmpError("a Name with a value that is no text")
    try:
        octets.decode()
    except UnicodeDecodeError as error:
        raise RemoteCmpError("a Name with a value that is no UTF-8") from error
    return b"".join(octets.lower().split())


def _constrains_names(certificate: ReadCertificate) -> bool:
    extensions = certificate.tbs.extensions or ()
    return any(one.extnID == x509.NameConstraints.oid for one in extensions)
