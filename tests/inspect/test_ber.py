from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inspect.ber import MAX_DEPTH, MAX_VALUES, Element, Report, Tag, der_of, scan
from bulkcmp.inspect.finding import Findings


def findings_of(data: bytes) -> list[str]:
    findings = Findings()
    scan(data, Report(findings))
    return [str(finding) for finding in findings.all()]


def indefinite(data: bytes, element: Element) -> bytes:
    """The same value, with every constructed one of indefinite length."""
    if not element.constructed:
        return data[element.start : element.stop]
    children = b"".join(indefinite(data, child) for child in element.children)
    return data[element.start : element.start + 1] + b"\x80" + children + b"\x00\x00"


def long(data: bytes, element: Element) -> bytes:
    """The same value, with every length in five octets."""
    contents = (
        b"".join(long(data, child) for child in element.children)
        if element.constructed
        else data[element.contents : element.end]
    )
    length = b"\x84" + len(contents).to_bytes(4, "big")
    return data[element.start : element.start + 1] + length + contents


def test_offsets() -> None:
    root = scan(bytes.fromhex("30 07 02 01 05 a0 02 05 00 ff"), Report(Findings()))
    assert (root.tag, root.constructed, root.contents, root.stop) == (Tag(0, 16), True, 2, 9)
    integer, tagged = root.children
    assert (str(integer.tag), integer.start, integer.contents, integer.stop) == ("INTEGER", 2, 4, 5)
    assert (str(tagged.tag), str(tagged.children[0].tag), tagged.start) == ("[0]", "NULL", 5)


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        ("30 80 05 00 00 00", "indefinite length at offset 0"),
        ("30 81 02 05 00", "length not in its shortest form at offset 0"),
        ("30 82 00 02 05 00", "length not in its shortest form at offset 0"),
        ("30 04 02 02 00 7f", "INTEGER not in its shortest form at offset 2"),
        ("30 04 02 02 ff 80", "INTEGER not in its shortest form at offset 2"),
        ("30 04 0a 02 00 01", "ENUMERATED not in its shortest form at offset 2"),
        ("01 01 01", "BOOLEAN TRUE as 01 instead of ff at offset 0"),
        ("03 02 03 07", "BIT STRING with unused bits that are not zero at offset 0"),
        ("24 05 04 03 61 62 63", "OCTET STRING in pieces at offset 0"),
        ("31 06 02 01 02 02 01 01", "SET OF out of order at offset 0"),
        ("17 0b" + b"2601010000Z".hex(), "UTCTime not in the form of DER at offset 0"),
        ("180f" + b"20260101000000+".hex(), "GeneralizedTime not in the form of DER at offset 0"),
        ("1811" + b"20260101000000.0Z".hex(), "GeneralizedTime not in the form of DER at offset 0"),
        ("3f 10 00", "tag not in its shortest form at offset 0"),
        ("1f 80 1f 00", "tag with leading zeros at offset 0"),
    ],
)  # fmt: skip
def test_what_only_ber_allows(data: str, finding: str) -> None:
    assert findings_of(bytes.fromhex(data)) == [finding]


@pytest.mark.parametrize(
    "data",
    [
        "02 02 00 80", "02 02 ff 7f", "01 01 ff", "01 01 00", "03 02 03 08", "03 01 00",
        "31 06 02 01 01 02 01 02", "17 0d" + b"260101000000Z".hex(),
        "18 0f" + b"20260101000000Z".hex(), "18 12" + b"20260101000000.25Z".hex(),
        "1f 1f 00", "9f 81 00 00", "1f 1f 01 ff",
    ],
)  # fmt: skip
def test_der(data: str) -> None:
    assert findings_of(bytes.fromhex(data)) == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("", "cut short: a value should stand at offset 0"),
        ("30", "cut short: within the length of the SEQUENCE at offset 0"),
        ("30 82 01", "cut short: within the length of the SEQUENCE at offset 0"),
        ("30 05 02 01 01", "cut short: the SEQUENCE at offset 0 lacks 2 octets"),
        ("30 80 05 00", "cut short: a value should stand at offset 4"),
        ("30 80 02 03 01", "cut short: the INTEGER at offset 2 lacks 2 octets"),
        ("30 88 ff ff ff ff ff ff ff ff", "cut short: the SEQUENCE at offset 0 claims an absurd"),
        ("3f 81", "cut short: within the tag at offset 0"),
        ("3f ff ff ff ff ff ff 01 00", "tag number too large at offset 0"),
        ("30 03 02 02 01 01", "the INTEGER at offset 2 ends 1 octet after the value that holds it"),
        ("02 80 00 00", "primitive value of indefinite length at offset 0"),
        ("30 ff", "length octet ff of the SEQUENCE at offset 0"),
        ("30 02 00 00", "end-of-contents octets out of place at offset 2"),
        ("00 00", "end-of-contents octets out of place at offset 0"),
        ("10 00", "primitive SEQUENCE at offset 0"),
        ("30 02 02 00", "INTEGER without contents at offset 2"),
        ("01 02 00 00", "BOOLEAN of 2 octets at offset 0"),
        ("05 01 00", "NULL of 1 octet at offset 0"),
        ("03 00", "bad BIT STRING at offset 0"),
        ("03 02 08 00", "bad BIT STRING at offset 0"),
        ("03 01 01", "bad BIT STRING at offset 0"),
        ("06 82 03 e9" + "01" * 1001, "OBJECT IDENTIFIER of 1,001 octets at offset 0"),
    ],
)
def test_not_ber(data: str, error: str) -> None:
    with pytest.raises(InputError) as caught:
        scan(bytes.fromhex(data), Report(Findings()))
    assert error in caught.value.what


