from collections.abc import Callable

from bulkcmp.inspect.armour import Part
from bulkcmp.inspect.finding import Finding, FindingKind
from bulkcmp.inspect.inspection import Inspection, inspect_octets
from bulkcmp.inspect.text import lines_of
from bulkcmp.inspect.tree import Node


def shown(value: Node, width: int | None = None) -> list[str]:
    inspection = Inspection(Part("f", None, "", b""), "ContentInfo", "DER", 1234, (), value)
    heading, *lines = lines_of(inspection, width, str)
    assert heading == "f: ContentInfo, DER, 1,234 octets"
    return lines


def test_layout() -> None:
    value: Node = {
        "choice": {"one": {"two": 1}},
        "records": [{"a": 1, "b": True}, {"c": None}, []],
        "names": ["x", "y"],
        "record": {"text": "", "none": {}, "octets": b"\x00\xff", "no": b""},
    }
    assert shown(value) == [
        "  choice: one: two: 1",
        "  records:",
        "    - a: 1",
        "      b: TRUE",
        "    - c: NULL",
        "    - (empty)",
        "  names: x, y",
        "  record:",
        '    text: ""',
        "    none: (empty)",
        "    octets: 00ff",
        "    no: (no octets)",
    ]


def test_types_are_named_once() -> None:
    value: Node = {
        "alg": {"algorithm": "PasswordBasedMac", "parameters": {"owf": {"algorithm": "sha256"}}},
        "rsa": {"algorithm": "sha256WithRSAEncryption", "parameters": None},
        "info": [{"infoType": "implicitConfirm", "infoValue": None}, {"infoType": "1.2.3"}],
        "extensions": [
            {"extnID": "keyUsage", "critical": True, "extnValue": ["digitalSignature"]},
            {"extnID": "1.2.3", "critical": False, "extnValue": b"\x01"},
        ],
        "key": {"algorithm": "Ed25519", "subjectPublicKey": b"\x01"},
    }
    assert shown(value) == [
        "  alg: PasswordBasedMac: owf: sha256",
        "  rsa: sha256WithRSAEncryption: NULL",
        "  info:",
        "    - implicitConfirm: NULL",
        "    - 1.2.3",
        "  extensions:",
        "    - keyUsage (critical): digitalSignature",
        "    - 1.2.3: 01",
        "  key:",
        "    algorithm: Ed25519",
        "    subjectPublicKey: 01",
    ]


def test_long_values() -> None:
    assert shown({"hash": bytes(64)}) == [f"  hash: {'00' * 64}"]
    assert shown({"key": bytes(65)}) == [f"  key: {'00' * 16} … (65 octets)"]
    assert shown({"kid": b"vector"}) == ['  kid: 766563746f72 "vector"']
    assert shown({"text": "x" * 2001}) == [f"  text: {'x' * 2000} … (1 more)"]
    names: list[Node] = ["a" * 30, "b" * 30]
    assert shown({"names": names}) == ["  names:", f"    - {'a' * 30}", f"    - {'b' * 30}"]


def test_width() -> None:
    assert shown({"a": {"b": 1, "text": "one two three four five six seven eight"}}, 24) == [
        "  a:",
        "    b: 1",
        "    text: one two three four five six",
        "        seven eight",
    ]
    assert shown({"hash": bytes(40)}, 60) == [f"  hash: {'00' * 26}", f"      {'00' * 14}"]
    deep: Node = ["x" * 100]
    for _ in range(60):
        deep = {"a": 1, "b": deep}
    assert max(map(len, shown(deep, 80))) == 120 + 4 + 32


def test_heading_and_findings(vectors: dict[str, bytes]) -> None:
    data = vectors["ir-mac-2-rsp"]
    lines = list(lines_of(inspect_octets(data, "f"), 80, str))
    assert lines[0] == f"f: PKIMessage pkiconf, DER, {len(data)} octets"
    assert "  body: pkiconf: NULL" in lines
    loose = b"\x30\x80" + data[3:] + b"\x00\x00" + b"rest"
    heading, first, second, *_ = lines_of(inspect_octets(loose, "f"), 80, str)
    assert heading == f"f: PKIMessage pkiconf, BER, not DER, {len(loose) - 4} octets"
    assert first == "! not DER: indefinite length at offset 0"
    assert second == (
        f"! trailing octets: 4 octets follow the value: 72657374 at offset {len(loose) - 4}"
    )


def test_every_vector_fits_80_columns(vectors: dict[str, bytes]) -> None:
    for name, data in vectors.items():
        lines = list(lines_of(inspect_octets(data, name), 80, str))
        assert max(map(len, lines)) <= 80
        assert len(lines) > 8


def test_text_of_others_is_cleaned() -> None:
    def clean(text: str) -> str:
        return text.replace("\x1b", "?")

    finding = Finding(FindingKind.NOT_DECODED, "bad \x1b", None, "x")
    value: Node = {"\x1bkey": "\x1b[2J", "list": ["\x1b", "\x1b"]}
    inspection = Inspection(Part("\x1bf", 2, "", b""), "Certificate", "DER", 1, (finding,), value)
    assert list(lines_of(inspection, None, clean)) == [
        "?f#2: Certificate, DER, 1 octets",
        "! not decoded: bad ? (in x)",
        "  ?key: ?[2J",
        "  list: ?, ?",
    ]


def test_escapes_in_a_name_reach_nobody(tlv: Callable[..., bytes]) -> None:
    attribute = tlv(0x30, b"\x06\x03\x55\x04\x03", tlv(12, b"a\x1b[31m\nstatus: accepted"))
    name = tlv(0xA4, tlv(0x30, tlv(0x31, attribute)))
    message = tlv(0x30, tlv(0x30, b"\x02\x01\x02", name, name), tlv(0xB3, b"\x05\x00"))
    lines = lines_of(inspect_octets(message, "f"), 80, lambda text: repr(text)[1:-1])
    assert all(line.isprintable() for line in lines)
