"""Certificates, octet by octet those that `x509.CertificateBuilder` makes of the same parts."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import decode_sequence_of, encode
from bulkcmp.cmp.messages import NULL_DN
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec, Popo, RequestedExtension
from bulkcmp.testca.enrollment import Enrollment
from bulkcmp.testca.identity import BACKDATE, key_usage, make_root, sign
from bulkcmp.testca.issuer import DEFAULT_VALIDITY, Issuer

NOW = dt.datetime(2027, 3, 1, 12, 30, 15, 999, tzinfo=dt.UTC)
CRL_URL = "http://ca.example/ca.crl"
SUBJECT = parse_name("/CN=dev1/O=Acme/C=SE")

SIGNING = ("rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-65")

USAGES = {
    "rsa:2048": key_usage(digital_signature=True, key_encipherment=True),
    **dict.fromkeys(
        ("ec:P-256", "ec:P-384", "ec:P-521"),
        key_usage(digital_signature=True, key_agreement=True),
    ),
    "ml-kem-768": key_usage(digital_signature=False, key_encipherment=True),
}
"""Of keys that are good for something else than signatures, or for more."""

SAN = x509.SubjectAlternativeName([x509.DNSName("dev1.example")])
PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SIGNS = key_usage(digital_signature=True)


def asked(value: x509.ExtensionType, *, critical: bool = False) -> RequestedExtension:
    return RequestedExtension(value.oid.dotted_string, critical, value.public_bytes())


@pytest.mark.parametrize(
    ("ca", "device"),
    [
        *((spec, "ec:P-256") for spec in SIGNING),
        *(("ec:P-256", spec) for spec in (*SIGNING, "ml-kem-768")),
    ],
)
@pytest.mark.parametrize("crl_url", [None, CRL_URL])
def test_a_certificate_of_the_cas_own_choice(ca: str, device: str, crl_url: str | None) -> None:
    check(ca, device, SUBJECT, [(USAGES.get(device, SIGNS), True)], crl_url=crl_url)


def test_a_certificate_with_what_was_asked_for() -> None:
    check(
        "ec:P-256",
        "ec:P-256",
        None,
        # critical for want of a subject, whatever is asked for
        [(SAN, True), (PURPOSE, False), (SIGNS, True)],
        asked=(asked(SAN), asked(PURPOSE), asked(SIGNS, critical=True)),
        not_before=NOW + dt.timedelta(days=1),
        # beyond the root's end
        not_after=dt.datetime(2055, 1, 1, tzinfo=dt.UTC),
    )


def check(
    ca: str,
    device: str,
    subject: bytes | None,
    extensions: list[tuple[x509.ExtensionType, bool]],
    *,
    asked: tuple[RequestedExtension, ...] = (),
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    crl_url: str | None = None,
) -> None:
    root = make_root(KeySpec.parse(ca), NOW)
    public_key = algorithms.load_private_key(make_keys(KeySpec.parse(device), 1)[0]).public_key()
    enrollment = Enrollment(
        cert_req_id=0,
        subject=subject,
        common_name=None,
        public_key=public_key,
        popo=Popo.SIGNATURE,
        not_before=not_before,
        not_after=not_after,
        extensions=asked,
    )
    issued = Issuer(root, crl_url).issue(enrollment, subject, NOW)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    end = root.certificate.not_valid_after_utc
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_bytes(subject or NULL_DN))
        .issuer_name(root.certificate.subject)
        .public_key(public_key)
        .serial_number(issued.serial)
        .not_valid_before(not_before or NOW - BACKDATE)
        .not_valid_after(min(not_after or NOW + DEFAULT_VALIDITY, end))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(root.key_identifier, None, None), critical=False)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    if crl_url is not None:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    expected = sign(builder, root.key)
    certificate = x509.load_der_x509_certificate(issued.der)
    certificate.verify_directly_issued_by(root.certificate)
    assert certificate.tbs_certificate_bytes == expected.tbs_certificate_bytes
    _, algorithm, _ = map(encode, decode_sequence_of(issued.der))
    assert algorithm == encode(decode_sequence_of(expected.public_bytes(Encoding.DER))[1])
    assert issued.key_identifier == identifier.digest
