"""The one door to `cryptography.hazmat.asn1`, the declarative DER codec (marked unstable).

What that codec lacks in cryptography 50 is worked around here and nowhere else: an optional ANY
(`TLV | None`) is written as an element of a `SEQUENCE OF TLV`, a bare SEQUENCE OF at the top
level is decoded through a one-field wrapper.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar, cast

from cryptography.hazmat.asn1 import (
    TLV,
    BitString,
    Default,
    Explicit,
    GeneralizedTime,
    Implicit,
    Null,
    SetOf,
    Variant,
    decode_der,
    encode_der,
    sequence,
)
from cryptography.x509 import ObjectIdentifier

from bulkcmp.errors import RemoteCmpError

__all__ = [
    "TLV",
    "Any_",
    "BitString",
    "Default",
    "Explicit",
    "GeneralizedTime",
    "Implicit",
    "Null",
    "ObjectIdentifier",
    "SetOf",
    "Variant",
    "any_from",
    "content",
    "decode",
    "decode_sequence_of",
    "encode",
    "explicit",
    "integer",
    "list_of",
    "sequence",
    "set_elements",
    "set_of",
    "tag",
    "wrap",
]

Any_ = TLV
"""An ANY: one whole element, tag and length included."""

T = TypeVar("T")

OCTET_STRING = 0x04
SEQUENCE = 0x30
SET = 0x31


def decode(kind: type[T], der: bytes | TLV) -> T:
    """Decode one DER element as `kind`.

    Raises:
        RemoteCmpError: `der` is not the DER encoding of a `kind`.
    """
    try:
        if isinstance(der, TLV):
            return cast(T, der.parse(kind))
        return decode_der(kind, der)
    except (ValueError, TypeError, OverflowError) as error:
        raise RemoteCmpError(f"not a DER {kind.__name__}: {error}") from error


def encode(value: object) -> bytes:
    """The DER encoding of a value of a declared type."""
    return encode_der(value)


@lru_cache(maxsize=64)
def integer(value: int) -> bytes:
    """The DER INTEGER of a number; messages have the same few of them: versions, certReqIds."""
    return encode(value)


def any_from(der: bytes) -> TLV:
    """`der`, one whole element, as an ANY.

    Raises:
        RemoteCmpError: `der` is not one DER element.
    """
    return decode(TLV, der)


def tag(element: TLV) -> int:
    """The identifier octet of an element; multi-octet tags, which CMP has none of, give -1."""
    octets = element.tag_bytes
    return octets[0] if len(octets) == 1 else -1


def content(element: TLV) -> bytes:
    """The content octets of an element: what stands behind tag and length."""
    return bytes(element.data)


def wrap(identifier: int, *parts: bytes) -> bytes:
    """One DER element: identifier octet, definite length, the concatenated parts."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((identifier, size)) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((identifier, 0x80 | len(octets))) + octets + body


def explicit(number: int, der: bytes) -> bytes:
    """`der` under the EXPLICIT context-specific tag `number` (0 to 30)."""
    return wrap(0xA0 | number, der)


def list_of(kind: Any) -> Callable[[bytes | TLV], list[Any]]:
    """A decoder of a bare SEQUENCE OF `kind`, which the codec only knows as a field."""

    @sequence
    class _List:
        items: list[kind]

    def decode_list(der: bytes | TLV) -> list[Any]:
        element = encode_der(der) if isinstance(der, TLV) else der
        return decode(_List, wrap(SEQUENCE, element)).items

    return decode_list


_elements = list_of(TLV)


def decode_sequence_of(der: bytes | TLV) -> list[TLV]:
    """The elements of any SEQUENCE, each an ANY.

    Raises:
        RemoteCmpError: `der` is not a DER SEQUENCE.
    """
    return cast(list[TLV], _elements(der))


def encode_sequence_of(elements: Iterable[TLV]) -> bytes:
    """DER of the SEQUENCE whose elements `decode_sequence_of` gave."""
    return wrap(SEQUENCE, *map(encode, elements))


def set_elements(element: TLV) -> list[TLV]:
    """The elements of any SET OF, each an ANY; in whatever order, which not all encoders sort.

    Raises:
        RemoteCmpError: `element` does not consist of whole DER elements.
    """
    return decode_sequence_of(wrap(SEQUENCE, content(element)))


def set_of(*parts: bytes) -> bytes:
    """A SET OF, its elements in the order of DER (X.690, 11.6)."""
    return wrap(SET, *sorted(parts))
