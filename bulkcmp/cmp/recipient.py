"""Recipients of an EnvelopedData: RecipientInfos made and opened (RFC 5652, 6.2; RFC 9481, 4).

Key transport is RSA (RFC 8017: RSAES-PKCS1-v1_5 and RSAES-OAEP), key agreement ECDH (RFC 5753,
RFC 8418), password-based key management PBKDF2 with AES key wrap (RFC 9481, 4.3 and 4.4) or with
the PWRI-KEK of RFC 3211, which is all that OpenSSL and BouncyCastle have.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers import algorithms as ciphers
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.algorithms import AgreementKey, AlgorithmError
from bulkcmp.cmp.asn1 import (
    SEQUENCE,
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
    sequence,
    tag,
    wrap,
)
from bulkcmp.cmp.envelope import (
    CONTENT_CIPHERS,
    KARI,
    KTRI,
    PWRI,
    Recipient,
    UndecryptableError,
    content_cipher,
)
from bulkcmp.cmp.messages import AlgorithmIdentifier, short
from bulkcmp.cmp.protection import MAX_ITERATIONS, Derivation, Pbkdf2
from bulkcmp.cmp.trust import EXTENSION_ERRORS, load_certificate
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import Secret

_AgreementPublicKey: TypeAlias = (
    ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey
)

_NULL: Final = b"\x05\x00"

# --- key wrap (RFC 3394; RFC 9481, 4.3) -------------------------------------------------------

KEY_WRAPS: Final = {
    16: wrap(SEQUENCE, encode(ObjectIdentifier("2.16.840.1.101.3.4.1.5"))),
    24: wrap(SEQUENCE, encode(ObjectIdentifier("2.16.840.1.101.3.4.1.25"))),
    32: wrap(SEQUENCE, encode(ObjectIdentifier("2.16.840.1.101.3.4.1.45"))),
}
"""DER AlgorithmIdentifier of AES key wrap by the octets of the key-encryption key."""

_WRAP_LENGTHS: Final = {
    wrap(SEQUENCE, content(decode(TLV, identifier)), parameters): length
    for length, identifier in KEY_WRAPS.items()
    for parameters in (b"", _NULL)
}


def wrap_length(identifier: bytes) -> int:
    """Octets of the key-encryption key that an AlgorithmIdentifier (DER) of AES key wrap takes.

    Raises:
        AlgorithmError: it is another algorithm.
    """
    try:
        return _WRAP_LENGTHS[identifier]
    except KeyError:
        raise AlgorithmError(f"unknown key wrap algorithm {identifier.hex()}") from None


def unwrap(key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """The key that AES key wrap holds.

    Raises:
        UndecryptableError: the key-encryption key is another, or the wrapped key was changed.
    """
    try:
        return keywrap.aes_key_unwrap(key_encryption_key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError):
        raise UndecryptableError from None


# --- who is meant -----------------------------------------------------------------------------


# IssuerAndSerialNumber ::= SEQUENCE { issuer Name, serialNumber CertificateSerialNumber }
@sequence
class _IssuerAndSerialNumber:
    issuer: TLV
    serialNumber: int


# The version of a RecipientInfo follows from its form (RFC 5652, 6.2.1 to 6.2.4). It is written as
# the RFC has it, and not looked at in what is read: another form is refused as malformed.


# RecipientIdentifier ::= CHOICE {
#     issuerAndSerialNumber     IssuerAndSerialNumber,
#     subjectKeyIdentifier  [0] SubjectKeyIdentifier }   -- IMPLICIT OCTET STRING
_ISSUER_AND_SERIAL: Final = SEQUENCE
SUBJECT_KEY_ID: Final = 0x80
"""Tag of subjectKeyIdentifier."""


def recipient_identifier(certificate: x509.Certificate) -> bytes:
    """DER RecipientIdentifier, or SignerIdentifier, of a certificate.

    It is the subjectKeyIdentifier where there is one (RFC 9483, 4.1.6), else issuer and serial.
    """
    key_id = _key_id(certificate)
    return issuer_and_serial(certificate) if key_id is None else wrap(SUBJECT_KEY_ID, key_id)


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """DER IssuerAndSerialNumber of a certificate."""
    return wrap(SEQUENCE, certificate.issuer.public_bytes(), encode(certificate.serial_number))


def is_identified(certificate: x509.Certificate, identifier: TLV) -> bool:
    """Whether a RecipientIdentifier, SignerIdentifier or OriginatorIdentifier is a certificate's.

    A certificate without subjectKeyIdentifier may be named by the hash of its key (RFC 5280,
    4.2.1.2, method 1).

    Raises:
        RemoteCmpError: a malformed issuerAndSerialNumber.
    """
    if tag(identifier) == SUBJECT_KEY_ID:
        key_id = _key_id(certificate)
        if key_id is None:
            key_id = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
        return content(identifier) == key_id
    if tag(identifier) == _ISSUER_AND_SERIAL:
        named = decode(_IssuerAndSerialNumber, identifier)
        return (encode(named.issuer), named.serialNumber) == (
            certificate.issuer.public_bytes(),
            certificate.serial_number,
        )
    return False


def _key_id(certificate: x509.Certificate) -> bytes | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (x509.ExtensionNotFound, *EXTENSION_ERRORS):
        return None
    return extension.value.digest


# --- key transport (RFC 5652, 6.2.1; RFC 9481, 4.2) -------------------------------------------


# KeyTransRecipientInfo ::= SEQUENCE {
#     version                CMSVersion,  -- always set to 0 or 2
#     rid                    RecipientIdentifier,
#     keyEncryptionAlgorithm KeyEncryptionAlgorithmIdentifier,
#     encryptedKey           EncryptedKey }   -- OCTET STRING
@sequence
class _KeyTransRecipientInfo:
    version: int
    rid: TLV
    keyEncryptionAlgorithm: AlgorithmIdentifier
    encryptedKey: bytes

    def __post_init__(self) -> None:
        short(self.version)


_RSAES_PKCS1: Final = encode(ObjectIdentifier("1.2.840.113549.1.1.1"))


def transport(key: bytes, certificate: x509.Certificate, oaep: str | None = "sha256") -> bytes:
    """DER ktri: the content-encryption key, encrypted to the RSA key of a certificate.

    Args:
        key: content-encryption key.
        oaep: digest of RSAES-OAEP and of its MGF1, one of `algorithms.DIGESTS`; None for
            RSAES-PKCS1-v1_5.

    Raises:
        LocalCmpError: the certificate's key is not one of RSA, or too short, or the digest is one
            of SHA-3.
    """
    public_key = certificate.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise LocalCmpError("key transport needs a certificate for an RSA key")
    if oaep is None:
        algorithm = wrap(SEQUENCE, _RSAES_PKCS1, _NULL)
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    else:
        chosen = algorithms.Oaep(oaep, oaep)
        algorithm, scheme = chosen.identifier(), chosen.padding()
    try:
        encrypted = public_key.encrypt(key, scheme)
    except UnsupportedAlgorithm as error:
        raise LocalCmpError(f"RSAES-OAEP with {oaep}: {error}") from error
    except ValueError as error:
        raise LocalCmpError(f"an RSA key of {public_key.key_size} bits is too short") from error
    rid = recipient_identifier(certificate)
    version = 2 if rid[0] == SUBJECT_KEY_ID else 0
    return wrap(KTRI, encode(version), rid, algorithm, encode(encrypted))


def _transported(private_key: rsa.RSAPrivateKey, info: _KeyTransRecipientInfo) -> bytes:
    algorithm = info.keyEncryptionAlgorithm
    identifier = encode_sequence_of(algorithm)
    oaep = algorithms.oaep_of(identifier)
    if oaep is not None:
        scheme: padding.AsymmetricPadding = oaep.padding()
    elif algorithm and encode(algorithm[0]) == _RSAES_PKCS1:
        scheme = padding.PKCS1v15()
    else:
        raise AlgorithmError(f"unknown key transport algorithm {identifier.hex()}")
    try:
        # what fails in PKCS #1 v1.5 gives another key: OpenSSL rejects implicitly
        return private_key.decrypt(info.encryptedKey, scheme)
    except ValueError:
        raise UndecryptableError from None
    except UnsupportedAlgorithm as error:
        # RSAES-OAEP with SHA-3
        raise AlgorithmError(f"key transport that can't be done here: {error}") from error


# --- key agreement (RFC 5652, 6.2.2; RFC 5753; RFC 8418; RFC 9481, 4.1) -----------------------


# RecipientEncryptedKey ::= SEQUENCE { rid KeyAgreeRecipientIdentifier, encryptedKey EncryptedKey }
# KeyAgreeRecipientIdentifier ::= CHOICE {
#     issuerAndSerialNumber     IssuerAndSerialNumber,
#     rKeyId                [0] IMPLICIT RecipientKeyIdentifier }
# RecipientKeyIdentifier ::= SEQUENCE {
#     subjectKeyIdentifier SubjectKeyIdentifier,
#     date GeneralizedTime OPTIONAL, other OtherKeyAttribute OPTIONAL }
@sequence
class _RecipientEncryptedKey:
    rid: TLV
    encryptedKey: bytes


# KeyAgreeRecipientInfo ::= SEQUENCE {
#     version                    CMSVersion,  -- always set to 3
#     originator             [0] EXPLICIT OriginatorIdentifierOrKey,
#     ukm                    [1] EXPLICIT UserKeyingMaterial OPTIONAL,   -- OCTET STRING
#     keyEncryptionAlgorithm     KeyEncryptionAlgorithmIdentifier,
#     recipientEncryptedKeys     RecipientEncryptedKeys }  -- SEQUENCE OF RecipientEncryptedKey
# OriginatorIdentifierOrKey ::= CHOICE {
#     issuerAndSerialNumber     IssuerAndSerialNumber,
#     subjectKeyIdentifier  [0] SubjectKeyIdentifier,
#     originatorKey         [1] OriginatorPublicKey }
@sequence
class _KeyAgreeRecipientInfo:
    version: int
    originator: Annotated[TLV, Explicit(0)]
    ukm: Annotated[bytes | None, Explicit(1)] = None
    keyEncryptionAlgorithm: AlgorithmIdentifier
    recipientEncryptedKeys: list[_RecipientEncryptedKey]

    def __post_init__(self) -> None:
        short(self.version)


# OriginatorPublicKey ::= SEQUENCE { algorithm AlgorithmIdentifier, publicKey BIT STRING }
# It is a SubjectPublicKeyInfo, but that parameters of id-ecPublicKey may be absent or NULL.
@sequence
class _OriginatorPublicKey:
    algorithm: AlgorithmIdentifier
    publicKey: BitString


_R_KEY_ID: Final = 0xA0
_ORIGINATOR_KEY: Final = 0xA1

_EC_PUBLIC_KEY: Final = encode(ObjectIdentifier("1.2.840.10045.2.1"))
_X25519: Final = encode(ObjectIdentifier("1.3.101.110"))
_X448: Final = encode(ObjectIdentifier("1.3.101.111"))

_X963: Final = {
    "1.3.133.16.840.63.0.2": "sha1",
    "1.3.132.1.11.0": "sha224",
    "1.3.132.1.11.1": "sha256",
    "1.3.132.1.11.2": "sha384",
    "1.3.132.1.11.3": "sha512",
}
"""dhSinglePass-stdDH-*kdf-scheme by the digest of ANSI X9.63's KDF."""

