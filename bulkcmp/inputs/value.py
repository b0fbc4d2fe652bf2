"""DER values written as text, `TYPE:text`, as OpenSSL writes them (ASN1_generate_nconf(3))."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

from bulkcmp.inputs.der import tlv, tlvs

_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")

VALUE_TYPES: Final = "UTF8:text, IA5:text, PRINTABLE:text, DER:hex or BASE64:text"


def typed_value(text: str) -> bytes:
    """The DER of a value such as `UTF8:some text` or `DER:0c0161`.

    `DER:` takes hexadecimal digits, with or without colons between the octets.

    Raises:
        ValueError: says why it is no such value.
    """
    kind, colon, value = text.partition(":")
    read = _READERS.get(kind.upper())
    if not colon or read is None:
        raise ValueError(f"not {VALUE_TYPES}")
    return read(value)


def _utf8(text: str) -> bytes:
    try:
        return tlv(0x0C, text.encode())
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode text") from None


def _ia5(text: str) -> bytes:
    if not text.isascii():
        raise ValueError("an IA5String is ASCII; write other text as UTF8:")
    return tlv(0x16, text.encode())


def _printable(text: str) -> bytes:
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("has a character that a PrintableString has not; write it as UTF8:")
    return tlv(0x13, text.encode())


def _hex(text: str) -> bytes:
    try:
        return _one(bytes.fromhex(text.replace(":", "")))
    except ValueError:
        raise ValueError("not the hexadecimal digits of one whole DER value") from None


def _base64(text: str) -> bytes:
    try:
        return _one(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise ValueError("not the base64 of one whole DER value") from None


def _one(der: bytes) -> bytes:
    if len(list(tlvs(der))) != 1:
        raise ValueError("not one value")
    return der


_READERS: Final[dict[str, Callable[[str], bytes]]] = {
    "UTF8": _utf8,
    "UTF8STRING": _utf8,
    "IA5": _ia5,
    "IA5STRING": _ia5,
    "PRINTABLE": _printable,
    "PRINTABLESTRING": _printable,
    "DER": _hex,
    "BASE64": _base64,
}
