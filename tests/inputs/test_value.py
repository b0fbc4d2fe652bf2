"""Typed values as text; pyasn1 is the second opinion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import decoder
from pyasn1.type import char

from bulkcmp.inputs.value import typed_value


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_utf8(text: str) -> None:
    value, rest = decoder.decode(typed_value(f"UTF8:{text}"), asn1Spec=char.UTF8String())
    assert (str(value), rest) == (text, b"")


@pytest.mark.parametrize(
    ("text", "der"),
    [
        ("utf8:", b"\x0c\x00"),
        ("UTF8String:a:b", b"\x0c\x03a:b"),
        ("IA5:a@b", b"\x16\x03a@b"),
        ("IA5STRING:a", b"\x16\x01a"),
        ("PRINTABLE:A b?", b"\x13\x04A b?"),
        ("PrintableString:", b"\x13\x00"),
        ("DER:0500", b"\x05\x00"),
        ("der:0c:01:61", b"\x0c\x01a"),
        ("BASE64:DAFh", b"\x0c\x01a"),
    ],
)
def test_values(text: str, der: bytes) -> None:
    assert typed_value(text) == der


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not UTF8:text"),
        ("UTF8", "not UTF8:text"),
        ("BOOL:true", "not UTF8:text"),
        ("IA5:å", "an IA5String is ASCII"),
        ("PRINTABLE:a@b", "a PrintableString has not"),
        ("UTF8:\ud800", "not valid Unicode"),
        ("DER:", "of one whole DER value"),
        ("DER:0", "of one whole DER value"),
        ("DER:zz", "of one whole DER value"),
        ("DER:0c02", "of one whole DER value"),
        ("DER:30800000", "of one whole DER value"),
        ("BASE64:BQ", "not the base64"),
        ("BASE64:BQAFAA==", "not the base64"),
        ("BASE64:å", "not the base64"),
    ],
)
def test_what_is_no_value(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        typed_value(text)