_X963_COFACTOR: Final = {
    "1.3.133.16.840.63.0.3": "sha1",
    "1.3.132.1.14.0": "sha224",
    "1.3.132.1.14.1": "sha256",
    "1.3.132.1.14.2": "sha384",
    "1.3.132.1.14.3": "sha512",
}
"""dhSinglePass-cofactorDH-*kdf-scheme; the cofactor of our curves is 1, so they are the same."""

_HKDF: Final = {
    "1.2.840.113549.1.9.16.3.19": "sha256",
    "1.2.840.113549.1.9.16.3.20": "sha384",
    "1.2.840.113549.1.9.16.3.21": "sha512",
}
"""dhSinglePass-stdDH-hkdf-*-scheme by the digest of HKDF (RFC 8418, 2.2)."""

_SCHEMES: Final = {
    encode(ObjectIdentifier(oid)): (digest, hkdf)
    for oids, hkdf in ((_X963, False), (_X963_COFACTOR, False), (_HKDF, True))
    for oid, digest in oids.items()
}
_SCHEME_OIDS: Final = {(digest, hkdf): oid for oid, (digest, hkdf) in reversed(_SCHEMES.items())}


def agree(
    key: bytes,
    certificate: x509.Certificate,
    originator: AgreementKey,
    *,
    originator_certificate: x509.Certificate | None = None,
    ukm: bytes | None = None,
) -> bytes:
    """DER kari: the content-encryption key, wrapped by what two keys agree on.

    The KDF is X9.63's with the digest of RFC 5753, 7.1.4, for an EC key, and HKDF for X25519
    (SHA-256) and X448 (SHA-512).

    Args:
        key: content-encryption key; the key-encryption key has as many octets.
        certificate: the recipient's.
        originator: an ephemeral key; or that of `originator_certificate`, by which the originator
            is then named.
        ukm: user keying material, random. With a key that is not ephemeral there must be some.

    Raises:
        LocalCmpError: the two keys are not of one kind and curve.
    """
    digest, hkdf = _scheme_for(originator)
    try:
        secret = algorithms.agree(originator, certificate.public_key())
    except RemoteCmpError as error:
        raise LocalCmpError(
            "key agreement needs a certificate for a key of the originator's curve"
        ) from error
    algorithm = KEY_WRAPS[len(key)]
    kek = _agreed(secret, digest, hkdf, algorithm, len(key), ukm)
    named = (
        _originator_key(originator.public_key())
        if originator_certificate is None
        else recipient_identifier(originator_certificate)
    )
    key_id = _key_id(certificate)
    rid = issuer_and_serial(certificate) if key_id is None else wrap(_R_KEY_ID, encode(key_id))
    return wrap(
        KARI,
        encode(3),
        explicit(0, named),
        b"" if ukm is None else explicit(1, encode(ukm)),
        wrap(SEQUENCE, _SCHEME_OIDS[digest, hkdf], algorithm),
        wrap(SEQUENCE, wrap(SEQUENCE, rid, encode(keywrap.aes_key_wrap(kek, key)))),
    )


