"""X.501 Names: OpenSSL's slash form and RFC 4514 in, DER out, and DER back to both.

Own code where `cryptography` has `Name.from_rfc4514_string`, because that knows nine attribute
types, is particular about their case, and says nothing of what is wrong; its bytes are the oracle
of the tests.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from bulkcmp.errors import InputError
from bulkcmp.inputs.der import oid_text, oid_tlv, tlv, tlvs
from bulkcmp.inputs.template import Template

NULL_DN: Final = b"\x30\x00"

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_UTF8: Final = 0x0C
_PRINTABLE: Final = 0x13
_IA5: Final = 0x16

# every ASN.1 string type that a DirectoryString or its relatives may have (RFC 5280, 4.1.2.4)
_ENCODINGS: Final = {
    _UTF8: "utf-8",
    0x12: "ascii",  # NumericString
    _PRINTABLE: "ascii",
    0x14: "latin-1",  # TeletexString, as it is used
    _IA5: "ascii",
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}


class _Attribute(NamedTuple):
    """An attribute type: its name, its OID as DER, its string type, its most characters."""

    name: str
    oid: bytes
    tag: int
    limit: int | None


# Names of OpenSSL (`openssl list -objects`) and of RFC 4514 and RFC 4519, the one that is written
# first; string types as `cryptography` chooses them; bounds of RFC 5280, appendix A.1.
_TYPES: Final[tuple[tuple[str, str, int, int | None], ...]] = (
    ("CN commonName", "2.5.4.3", _UTF8, 64),
    ("SN surname", "2.5.4.4", _UTF8, None),
    ("serialNumber", "2.5.4.5", _PRINTABLE, 64),
    ("C countryName", "2.5.4.6", _PRINTABLE, None),
    ("L localityName", "2.5.4.7", _UTF8, 128),
    ("ST stateOrProvinceName", "2.5.4.8", _UTF8, 128),
    ("STREET streetAddress", "2.5.4.9", _UTF8, None),
    ("O organizationName", "2.5.4.10", _UTF8, 64),
    ("OU organizationalUnitName", "2.5.4.11", _UTF8, 64),
    ("title", "2.5.4.12", _UTF8, 64),
    ("description", "2.5.4.13", _UTF8, None),
    ("businessCategory", "2.5.4.15", _UTF8, None),
    ("postalCode", "2.5.4.17", _UTF8, None),
    ("name", "2.5.4.41", _UTF8, None),
    ("givenName GN", "2.5.4.42", _UTF8, None),
    ("initials", "2.5.4.43", _UTF8, None),
    ("generationQualifier", "2.5.4.44", _UTF8, None),
    ("dnQualifier", "2.5.4.46", _PRINTABLE, None),
    ("pseudonym", "2.5.4.65", _UTF8, 128),
    ("role", "2.5.4.72", _UTF8, None),
    ("organizationIdentifier", "2.5.4.97", _UTF8, None),
    ("UID userId", "0.9.2342.19200300.100.1.1", _UTF8, None),
    ("mail rfc822Mailbox", "0.9.2342.19200300.100.1.3", _IA5, None),
    ("DC domainComponent", "0.9.2342.19200300.100.1.25", _IA5, None),
    ("emailAddress email E", "1.2.840.113549.1.9.1", _IA5, 255),
    ("unstructuredName", "1.2.840.113549.1.9.2", _UTF8, None),
    ("unstructuredAddress", "1.2.840.113549.1.9.8", _UTF8, None),
    ("jurisdictionL jurisdictionLocalityName", "1.3.6.1.4.1.311.60.2.1.1", _UTF8, None),
    ("jurisdictionST jurisdictionStateOrProvinceName", "1.3.6.1.4.1.311.60.2.1.2", _UTF8, None),
    ("jurisdictionC jurisdictionCountryName", "1.3.6.1.4.1.311.60.2.1.3", _PRINTABLE, None),
)

_BY_NAME: Final[dict[str, _Attribute]] = {}
_BY_OID: Final[dict[bytes, _Attribute]] = {}
for _names, _dotted, _tag, _limit in _TYPES:
    _attribute = _Attribute(_names.split()[0], oid_tlv(_dotted), _tag, _limit)
    _BY_OID[_attribute.oid] = _attribute
    for _name in (*_names.split(), _dotted):
        _BY_NAME[_name.lower()] = _attribute

TYPES: Final = tuple(attribute.name for attribute in _BY_OID.values())
"""Names of the attribute types that have one, as they are written first."""

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_PRINTABLE_STRING: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
_SLASH_SPECIAL: Final = re.compile(r"[\\/+]")
_SLASH_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_SLASH_LITERAL: Final = re.compile(r"([\\/+,\s])")
_ESCAPED: Final = r"\\\1"
_RFC4514_ESCAPE: Final = re.compile(rb"\\([0-9A-Fa-f]{2}|[ \"#+,;<=>\\])|\\")
_RFC4514_SPECIAL: Final = re.compile(r'[\\";<>]')
_RFC4514_LITERAL: Final = re.compile(r'(["+,;<>\\])')
_SLASH_LOOKALIKE: Final = re.compile(r"/([A-Za-z]+)=")

_Value = str | bytes
"""A value's characters, or the DER that RFC 4514's `#` form gave."""

_Rdn = list[tuple[_Attribute, _Value]]


def parse_name(text: str) -> bytes:
    """Read a DN as the DER of an X.501 Name.

    Two forms are told apart by the leading `/`:

    - `/C=SE/O=Acme/CN=dev1`, as `openssl req -subj` takes it: the order written is the order in
      the DER, `+` joins the attributes of a multi-valued RDN, and `\\` keeps the next character.
    - `CN=dev1,O=Acme,C=SE`, RFC 4514: the order in the DER is the reverse of the order written.
      Spaces around types and values are let pass, as RFC 2253 (section 4) asks of readers.

    `/` alone and the empty text are the NULL-DN. Attribute types are those of OpenSSL and
    RFC 4514 in any case, or dotted OIDs. Values keep the bounds of RFC 5280, appendix A.1.

    Raises:
        InputError: names the offending RDN and says why.
    """
    return _encode_name(map(_encode_rdn, _read(text)))


class NameTemplate:
    """A DN with placeholders in its attributes' values.

    The DN is taken apart before anything is filled in, so that no value can alter its structure.

    Raises:
        InputError: as `parse_name` and `Template`.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        fields: list[str] = []
        self._rdns: list[bytes | list[tuple[_Attribute, _Value | Template]]] = []
        for rdn in _read(text):
            attributes: list[tuple[_Attribute, _Value | Template]] = []
            for attribute, value in rdn:
                template = None if isinstance(value, bytes) else Template(value, names)
                attributes.append((attribute, template or value))
                fields += template.fields if template else ()
            if any(isinstance(value, Template) and value.fields for _, value in attributes):
                self._rdns.append(attributes)
            else:
                self._rdns.append(_encode_rdn(_fill(attributes, {})))
        self.fields: tuple[str, ...] = tuple(fields)
        """The placeholders in it."""

    def render(self, values: Mapping[str, str]) -> bytes:
        """The DER of the Name with `values` filled in.

        Raises:
            InputError: a value is missing, or can't stand in its attribute.
        """
        return _encode_name(
            rdn if isinstance(rdn, bytes) else _encode_rdn(_fill(rdn, values)) for rdn in self._rdns
        )


