"""Decoded values as trees of plain data, with names for numbers and texts for names."""

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Final, TypeAlias

from pyasn1.type import char, univ, useful

from bulkcmp.errors import InputError
from bulkcmp.inspect import syntax
from bulkcmp.inspect.ber import Report, scan
from bulkcmp.inspect.decoding import decode_inner, decode_wrapped, step_to
from bulkcmp.inspect.finding import FindingKind, Findings
from bulkcmp.inspect.names import ATTRIBUTE_KEYWORDS, name_of
from bulkcmp.inspect.syntax import Spec

Node: TypeAlias = "dict[str, Node] | list[Node] | str | int | bool | bytes | None"
"""A tree. Octets are `bytes`; JSON has them in hexadecimal digits."""

_MAX_BITS: Final = 64
"""Longest BIT STRING that is shown bit by bit."""
_EXACT: Final = 1 << 53
"""Above it JSON readers lose digits: such an INTEGER is text."""
_SERIALS: Final = frozenset(("serialNumber", "userCertificate", "authorityCertSerialNumber"))
_RSA: Final = "1.2.840.113549.1.1.1"
_STRINGS: Final = {
    12: "utf-8", 18: "ascii", 19: "ascii", 20: "latin-1", 22: "ascii", 26: "ascii",
    28: "utf-32-be", 30: "utf-16-be",
}  # fmt: skip
_UTC_TIME: Final = re.compile(r"(\d\d)(\d{8})(\d\d)?Z")
_GENERALIZED_TIME: Final = re.compile(r"(\d{14})(\.\d+)?Z")


