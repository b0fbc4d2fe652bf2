"""What is not DER for reasons that only the ASN.1 type tells (X.690, 10 and 11).

DEFAULT values that are encoded; and behind implicit tags, where `ber.scan` sees no type: strings in
pieces, SET OF out of order, long INTEGERs and BOOLEANs of odd values. Encoding the decoded value
again would not tell it: pyasn1 takes an absent OPTIONAL for an empty one, and the other way round.
"""

from functools import lru_cache
from itertools import pairwise

from pyasn1.codec.ber import decoder
from pyasn1.type import univ

from bulkcmp.errors import InputError
from bulkcmp.inspect.ber import Element, Report, check_contents
from bulkcmp.inspect.matching import FAILURES, fields_of, may_be
from bulkcmp.inspect.syntax import ATTRIBUTES, OPEN_TYPES, PKI_MESSAGE, Spec


def check(data: bytes, element: Element, spec: Spec, report: Report) -> None:
    """Report what is not DER in a value, and in each ANY in it whose type is known.

    Args:
        data: the octets.
        element: the value in them, as `ber.scan` found it.
        spec: its type. Where the value is not of it, nothing is said.
        report: gets what is found.
    """
    for _ in spec.tagSet.superTags[1:]:
        if len(element.children) != 1:
            return
        element = element.children[0]
    match spec:
        case univ.Any():
            return
        case univ.Choice():
            _check_choice(data, element, spec, report)
        case univ.SequenceOf() | univ.SetOf():
            _check_items(data, element, spec, report)
        case univ.Sequence() | univ.Set():
            _check_fields(data, element, spec, report)
        case _ if element.tag.cls:
            if element.constructed:
                report.add(f"{element.tag} in pieces", element.start)
                return
            try:
                check_contents(data, element, spec.tagSet.baseTag.tagId, report)
            except InputError:
                # pyasn1 took it, so it is shown
                what = f"{element.tag} with contents that no {type(spec).__name__} has"
                report.add(what, element.start)


def _check_choice(data: bytes, element: Element, spec: Spec, report: Report) -> None:
    if spec.tagSet.superTags:
        if len(element.children) != 1:
            return
        element = element.children[0]
    for alternative in spec.componentType.namedTypes:
        if may_be(element.tag, alternative.asn1Object):
            check(data, element, alternative.asn1Object, report)
            return


def _check_items(data: bytes, element: Element, spec: Spec, report: Report) -> None:
    # its items are ANY for pyasn1, which can't define a recursive type
    item = PKI_MESSAGE if type(spec).__name__ == "PKIMessages" else spec.componentType
    for child in element.children:
        check(data, child, item, report)
    if isinstance(spec, univ.SetOf) and element.tag.cls:
        values = (data[child.start : child.stop] for child in element.children)
        if any(one > next_ for one, next_ in pairwise(values)):
            report.add(f"SET OF out of order, tagged {element.tag}", element.start)


def _check_fields(data: bytes, element: Element, spec: Spec, report: Report) -> None:
    fields = fields_of(element, spec)
    for field, child in fields:
        if field.isDefaulted and _is_default(data[child.start : child.stop], field.asn1Object):
            report.add(f"{field.name} with its DEFAULT value, which DER leaves out", child.start)
        check(data, child, field.asn1Object, report)
    if len(fields) == 2 and fields[0][1].tag.number == 6:
        _check_open(data, fields[0][1], fields[1][1], spec, report)


def _check_open(data: bytes, name: Element, value: Element, spec: Spec, report: Report) -> None:
    """Check what an object identifier tells the type of."""
    oid = _oid(data[name.start : name.stop])
    for cls in type(spec).__mro__:
        if cls.__name__ == "Attribute" and oid in ATTRIBUTES:
            for child in value.children:
                check(data, child, ATTRIBUTES[oid], report)
        elif oid in OPEN_TYPES.get(cls.__name__, ()):
            if spec.componentType[1].asn1Object.tagSet.superTags:
                if len(value.children) != 1:
                    return
                value = value.children[0]
            check(data, value, OPEN_TYPES[cls.__name__][oid], report)


def _is_default(octets: bytes, spec: Spec) -> bool:
    try:
        return bool(decoder.decode(octets, asn1Spec=spec)[0] == spec)
    except FAILURES:
        return False


@lru_cache(maxsize=1024)
def _oid(octets: bytes) -> str:
    try:
        return str(decoder.decode(octets, asn1Spec=univ.ObjectIdentifier())[0])
    except FAILURES:
        return ""
