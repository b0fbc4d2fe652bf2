"""The one door to the DER codec."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp.asn1 import (
    TLV,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    list_of,
    tag,
    wrap,
)
from bulkcmp.errors import RemoteCmpError

OCTET_STRING = 0x04


@pytest.mark.parametrize("size", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000])
def test_wrap_writes_the_codecs_own_lengths(size: int) -> None:
    assert wrap(OCTET_STRING, bytes(size)) == encode(bytes(size))


def test_wrap_joins_its_parts() -> None:
    assert wrap(0x30, b"\x05\x00", b"", b"\x05\x00") == bytes.fromhex("300405000500")
    assert explicit(1, b"\x05\x00") == bytes.fromhex("a1020500")


@given(st.binary(max_size=300))
def test_an_any_keeps_its_very_bytes(value: bytes) -> None:
    der = wrap(OCTET_STRING, value)
    element = any_from(der)
    assert encode(element) == der
    assert content(element) == value
    assert tag(element) == OCTET_STRING
    assert decode(bytes, element) == value


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x04",
        b"\x04\x02a",
        b"\x04\x01ab",
        b"\x04\x81\x01a",  # a length in more octets than DER wants
        b"\x24\x80\x04\x01a\x00\x00",  # BER's indefinite length
    ],
)
def test_what_is_not_one_der_element_is_refused(der: bytes) -> None:
    with pytest.raises(RemoteCmpError, match=r"^not a DER Tlv: "):
        any_from(der)


def test_an_element_of_another_type_is_refused() -> None:
    with pytest.raises(RemoteCmpError, match=r"^not a DER int: "):
        decode(int, b"\x04\x01a")
    with pytest.raises(RemoteCmpError, match=r"^not a DER int: "):
        decode(int, any_from(b"\x04\x01a"))


def test_a_tag_of_more_octets_is_none_that_cmp_knows() -> None:
    assert tag(any_from(b"\xbf\x1f\x00")) == -1


def test_lists_are_decoded_from_bytes_and_from_elements() -> None:
    der = wrap(0x30, encode(1), encode(2))
    numbers = list_of(int)
    assert numbers(der) == [1, 2]
    assert numbers(any_from(der)) == [1, 2]
    assert [encode(element) for element in decode_sequence_of(der)] == [encode(1), encode(2)]
    assert decode_sequence_of(b"\x30\x00") == []
    assert all(isinstance(element, TLV) for element in decode_sequence_of(der))


@pytest.mark.parametrize("der", [b"", b"\x05\x00", b"\x31\x00", b"\x30\x00\x30\x00", b"\x30\x01"])
def test_what_is_no_sequence_is_refused(der: bytes) -> None:
    with pytest.raises(RemoteCmpError):
        decode_sequence_of(der)
