"""Subject alternative names: text, as of `--sans`, in; the extension (RFC 5280, 4.2.1.6) out.

And the text of an extension that a certificate has.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from bulkcmp.errors import InputError
from bulkcmp.inputs.der import oid_text, oid_tlv, tlv, tlvs
from bulkcmp.inputs.entry import escape, split_entries, unescape
from bulkcmp.inputs.name import NULL_DN, NameTemplate, format_slash_name, parse_name
from bulkcmp.inputs.template import Template
from bulkcmp.inputs.value import VALUE_TYPES, typed_value
from bulkcmp.model import RequestedExtension

_SEQUENCE: Final = 0x30
_EXPLICIT_0: Final = 0xA0

# GeneralName's tags: IMPLICIT, but for directoryName, whose Name is a CHOICE
_OTHER: Final = 0xA0
_RFC822: Final = 0x81
_DNS: Final = 0x82
_DIRECTORY: Final = 0xA4
_UNIFORM_RESOURCE: Final = 0x86
_IP: Final = 0x87
_REGISTERED_ID: Final = 0x88

_PLAIN: Final = {_RFC822: "email", _DNS: "dns", _UNIFORM_RESOURCE: "uri"}
"""IA5Strings, and their prefixes."""

TEXT_KINDS: Final = (*_PLAIN.values(), "ip", "rid", "upn")
"""Kinds of names that are one text."""

_UTF8_STRING: Final = 0x0C

SUBJECT_ALT_NAME: Final = "2.5.29.17"

_UPN: Final = oid_tlv("1.3.6.1.4.1.311.20.2.3")
"""Microsoft's userPrincipalName, an otherName."""

_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAIL: Final = re.compile(r"[!-;=?A-~]+@[!-;=?A-~]+")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


def parse_sans(text: str) -> RequestedExtension:
    """Read subject alternative names.

    Entries are separated by commas and white space, as OpenSSL's `-sans` takes them: an IP
    address, a URI (it contains `://`), or else a DNS name; `critical` makes the extension critical.
    A prefix says what an entry is: `dns: ip: uri: email: rid: dirName: upn: otherName:` (case does
    not matter). `\\` keeps the next character, so that a DN may have spaces:
    `dirName:/CN=gate/O=Acme\\ Devices`. An otherName is written as by OpenSSL:
    `otherName:1.2.3.4;UTF8:some\\ text`.

    Raises:
        InputError: names the offending entry and says why.
    """
    critical, entries = _split(text)
    return _extension(critical, [_general_name(kind, value) for kind, value in entries])


def format_sans(extension: RequestedExtension) -> str:
    """The text that `parse_sans` makes the extension of.

    A name that has no such text is written so that `parse_sans` refuses it: it is not lost
    silently.

    Raises:
        ValueError: the value is no DER.
    """
    ((_, names, _),) = tlvs(extension.value)
    entries = ["critical"] if extension.critical else []
    return ",".join((*entries, *(_format(name) for name in tlvs(names))))


def san_values(extension: RequestedExtension) -> dict[str, tuple[str, ...]]:
    """The names of each kind, by the kind's prefix in lower case; those that are text only.

    Raises:
        ValueError: the value is no DER.
    """
    ((_, names, _),) = tlvs(extension.value)
    values: dict[str, list[str]] = {}
    for name in tlvs(names):
        try:
            kind, text = _read_general_name(*name)
        except ValueError:
            continue
        if kind in TEXT_KINDS:
            values.setdefault(kind, []).append(text)
    return {kind: tuple(texts) for kind, texts in values.items()}


def _format(name: tuple[int, bytes, bytes]) -> str:
    try:
        kind, text = _read_general_name(*name)
    except ValueError:
        return f"GeneralName:#{name[2].hex()}"
    # a slash-form DN has its escapes already
    return f"{kind}:{text}" if kind == "dirname" else f"{kind}:{escape(text)}"


def _read_general_name(tag: int, content: bytes, whole: bytes) -> tuple[str, str]:
    """The prefix of a GeneralName, and its text.

    Raises:
        ValueError: there is no text for it.
    """
    if tag in _PLAIN:
        return _PLAIN[tag], content.decode("ascii")
    if tag == _IP and len(content) in (4, 16):
        return "ip", str(ipaddress.ip_address(content))
    if tag == _REGISTERED_ID:
        return "rid", oid_text(content)
    if tag == _DIRECTORY:
        return "dirname", format_slash_name(content)
    if tag == _OTHER:
        (_, type_id, type_id_der), (_, typed, _) = tlvs(content)
        ((value_tag, value, _),) = tlvs(typed)
        if (type_id_der, value_tag) == (_UPN, _UTF8_STRING):
            return "upn", value.decode()
        return "othername", f"{oid_text(type_id)};DER:{typed.hex()}"
    raise ValueError(f"a name of tag {tag:#x}: {whole.hex()}")