def _scheme_for(key: AgreementKey) -> tuple[str, bool]:
    if isinstance(key, x25519.X25519PrivateKey):
        return "sha256", True
    if isinstance(key, x448.X448PrivateKey):
        return "sha512", True
    size = key.curve.key_size
    return ("sha256" if size <= 256 else "sha384" if size <= 384 else "sha512"), False


def _originator_key(key: _AgreementPublicKey) -> bytes:
    """DER of an OriginatorPublicKey, under its tag."""
    return wrap(_ORIGINATOR_KEY, content(decode(TLV, algorithms.public_bytes(key))))


# ECC-CMS-SharedInfo ::= SEQUENCE {
#     keyInfo         AlgorithmIdentifier,
#     entityUInfo [0] EXPLICIT OCTET STRING OPTIONAL,
#     suppPubInfo [2] EXPLICIT OCTET STRING }
def _agreed(
    secret: bytes, digest: str, hkdf: bool, key_wrap: bytes, length: int, ukm: bytes | None
) -> bytes:
    """The key-encryption key (RFC 5753, 7.2; RFC 8418, 2.1 and 2.2).

    With HKDF, the ukm is the salt, and stands in the info as well (RFC 8418, 2.2: PRK =
    HKDF-Extract(ukm, K), KEK = HKDF-Expand(PRK, DER ECC-CMS-SharedInfo, length)).
    """
    info = wrap(
        SEQUENCE,
        key_wrap,
        b"" if ukm is None else explicit(0, encode(ukm)),
        explicit(2, encode((8 * length).to_bytes(4, "big"))),
    )
    algorithm = algorithms.DIGESTS[digest]()
    if hkdf:
        return HKDF(algorithm, length, ukm, info).derive(secret)
    return X963KDF(algorithm, length, info).derive(secret)


