"""What the CA demands of certificate requests: keys, and a template (RFC 9810, 5.3.19.16)."""

from collections.abc import Iterable
from typing import Final

from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, explicit, wrap
from bulkcmp.cmp.general import ALG_ID, RSA_KEY_LEN
from bulkcmp.cmp.template import template_extensions
from bulkcmp.model import KeyFamily, KeySpec, Popo, RequestedExtension

_EC: Final = encode(ObjectIdentifier("1.2.840.10045.2.1"))
_RSA: Final = wrap(0x30, encode(ObjectIdentifier("1.2.840.113549.1.1.1")), b"\x05\x00")


def _named(oid: str) -> bytes:
    return wrap(0x30, encode(ObjectIdentifier(oid)))


def _curve(oid: str) -> bytes:
    return wrap(0x30, _EC, encode(ObjectIdentifier(oid)))


_ALGORITHMS: Final[dict[KeySpec, bytes]] = {
    KeySpec(KeyFamily.EC, "P-256"): _curve("1.2.840.10045.3.1.7"),
    KeySpec(KeyFamily.EC, "P-384"): _curve("1.3.132.0.34"),
    KeySpec(KeyFamily.EC, "P-521"): _curve("1.3.132.0.35"),
    KeySpec(KeyFamily.ED25519): _named("1.3.101.112"),
    KeySpec(KeyFamily.ED448): _named("1.3.101.113"),
    KeySpec(KeyFamily.ML_DSA, "44"): _named("2.16.840.1.101.3.4.3.17"),
    KeySpec(KeyFamily.ML_DSA, "65"): _named("2.16.840.1.101.3.4.3.18"),
    KeySpec(KeyFamily.ML_DSA, "87"): _named("2.16.840.1.101.3.4.3.19"),
    KeySpec(KeyFamily.ML_KEM, "768"): _named("2.16.840.1.101.3.4.4.2"),
    KeySpec(KeyFamily.ML_KEM, "1024"): _named("2.16.840.1.101.3.4.4.3"),
}
"""DER AlgorithmIdentifiers of the keys that are certified, but for RSA, which has lengths too."""


def _proving_by(*methods: Popo) -> bytes:
    """DER SEQUENCE OF AlgorithmIdentifier of the keys that prove possession by such a method."""
    found = {KeyFamily.RSA: [_RSA]}
    for spec, algorithm in _ALGORITHMS.items():
        found.setdefault(spec.family, []).append(algorithm)
    return wrap(
        0x30,
        *(
            algorithm
            for family, algorithms in found.items()
            if any(map(family.proves_by, methods))
            for algorithm in algorithms
        ),
    )


SIGN_KEYS: Final = _proving_by(Popo.SIGNATURE)
"""DER SignKeyPairTypes."""

ENC_KEYS: Final = _proving_by(Popo.KEY_ENCIPHERMENT, Popo.KEY_AGREEMENT)
"""DER EncKeyPairTypes."""


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
    return wrap(0x30, encode(ALG_ID), _ALGORITHMS[spec])