def _fill(rdn: list[tuple[_Attribute, _Value | Template]], values: Mapping[str, str]) -> _Rdn:
    return [
        (attribute, value.render(values) if isinstance(value, Template) else value)
        for attribute, value in rdn
    ]


def _encode_name(rdns: Iterable[bytes]) -> bytes:
    return tlv(_SEQUENCE, b"".join(rdns))


def _encode_rdn(rdn: _Rdn) -> bytes:
    if len(rdn) == 1:
        return tlv(_SET, _encode_attribute(*rdn[0]))
    attributes = sorted({_encode_attribute(*attribute) for attribute in rdn})
    if len(attributes) < len(rdn):
        raise InputError(f"RDN {_shown(rdn)!r} says the same twice")
    return tlv(_SET, b"".join(attributes))


def _encode_attribute(attribute: _Attribute, value: _Value) -> bytes:
    if isinstance(value, bytes):
        return tlv(_SEQUENCE, attribute.oid + value)
    why = _objection(attribute, value)
    if why is not None:
        raise InputError(f"RDN {_shown([(attribute, value)])!r}: {why}")
    return tlv(_SEQUENCE, attribute.oid + tlv(attribute.tag, value.encode()))


def _objection(attribute: _Attribute, value: str) -> str | None:
    name, _, tag, limit = attribute
    if not value:
        return "the value is empty"
    if limit is not None and len(value) > limit:
        return f"{len(value)} characters, and {name} may have {limit} (RFC 5280, appendix A.1)"
    if name in ("C", "jurisdictionC"):
        if not _COUNTRY.fullmatch(value):
            return "a country is exactly two letters (ISO 3166), as in C=SE"
    elif tag == _PRINTABLE:
        if not _PRINTABLE_STRING.fullmatch(value):
            return f"{name} may only have letters, digits, space and '()+,-./:=?"
    elif tag == _IA5:
        if not value.isascii():
            return f"{name} may only have ASCII characters"
    elif not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "the value is not valid Unicode text"
    return None


