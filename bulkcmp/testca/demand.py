"""What the CA demands of certificate requests: keys, and a template (RFC 9810, 5.3.19.16); and what
it encrypts by."""

from collections.abc import Iterable
from typing import Final

from bulkcmp.cmp.algorithms import key_identifier
from bulkcmp.cmp.asn1 import encode, explicit, wrap
from bulkcmp.cmp.envelope import CONTENT_CIPHERS
from bulkcmp.cmp.general import ALG_ID, RSA_KEY_LEN
from bulkcmp.cmp.template import template_extensions
from bulkcmp.model import KeyFamily, KeySpec, Popo, RequestedExtension


def _proving_by(*methods: Popo) -> bytes:
    """DER SEQUENCE OF AlgorithmIdentifier of the keys that prove possession by such a method."""
    found = (spec for spec in KeySpec.every() if any(map(spec.family.proves_by, methods)))
    # RSA has one for all lengths
    return wrap(0x30, *dict.fromkeys(map(key_identifier, found)))


SIGN_KEYS: Final = _proving_by(Popo.SIGNATURE)
"""DER SignKeyPairTypes."""

ENC_KEYS: Final = _proving_by(Popo.KEY_ENCIPHERMENT, Popo.KEY_AGREEMENT)
"""DER EncKeyPairTypes."""

PREFERRED_CIPHER: Final = wrap(0x30, encode(CONTENT_CIPHERS[32]))
"""DER PreferredSymmAlg: by what certificates and keys go encrypted. It has no IV here."""


def cert_req_template(
    subject: bytes | None, extensions: tuple[RequestedExtension, ...], keys: Iterable[KeySpec]
) -> bytes:
    """DER CertReqTemplateContent.

    Args:
        subject: DER Name, or None.
        keys: one of them is demanded; none for any.
    """
    template = wrap(
        0x30,
        b"" if subject is None else explicit(5, subject),
        template_extensions(extensions, subject),
    )
    controls = [_control(spec) for spec in keys]
    return wrap(0x30, template, wrap(0x30, *controls) if controls else b"")


def _control(spec: KeySpec) -> bytes:
    if spec.family is KeyFamily.RSA:
        return wrap(0x30, encode(RSA_KEY_LEN), encode(int(spec.parameter)))
    return wrap(0x30, encode(ALG_ID), key_identifier(spec))
