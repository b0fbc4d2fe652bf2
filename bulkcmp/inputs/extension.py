"""Certificate extensions that a request asks for: text, as of `--keyusage`, in; DER out.

The names are those of OpenSSL's x509v3_config(5). Everywhere the word `critical` among the entries
makes the extension critical.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from bulkcmp.errors import InputError
from bulkcmp.inputs.der import oid_tlv, tlv
from bulkcmp.inputs.entry import split_entries, unescape
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.template import Template
from bulkcmp.inputs.value import VALUE_TYPES, typed_value
from bulkcmp.model import RequestedExtension

_SEQUENCE: Final = 0x30
_BIT_STRING: Final = 0x03
_IA5: Final = 0x16

# in the order of their bits (RFC 5280, 4.2.1.3)
KEY_USAGES: Final = (
    "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
    "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
)  # fmt: skip
_USAGE_BITS: Final = {name.lower(): bit for bit, name in enumerate(KEY_USAGES)} | {
    # what later editions of X.509 call nonRepudiation
    "contentcommitment": 1
}
_KEY_AGREEMENT: Final = 4

_PURPOSES: Final = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timeStamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "OCSPSigning": ExtendedKeyUsageOID.OCSP_SIGNING,
    "ipsecIKE": ExtendedKeyUsageOID.IPSEC_IKE,
    "msSmartcardLogin": ExtendedKeyUsageOID.SMARTCARD_LOGON,
    "anyExtendedKeyUsage": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    # RFC 6402, 2.10, and RFC 9480, 2.2
    "cmcCA": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.27"),
    "cmcRA": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28"),
    "cmKGA": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32"),
}
_PURPOSE_OIDS: Final = {name.lower(): oid.dotted_string for name, oid in _PURPOSES.items()}

_ANY_POLICY: Final = "2.5.29.32.0"
_CPS: Final = oid_tlv("1.3.6.1.5.5.7.2.1")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")

_ENTRY: Final = re.compile(r"(?P<oid>[0-9.]+)(?P<critical>:critical)?=(?P<value>.+)", re.S | re.I)


def parse_key_usage(text: str) -> RequestedExtension:
    """Read a keyUsage such as `critical,digitalSignature,keyEncipherment` (RFC 5280, 4.2.1.3).

    Raises:
        InputError: an unknown name, none at all, or encipherOnly without keyAgreement.
    """
    critical, names = _split(text, "a keyUsage")
    bits = 0
    for name in names:
        bit = _USAGE_BITS.get(name.lower())
        if bit is None:
            raise InputError(f"{name!r} is no keyUsage", hint=nearest(name, KEY_USAGES))
        bits |= 0x8000 >> bit
    if bits & 0x0180 and not bits & (0x8000 >> _KEY_AGREEMENT):
        raise InputError("encipherOnly and decipherOnly mean nothing without keyAgreement")
    # a named bit list has no trailing zero bits in DER (X.690, 11.2.2)
    octets = bits.to_bytes(2, "big").rstrip(b"\0")
    unused = (octets[-1] & -octets[-1]).bit_length() - 1
    value = tlv(_BIT_STRING, bytes((unused,)) + octets)
    return RequestedExtension(ExtensionOID.KEY_USAGE.dotted_string, critical, value)


def parse_ext_key_usage(text: str) -> RequestedExtension:
    """Read an extKeyUsage: names such as `serverAuth`, or dotted OIDs (RFC 5280, 4.2.1.12).

    Raises:
        InputError: an entry that is neither, or none at all.
    """
    critical, names = _split(text, "an extended key usage")
    purposes = b""
    for name in names:
        try:
            purposes += oid_tlv(_PURPOSE_OIDS.get(name.lower(), name))
        except ValueError:
            raise InputError(
                f"{name!r} is no extended key usage",
                hint=f"{nearest(name, _PURPOSES)}, or a dotted OID",
            ) from None
    oid = ExtensionOID.EXTENDED_KEY_USAGE.dotted_string
    return RequestedExtension(oid, critical, tlv(_SEQUENCE, purposes))


def parse_policies(text: str) -> RequestedExtension:
    """Read certificatePolicies: dotted OIDs or `anyPolicy`, each perhaps with the URI of its
    certification practice statement: `1.2.3.4=https://acme.example/cps` (RFC 5280, 4.2.1.4).

    Raises:
        InputError: an entry that is no such thing or stands twice, or none at all.
    """
    critical, entries = _split(text, "a policy")
    policies: dict[str, bytes] = {}
    for entry in entries:
        name, equals, uri = entry.partition("=")
        oid = _ANY_POLICY if name.lower() == "anypolicy" else name
        if oid in policies:
            raise InputError(f"policy {name} stands twice")
        if equals and not _URI.fullmatch(uri):
            raise InputError(f"{entry!r}: not a URI after the '='")
        try:
            identifier = oid_tlv(oid)
        except ValueError:
            raise InputError(
                f"{entry!r} is no policy",
                hint="write a dotted OID or anyPolicy, and =URI after it for its CPS",
            ) from None
        # PolicyQualifierInfo ::= SEQUENCE { policyQualifierId, qualifier CPSuri }
        cps = tlv(_SEQUENCE, _CPS + tlv(_IA5, uri.encode())) if equals else b""
        qualifiers = tlv(_SEQUENCE, cps) if cps else b""
        policies[oid] = tlv(_SEQUENCE, identifier + qualifiers)
    oid = ExtensionOID.CERTIFICATE_POLICIES.dotted_string
    return RequestedExtension(oid, critical, tlv(_SEQUENCE, b"".join(policies.values())))


class ExtensionsTemplate:
    """Any extensions, each `OID[:critical]=TYPE:text`, with placeholders in their values.

    Entries are told apart before anything is filled in: no value can add one.

    Raises:
        InputError: an entry that is no such thing, an OID that stands twice, or none at all; or
            as `Template`.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._entries: list[_Entry] = []
        critical, written = split_entries(text)
        if critical:
            raise InputError("write 'critical' behind an OID, as in 1.2.3.4:critical=DER:0500")
        if not written:
            raise InputError("no extension in it", hint=_HINT)
        for entry in map(unescape, written):
            match = _ENTRY.fullmatch(entry)
            try:
                if match is None:
                    raise ValueError("no extension")
                oid_tlv(match["oid"])
            except ValueError as error:
                raise InputError(f"{entry!r}: {error}", hint=_HINT) from None
            if any(one.oid == match["oid"] for one in self._entries):
                raise InputError(f"extension {match['oid']} stands twice")
            template = Template(match["value"], names)
            self._entries.append(_Entry(match["oid"], match["critical"] is not None, template))
        self.fields: tuple[str, ...] = tuple(
            field for entry in self._entries for field in entry.template.fields
        )
        """The placeholders in it."""

    def render(self, values: Mapping[str, str]) -> tuple[RequestedExtension, ...]:
        """The extensions with `values` filled in.

        Raises:
            InputError: a value is missing, or does not make such an extension.
        """
        return tuple(
            RequestedExtension(entry.oid, entry.critical, _value(entry, values))
            for entry in self._entries
        )


def parse_extensions(text: str) -> tuple[RequestedExtension, ...]:
    """Read extensions as `ExtensionsTemplate` does, without placeholders.

    Raises:
        InputError: as `ExtensionsTemplate`.
    """
    return ExtensionsTemplate(text.replace("{", "{{").replace("}", "}}"), ()).render({})


class _Entry(NamedTuple):
    oid: str
    critical: bool
    template: Template


_HINT: Final = f"write OID=VALUE or OID:critical=VALUE, and as VALUE {VALUE_TYPES}"


def _value(entry: _Entry, values: Mapping[str, str]) -> bytes:
    text = entry.template.render(values)
    try:
        return typed_value(text)
    except ValueError as error:
        raise InputError(f"extension {entry.oid}: {text!r}: {error}", hint=_HINT) from None


def _split(text: str, what: str) -> tuple[bool, list[str]]:
    critical, entries = split_entries(text)
    if not entries:
        raise InputError(f"no name of {what} in it")
    return critical, entries
