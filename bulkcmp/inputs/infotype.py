"""What a genm asks for: text, as of `--infotype`, in; InfoTypeAndValues out (RFC 9810, 5.3.19)."""

import re
from collections.abc import Callable
from typing import Final

from bulkcmp.cmp.general import (
    CRL_STATUS_LIST,
    KEY_PAIR_PARAM_REQ,
    QUESTIONS,
    ROOT_CA_CERT,
    SUPP_LANG_TAGS,
)
from bulkcmp.errors import InputError
from bulkcmp.inputs.der import oid_tlv, tlv
from bulkcmp.inputs.entry import split_entries, unescape
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.value import VALUE_TYPES, typed_value
from bulkcmp.model import Itav

_KNOWN: Final = {name.lower(): oid for name, oid in QUESTIONS.items()}

_LANGUAGE: Final = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")

_UTF8_STRING: Final = 0x0C
_SEQUENCE: Final = 0x30


def parse_infotypes(text: str) -> tuple[Itav, ...]:
    """Read infoTypes, each a name such as `caCerts` or a dotted OID, perhaps with `=VALUE`.

    The value of a keyPairParamReq is the OID of an algorithm, that of suppLangTags language tags
    with `/` between them, that of an infoType without a name a DER value such as `UTF8:text`.
    Others have none here: what a rootCaCert or crlStatusList names comes from files.

    Raises:
        InputError: an entry that is no such thing or stands twice, or none at all.
    """
    _, entries = split_entries(text)
    if not entries:
        raise InputError("no infoType in it", hint=_HINT)
    infos: dict[str, Itav] = {}
    for entry in map(unescape, entries):
        name, equals, value = entry.partition("=")
        oid = _oid(name)
        if oid in infos:
            raise InputError(f"infoType {name} stands twice")
        infos[oid] = Itav(oid, _value(name, oid, value if equals else None))
    return tuple(infos.values())


def _oid(name: str) -> str:
    oid = _KNOWN.get(name.lower(), name)
    try:
        oid_tlv(oid)
    except ValueError:
        hint = f"{nearest(name, QUESTIONS)}, or a dotted OID"
        raise InputError(f"{name!r} is no infoType", hint=hint) from None
    return oid


def _value(name: str, oid: str, text: str | None) -> bytes | None:
    read = _VALUES.get(oid)
    if read is None:
        if oid in QUESTIONS.values():
            if text is not None:
                raise InputError(f"infoType {name} takes no value here", hint=_HINTS.get(oid))
            return None
        read = typed_value
        if text is None:
            return None
    try:
        return read(text or "")
    except ValueError as error:
        raise InputError(f"infoType {name}: {error}", hint=_HINTS.get(oid, _HINT)) from None


def _languages(text: str) -> bytes:
    tags = text.split("/")
    if not all(map(_LANGUAGE.fullmatch, tags)):
        raise ValueError(f"{text!r} are no language tags")
    return tlv(_SEQUENCE, b"".join(tlv(_UTF8_STRING, tag.encode()) for tag in tags))


_VALUES: Final[dict[str, Callable[[str], bytes]]] = {
    KEY_PAIR_PARAM_REQ: oid_tlv,
    SUPP_LANG_TAGS: _languages,
}
"""How the values are read that a question needs."""

_HINT: Final = f"write a name or an OID, and =VALUE after an OID, where VALUE is {VALUE_TYPES}"
_HINTS: Final = {
    KEY_PAIR_PARAM_REQ: "write keyPairParamReq=OID, with the OID of an algorithm",
    SUPP_LANG_TAGS: "write suppLangTags=de/en",
    ROOT_CA_CERT: "the root is named by oldwithold",
    CRL_STATUS_LIST: "the CRL is named by crlcert or oldcrl",
}