def _originator_public_key(recipient: AgreementKey, element: TLV) -> object:
    """The public key in an originatorKey, which is on the recipient's curve whatever it says."""
    key = decode(_OriginatorPublicKey, wrap(SEQUENCE, content(element)))
    oid = encode(key.algorithm[0]) if key.algorithm else b""
    octets = key.publicKey.as_bytes()
    try:
        if isinstance(recipient, ec.EllipticCurvePrivateKey):
            if oid == _EC_PUBLIC_KEY:
                return ec.EllipticCurvePublicKey.from_encoded_point(recipient.curve, octets)
        elif isinstance(recipient, x25519.X25519PrivateKey):
            if oid == _X25519:
                return x25519.X25519PublicKey.from_public_bytes(octets)
        elif oid == _X448:
            return x448.X448PublicKey.from_public_bytes(octets)
    except ValueError:
        pass
    raise UndecryptableError


# --- passwords (RFC 5652, 6.2.4; RFC 3211; RFC 9481, 4.3 and 4.4) -----------------------------


# PasswordRecipientInfo ::= SEQUENCE {
#     version                    CMSVersion,  -- always set to 0
#     keyDerivationAlgorithm [0] KeyDerivationAlgorithmIdentifier OPTIONAL,
#     keyEncryptionAlgorithm     KeyEncryptionAlgorithmIdentifier,
#     encryptedKey               EncryptedKey }   -- OCTET STRING
@sequence
class _PasswordRecipientInfo:
    version: int
    keyDerivationAlgorithm: Annotated[AlgorithmIdentifier | None, Implicit(0)] = None
    keyEncryptionAlgorithm: AlgorithmIdentifier
    encryptedKey: bytes

    def __post_init__(self) -> None:
        short(self.version)