class SanTemplate:
    """Subject alternative names with placeholders.

    Entries and prefixes are told apart before anything is filled in: no value can add an entry or
    turn one into another kind, except that an entry without prefix is what its value looks like.

    Raises:
        InputError: as `parse_sans` and `Template`.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._critical, entries = _split(text)
        self._entries: list[tuple[str, Template | NameTemplate]] = [
            (kind, (NameTemplate if kind == "dirname" else Template)(value, names))
            for kind, value in entries
        ]
        self.fields: tuple[str, ...] = tuple(
            field for _, template in self._entries for field in template.fields
        )
        """The placeholders in it."""

    def render(self, values: Mapping[str, str]) -> RequestedExtension:
        """The subjectAltName with `values` filled in.

        Raises:
            InputError: a value is missing, or does not make such a name.
        """
        return _extension(
            self._critical,
            [_general_name(kind, template.render(values)) for kind, template in self._entries],
        )


class _Entry(NamedTuple):
    kind: str
    """A key of `_READERS`; empty where the value shows what it is."""
    value: str


def _split(text: str) -> tuple[bool, list[_Entry]]:
    critical, entries = split_entries(text)
    if not entries:
        raise InputError("no subject alternative name in it")
    return critical, [_entry(written) for written in entries]


def _entry(written: str) -> _Entry:
    kind, colon, value = written.partition(":")
    kind = kind.lower()
    if not kind or not colon or kind not in _READERS:
        kind, value = "", written
    if kind != "dirname":  # a slash-form DN has the same escapes, and undoes them itself
        value = unescape(value)
    if not value:
        raise InputError(f"{written!r}: nothing follows the prefix")
    return _Entry(kind, value)


def _extension(critical: bool, names: list[bytes]) -> RequestedExtension:
    return RequestedExtension(SUBJECT_ALT_NAME, critical, tlv(_SEQUENCE, b"".join(names)))


def _general_name(kind: str, value: str | bytes) -> bytes:
    try:
        return _directory_name(value) if isinstance(value, bytes) else _READERS[kind](value)
    except ValueError as error:
        entry = f"{kind}:{value!s}" if kind else value
        raise InputError(f"{entry!r}: {error}", hint=_HINT) from None


_HINT: Final = (
    "entries are separated by commas or spaces: IP addresses, URIs, DNS names, or one of the "
    "prefixes dns: ip: uri: email: rid: dirName: upn: otherName:"
)


def _any_name(value: str) -> bytes:
    if "://" in value:
        return _uri(value)
    # a DNS name has no ':', and no all-numeric last label (RFC 3696, 2)
    if ":" in value or value.rpartition(".")[2].isdigit():
        try:
            return _ip(value)
        except ValueError:
            raise ValueError("neither an IP address nor a URI nor a DNS name") from None
    if "@" in value:
        raise ValueError(f"not a DNS name; write email:{value} for a mail address")
    return _dns(value)


def _dns(value: str) -> bytes:
    if not value.isascii():
        raise ValueError("a DNS name is ASCII; write other letters as A-labels (xn--...)")
    labels = value.removeprefix("*.").split(".")
    if len(value) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(
            "not a DNS name: labels of letters, digits, '-' and '_', 1 to 63 characters each, "
            "joined by dots, 253 characters in all"
        )
    return tlv(_DNS, value.encode())


def _ip(value: str) -> bytes:
    if "%" in value:
        raise ValueError("an address in a certificate has no zone")
    try:
        return tlv(_IP, ipaddress.ip_address(value).packed)
    except ValueError:
        raise ValueError("not an IP address") from None


def _uri(value: str) -> bytes:
    if not _URI.fullmatch(value):
        raise ValueError("not a URI: a scheme, ':' and more, all ASCII, no spaces (RFC 3986)")
    return tlv(_UNIFORM_RESOURCE, value.encode())


def _email(value: str) -> bytes:
    if not _MAIL.fullmatch(value):
        raise ValueError("not a mail address: ASCII, with one '@'")
    return tlv(_RFC822, value.encode())


def _rid(value: str) -> bytes:
    try:
        content = oid_tlv(value)[1:]
    except ValueError:
        raise ValueError("not a dotted object identifier") from None
    return bytes((_REGISTERED_ID,)) + content


def _dir_name(value: str) -> bytes:
    try:
        return _directory_name(parse_name(value))
    except InputError as error:
        raise ValueError(error.what) from None


def _directory_name(der: bytes) -> bytes:
    if der == NULL_DN:
        raise ValueError("the name is empty (RFC 5280, 4.2.1.6)")
    return tlv(_DIRECTORY, der)


def _upn(value: str) -> bytes:
    return _other(_UPN, typed_value(f"UTF8:{value}"))


def _other_name(value: str) -> bytes:
    type_id, semicolon, typed = value.partition(";")
    if not semicolon:
        raise ValueError(f"an otherName is written as OID;VALUE, and VALUE as {VALUE_TYPES}")
    return _other(oid_tlv(type_id), typed_value(typed))


def _other(type_id: bytes, value: bytes) -> bytes:
    # OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }
    return tlv(_OTHER, type_id + tlv(_EXPLICIT_0, value))


_READERS: Final[dict[str, Callable[[str], bytes]]] = {
    "": _any_name,
    "dns": _dns,
    "ip": _ip,
    "uri": _uri,
    "email": _email,
    "rid": _rid,
    "dirname": _dir_name,
    "upn": _upn,
    "othername": _other_name,
}
