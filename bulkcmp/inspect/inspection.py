"""The tree of one encoded value: which type it is, and what is to be said of it."""

from dataclasses import dataclass
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inspect import syntax
from bulkcmp.inspect.armour import MAX_OCTETS, Part
from bulkcmp.inspect.ber import Element, Report, scan
from bulkcmp.inspect.decoding import decode_top
from bulkcmp.inspect.finding import Finding, FindingKind, Findings
from bulkcmp.inspect.syntax import Spec
from bulkcmp.inspect.tree import Node, Trees

_SHOWN_TRAILING: Final = 16

_TYPES: Final[dict[str, Spec]] = {
    "PKIMessage": syntax.PKI_MESSAGE,
    "CertReqMessages": syntax.CertReqMessages(),
    "CertificationRequest": syntax.CertificationRequest(),
    "Certificate": syntax.Certificate(),
    "CertificateList": syntax.CertificateList(),
    "ContentInfo": syntax.ContentInfo(),
}
"""What is inspected, by the name of its ASN.1 type."""

_PARTS: Final[dict[str, Spec]] = {"GenMsgContent": syntax.GenMsgContent()}
"""The same of what is inspected only where its type is said."""

_LABELS: Final = {
    "CERTIFICATE": "Certificate",
    "X509 CERTIFICATE": "Certificate",
    "TRUSTED CERTIFICATE": "Certificate",
    "CERTIFICATE REQUEST": "CertificationRequest",
    "NEW CERTIFICATE REQUEST": "CertificationRequest",
    "X509 CRL": "CertificateList",
    "CRL": "CertificateList",
    "PKCS7": "ContentInfo",
    "CMS": "ContentInfo",
}
"""Type by the label of a PEM block (RFC 7468); of any other label it is found out."""

_OID, _INTEGER, _BIT_STRING, _SEQUENCE, _SET = 6, 2, 3, 16, 17


@dataclass(frozen=True, slots=True)
class Inspection:
    """One inspected value.

    Attributes:
        part: where it came from.
        type: the name of its ASN.1 type: `PKIMessage`, `CertReqMessages`,
            `CertificationRequest`, `Certificate`, `CertificateList`, `ContentInfo` or
            `GenMsgContent`.
        encoding: `DER`, or `BER` if anything in it is BER but not DER.
        size: its octets, without those that follow it.
        findings: what is to be said of it; texts of the peer may stand in them.
        value: its tree.
    """

    part: Part
    type: str
    encoding: str
    size: int
    findings: tuple[Finding, ...]
    value: Node

    def json(self) -> dict[str, object]:
        """The inspection as JSON has it; octets are hexadecimal digits."""
        number = {} if self.part.number is None else {"part": self.part.number}
        return {
            "file": self.part.file,
            **number,
            "type": self.type,
            "encoding": self.encoding,
            "size": self.size,
            "findings": [
                {"kind": f.kind.value, "what": f.what, "offset": f.offset, "path": f.path}
                for f in self.findings
            ],
            "value": _json(self.value),
        }


def inspect_octets(octets: bytes, name: str, *, kind: str = "") -> Inspection:
    """Inspect one encoded value.

    Args:
        name: told for its file.
        kind: its type, a PKIMessage's part included that nothing tells apart: `GenMsgContent`;
            found out where it is empty.

    Raises:
        InputError: as of `inspect_part`.
    """
    return inspect_part(Part(name, None, "", octets), kind=kind)


def inspect_part(part: Part, *, kind: str = "") -> Inspection:
    """Inspect one encoded value; `kind` as of `inspect_octets`.

    Raises:
        InputError: it is not BER, of no type that is known here, not decodable by its type, or
            beyond the bounds on size, number of values and depth.
    """
    try:
        return _inspect(part, kind)
    except InputError as error:
        raise InputError(error.what, where=part.where, hint=error.hint) from None


def _inspect(part: Part, kind: str) -> Inspection:
    octets = part.octets
    if len(octets) > MAX_OCTETS:
        raise InputError(f"larger than {MAX_OCTETS >> 20} MiB, which is the limit")
    findings = Findings()
    report = Report(findings)
    root = scan(octets, report)
    kind = kind or _LABELS.get(part.label) or _recognise(root)
    try:
        value = decode_top(octets, root, (_TYPES | _PARTS)[kind], report)
    except InputError as error:
        raise InputError(f"{kind}, but {error.what}") from None
    if rest := octets[root.stop :]:
        shown = rest[:_SHOWN_TRAILING].hex() + (" …" if len(rest) > _SHOWN_TRAILING else "")
        what = f"{len(rest):,} octets follow the value: {shown}"
        findings.add(FindingKind.TRAILING, what, root.stop)
    tree = Trees(report).tree(value)
    encoding = "BER" if FindingKind.NOT_DER in findings else "DER"
    return Inspection(part, kind, encoding, root.stop, findings.all(), tree)


def _recognise(root: Element) -> str:
    """The type that the outermost tags tell.

    Raises:
        InputError: none that is known here.
    """
    parts = root.children
    if _are(root, _SEQUENCE) and parts:
        match parts:
            case [first, second] if _are(first, _OID) and second.tag.cls == 2:
                return "ContentInfo"
            case [signed, _, _] if _starts(root, _SEQUENCE, _SEQUENCE, _BIT_STRING):
                return _recognise_signed(signed)
            case [header, body, *_] if (
                _starts(header, _INTEGER)
                and body.tag.cls == 2
                and body.tag.number < syntax.BODY_TYPES
            ):
                return "PKIMessage"
            case [first, *_] if first.children and all(
                _are(one, _SEQUENCE)
                and one.children
                and _starts(one.children[0], _INTEGER, _SEQUENCE)
                for one in parts
            ):
                return "CertReqMessages"
    if _starts(root, _INTEGER, _SEQUENCE) and parts[2:] and parts[2].tag.number == 4:
        raise InputError("looks like a private key, which inspect does not show")
    known = ", ".join(_TYPES)
    raise InputError(f"a {root.tag} of no known type", hint=f"inspect knows {known}")


def _recognise_signed(signed: Element) -> str:
    """Which of the types that are data, algorithm and signature."""
    parts = signed.children
    if _starts(signed, _INTEGER, _SEQUENCE, _SEQUENCE) and not _starts(parts[1], _OID):
        return "CertificationRequest"
    version = 1 if _starts(signed, _INTEGER) else 0
    # a CRL goes on with algorithm, name and a time, a certificate of version 1 with serial number,
    # algorithm, name and validity
    if len(parts) > version + 2 and parts[version + 2].tag.number in (23, 24):
        return "CertificateList"
    return "Certificate"


def _are(element: Element, *numbers: int) -> bool:
    return element.tag.cls == 0 and element.tag.number in numbers


def _starts(element: Element, *numbers: int) -> bool:
    """Whether a SEQUENCE holds values of these universal types first."""
    return (
        _are(element, _SEQUENCE)
        and len(element.children) >= len(numbers)
        and all(_are(e, n) for e, n in zip(element.children, numbers, strict=False))
    )


def _json(node: Node) -> object:
    match node:
        case dict():
            return {name: _json(child) for name, child in node.items()}
        case list():
            return [_json(child) for child in node]
        case bytes():
            return node.hex()
    return node