_PWRI_KEK: Final = encode(ObjectIdentifier("1.2.840.113549.1.9.16.3.9"))
_BLOCK: Final = 16

PWRI_KEK_NOISE: Final = 3 * _BLOCK
"""Random octets that PWRI-KEK takes: an IV, and padding."""


def password(
    key: bytes,
    secret: Secret,
    salt: bytes,
    *,
    prf: str = "hmac-sha256",
    iterations: int = 10_000,
    pwri_kek: bytes | None = None,
) -> bytes:
    """DER pwri: the content-encryption key, wrapped by a key that PBKDF2 makes of a secret.

    Args:
        key: content-encryption key; the key-encryption key has as many octets.
        salt: random; not that of the message's MAC (RFC 9483, 4.1.6.3).
        prf: one of `algorithms.MACS`.
        pwri_kek: PWRI_KEK_NOISE random octets to wrap by PWRI-KEK (RFC 3211), which is all that
            OpenSSL and BouncyCastle read; None for AES key wrap, as RFC 9481 has it.
    """
    kdf = protection.pbkdf2_identifier(salt, prf, iterations, len(key))
    pbkdf2 = Pbkdf2.of(decode_sequence_of(kdf), key_length=len(key), max_iterations=iterations)
    kek = protection.derive(pbkdf2.derivation(secret))
    if pwri_kek is None:
        algorithm, wrapped = KEY_WRAPS[len(key)], keywrap.aes_key_wrap(kek, key)
    else:
        iv = pwri_kek[:_BLOCK]
        cbc = wrap(SEQUENCE, encode(CONTENT_CIPHERS[len(key)]), encode(iv))
        algorithm = wrap(SEQUENCE, _PWRI_KEK, cbc)
        wrapped = _pwri_wrap(kek, iv, key, pwri_kek[_BLOCK:])
    return wrap(
        PWRI,
        encode(0),
        wrap(0xA0, content(decode(TLV, kdf))),
        algorithm,
        encode(wrapped),
    )