def _shown(rdn: _Rdn) -> str:
    return "+".join(
        f"{attribute.name}={value if isinstance(value, str) else f'#{value.hex()}'}"
        for attribute, value in rdn
    )


def _read(text: str) -> list[_Rdn]:
    """The RDNs, in the order of the DER."""
    text = text.lstrip()
    if text.startswith("/"):
        parts = _split(text[1:], "/")
        if not parts[-1]:  # `/` alone, or one at the end
            parts.pop()
        return [_read_rdn(part, _slash_value) for part in parts]
    if not text:
        return []
    return [_read_rdn(part, _rfc4514_value) for part in _split(text, ",")][::-1]


def _split(text: str, separator: str) -> list[str]:
    """Split where no `\\` stands before the separator; escapes stay as they are."""
    parts = text.split(separator)
    if "\\" not in text:
        return parts
    groups = [parts[:1]]
    for part in parts[1:]:
        if _ends_in_escape(groups[-1][-1]):
            groups[-1].append(part)
        else:
            groups.append([part])
    return [separator.join(group) for group in groups]


def _ends_in_escape(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _read_rdn(text: str, read_value: Callable[[str, str], _Value]) -> _Rdn:
    rdn: _Rdn = []
    for part in _split(text, "+") if "+" in text else (text,):
        kind, equals, value = part.partition("=")
        if not equals:
            raise InputError(
                f"RDN {text!r}: no '=' in {part!r}" if text.strip() else "an RDN is empty",
                hint=_ESCAPE_HINT,
            )
        attribute = _BY_NAME.get(kind.strip().lower()) or _by_oid(kind.strip(), text)
        rdn.append((attribute, read_value(value, text)))
    return rdn


_ESCAPE_HINT: Final = (
    "an RDN is TYPE=value; in a value, put \\ before each / and + of the slash form, "
    "and before each , and + of the comma form"
)


def _by_oid(kind: str, rdn: str) -> _Attribute:
    try:
        return _Attribute(kind, oid_tlv(kind), _UTF8, None)
    except ValueError:
        raise InputError(
            f"RDN {rdn!r}: unknown attribute type {kind!r}",
            hint="use a name such as CN, O, OU, C, serialNumber, emailAddress, or a dotted OID",
        ) from None


def _slash_value(value: str, rdn: str) -> _Value:
    if "\\" not in value:
        return value
    if _ends_in_escape(value):
        raise InputError(f"RDN {rdn!r}: nothing follows the last '\\'")
    return _SLASH_ESCAPE.sub(r"\1", value)


def _rfc4514_value(value: str, rdn: str) -> _Value:
    if "/" in value:
        _refuse_slash_form(value, rdn)
    value = value.lstrip(" ")
    bare = value.rstrip(" ")
    if bare != value and _ends_in_escape(bare):
        bare += " "
    if bare.startswith("#"):
        return _hex_value(bare, rdn)
    return _unescape_rfc4514(bare, rdn) if _RFC4514_SPECIAL.search(bare) else bare


def _refuse_slash_form(value: str, rdn: str) -> None:
    for kind in _SLASH_LOOKALIKE.findall(value):
        if kind.lower() in _BY_NAME:
            raise InputError(
                f"RDN {rdn!r}: '/{kind}=' stands inside a value",
                hint="begin the slash form with '/'; or, if the value is meant so, write '\\='",
            )


def _hex_value(value: str, rdn: str) -> bytes:
    try:
        der = bytes.fromhex(value[1:])
        ((_, _, whole),) = tlvs(der)
    except ValueError:
        raise InputError(
            f"RDN {rdn!r}: {value!r} is not the hex of one DER value",
            hint="write '\\#' if the value begins with a '#'",
        ) from None
    return whole


def _unescape_rfc4514(value: str, rdn: str) -> str:
    def unescape(match: re.Match[bytes]) -> bytes:
        escaped: bytes | None = match[1]
        if escaped is None:
            raise InputError(
                f"RDN {rdn!r}: a '\\' must be followed by two hex digits or one of \"+,;<>\\ =#"
            )
        return escaped if len(escaped) == 1 else bytes.fromhex(escaped.decode())

    # only what no `\` stands before counts as bare
    for character in _RFC4514_SPECIAL.findall(re.sub(r"\\.", "", value)):
        if character != "\\":
            raise InputError(f"RDN {rdn!r}: write '\\{character}' for {character!r} in a value")
    try:
        return _RFC4514_ESCAPE.sub(unescape, value.encode()).decode()
    except UnicodeError:
        raise InputError(f"RDN {rdn!r}: the value is not valid UTF-8") from None


def format_name(der: bytes) -> str:
    """The RFC 4514 text of a Name, for humans and for results.csv.

    Never raises: a value that is no text, or of an attribute type without a name, is shown as
    `#` and the hex of its DER (RFC 4514, 2.4), and so is what is no Name at all. Characters that
    can't be printed are shown as `\\` and their hex.
    """
    try:
        ((tag, rdns, _),) = tlvs(der)
        if tag == _SEQUENCE:
            return ",".join(_format_rdn(rdn) for _, rdn, _ in reversed(list(tlvs(rdns))))
    except ValueError:
        pass
    return "#" + der.hex()


def _format_rdn(content: bytes) -> str:
    return "+".join(_format_attribute(attribute) for _, attribute, _ in tlvs(content))


def _format_attribute(content: bytes) -> str:
    known = _text(content)
    if known is not None:
        name, text = known
        return f"{name}={_escape_rfc4514(text)}"
    (_, kind, kind_der), (_, _, value_der) = tlvs(content)
    attribute = _BY_OID.get(kind_der)
    return f"{oid_text(kind) if attribute is None else attribute.name}=#{value_der.hex()}"


def _text(attribute: bytes) -> tuple[str, str] | None:
    """Name and text of an AttributeTypeAndValue; None where it has no name, or is no text."""
    (_, _, kind_der), (tag, value, _) = tlvs(attribute)
    known = _BY_OID.get(kind_der)
    try:
        return None if known is None else (known.name, value.decode(_ENCODINGS[tag]))
    except (KeyError, UnicodeError):
        return None


def format_slash_name(der: bytes) -> str:
    """The text of a Name in OpenSSL's slash form, with an escape before all that needs one.

    Raises:
        ValueError: a value is no text, or of an attribute type without a name; or it is no Name.
    """
    text = ""
    for rdn in _attributes(der):
        known = [_text(attribute) for attribute in rdn]
        if None in known:
            raise ValueError("a value is no text, or of an unknown attribute type")
        text += "/" + "+".join(
            f"{one[0]}={_SLASH_LITERAL.sub(_ESCAPED, one[1])}" for one in known if one is not None
        )
    return text


def name_values(der: bytes) -> dict[str, tuple[str, ...]]:
    """The values of a Name by the names of their attribute types, in lower case.

    Those of one type stand in the order of the DER. What is no text, or of an attribute type
    without a name, is left out.

    Raises:
        ValueError: it is no Name.
    """
    values: dict[str, list[str]] = {}
    for rdn in _attributes(der):
        for attribute in rdn:
            if (known := _text(attribute)) is not None:
                values.setdefault(known[0].lower(), []).append(known[1])
    return {name: tuple(texts) for name, texts in values.items()}


def _attributes(der: bytes) -> list[list[bytes]]:
    """The content of each AttributeTypeAndValue of each RDN."""
    ((_, rdns, _),) = tlvs(der)
    return [[attribute for _, attribute, _ in tlvs(rdn)] for _, rdn, _ in tlvs(rdns)]


def escaper(dn: str) -> Callable[[str], str]:
    """What makes a text a value in a DN of the form that `dn` has."""
    return _escape_slash if dn.lstrip().startswith("/") else _escape_rfc4514


def _escape_slash(value: str) -> str:
    return _SLASH_SPECIAL.sub(r"\\\g<0>", value)


def _escape_rfc4514(value: str) -> str:
    value = _RFC4514_LITERAL.sub(r"\\\1", value)
    if "/" in value:  # so that parse_name does not take it for a slash form
        value = value.replace("=", "\\=")
    if value.startswith(("#", " ")):
        value = "\\" + value
    if value.endswith(" ") and not _ends_in_escape(value[:-1]):
        value = value[:-1] + "\\ "
    if value.isprintable():
        return value
    return "".join(
        c if c.isprintable() else "".join(f"\\{octet:02X}" for octet in c.encode()) for c in value
    )
