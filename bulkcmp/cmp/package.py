"""The key package in which a key generation authority sends a private key (RFC 9483, 4.1.6).

It is an AsymmetricKeyPackage (RFC 5958) in a SignedData (RFC 5652, 5); around it comes an
EnvelopedData, which is `envelope`'s matter.
"""

import datetime as dt
import hmac
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bulkcmp.cmp import algorithms, strength
from bulkcmp.cmp.algorithms import PrivateKey, SigningKey
from bulkcmp.cmp.asn1 import (
    SEQUENCE,
    SET,
    TLV,
    BitString,
    Explicit,
    Implicit,
    ObjectIdentifier,
    content,
    decode,
    decode_sequence_of,
    encode,
    encode_sequence_of,
    explicit,
    list_of,
    sequence,
    set_elements,
    set_of,
    wrap,
)
from bulkcmp.cmp.checks import CheckError, Reason, Verdicts, Witness, passed, weak_path
from bulkcmp.cmp.messages import AlgorithmIdentifier, short
from bulkcmp.cmp.protection import public_key_of
from bulkcmp.cmp.recipient import SUBJECT_KEY_ID, is_identified, recipient_identifier
from bulkcmp.cmp.trust import EXTENSION_ERRORS, Trust, load_certificate
from bulkcmp.errors import LocalCmpError, RemoteCmpError

CM_KGA: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32")
"""id-kp-cmKGA, which lets a certificate's holder make keys for others (RFC 9810, 4.5)."""

_DATA: Final = encode(ObjectIdentifier("1.2.840.113549.1.7.1"))
_KEY_PACKAGE: Final = encode(ObjectIdentifier("2.16.840.1.101.2.1.2.78.5"))
_CONTENT_TYPE: Final = encode(ObjectIdentifier("1.2.840.113549.1.9.3"))
_MESSAGE_DIGEST: Final = encode(ObjectIdentifier("1.2.840.113549.1.9.4"))


# --- AsymmetricKeyPackage (RFC 5958) ----------------------------------------------------------


