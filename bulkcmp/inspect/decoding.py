"""Decoding by a pyasn1 type: what is wrong and where it is wrong."""

from collections.abc import Iterator
from typing import Final

from pyasn1.codec.ber import decoder
from pyasn1.type import univ

from bulkcmp.errors import InputError
from bulkcmp.inspect.ber import Element, Report, Tag, der_of, scan
from bulkcmp.inspect.finding import FindingKind, Findings
from bulkcmp.inspect.matching import FAILURES, fields_of, has_tag, is_needed, may_be
from bulkcmp.inspect.strictness import check
from bulkcmp.inspect.syntax import Spec

_MAX_SEARCH: Final = 256 * 1024
"""Octets of a value up to which the part at fault is searched for; it means to decode again."""

_REASON: Final = 100


def decode_top(data: bytes, element: Element, spec: Spec, report: Report) -> Spec:
    """Decode the scanned value `element` of `data`.

    Args:
        data: the octets.
        element: the value in them.
        spec: the type to decode by.
        report: gets what is not DER beyond the findings of the scan; also of each ANY in the
            value whose type is known.

    Raises:
        InputError: it is not of that type; the text tells which part is not.
    """
    octets = data[element.start : element.stop]
    if FindingKind.NOT_DER in report.findings:
        # so the decoder never meets an indefinite length
        octets = der_of(data, element)
    value = _decoded(octets, spec)
    if isinstance(value, _Fault):
        raise _error(data, element, spec, value, report.path)
    check(data, element, spec, report)
    return value


def decode_inner(octets: bytes, spec: Spec, path: str) -> Spec:
    """Decode an ANY of a value that was decoded, and so was checked already, by a known type.

    Raises:
        InputError: it is not of that type; the text tells which part is not, `path` first.
    """
    value = _decoded(octets, spec)
    if isinstance(value, _Fault):
        raise _error(octets, scan(octets, Report(Findings())), spec, value, path)
    return value


def decode_wrapped(octets: bytes, spec: Spec, report: Report) -> Spec:
    """Decode what an OCTET STRING or BIT STRING of a larger value holds.

    Args:
        octets: what it holds.
        spec: the type to decode by.
        report: gets what is not DER; has the path to the OCTET STRING.

    Raises:
        InputError: it is not BER, or not of that type, or octets follow it.
    """
    element = scan(octets, report)
    if element.stop < len(octets):
        raise InputError(f"{report.path}: octets follow the value")
    return decode_top(octets, element, spec, report)


def _error(data: bytes, element: Element, spec: Spec, fault: "_Fault", path: str) -> InputError:
    if element.stop - element.start <= _MAX_SEARCH:
        fault = _deepest(data, element, spec, "") or fault
    place = step_to(path, fault.path)
    offset = "" if path else f" at offset {(fault.element or element).start}"
    return InputError(f"{place}: {fault.reason}{offset}" if place else fault.reason + offset)


class _Fault:
    """Why a value is not of its type, and which part of it."""

    def __init__(self, reason: str, path: str = "", element: Element | None = None) -> None:
        self.reason, self.path, self.element = reason, path, element


def _decoded(octets: bytes, spec: Spec) -> Spec:
    """The value, or the fault."""
    try:
        value, rest = decoder.decode(octets, asn1Spec=spec)
    except FAILURES as error:
        # of characters that the type does not have, pyasn1 says nothing
        text = " ".join(str(error).split()) or "it has characters of another set"
        return _Fault(f"not a valid {_type(spec)}: {_short(text)}")
    return value if not rest else _Fault(f"octets follow the {_type(spec)}")


def _deepest(data: bytes, element: Element, spec: Spec, path: str) -> _Fault | None:
    """The smallest part of a value at fault, by going down where decoding fails."""
    tags = spec.tagSet.superTags
    whole = element
    if tags:
        for tag in reversed(tags):
            if not has_tag(element.tag, tag):
                found, wanted = element.tag, Tag(tag.tagClass >> 6, tag.tagId)
                return _Fault(f"{found} instead of {wanted}", path, element)
            if tag is not tags[0]:
                if len(element.children) != 1:
                    return _Fault(f"{element.tag} holds not one value", path, element)
                element = element.children[0]
    match spec:
        case univ.Choice():
            return _deepest_of_choice(data, element, spec, path)
        case univ.SequenceOf() | univ.SetOf():
            pairs = ((f"[{i}]", spec.componentType, e) for i, e in enumerate(element.children))
            fault = _first(data, pairs, path)
        case univ.Sequence() | univ.Set():
            fault = _deepest_of_sequence(data, element, spec, path)
        case _:
            fault = None
    return fault or _leaf(data, whole, spec, path)


def _deepest_of_choice(data: bytes, element: Element, spec: Spec, path: str) -> _Fault | None:
    if spec.tagSet.superTags:
        if len(element.children) != 1:
            return _Fault(f"{element.tag} holds not one value", path, element)
        element = element.children[0]
    for alternative in spec.componentType.namedTypes:
        if may_be(element.tag, alternative.asn1Object):
            return _deepest(data, element, alternative.asn1Object, step_to(path, alternative.name))
    return _Fault(f"{element.tag} is no alternative of {_type(spec)}", path, element)


def _deepest_of_sequence(data: bytes, element: Element, spec: Spec, path: str) -> _Fault | None:
    pairs = fields_of(element, spec)
    parts = ((field.name, field.asn1Object, child) for field, child in pairs)
    if fault := _first(data, parts, path):
        return fault
    fields = spec.componentType.namedTypes
    last = fields.index(pairs[-1][0]) + 1 if pairs else 0
    missing = [field.name for field in fields[last:] if is_needed(field)]
    if len(pairs) < len(element.children):
        extra = element.children[len(pairs)]
        what = f"instead of {missing[0]}" if missing else f"is out of place in {_type(spec)}"
        return _Fault(f"{extra.tag} {what}", path, extra)
    if missing:
        return _Fault(f"{_type(spec)} lacks {', '.join(missing)}", path, element)
    return None


def _first(data: bytes, parts: Iterator[tuple[str, Spec, Element]], path: str) -> _Fault | None:
    """The fault of the first part that does not decode."""
    for name, spec, element in parts:
        if isinstance(_decoded(der_of(data, element), spec), _Fault):
            return _deepest(data, element, spec, step_to(path, name))
    return None


def _leaf(data: bytes, element: Element, spec: Spec, path: str) -> _Fault | None:
    """The fault of a value whose parts are all right, or that has none."""
    fault = _decoded(der_of(data, element), spec)
    return _Fault(fault.reason, path, element) if isinstance(fault, _Fault) else None


def step_to(path: str, step: str) -> str:
    """The path of a part: `body.genm[0]` is `[0]` of `body.genm`."""
    return f"{path}.{step}" if path and step and not step.startswith("[") else path + step


def _type(spec: Spec) -> str:
    return type(spec).__name__


def _short(text: str) -> str:
    return text if len(text) <= _REASON else text[:_REASON] + " …"
