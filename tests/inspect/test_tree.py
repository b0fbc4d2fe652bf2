from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder

from bulkcmp.inspect import syntax
from bulkcmp.inspect.ber import Report
from bulkcmp.inspect.finding import Findings
from bulkcmp.inspect.inspection import inspect_octets
from bulkcmp.inspect.tree import Node, Trees


def tree_of(data: bytes, spec: Any) -> Node:
    value, rest = decoder.decode(data, asn1Spec=spec)
    assert not rest
    return Trees(Report(Findings())).tree(value)


def test_certificate(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    inspection = inspect_octets(certificate.public_bytes(serialization.Encoding.DER), "f")
    assert inspection.findings == ()
    shown: Any = inspection.json()["value"]
    name = r"CN=\ Ünit #1\ ,O=A\, \"B\" \\ C,C=DE"
    extensions = {item["extnID"]: item for item in shown["extensions"]}
    assert shown["subject"] == shown["issuer"] == name == certificate.subject.rfc4514_string()
    assert shown["serialNumber"] == "0x1234567890abcdef1234"
    assert shown["version"] == "v3"
    # the one is a UTCTime, the other a GeneralizedTime
    assert shown["validity"] == {
        "notBefore": "2049-12-31T23:59:59Z",
        "notAfter": "2050-01-01T00:00:00Z",
    }
    assert shown["signatureAlgorithm"] == {"algorithm": "ecdsa-with-SHA384"}
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    assert shown["subjectPublicKeyInfo"] == {
        "algorithm": "ecPublicKey secp256r1",
        "subjectPublicKey": point.hex(),
    }
    assert extensions["subjectAltName"]["extnValue"] == [
        {"dNSName": "device.example"},
        {"rfc822Name": "d@example.org"},
        {"uniformResourceIdentifier": "urn:x"},
        {"iPAddress": "192.0.2.7"},
        {"iPAddress": "2001:db8::7"},
        {"directoryName": name},
        {"registeredID": "1.2.3.4"},
        {"otherName": {"type-id": "msUPN", "value": "u@x"}},
    ]
    assert extensions["keyUsage"] == {
        "extnID": "keyUsage",
        "critical": True,
        "extnValue": ["digitalSignature", "keyEncipherment"],
    }
    assert extensions["extKeyUsage"]["extnValue"] == ["clientAuth", "1.2.3.99"]
    assert extensions["basicConstraints"]["extnValue"] == {"cA": True, "pathLenConstraint": 2}
    assert extensions["certificatePolicies"]["extnValue"] == [
        {
            "policyIdentifier": "1.2.3.5",
            "policyQualifiers": [
                {"policyQualifierId": "cps", "qualifier": "http://cps.example"},
                {
                    "policyQualifierId": "unotice",
                    "qualifier": {"explicitText": {"utf8String": "be nice"}},
                },
            ],
        }
    ]
    (subtree,) = extensions["nameConstraints"]["extnValue"]["permittedSubtrees"]
    assert subtree["base"] == {"iPAddress": "10.0.0.0/255.0.0.0"}
    assert extensions["1.2.3.6"]["extnValue"] == "010203"


KEYWORDS = (
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.LOCALITY_NAME,
    NameOID.USER_ID,
    x509.ObjectIdentifier("1.2.3.4"),
)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(' #+,;<>="\\'),
    min_size=1,
    max_size=12,
)


@given(st.lists(st.lists(st.tuples(st.sampled_from(KEYWORDS), TEXTS), min_size=1, max_size=2)))
def test_names_are_those_of_rfc_4514(rdns: list[list[tuple[x509.ObjectIdentifier, str]]]) -> None:
    name = x509.Name(
        x509.RelativeDistinguishedName(
            {x509.NameAttribute(oid, text, _validate=False) for oid, text in rdn}
        )
        for rdn in rdns
    )
    ours = tree_of(name.public_bytes(), syntax.Name())
    assert isinstance(ours, str)
    if all(len(rdn) == 1 for rdn in rdns):
        assert ours == name.rfc4514_string()
    else:
        # a set has no order: the encoding has DER's, cryptography shows its own
        assert len(ours) == len(name.rfc4514_string())
        assert sorted(ours) == sorted(name.rfc4514_string())


def test_name_of_other_values(tlv: Callable[..., bytes]) -> None:
    def name(value: bytes) -> bytes:
        return tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x03\x55\x04\x03", value)))

    shown = {
        "CN=Ab": tlv(0x1E, "Ab".encode("utf-16-be")),
        "CN=Ü": tlv(0x14, "Ü".encode("latin-1")),
        "CN=#0c01ff": tlv(0x0C, b"\xff"),
        "CN=#020105": tlv(0x02, b"\x05"),
        "CN=#0500": tlv(0x05),
        "CN=a\\00b": tlv(0x0C, b"a\0b"),
        "CN=": tlv(0x0C),
    }
    for text, value in shown.items():
        assert tree_of(name(value), syntax.Name()) == text


