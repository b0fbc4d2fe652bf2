"""Controls and regInfo of a request, as far as the CA reads them (RFC 4211, 6 and 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp.asn1 import ObjectIdentifier, content, tag
from bulkcmp.cmp.messages import (
    CONTROL_AUTHENTICATOR,
    CONTROL_REG_TOKEN,
    REG_INFO_UTF8_PAIRS,
    AttributeTypeAndValue,
    CertReqMsg,
)
from bulkcmp.errors import InputError
from bulkcmp.inputs.reginfo import parse_reg_info
from bulkcmp.testca.refusal import rejected

_UTF8_STRING: Final = 0x0C


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a requester says beside the template; None where it says nothing.

    Attributes:
        reg_token: a secret that the CA gave the end entity for this request.
        authenticator: what the CA may ask the end entity by again and again.
        reg_info: utf8Pairs.
    """

    reg_token: str | None
    authenticator: str | None
    reg_info: str | None


def read(request: CertReqMsg) -> Attributes:
    """The attributes of a request; other kinds of them are passed over.

    regToken may stand in regInfo too, where some clients of EJBCA put it.

    Raises:
        RefusedError: one stands twice, or is not what its type says.
        RemoteCmpError: the request can't be decoded.
    """
    controls = request.request.controls or []
    infos = request.regInfo or []
    pairs = _text(infos, REG_INFO_UTF8_PAIRS, "utf8Pairs")
    if pairs is not None:
        try:
            parse_reg_info(pairs)
        except InputError as error:
            raise rejected("badDataFormat", f"utf8Pairs: {error.what}") from error
    return Attributes(
        reg_token=_text([*controls, *infos], CONTROL_REG_TOKEN, "regToken"),
        authenticator=_text(controls, CONTROL_AUTHENTICATOR, "authenticator"),
        reg_info=pairs,
    )


def _text(
    attributes: Sequence[AttributeTypeAndValue], kind: ObjectIdentifier, name: str
) -> str | None:
    found = [one.value for one in attributes if one.type == kind]
    if not found:
        return None
    if len(found) > 1:
        raise rejected("badRequest", f"{name} stands {len(found)} times")
    if tag(found[0]) != _UTF8_STRING:
        raise rejected("badDataFormat", f"{name} is no UTF8String")
    try:
        return content(found[0]).decode()
    except UnicodeDecodeError as error:
        raise rejected("badDataFormat", f"{name} is no UTF-8 text") from error