# OneAsymmetricKey ::= SEQUENCE {
#     version                   Version,       -- v1(0), v2(1)
#     privateKeyAlgorithm       PrivateKeyAlgorithmIdentifier,
#     privateKey                PrivateKey,    -- OCTET STRING
#     attributes            [0] Attributes OPTIONAL,   -- SET OF Attribute
#     publicKey             [1] PublicKey OPTIONAL }   -- BIT STRING
@sequence
class _OneAsymmetricKey:
    version: int
    privateKeyAlgorithm: AlgorithmIdentifier
    privateKey: bytes
    attributes: Annotated[list[TLV] | None, Implicit(0)] = None
    publicKey: Annotated[BitString | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        short(self.version)


# AsymmetricKeyPackage ::= SEQUENCE SIZE (1..MAX) OF OneAsymmetricKey
_decode_package = list_of(_OneAsymmetricKey)

_V1: Final = encode(0)
_V2: Final = encode(1)


def encode_package(key: PrivateKey) -> bytes:
    """DER AsymmetricKeyPackage with one key, and its public half (RFC 9483, 4.1.6)."""
    _, *fields = decode_sequence_of(pkcs8_of(key))
    info = decode_sequence_of(algorithms.public_key_info(key))
    public = wrap(0x81, content(info[1]))
    return wrap(SEQUENCE, wrap(SEQUENCE, _V2, *map(encode, fields[:2]), public))


def decode_package(der: bytes) -> PrivateKey:
    """The private key in an AsymmetricKeyPackage.

    OpenSSL 3.5 has the bare private key in its place.

    Raises:
        RemoteCmpError: it holds anything but one key of a type that is certified, or the public key
            beside it is another's.
    """
    package: list[_OneAsymmetricKey]
    try:
        package = _decode_package(der)
    except RemoteCmpError:
        return _load(der)
    if len(package) != 1:
        raise RemoteCmpError(f"a key package with {len(package)} keys, and there is to be one")
    (one,) = package
    algorithm = encode_sequence_of(one.privateKeyAlgorithm)
    # as version 1, which is all that cryptography reads
    key = _load(wrap(SEQUENCE, _V1, algorithm, encode(one.privateKey)))
    if one.publicKey is not None:
        info = decode_sequence_of(algorithms.public_key_info(key))
        if encode(one.publicKey) != encode(info[1]):
            raise RemoteCmpError("a private key beside the public key of another")
    return key


def _load(der: bytes) -> PrivateKey:
    try:
        return algorithms.load_private_key(der, is_ours=False)
    except LocalCmpError as error:
        # no more of its text: it might quote the key
        raise RemoteCmpError("a private key that can't be read") from error


def pkcs8_of(key: PrivateKey) -> bytes:
    """DER PrivateKeyInfo (PKCS#8), not encrypted, of a private key."""
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


# --- SignedData (RFC 5652, 5) -----------------------------------------------------------------


# EncapsulatedContentInfo ::= SEQUENCE {
#     eContentType      ContentType,
#     eContent      [0] EXPLICIT OCTET STRING OPTIONAL }
@sequence
class _EncapsulatedContentInfo:
    eContentType: ObjectIdentifier
    eContent: Annotated[bytes | None, Explicit(0)] = None


# SignedData ::= SEQUENCE {
#     version              CMSVersion,
#     digestAlgorithms     DigestAlgorithmIdentifiers,   -- SET OF
#     encapContentInfo     EncapsulatedContentInfo,
#     certificates     [0] IMPLICIT CertificateSet OPTIONAL,
#     crls             [1] IMPLICIT RevocationInfoChoices OPTIONAL,
#     signerInfos          SignerInfos }                 -- SET OF SignerInfo
# What is a SET OF stays an ANY, or a list of them: not all encoders sort it.
@sequence
class _SignedData:
    version: int
    digestAlgorithms: TLV
    encapContentInfo: _EncapsulatedContentInfo
    certificates: Annotated[list[TLV] | None, Implicit(0)] = None
    crls: Annotated[list[TLV] | None, Implicit(1)] = None
    signerInfos: TLV

    def __post_init__(self) -> None:
        short(self.version)


# SignerInfo ::= SEQUENCE {
#     version                CMSVersion,
#     sid                    SignerIdentifier,
#     digestAlgorithm        DigestAlgorithmIdentifier,
#     signedAttrs        [0] IMPLICIT SignedAttributes OPTIONAL,    -- SET OF Attribute
#     signatureAlgorithm     SignatureAlgorithmIdentifier,
#     signature              SignatureValue,                        -- OCTET STRING
#     unsignedAttrs      [1] IMPLICIT UnsignedAttributes OPTIONAL }
@sequence
class _SignerInfo:
    version: int
    sid: TLV
    digestAlgorithm: AlgorithmIdentifier
    signedAttrs: Annotated[list[TLV] | None, Implicit(0)] = None
    signatureAlgorithm: AlgorithmIdentifier
    signature: bytes
    unsignedAttrs: Annotated[list[TLV] | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        short(self.version)


def sign(
    package: bytes, key: SigningKey, chain: Sequence[bytes], digest: str, *, bare: bool = False
) -> bytes:
    """DER SignedData with an AsymmetricKeyPackage (RFC 9483, 4.1.6).

    Args:
        package: DER.
        key: of the key generation authority.
        chain: its DER certificates, its own first.
        digest: one of `algorithms.DIGESTS`.
        bare: the package is no AsymmetricKeyPackage but PKCS#8 alone, as OpenSSL has it.
    """
    kind = _DATA if bare else _KEY_PACKAGE
    digest_identifier = algorithms.DIGEST_IDENTIFIERS[digest]
    attributes = set_of(
        _attribute(_CONTENT_TYPE, kind),
        _attribute(_MESSAGE_DIGEST, encode(algorithms.hash_by(digest_identifier, package))),
    )
    sid = recipient_identifier(load_certificate(chain[0]))
    version = 3 if sid[0] == SUBJECT_KEY_ID else 1
    signer_info = wrap(
        SEQUENCE,
        encode(version),
        sid,
        digest_identifier,
        wrap(0xA0, content(decode(TLV, attributes))),
        algorithms.signature_identifier(key, digest),
        encode(algorithms.sign(key, digest, attributes)),
    )
    return wrap(
        SEQUENCE,
        # of a content that is not id-data, whoever signs it (RFC 5652, 5.1)
        encode(version if bare else 3),
        set_of(digest_identifier),
        wrap(SEQUENCE, kind, explicit(0, encode(package))),
        wrap(0xA0, *sorted(chain)),
        set_of(signer_info),
    )


def _attribute(oid: bytes, value: bytes) -> bytes:
    return wrap(SEQUENCE, oid, set_of(value))


@dataclass(frozen=True, slots=True)
class _Signed:
    """A SignedData, decoded and found whole; whether the signature is good is not said."""

    content: bytes
    certificates: tuple[bytes, ...]
    signer: _SignerInfo
    signed: bytes


def verify(
    der: bytes,
    trust: Trust,
    extra: Sequence[bytes],
    at: dt.datetime,
    *,
    allow_weak: bool,
    witness: Witness | None = None,
) -> PrivateKey:
    """The private key in a SignedData, once its signer was found to be a trusted authority.

    Its certificate must be that of a CA, or have the extended key usage cmKGA (RFC 9810, 4.5), and
    chain to an anchor for messages.

    Args:
        der: SignedData, without ContentInfo.
        extra: DER certificates that came along.
        at: the time of validation, aware.
        allow_weak: accept what `bulkcmp.cmp.strength` finds weak in its signature and path.
        witness: is told of each check that passed.

    Raises:
        CheckError: with the reason.
    """
    try:
        signed = _decode_signed(der)
    except RemoteCmpError as error:
        raise CheckError(Reason.KEY_SIGNATURE, error.what) from error
    known = (*signed.certificates, *extra)
    signer, name = _signer(
        signed.signer, (*known, *trust.signers.untrusted, *trust.signers.anchors)
    )
    try:
        algorithm = algorithms.cms_signature(
            encode_sequence_of(signed.signer.signatureAlgorithm),
            encode_sequence_of(signed.signer.digestAlgorithm),
        )
        algorithms.verify(
            public_key_of(signer),
            algorithm,
            signed.signer.signature,
            signed.signed,
            key_identifier=algorithms.pss_key_identifier(signer),
        )
    except RemoteCmpError as error:
        raise CheckError(Reason.KEY_SIGNATURE, error.what) from error
    if witness is not None:
        witness(passed(Reason.KEY_SIGNATURE, f"by {name}"))
    path = _check_authority(signer, name, trust, known, at)
    if witness is not None:
        witness(passed(Reason.KGA_NOT_TRUSTED, name))
    Verdicts(witness).judged(
        Reason.KEY_WEAK, strength.of_signature(algorithm) or weak_path(path), allow_weak=allow_weak
    )
    try:
        key = decode_package(signed.content)
    except RemoteCmpError as error:
        raise CheckError(Reason.KEY_MALFORMED, error.what) from error
    if witness is not None:
        witness(passed(Reason.KEY_MALFORMED, "one key"))
    return key


def _decode_signed(der: bytes) -> _Signed:
    """
    Raises:
        RemoteCmpError: it is malformed, not of one signer, or its content is not what is signed.
    """
    signed = decode(_SignedData, der)
    infos = set_elements(signed.signerInfos)
    if len(infos) != 1:
        raise RemoteCmpError(f"a SignedData with {len(infos)} signers, and there is to be one")
    signer = decode(_SignerInfo, infos[0])
    info = signed.encapContentInfo
    kind = encode(info.eContentType)
    if kind not in (_KEY_PACKAGE, _DATA) or info.eContent is None:
        raise RemoteCmpError("a SignedData without a key package in it")
    attributes = [_parsed(attribute) for attribute in signer.signedAttrs or ()]
    digest = algorithms.hash_by(encode_sequence_of(signer.digestAlgorithm), info.eContent)
    if [value for oid, value in attributes if oid == _CONTENT_TYPE] != [kind]:
        raise RemoteCmpError("the signed contentType is not that of the content")
    digests = [value for oid, value in attributes if oid == _MESSAGE_DIGEST]
    if len(digests) != 1 or not hmac.compare_digest(digests[0], encode(digest)):
        raise RemoteCmpError("the signed messageDigest is not that of the content")
    return _Signed(
        info.eContent,
        tuple(map(encode, signed.certificates or ())),
        signer,
        # signed is the SET OF itself, not the [0] under which it travels (RFC 5652, 5.4)
        wrap(SET, *map(encode, signer.signedAttrs or ())),
    )


def _parsed(attribute: TLV) -> tuple[bytes, bytes]:
    """DER of an Attribute's type and of its only value; of no value, where there are others."""
    kind, values = (*decode_sequence_of(attribute), None, None)[:2]
    if kind is None or values is None:
        raise RemoteCmpError("a malformed signed attribute")
    found = set_elements(values)
    return encode(kind), encode(found[0]) if len(found) == 1 else b""


def _signer(info: _SignerInfo, certificates: Iterable[bytes]) -> tuple[x509.Certificate, str]:
    """The certificate that a signer names, and its subject's text."""
    for der in certificates:
        # a certificate that cryptography can't read raises whatever it likes
        with suppress(Exception):
            certificate = load_certificate(der)
            if is_identified(certificate, info.sid):
                return certificate, certificate.subject.rfc4514_string()
    raise CheckError(
        Reason.KEY_SIGNATURE,
        "the certificate of who signed the private key did not come along",
        hint="give it with --untrusted",
    )


def _check_authority(
    certificate: x509.Certificate,
    name: str,
    trust: Trust,
    known: Sequence[bytes],
    at: dt.datetime,
) -> tuple[bytes, ...]:
    """Its path, the anchor last."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    try:
        path = trust.signers.cached_chain(der, known, at)
    except RemoteCmpError as error:
        raise CheckError(
            Reason.KGA_NOT_TRUSTED,
            f"the private key is signed by {name}: {error.what}",
            hint=error.hint,
        ) from error
    if not _may_make_keys(certificate):
        raise CheckError(
            Reason.KGA_NOT_TRUSTED,
            f"the private key is signed by {name}, which is neither a CA nor has the extended key"
            " usage cmKGA",
        )
    return (der, *path)


def _may_make_keys(certificate: x509.Certificate) -> bool:
    try:
        found = {extension.oid: extension.value for extension in certificate.extensions}
    except EXTENSION_ERRORS:
        return False
    constraints = found.get(x509.BasicConstraints.oid)
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        return True
    usages = found.get(x509.ExtendedKeyUsage.oid)
    return isinstance(usages, x509.ExtendedKeyUsage) and CM_KGA in usages