def _pwri_wrap(kek: bytes, iv: bytes, key: bytes, noise: bytes) -> bytes:
    """RFC 3211, 2.3.1: the key with count and check value, encrypted twice."""
    block = bytes((len(key), *(octet ^ 0xFF for octet in key[:3]))) + key
    size = max(2 * _BLOCK, -(-len(block) // _BLOCK) * _BLOCK)
    encryptor = Cipher(ciphers.AES(kek), modes.CBC(iv)).encryptor()
    once = encryptor.update(block + noise[: size - len(block)])
    return encryptor.update(once) + encryptor.finalize()


def _pwri_unwrap(kek: bytes, iv: bytes, wrapped: bytes) -> bytes:
    """RFC 3211, 2.3.2."""
    if len(wrapped) < 2 * _BLOCK or len(wrapped) % _BLOCK:
        raise UndecryptableError
    # the last block of the inner ciphertext is what the outer encryption began with
    last = _cbc(kek, wrapped[-2 * _BLOCK : -_BLOCK], wrapped[-_BLOCK:])
    inner = _cbc(kek, last, wrapped[:-_BLOCK]) + last
    block = _cbc(kek, iv, inner)
    key = block[4 : 4 + block[0]]
    check = bytes(octet ^ 0xFF for octet in key[:3])
    if len(key) != block[0] or not hmac.compare_digest(check, block[1:4]):
        raise UndecryptableError
    return key


def _cbc(key: bytes, iv: bytes, encrypted: bytes) -> bytes:
    decryptor = Cipher(ciphers.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(encrypted) + decryptor.finalize()


# --- those who open ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyRecipient:
    """Who holds a private key: of RSA for ktri, of a curve for kari.

    Attributes:
        private_key: the key.
        certificate: by which the RecipientInfo names it; None takes any name, as where there is no
            certificate for the key yet.
        originators: DER certificates among which that of a kari's originator may be: extraCerts.
    """

    private_key: rsa.RSAPrivateKey | AgreementKey = field(repr=False)
    certificate: x509.Certificate | None
    originators: Sequence[bytes] = ()

    def content_key(self, info: TLV, certificates: Sequence[bytes]) -> bytes | None:
        if isinstance(self.private_key, rsa.RSAPrivateKey):
            if tag(info) != KTRI:
                return None
            ktri = decode(_KeyTransRecipientInfo, info)
            return _transported(self.private_key, ktri) if self._is_meant(ktri.rid) else None
        if tag(info) != KARI:
            return None
        kari = decode(_KeyAgreeRecipientInfo, wrap(SEQUENCE, content(info)))
        for encrypted in kari.recipientEncryptedKeys:
            if self._is_meant(_plain_identifier(encrypted.rid)):
                return self._agreed(self.private_key, kari, encrypted.encryptedKey, certificates)
        return None

    def _is_meant(self, rid: TLV) -> bool:
        return self.certificate is None or is_identified(self.certificate, rid)

    def _agreed(
        self,
        private_key: AgreementKey,
        kari: _KeyAgreeRecipientInfo,
        wrapped: bytes,
        certificates: Sequence[bytes],
    ) -> bytes:
        algorithm = kari.keyEncryptionAlgorithm
        scheme = _SCHEMES.get(encode(algorithm[0])) if len(algorithm) == 2 else None
        if scheme is None:
            identifier = encode_sequence_of(algorithm)
            raise AlgorithmError(f"unknown key agreement algorithm {identifier.hex()}")
        key_wrap = encode(algorithm[1])
        length = wrap_length(key_wrap)
        if tag(kari.originator) == _ORIGINATOR_KEY:
            public_key = _originator_public_key(private_key, kari.originator)
        else:
            public_key = _named_key((*certificates, *self.originators), kari.originator)
        try:
            secret = algorithms.agree(private_key, public_key)
        except RemoteCmpError:
            raise UndecryptableError from None
        return unwrap(_agreed(secret, *scheme, key_wrap, length, kari.ukm), wrapped)


def _plain_identifier(rid: TLV) -> TLV:
    """A KeyAgreeRecipientIdentifier as a RecipientIdentifier."""
    if tag(rid) != _R_KEY_ID:
        return rid
    fields = decode_sequence_of(wrap(SEQUENCE, content(rid)))
    return decode(TLV, wrap(SUBJECT_KEY_ID, *map(content, fields[:1])))


def _named_key(certificates: Iterable[bytes], identifier: TLV) -> object:
    """The public key of the certificate that an originator names.

    Raises:
        RemoteCmpError: there is none.
    """
    for der in certificates:
        try:
            certificate = load_certificate(der)
            if is_identified(certificate, identifier):
                return certificate.public_key()
        except Exception:  # noqa: S112  # a certificate that cryptography can't read raises whatever
            continue
    raise RemoteCmpError("the certificate of the key agreement's originator did not come along")


@dataclass(frozen=True, slots=True)
class PasswordRecipient:
    """Who holds a secret, for pwri.

    Attributes:
        max_iterations: of PBKDF2 above which an EnvelopedData is refused.
        derive: makes the key-encryption key; a driver may have it at hand.
    """

    secret: Secret
    max_iterations: int = MAX_ITERATIONS
    derive: Callable[[Derivation], bytes] = protection.derive

    def content_key(self, info: TLV, certificates: Sequence[bytes]) -> bytes | None:
        if tag(info) != PWRI:
            return None
        pwri = _pwri(info)
        derivation, iv = self._derivation(pwri)
        key = self.derive(derivation)
        return (
            unwrap(key, pwri.encryptedKey)
            if iv is None
            else _pwri_unwrap(key, iv, pwri.encryptedKey)
        )

    def derivation(self, info: TLV) -> Derivation | None:
        """How the key-encryption key of a RecipientInfo is derived; None where it is no pwri.

        Raises:
            RemoteCmpError: as of `envelope.decrypt`.
        """
        return self._derivation(_pwri(info))[0] if tag(info) == PWRI else None

    def _derivation(self, pwri: _PasswordRecipientInfo) -> tuple[Derivation, bytes | None]:
        """And the IV of PWRI-KEK, if the key is wrapped so."""
        length, iv = _key_encryption(pwri.keyEncryptionAlgorithm)
        if pwri.keyDerivationAlgorithm is None:
            raise RemoteCmpError("a pwri without its key derivation algorithm")
        pbkdf2 = Pbkdf2.of(
            pwri.keyDerivationAlgorithm, key_length=length, max_iterations=self.max_iterations
        )
        if pbkdf2.key_length != length:
            raise RemoteCmpError(
                f"PBKDF2 gives {pbkdf2.key_length} octets, the key wrap takes {length}"
            )
        return pbkdf2.derivation(self.secret), iv


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Who holds several: a key, and a secret."""

    recipients: tuple[Recipient, ...]

    def content_key(self, info: TLV, certificates: Sequence[bytes]) -> bytes | None:
        for recipient in self.recipients:
            key = recipient.content_key(info, certificates)
            if key is not None:
                return key
        return None


def _pwri(info: TLV) -> _PasswordRecipientInfo:
    return decode(_PasswordRecipientInfo, wrap(SEQUENCE, content(info)))


def _key_encryption(algorithm: AlgorithmIdentifier) -> tuple[int, bytes | None]:
    """Octets of the key-encryption key, and the IV of PWRI-KEK if it is that."""
    if len(algorithm) != 2 or encode(algorithm[0]) != _PWRI_KEK:
        return wrap_length(encode_sequence_of(algorithm)), None
    cipher = content_cipher(decode_sequence_of(algorithm[1]))
    return cipher.key_length, cipher.iv