@pytest.mark.parametrize(
    ("tag", "text", "shown"),
    [
        (0x17, "491231235959Z", "2049-12-31T23:59:59Z"),
        (0x17, "500101000000Z", "1950-01-01T00:00:00Z"),
        (0x17, "2601010000Z", "2026-01-01T00:00:00Z"),
        (0x18, "20260228235959.125Z", "2026-02-28T23:59:59.125Z"),
        (0x18, "99991231235959Z", "9999-12-31T23:59:59Z"),
        (0x18, "00010101000000Z", "0001-01-01T00:00:00Z"),
        (0x18, "20260230000000Z", "20260230000000Z"),
        (0x18, "20260101000000+0100", "20260101000000+0100"),
        (0x17, "hello", "hello"),
    ],
)
def test_times(tlv: Callable[..., bytes], tag: int, text: str, shown: str) -> None:
    assert tree_of(tlv(tag, text.encode()), syntax.Time()) == shown


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        ("c0000207", "192.0.2.7"),
        ("c0000200ffffff00", "192.0.2.0/255.255.255.0"),
        ("01", b"\x01"),
        ("", b""),
    ],
)
def test_ip_addresses(tlv: Callable[..., bytes], octets: str, shown: str | bytes) -> None:
    name = tlv(0x87, bytes.fromhex(octets))
    assert tree_of(name, syntax.GeneralName()) == {"iPAddress": shown}


def test_integers(tlv: Callable[..., bytes]) -> None:
    def code(octets: bytes) -> Node:
        info = tlv(0x30, tlv(0x30, b"\x02\x01\x02"), tlv(2, octets))
        tree = tree_of(info, syntax.ErrorMsgContent())
        assert isinstance(tree, dict)
        return tree["errorCode"]

    assert code(b"\xff") == -1
    assert code(b"\x1f" + b"\xff" * 6) == (1 << 53) - 1
    # JSON readers would round it
    assert code(b"\x20" + b"\x00" * 6) == "0x20000000000000"
    assert code(b"\xff" + b"\x00" * 7) == "-0x100000000000000"


def test_bits(tlv: Callable[..., bytes]) -> None:
    def fail_info(octets: bytes) -> Node:
        tree = tree_of(tlv(0x30, b"\x02\x01\x09", tlv(3, octets)), syntax.PKIStatusInfo())
        assert isinstance(tree, dict)
        assert tree["status"] == 9
        return tree["failInfo"]

    assert fail_info(b"\x05\x80\x00\x00\x20") == ["badAlg", "duplicateCertReq"]
    assert fail_info(b"\x03\x00\x00\x00\x08") == ["bit 28"]
    assert fail_info(b"\x00") == []
    assert fail_info(b"\x00" + b"\xff" * 9) == b"\xff" * 9
    popo = tlv(0xA2, tlv(0x80, b"\x04\xa0"))
    assert tree_of(popo, syntax.ProofOfPossession()) == {
        "keyEncipherment": {"thisMessage": "'1010'B"}
    }
    popo = tlv(0xA2, tlv(0x80, b"\x04" + b"\x01" * 8 + b"\xf0"))
    assert tree_of(popo, syntax.ProofOfPossession()) == {
        "keyEncipherment": {"thisMessage": b"\x01" * 8 + b"\xf0"}
    }


def test_absent_and_empty_are_told_apart(tlv: Callable[..., bytes]) -> None:
    assert tree_of(tlv(0x30), syntax.CertTemplate()) == {}
    empty = tlv(0x30, tlv(0xA3, tlv(0x30)), tlv(0xA4), tlv(0xA9))
    assert tree_of(empty, syntax.CertTemplate()) == {
        "issuer": "",
        "validity": {},
        "extensions": [],
    }


def test_default_values_are_not_made_up(tlv: Callable[..., bytes]) -> None:
    """A tree has what was encoded, and no more; certificates say whether critical, though."""
    pss = tlv(0x30, bytes.fromhex("06092a864886f70d01010a"), tlv(0x30))
    assert tree_of(pss, syntax.AlgorithmIdentifier()) == {
        "algorithm": "RSASSA-PSS",
        "parameters": {},
    }
    pbkdf2 = bytes.fromhex("06092a864886f70d01050c")
    data = tlv(0x30, pbkdf2, tlv(0x30, tlv(4, b"s"), tlv(2, b"\x09")))
    assert tree_of(data, syntax.AlgorithmIdentifier()) == {
        "algorithm": "PBKDF2",
        "parameters": {"salt": {"specified": b"s"}, "iterationCount": 9},
    }


def test_public_keys_that_are_odd(tlv: Callable[..., bytes]) -> None:
    rsa = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"

    def key(algorithm: bytes, bits: bytes) -> Node:
        spki = tlv(0x30, tlv(0x30, algorithm), tlv(3, b"\x00", bits))
        return tree_of(spki, syntax.SubjectPublicKeyInfo())

    numbers = tlv(0x30, b"\x02\x01\x7f\x02\x01\x03")
    assert key(rsa + b"\x05\x00", numbers) == {
        "algorithm": "rsaEncryption 7",
        "subjectPublicKey": numbers,
    }
    assert key(rsa + b"\x05\x00", b"\x04\x00") == {
        "algorithm": {"algorithm": "rsaEncryption", "parameters": None},
        "subjectPublicKey": b"\x04\x00",
    }
    # the template of a request for central key generation has no key (RFC 9483, 4.1.6)
    assert key(rsa + b"\x05\x00", b"") == {"algorithm": "rsaEncryption", "subjectPublicKey": b""}
    assert key(b"\x06\x03\x2a\x03\x04" + tlv(0x30, b"\x05\x00"), b"k") == {
        "algorithm": {"algorithm": "1.2.3.4", "parameters": b"\x30\x02\x05\x00"},
        "subjectPublicKey": b"k",
    }
