"""What the statements of a CA are checked by: whom we trust, and the certificates at hand."""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import BitString, decode, decode_sequence_of, encode
from bulkcmp.cmp.checks import MOST_TRIED
from bulkcmp.cmp.protection import public_key_of
from bulkcmp.cmp.trust import Trust, load_certificate
from bulkcmp.errors import RemoteCmpError


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer, or a CRL, is checked by.

    Attributes:
        extra: DER certificates that came with it, none of them trusted.
        at: now, aware.
    """

    trust: Trust
    extra: tuple[bytes, ...]
    at: dt.datetime

    @property
    def anchors(self) -> tuple[bytes, ...]:
        return tuple(dict.fromkeys((*self.trust.issuers.anchors, *self.trust.signers.anchors)))

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Those at hand, and of a peer's as many as it is worth to try."""
        stores = (self.trust.issuers, self.trust.signers)
        helpers = [der for store in stores for der in store.untrusted]
        return tuple(dict.fromkeys((*self.anchors, *helpers, *self.extra[:MOST_TRIED])))


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """What is to be known of a certificate, all of it read at once.

    Attributes:
        signs_crls: its keyUsage does not forbid it.
    """

    der: bytes
    parsed: x509.Certificate
    subject: bytes
    issuer: bytes
    text: str
    public_key: bytes
    not_after: dt.datetime
    is_ca: bool
    signs_crls: bool

    @classmethod
    def read(cls, der: bytes) -> "KnownCertificate":
        """
        Raises:
            RemoteCmpError: it can't be read.
        """
        try:
            parsed = load_certificate(der)
            extensions = {one.oid: one.value for one in parsed.extensions}
            constraints = extensions.get(x509.BasicConstraints.oid)
            usage = extensions.get(x509.KeyUsage.oid)
            return cls(
                der,
                parsed,
                parsed.subject.public_bytes(),
                parsed.issuer.public_bytes(),
                parsed.subject.rfc4514_string() or "the NULL-DN",
                parsed.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                ),
                parsed.not_valid_after_utc,
                isinstance(constraints, x509.BasicConstraints) and constraints.ca,
                not isinstance(usage, x509.KeyUsage) or usage.crl_sign,
            )
        except RemoteCmpError:
            raise
        except Exception as error:
            # a key type or a name that cryptography can't read raises whatever it likes
            raise RemoteCmpError(f"not a usable certificate: {error}") from error

    def __str__(self) -> str:
        return self.text

    def has_signed(self, der: bytes) -> bool:
        """Whether a certificate or CRL has its signature; the names are not compared."""
        try:
            to_be_signed, algorithm, signature = decode_sequence_of(der)
            algorithms.verify(
                public_key_of(self.parsed),
                encode(algorithm),
                decode(BitString, signature).as_bytes(),
                encode(to_be_signed),
                key_identifier=algorithms.pss_key_identifier(self.parsed),
            )
        except RemoteCmpError:
            return False
        return True
