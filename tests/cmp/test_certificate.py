"""Certificates as they are read."""

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.certificate import ReadCertificate
from bulkcmp.errors import RemoteCmpError
from tests.cmp.leaf import SPKI, Leaf

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_there_is_what_it_says(pki: "Pki", kind: str) -> None:
    der = pki.certificate("device", pki.keys[kind], pki.root)
    certificate = ReadCertificate.read(der)
    said, tbs = certificate.said, certificate.tbs
    assert encode(certificate.parts.tbsCertificate) == said.tbs_certificate_bytes
    assert certificate.parts.signatureValue.as_bytes() == said.signature
    assert encode(tbs.subject) == said.subject.public_bytes()
    assert encode(tbs.issuer) == said.issuer.public_bytes()
    assert [one.extnID for one in tbs.extensions or ()] == [one.oid for one in said.extensions]
    assert certificate.is_for(algorithms.public_key_info(pki.keys[kind]))
    assert not certificate.is_for(algorithms.public_key_info(pki.root.key))


def test_a_point_may_be_compressed(pki: "Pki") -> None:
    key = pki.keys["ec"].public_key()
    info = algorithms.public_bytes(key)
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    short = wrap(0x30, info[2:23], wrap(0x03, b"\0", point))
    assert ReadCertificate.read(Leaf(pki.root, spki=short).signed()).is_for(info)


def test_a_certificate_or_a_key_that_can_not_be_read(pki: "Pki") -> None:
    sound = pki.certificate("device", pki.keys["ec"], pki.root)
    no_key = Leaf(pki.root, spki=SPKI[:-1] + bytes((SPKI[-1] ^ 1,))).signed()
    for der in (b"no certificate", sound + b"\0", no_key):
        with pytest.raises(RemoteCmpError):
            ReadCertificate.read(der)