def test_depth_is_bounded() -> None:
    deepest = b"\x05\x00"
    for _ in range(MAX_DEPTH):
        deepest = b"\x30\x80" + deepest + b"\x00\x00"
    assert scan(deepest, Report(Findings())).stop == len(deepest)
    with pytest.raises(InputError, match=f"nest more than {MAX_DEPTH} deep at offset 200"):
        scan(b"\x30\x80" * 5_000_000, Report(Findings()))


def test_number_of_values_is_bounded(tlv: Callable[..., bytes]) -> None:
    assert scan(tlv(0x30, b"\x05\x00" * (MAX_VALUES - 1)), Report(Findings()))
    with pytest.raises(InputError, match="more than 100,000 values"):
        scan(tlv(0x30, b"\x05\x00" * MAX_VALUES), Report(Findings()))


def test_many_findings_are_counted() -> None:
    found = findings_of(b"\x30\x80" + b"\x01\x01\x01" * 100 + b"\x00\x00")
    assert len(found) == 21
    assert found[-1] == "81 more findings of this kind"


@pytest.mark.parametrize("spelling", [indefinite, long])
def test_vectors_in_other_lengths(
    vectors: dict[str, bytes], spelling: Callable[[bytes, Element], bytes]
) -> None:
    for data in vectors.values():
        root = scan(data, Report(Findings()))
        other = spelling(data, root)
        findings = Findings()
        assert der_of(other, scan(other, Report(findings))) == data
        assert findings.all()


values = st.recursive(
    st.tuples(st.sampled_from((0x04, 0x0C, 0x80, 0xDF)), st.binary(max_size=300)),
    lambda inner: st.tuples(st.sampled_from((0x30, 0xA3, 0x7F)), st.lists(inner, max_size=4)),
    max_leaves=12,
)

Tree: TypeAlias = "tuple[int, bytes | list[Tree]]"
"""A tag, and its contents."""


def encoded(value: Tree, tlv: Callable[..., bytes]) -> bytes:
    tag, contents = value
    parts = (
        [contents] if isinstance(contents, bytes) else [encoded(child, tlv) for child in contents]
    )
    octets = tlv(tag, *parts)
    # 0x7F and 0xDF announce a tag number in octets of their own
    return octets[:1] + b"\x83\x12" + octets[1:] if tag & 0x1F == 0x1F else octets


@given(values, st.binary(max_size=3))
def test_any_der_is_kept(value: Tree, rest: bytes) -> None:
    def tlv(tag: int, *parts: bytes) -> bytes:
        contents = b"".join(parts)
        size = len(contents)
        head = b"" if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes((tag, 0x80 | len(head) if head else size)) + head + contents

    data = encoded(value, tlv)
    findings = Findings()
    root = scan(data + rest, Report(findings))
    assert findings.all() == ()
    assert root.stop == len(data)
    assert der_of(data + rest, root) == data


@given(st.binary(max_size=200))
def test_random_octets(data: bytes) -> None:
    try:
        root = scan(data, Report(Findings()))
    except InputError:
        return
    again = der_of(data, root)
    assert der_of(again, scan(again, Report(Findings()))) == again
