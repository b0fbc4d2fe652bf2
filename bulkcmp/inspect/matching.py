"""Which value belongs to which component of an ASN.1 type, by tags; and how pyasn1 fails."""

from typing import Final

from pyasn1.error import PyAsn1Error
from pyasn1.type import univ

from bulkcmp.inspect.ber import Element, Tag
from bulkcmp.inspect.syntax import Spec

FAILURES: Final = (PyAsn1Error, ArithmeticError, LookupError, TypeError, ValueError)
"""What pyasn1 raises on octets that don't fit: its own error, and others that it lets slip."""


def has_tag(tag: Tag, wanted: Spec) -> bool:
    """Whether `tag` is the pyasn1 tag `wanted`."""
    return (tag.cls << 6, tag.number) == (wanted.tagClass, wanted.tagId)


def may_be(tag: Tag, spec: Spec) -> bool:
    """Whether a value of type `spec` may start with `tag`."""
    if spec.tagSet.superTags:
        return has_tag(tag, spec.tagSet.superTags[-1])
    if isinstance(spec, univ.Choice):
        return any(may_be(tag, one.asn1Object) for one in spec.componentType.namedTypes)
    return isinstance(spec, univ.Any)


def is_needed(field: Spec) -> bool:
    """Whether a component is neither OPTIONAL nor of a DEFAULT value."""
    return not (field.isOptional or field.isDefaulted)


def fields_of(element: Element, spec: Spec) -> list[tuple[Spec, Element]]:
    """The components of a SEQUENCE with their values, up to the first value that is out of place.

    Args:
        element: the SEQUENCE.
        spec: its type.
    """
    fields = spec.componentType.namedTypes
    found: list[tuple[Spec, Element]] = []
    at = 0
    for child in element.children:
        while at < len(fields) and not may_be(child.tag, fields[at].asn1Object):
            if is_needed(fields[at]):
                return found
            at += 1
        if at == len(fields):
            return found
        found.append((fields[at], child))
        at += 1
    return found