class Trees:
    """Makes trees of the values of one file, and collects what is to be said of them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._path: list[str] = []

    def tree(self, value: Spec, field: str = "") -> Node:
        """The tree of a decoded value, which is the component `field` of another."""
        for cls in type(value).__mro__:
            if view := _VIEWS.get(cls.__name__):
                return view(self, value)
            if (types := syntax.OPEN_TYPES.get(cls.__name__)) is not None:
                return self.typed(value, types)
        return self._plain(value, field)

    @contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._path.append(step)
        yield
        self._path.pop()

    def _place(self) -> str:
        return reduce(step_to, self._path, "")

    def _plain(self, value: Spec, field: str) -> Node:
        match value:
            case univ.Choice():
                return self._field(value.getName(), value.getComponent())
            case univ.Sequence() | univ.Set():
                return self._fields(value)
            case univ.SequenceOf() | univ.SetOf():
                return self._items(value)
            case univ.Boolean():
                return bool(value)
            case univ.Integer():
                return _integer(value, field)
            case univ.BitString():
                return self._bits(value)
            case univ.Null():
                return None
            case univ.ObjectIdentifier():
                return name_of(str(value))
            case useful.GeneralizedTime() | useful.UTCTime():
                return _instant(str(value))
            case char.AbstractCharacterString():
                return str(value)
            case _:
                return bytes(value)

    def _field(self, name: str, value: Spec) -> dict[str, Node]:
        with self._at(name):
            return {name: self.tree(value, name)}

    def _fields(self, value: Spec) -> dict[str, Node]:
        tree: dict[str, Node] = {}
        for position, field in enumerate(value.componentType.namedTypes):
            component = value.getComponentByPosition(position, default=None, instantiate=False)
            if component is not None:
                tree |= self._field(field.name, component)
        return tree

    def _items(self, value: Spec) -> list[Node]:
        items: list[Node] = []
        for number, item in enumerate(value):
            with self._at(f"[{number}]"):
                items.append(self.tree(item))
        return items

    def _bits(self, value: Spec) -> Node:
        size = len(value)
        if value.namedValues and size <= _MAX_BITS:
            if size and not value[size - 1]:
                what = "BIT STRING of named bits that ends in zero bits"
                self._report.findings.add(FindingKind.NOT_DER, what, None, self._place())
            names = {number: name for name, number in value.namedValues.items()}
            return [names.get(bit, f"bit {bit}") for bit in range(size) if value[bit]]
        if size % 8 and size <= _MAX_BITS:
            return f"'{''.join(map(str, value))}'B"
        # the octets as they were, with the unused bits as zeros
        return (int(value) << -size % 8).to_bytes((size + 7) // 8, "big")

    # --- values whose type an object identifier tells

    def inner(self, octets: bytes, spec: Spec | None) -> Node:
        """An ANY by its type; as it looks where that is unknown, its octets where it is wrong."""
        if spec is None:
            return _unknown(octets)
        try:
            value = decode_inner(octets, spec, self._place())
        except InputError as error:
            return self._undecoded(octets, error)
        return self.tree(value)

    def wrapped(self, octets: bytes, spec: Spec | None) -> Node:
        """What an OCTET STRING holds, by its type; the octets where that is unknown or wrong."""
        if spec is None:
            return octets
        try:
            value = decode_wrapped(octets, spec, self._report.at(self._place()))
        except InputError as error:
            return self._undecoded(octets, error)
        return self.tree(value)

    def _undecoded(self, octets: bytes, error: InputError) -> bytes:
        place = self._place()
        what = error.what.removeprefix(place).lstrip(".: ")
        self._report.findings.add(FindingKind.NOT_DECODED, what, None, place)
        return octets

    def typed(self, value: Spec, types: Mapping[str, Spec]) -> dict[str, Node]:
        """A SEQUENCE of an object identifier and an ANY of the type that it tells."""
        oid_field, any_field = value.componentType.namedTypes[:2]
        oid = str(value[oid_field.name])
        tree: dict[str, Node] = {oid_field.name: name_of(oid)}
        content = value.getComponentByPosition(1, default=None, instantiate=False)
        if content is not None:
            with self._at(any_field.name):
                tree[any_field.name] = self.inner(bytes(content), types.get(oid))
        return tree

    # --- types with a form of their own

    def extension(self, value: Spec) -> Node:
        oid = str(value["extnID"])
        with self._at("extnValue"):
            content = self.wrapped(bytes(value["extnValue"]), syntax.EXTENSIONS.get(oid))
        return {"extnID": name_of(oid), "critical": bool(value["critical"]), "extnValue": content}

    def attribute(self, value: Spec) -> Node:
        type_field, values_field = value.componentType.namedTypes
        oid = str(value[type_field.name])
        values: list[Node] = []
        for number, item in enumerate(value[values_field.name]):
            with self._at(f"{values_field.name}[{number}]"):
                values.append(self.inner(bytes(item), syntax.ATTRIBUTES.get(oid)))
        return {type_field.name: name_of(oid), values_field.name: values}

    def general_name(self, value: Spec) -> Node:
        name, content = value.getName(), value.getComponent()
        if name == "iPAddress":
            return {name: _ip_address(bytes(content))}
        return self._field(name, content)

    def messages(self, value: Spec) -> Node:
        items: list[Node] = []
        for number, item in enumerate(value):
            with self._at(f"[{number}]"):
                items.append(self.inner(bytes(item), syntax.PKI_MESSAGE))
        return items

    def public_key(self, value: Spec) -> Node:
        """The algorithm is a text if it can be: `rsaEncryption 2048`, `ecPublicKey secp256r1`."""
        identifier, octets = value["algorithm"], self._octets(value["subjectPublicKey"])
        oid = str(identifier["algorithm"])
        algorithm = self._field("algorithm", identifier)["algorithm"]
        assert isinstance(algorithm, dict)
        parameters = algorithm.get("parameters")
        text = None
        if oid == _RSA and octets:
            text = self._rsa_size(octets)
        elif parameters is None or isinstance(parameters, str):
            text = parameters or ""
        return {
            "algorithm": algorithm if text is None else f"{name_of(oid)} {text}".rstrip(),
            "subjectPublicKey": octets,
        }

    def _rsa_size(self, octets: bytes) -> str | None:
        with self._at("subjectPublicKey"):
            try:
                key = decode_wrapped(octets, syntax.RSA_PUBLIC_KEY, self._report.at(self._place()))
            except InputError as error:
                self._undecoded(octets, error)
                return None
        return str(int(key["modulus"]).bit_length())

    def _octets(self, bits: Spec) -> bytes:
        octets = self._bits(bits)
        return octets if isinstance(octets, bytes) else b""

    def certificate(self, value: Spec) -> Node:
        signed = self._fields(value["tbsCertificate"])
        tree: dict[str, Node] = {
            name: signed.pop(name)
            for name in ("subject", "issuer", "serialNumber", "validity", "subjectPublicKeyInfo")
        }
        return tree | self._signed(signed, "signature", value)

    def certificate_list(self, value: Spec) -> Node:
        return self._signed(self._fields(value["tbsCertList"]), "signature", value)

    def request(self, value: Spec) -> Node:
        return self._signed(self._fields(value["certificationRequestInfo"]), "", value)

    def _signed(self, signed: dict[str, Node], inner: str, value: Spec) -> dict[str, Node]:
        algorithm = self._field("signatureAlgorithm", value["signatureAlgorithm"])
        if inner and signed.get(inner) == algorithm["signatureAlgorithm"]:
            # said once is enough; they differ in no valid certificate
            del signed[inner]
        elif inner:
            signed[f"tbs {inner}"] = signed.pop(inner)
        return signed | algorithm | self._field("signature", value["signature"])


_VIEWS: Final[dict[str, Callable[[Trees, Spec], Node]]] = {
    "Attribute": Trees.attribute,
    "Certificate": Trees.certificate,
    "CertificateList": Trees.certificate_list,
    "CertificationRequest": Trees.request,
    "Extension": Trees.extension,
    "GeneralName": Trees.general_name,
    "Name": lambda _, value: _distinguished_name(value.getComponent()),
    "PKIMessages": Trees.messages,
    "RelativeDistinguishedName": lambda _, value: _relative_name(value),
    "SubjectPublicKeyInfo": Trees.public_key,
    "Time": lambda trees, value: trees.tree(value.getComponent()),
}
"""How the types of these names, and those made from them, are shown."""


def _integer(value: Spec, field: str) -> Node:
    number = int(value)
    for name, named in value.namedValues.items():
        if named == number:
            return str(name)
    return hex(number) if field in _SERIALS or abs(number) >= _EXACT else number


def _instant(text: str) -> str:
    """A time of DER in ISO 8601; any other as it is."""
    if match := _UTC_TIME.fullmatch(text):
        # RFC 5280, 4.1.2.5.1
        century = "20" if int(match[1]) < 50 else "19"
        digits, fraction = f"{century}{match[1]}{match[2]}{match[3] or '00'}", ""
    elif match := _GENERALIZED_TIME.fullmatch(text):
        digits, fraction = match[1], match[2] or ""
    else:
        return text
    try:
        instant = dt.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return text
    return f"{instant:%Y-%m-%dT%H:%M:%S}{fraction}Z".rjust(20, "0")


def _ip_address(octets: bytes) -> str | bytes:
    """An address, or an address and its mask as name constraints have them."""
    if len(octets) in (4, 16):
        return str(ipaddress.ip_address(octets))
    if len(octets) in (8, 32):
        half = len(octets) // 2
        address, mask = (ipaddress.ip_address(part) for part in (octets[:half], octets[half:]))
        return f"{address}/{mask}"
    return octets


def _distinguished_name(rdns: Spec) -> str:
    """A Name as text (RFC 4514): the last RDN first."""
    return ",".join(_relative_name(rdn) for rdn in reversed(list(rdns)))


def _relative_name(rdn: Spec) -> str:
    return "+".join(_attribute(str(item["type"]), bytes(item["value"])) for item in rdn)


def _attribute(oid: str, encoded: bytes) -> str:
    value = _unknown(encoded)
    keyword = ATTRIBUTE_KEYWORDS.get(oid, oid)
    if isinstance(value, str):
        return f"{keyword}={_escaped(value)}"
    return f"{keyword}=#{encoded.hex()}"


def _escaped(text: str) -> str:
    """The string form of an attribute value (RFC 4514, 2.4)."""
    text = re.sub(r'([",+;<>\\])', r"\\\1", text).replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    if text.endswith(" ") and len(text) > 1 and not text.endswith("\\ "):
        text = f"{text[:-1]}\\ "
    return text


def _unknown(octets: bytes) -> Node:
    """A value of no known type: text and NULL as such, anything else as its octets."""
    element = scan(octets, Report(Findings()))
    if element.tag.cls or element.constructed:
        return octets
    contents = octets[element.contents : element.end]
    if encoding := _STRINGS.get(element.tag.number):
        try:
            return contents.decode(encoding)
        except UnicodeDecodeError:
            return octets
    return None if element.tag.number == 5 else octets
