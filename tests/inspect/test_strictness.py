from collections.abc import Callable
from typing import Any

import pytest

from bulkcmp.inspect import syntax
from bulkcmp.inspect.ber import Report, scan
from bulkcmp.inspect.finding import Findings
from bulkcmp.inspect.strictness import check

Tlv = Callable[..., bytes]


def findings_of(data: bytes, spec: Any) -> list[str]:
    findings = Findings()
    check(data, scan(data, Report(Findings())), spec, Report(findings))
    return [str(finding) for finding in findings.all()]


def test_vectors_are_strict(vectors: dict[str, bytes]) -> None:
    for name, data in vectors.items():
        if name not in ("root", "signer", "device"):
            assert findings_of(data, syntax.PKI_MESSAGE) == [], name


def test_default_values(tlv: Tlv) -> None:
    extension = tlv(0x30, b"\x06\x01\x2a\x01\x01\x00", tlv(4, b"x"))
    found = "critical with its DEFAULT value, which DER leaves out at offset 7"
    assert findings_of(tlv(0x30, extension), syntax.Extensions()) == [found]
    extension = tlv(0x30, b"\x06\x01\x2a\x01\x01\xff", tlv(4, b"x"))
    assert findings_of(tlv(0x30, extension), syntax.Extensions()) == []


def test_known_values_of_any(tlv: Tlv) -> None:
    pbkdf2 = bytes.fromhex("06092a864886f70d01050c")
    sha1 = tlv(0x30, bytes.fromhex("06082a864886f70d0207"), b"\x05\x00")
    parameters = tlv(0x30, tlv(4, b"s"), tlv(2, b"\x01"), sha1)
    algorithm = tlv(0x30, pbkdf2, parameters)
    what = "prf with its DEFAULT value, which DER leaves out"
    offset = algorithm.index(sha1)
    assert findings_of(algorithm, syntax.AlgorithmIdentifier()) == [f"{what} at offset {offset}"]
    # RSASSA-PSS with its trailerField spelled out
    pss = bytes.fromhex("06092a864886f70d01010a")
    algorithm = tlv(0x30, pss, tlv(0x30, tlv(0xA2, b"\x02\x01\x20"), tlv(0xA3, b"\x02\x01\x01")))
    assert findings_of(algorithm, syntax.AlgorithmIdentifier()) == [
        "trailerField with its DEFAULT value, which DER leaves out at offset 20"
    ]


def test_contents_and_attributes(tlv: Tlv) -> None:
    extension = tlv(0x30, b"\x06\x01\x2a\x01\x01\x00", tlv(4, b"x"))
    request = tlv(0x30, bytes.fromhex("06092a864886f70d01090e"), tlv(0x31, tlv(0x30, extension)))
    spki = tlv(0x30, tlv(0x30, b"\x06\x01\x2a"), tlv(3, b"\x00"))
    info = tlv(0x30, b"\x02\x01\x00", tlv(0x30), spki, tlv(0xA0, request))
    data = tlv(0x30, info, tlv(0x30, b"\x06\x01\x2a"), tlv(3, b"\x00"))
    assert findings_of(data, syntax.CertificationRequest()) == [
        "critical with its DEFAULT value, which DER leaves out"
        f" at offset {data.index(bytes.fromhex('010100'))}"
    ]
    enveloped = tlv(
        0x30,
        b"\x02\x01\x00",
        tlv(0x31),
        tlv(0x30, tlv(6, b"\x2a"), tlv(0x30, tlv(6, b"\x2a")), tlv(0xA0, tlv(4, b"in pieces"))),
    )
    data = tlv(0x30, bytes.fromhex("06092a864886f70d010703"), tlv(0xA0, enveloped))
    assert findings_of(data, syntax.ContentInfo()) == [
        f"[0] in pieces at offset {data.index(b'in pieces') - 4}"
    ]


@pytest.mark.parametrize(
    ("control", "finding"),
    [
        ("820101", "BOOLEAN TRUE as 01 instead of ff at offset 16"),
        ("8202ffff", "[2] with contents that no Boolean has at offset 16"),
        ("a103040161", "[1] in pieces at offset 16"),
        ("8201ff", None),
    ],
)
def test_behind_implicit_tags(tlv: Tlv, control: str, finding: str | None) -> None:
    value = bytes.fromhex(control)
    oid = tlv(6, bytes.fromhex("2b06010505070501") + b"\x04")
    data = tlv(0x30, tlv(0x30, oid, value), tlv(0x30, tlv(6, b"\x2a"), b"\x05\x00"))
    expected = [] if finding is None else [finding.replace("16", str(data.index(value)))]
    assert findings_of(data, syntax.Controls()) == expected


def test_set_of_behind_an_implicit_tag(tlv: Tlv) -> None:
    one, two = (tlv(0x30, tlv(6, octet), tlv(0x31)) for octet in (b"\x2a", b"\x2b"))
    spki = tlv(0x30, tlv(0x30, b"\x06\x01\x2a"), tlv(3, b"\x00"))

    def request(*attributes: bytes) -> bytes:
        info = tlv(0x30, b"\x02\x01\x00", tlv(0x30), spki, tlv(0xA0, *attributes))
        return tlv(0x30, info, tlv(0x30, b"\x06\x01\x2a"), tlv(3, b"\x00"))

    assert findings_of(request(one, two), syntax.CertificationRequest()) == []
    data = request(two, one)
    assert findings_of(data, syntax.CertificationRequest()) == [
        f"SET OF out of order, tagged [0] at offset {data.index(two) - 2}"
    ]


def test_parts_of_other_types_are_left_alone(
    tlv: Tlv, message: Callable[[int, bytes], bytes]
) -> None:
    info = bytes.fromhex("06082b060105050704") + b"\x16"
    empty_dpn = tlv(0x30, tlv(0x30, tlv(0xA0)))
    empty_tag = tlv(0x30, tlv(0x30, b"\x06\x01\x2a", b"\x05\x00"), tlv(0x81, b"x"))
    for value in (empty_dpn, empty_tag, b"\x05\x00"):
        data = message(21, tlv(0x30, tlv(0x30, info, value)))
        assert findings_of(data, syntax.PKI_MESSAGE) == []
    for control in (tlv(0xA0), tlv(0xA0, b"\x05\x00\x05\x00"), b"\x05\x00"):
        archive = bytes.fromhex("06092b0601050507050104") + control
        assert findings_of(tlv(0x30, tlv(0x30, archive)), syntax.Controls()) == []
    content = bytes.fromhex("06092a864886f70d010702")
    assert findings_of(tlv(0x30, content, tlv(0xA0)), syntax.ContentInfo()) == []
    bad_oid = tlv(0x30, b"\x06\x01\x80", b"\x05\x00")
    assert findings_of(bad_oid, syntax.AlgorithmIdentifier()) == []
    # a version that is no INTEGER, where v1 would be the DEFAULT
    version = tlv(0x30, tlv(0xA0, tlv(4, b"x")), b"\x02\x01\x01")
    assert findings_of(version, syntax.Certificate()["tbsCertificate"]) == []


def test_values_of_other_types_are_left_alone(tlv: Tlv) -> None:
    for data in (b"\x05\x00", tlv(0x30, b"\x05\x00"), tlv(0x30, tlv(0x30, b"\x05\x00"))):
        assert findings_of(data, syntax.PKI_MESSAGE) == []
        assert findings_of(data, syntax.ContentInfo()) == []
        assert findings_of(data, syntax.CertReqMessages()) == []
