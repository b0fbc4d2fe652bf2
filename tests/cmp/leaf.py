"""Certificates of end entities, put together by hand: sound ones, and what no builder makes."""

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import encode, explicit, wrap
from bulkcmp.cmp.template import time
from bulkcmp.model import RsaPadding

if TYPE_CHECKING:
    from tests.cmp.conftest import Party

BEGIN = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
END = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def extension(oid: x509.ObjectIdentifier, value: bytes, *, critical: bool = False) -> bytes:
    return wrap(0x30, encode(oid), b"\x01\x01\xff" if critical else b"", encode(value))


def text(kind: int, value: bytes) -> bytes:
    """DER Name with one CN."""
    cn = wrap(0x30, encode(x509.NameOID.COMMON_NAME), wrap(kind, value))
    return wrap(0x30, wrap(0x31, cn))


SPKI = algorithms.public_key_info(ec.generate_private_key(ec.SECP256R1()))
EXTENSIONS = {
    "basicConstraints": extension(x509.BasicConstraints.oid, b"\x30\x00", critical=True),
    "subjectKeyIdentifier": extension(
        x509.SubjectKeyIdentifier.oid, encode(b"20 octets of the key")
    ),
    "keyUsage": extension(x509.KeyUsage.oid, b"\x03\x02\x07\x80", critical=True),
    "subjectAltName": extension(
        x509.SubjectAlternativeName.oid, wrap(0x30, wrap(0x82, b"one.here.example"))
    ),
}


@dataclass(frozen=True)
class Leaf:
    """A certificate in the making, all parts in DER."""

    issuer: "Party"
    serial: bytes = b"\x02\x01\x05"
    version: bytes = explicit(0, encode(2))
    inner: bytes | None = None
    """The algorithm in what is signed, if another."""
    not_before: bytes = time(BEGIN)
    not_after: bytes = time(END)
    subject: bytes = text(0x0C, b"device")
    spki: bytes = SPKI
    identifiers: bytes = b""
    extensions: dict[str, bytes] = field(default_factory=lambda: EXTENSIONS)
    unused: bytes = b"\0"
    """Bits of the signature."""
    padding: RsaPadding = RsaPadding.PKCS1

    @property
    def algorithm(self) -> bytes:
        return algorithms.signature_identifier(self.issuer.key, "sha256", self.padding)

    @property
    def tbs(self) -> bytes:
        extensions = explicit(3, wrap(0x30, *self.extensions.values())) if self.extensions else b""
        return wrap(
            0x30,
            self.version,
            self.serial,
            self.inner or self.algorithm,
            self.issuer.subject,
            wrap(0x30, self.not_before, self.not_after),
            self.subject,
            self.spki,
            self.identifiers,
            extensions,
        )

    def signed(self, tbs: bytes | None = None) -> bytes:
        tbs = self.tbs if tbs is None else tbs
        signature = algorithms.sign(self.issuer.key, "sha256", tbs, self.padding)
        return wrap(0x30, tbs, self.algorithm, wrap(0x03, self.unused, signature))
