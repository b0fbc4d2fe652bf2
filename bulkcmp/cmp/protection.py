"""Message protection (RFC 9810, 5.1.3): password-based MAC and signature, made and checked.

A MAC key is derived apart from its use, so that a driver can cache derivations and run dear ones
elsewhere: `mac_parameters` says what a message wants, `derive` makes the key, `check_mac` uses it.
PBM and PBMAC1 go the same way, and differ only in what `derive` does.
"""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Protocol

from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    decode,
    decode_sequence_of,
    encode,
    encode_sequence_of,
    sequence,
    wrap,
)
from bulkcmp.cmp.messages import AlgorithmIdentifier, PKIMessage, short
from bulkcmp.cmp.owf import iterated
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import PasswordMac, Profile, Secret

PASSWORD_BASED_MAC: Final = ObjectIdentifier("1.2.840.113533.7.66.13")
PBMAC1: Final = ObjectIdentifier("1.2.840.113549.1.5.14")
PBKDF2: Final = ObjectIdentifier("1.2.840.113549.1.5.12")
_PASSWORD_BASED_MAC_DER: Final = encode(PASSWORD_BASED_MAC)
_PBMAC1_DER: Final = encode(PBMAC1)
_PBKDF2_DER: Final = encode(PBKDF2)

MIN_ITERATIONS: Final = 1
MAX_ITERATIONS: Final = 100_000
"""Iteration count above which a response is refused by default: a peer must not buy our CPU."""

MAX_COST: Final = 2_500_000
"""HMACs of one PBKDF2 above which a response is refused, unless the ceiling of the iteration count
is higher still: 10,000 iterations for EJBCA's 4096 octets of key are 1,280,000 with HMAC-SHA256,
and 2,050,000 with HMAC-SHA1 (about half a second)."""

MAX_KEY_LENGTH: Final = 4096
"""Octets of a PBMAC1 key above which a response is refused; EJBCA asks for so many."""

MAX_SALT: Final = 1024
"""Octets of salt above which a response is refused."""

_CACHE_SIZE: Final = 256
"""Parameters of peers that answers repeat: a client keeps its own for a while."""

_PBKDF2_ITERATIONS: Final = (1 << 31) - 1
"""More than that, hashlib does not take."""


# PBMParameter ::= SEQUENCE {
#     salt                OCTET STRING,
#     owf                 AlgorithmIdentifier{DIGEST-ALGORITHM, {...}},
#     iterationCount      INTEGER,
#     mac                 AlgorithmIdentifier{MAC-ALGORITHM, {...}} }
@sequence
class _PBMParameter:
    salt: bytes
    owf: TLV
    iterationCount: int
    mac: TLV

    def __post_init__(self) -> None:
        short(self.iterationCount)


# PBMAC1-params ::= SEQUENCE {
#     keyDerivationFunc  AlgorithmIdentifier {{PBMAC1-KDFs}},
#     messageAuthScheme  AlgorithmIdentifier {{PBMAC1-MACs}} }
@sequence
class _PBMAC1Params:
    keyDerivationFunc: AlgorithmIdentifier
    messageAuthScheme: TLV


# PBKDF2-params ::= SEQUENCE {
#     salt CHOICE {
#         specified    OCTET STRING,
#         otherSource  AlgorithmIdentifier {{PBKDF2-SaltSources}} },  -- of which there are none
#     iterationCount  INTEGER (1..MAX),
#     keyLength       INTEGER (1..MAX) OPTIONAL,
#     prf             AlgorithmIdentifier {{PBKDF2-PRFs}} DEFAULT algid-hmacWithSHA1 }
@sequence
class _PBKDF2Params:
    salt: bytes
    iterationCount: int
    keyLength: int | None = None
    prf: AlgorithmIdentifier | None = None

    def __post_init__(self) -> None:
        short(self.iterationCount, self.keyLength or 0)


_DEFAULT_PRF: Final = "hmac-sha1"


@dataclass(frozen=True, slots=True)
class Derivation:
    """What a MAC key is derived from; equal derivations give equal keys, so it is a cache key.

    Attributes:
        digest: `hashlib` name of PBM's one-way function, or of the digest in PBKDF2's PRF.
        iterations: iteration count.
        kind: how it is derived.
        key_length: octets of a PBMAC1 key; PBM's are as many as its one-way function gives.
    """

    secret: Secret
    salt: bytes
    digest: str
    iterations: int
    kind: PasswordMac = PasswordMac.PBM
    key_length: int = 0

    @property
    def cost(self) -> int:
        """How many hashes (PBM) or HMACs (PBMAC1) the derivation takes."""
        if self.kind is PasswordMac.PBM:
            return self.iterations
        return _pbkdf2_cost(self.digest, self.iterations, self.key_length)


@dataclass(frozen=True, slots=True)
class MacParameters:
    """PBMParameter (RFC 9810, 5.1.3.1), or PBMAC1-params with PBKDF2 (RFC 8018, A.5 and A.2).

    Attributes:
        salt: octets.
        digest: `hashlib` name of PBM's one-way function, or of the digest in PBKDF2's PRF.
        iterations: iteration count.
        mac: `hashlib` name of the digest in the HMAC.
        identifier: DER AlgorithmIdentifier, as it stands in protectionAlg.
        kind: which of the two.
        key_length: octets of a PBMAC1 key; 0 for PBM.
    """

    salt: bytes
    digest: str
    iterations: int
    mac: str
    identifier: bytes = field(repr=False)
    kind: PasswordMac = PasswordMac.PBM
    key_length: int = 0

    def __str__(self) -> str:
        return f"{self.kind.value}, {self.iterations} iterations of {self.digest}, hmac {self.mac}"

    @classmethod
    def choose(
        cls,
        salt: bytes,
        *,
        kind: PasswordMac = PasswordMac.PBM,
        owf: str = "sha256",
        prf: str = "hmac-sha256",
        iterations: int = 1024,
        mac: str = "hmac-sha256",
    ) -> "MacParameters":
        """Parameters of our own; `owf` and `mac` are names as in `openssl cmp -digest -mac`.

        `owf` counts for PBM only, `prf` for PBMAC1 only. HMAC-SHA256 is the one PRF that every
        EJBCA takes, and it must be told the key's length: that of the HMAC's digest.

        Raises:
            KeyError: a name that is not in `algorithms.DIGESTS` or `algorithms.MACS`.
        """
        if kind is PasswordMac.PBMAC1:
            return cls._choose_pbmac1(salt, prf, iterations, mac)
        owf_identifier = algorithms.DIGEST_IDENTIFIERS[owf]
        mac_identifier = algorithms.MAC_IDENTIFIERS[mac]
        identifier = wrap(
            0x30,
            _PASSWORD_BASED_MAC_DER,
            wrap(0x30, encode(salt), owf_identifier, encode(iterations), mac_identifier),
        )
        return cls(
            salt,
            algorithms.digest_of(owf_identifier),
            iterations,
            algorithms.mac_digest_of(mac_identifier),
            identifier,
        )

    @classmethod
    def of(cls, profile: Profile, salt: bytes) -> "MacParameters":
        """Those that a profile asks for.

        Raises:
            KeyError: as of `choose`.
        """
        return cls.choose(
            salt,
            kind=profile.password_mac,
            owf=profile.digest,
            iterations=profile.pbm_iterations,
            mac=profile.mac,
        )

    @classmethod
    def _choose_pbmac1(cls, salt: bytes, prf: str, iterations: int, mac: str) -> "MacParameters":
        mac_identifier = algorithms.PKCS5_MAC_IDENTIFIERS[mac]
        mac_digest = algorithms.mac_digest_of(mac_identifier)
        key_length = _digest_size(mac_digest)
        kdf = pbkdf2_identifier(salt, prf, iterations, key_length)
        identifier = wrap(0x30, _PBMAC1_DER, wrap(0x30, kdf, mac_identifier))
        prf_digest = algorithms.mac_digest_of(algorithms.PKCS5_MAC_IDENTIFIERS[prf])
        return cls(
            salt, prf_digest, iterations, mac_digest, identifier, PasswordMac.PBMAC1, key_length
        )

    def with_salt(self, salt: bytes) -> "MacParameters":
        """The same parameters, to the octet, with another salt."""
        identifier = encode(salt)
        for before, behind in _around_salt(self.identifier, self.kind):
            identifier = wrap(0x30, before, identifier, behind)
        return replace(self, salt=salt, identifier=identifier)

    def derivation(self, secret: Secret) -> Derivation:
        """How the key is derived from a secret."""
        return Derivation(
            secret, self.salt, self.digest, self.iterations, self.kind, self.key_length
        )


_SALT_AT: Final = {PasswordMac.PBM: (1, 0), PasswordMac.PBMAC1: (1, 0, 1, 0)}
"""Where the salt is: the place in the AlgorithmIdentifier, in what stands there, and so on."""


@lru_cache(maxsize=_CACHE_SIZE)
def _around_salt(identifier: bytes, kind: PasswordMac) -> tuple[tuple[bytes, bytes], ...]:
    """What stands before and behind the salt in each SEQUENCE around it, the innermost first."""
    layers = []
    for place in _SALT_AT[kind]:
        elements = list(map(encode, decode_sequence_of(identifier)))
        layers.append((b"".join(elements[:place]), b"".join(elements[place + 1 :])))
        identifier = elements[place]
    return tuple(reversed(layers))


def _digest_size(digest: str) -> int:
    return hashlib.new(digest).digest_size


def _pbkdf2_cost(digest: str, iterations: int, key_length: int) -> int:
    """HMACs of a PBKDF2: each block of the key takes all iterations (RFC 8018, 5.2)."""
    return iterations * -(-key_length // _digest_size(digest))


def derive(derivation: Derivation) -> bytes:
    """The MAC's key.

    PBM: owf applied iterationCount times to secret || salt (RFC 9810, 5.1.3.1). PBMAC1: PBKDF2
    (RFC 8018, 5.2).
    """
    secret, salt = derivation.secret.reveal(), derivation.salt
    if derivation.kind is PasswordMac.PBMAC1:
        return hashlib.pbkdf2_hmac(
            derivation.digest, secret, salt, derivation.iterations, derivation.key_length
        )
    return iterated(derivation.digest, secret + salt, derivation.iterations)


def algorithm_of(message: PKIMessage) -> bytes | None:
    """DER of a message's protectionAlg, or None where it has none."""
    algorithm = message.header.protectionAlg
    return None if algorithm is None else encode_sequence_of(algorithm)


def mac_parameters(
    message: PKIMessage, *, max_iterations: int = MAX_ITERATIONS
) -> MacParameters | None:
    """The MAC parameters of a message; None where it is not protected by a password-based MAC.

    Raises:
        RemoteCmpError: malformed parameters, an unknown digest, MAC or key derivation function, or
            one that costs more than `max_iterations`, MAX_COST, MAX_KEY_LENGTH and MAX_SALT allow.
    """
    return parameters_of(message.header.protectionAlg or [], max_iterations=max_iterations)


def parameters_of(
    algorithm: AlgorithmIdentifier, *, max_iterations: int = MAX_ITERATIONS
) -> MacParameters | None:
    """The MAC parameters of a protectionAlg; returns and raises as `mac_parameters`."""
    oid = encode(algorithm[0]) if algorithm else b""
    if oid == _PASSWORD_BASED_MAC_DER:
        if len(algorithm) != 2:
            raise RemoteCmpError("passwordBasedMac without its PBMParameter")
        return _pbm_parameters(algorithm, max_iterations)
    if oid == _PBMAC1_DER:
        if len(algorithm) != 2:
            raise RemoteCmpError("PBMAC1 without its PBMAC1-params")
        return _pbmac1_parameters(algorithm, max_iterations)
    return None


def _pbm_parameters(algorithm: AlgorithmIdentifier, max_iterations: int) -> MacParameters:
    parameter = decode(_PBMParameter, algorithm[1])
    _check_derivation(parameter.salt, parameter.iterationCount, max_iterations)
    return MacParameters(
        salt=parameter.salt,
        digest=algorithms.digest_of(encode(parameter.owf)),
        iterations=parameter.iterationCount,
        mac=algorithms.mac_digest_of(encode(parameter.mac)),
        identifier=encode_sequence_of(algorithm),
    )


def _pbmac1_parameters(algorithm: AlgorithmIdentifier, max_iterations: int) -> MacParameters:
    params = decode(_PBMAC1Params, algorithm[1])
    mac_digest = algorithms.mac_digest_of(encode(params.messageAuthScheme))
    pbkdf2 = Pbkdf2.of(
        params.keyDerivationFunc,
        # absent, it is what the MAC has of its own
        key_length=_digest_size(mac_digest),
        max_iterations=max_iterations,
    )
    return MacParameters(
        salt=pbkdf2.salt,
        digest=pbkdf2.digest,
        iterations=pbkdf2.iterations,
        mac=mac_digest,
        identifier=encode_sequence_of(algorithm),
        kind=PasswordMac.PBMAC1,
        key_length=pbkdf2.key_length,
    )


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """Parameters of PBKDF2 (RFC 8018, A.2).

    Attributes:
        salt: octets.
        digest: `hashlib` name of the digest in the PRF, an HMAC.
        iterations: iteration count.
        key_length: octets of the key.
    """

    salt: bytes
    digest: str
    iterations: int
    key_length: int

    @classmethod
    def of(
        cls, kdf: AlgorithmIdentifier, *, key_length: int, max_iterations: int = MAX_ITERATIONS
    ) -> "Pbkdf2":
        """The parameters of a key derivation function that a peer chose.

        Args:
            key_length: octets of the key where the parameters do not say.

        Raises:
            RemoteCmpError: not PBKDF2, malformed parameters, an unknown PRF, or a derivation that
                costs more than `max_iterations`, MAX_COST, MAX_KEY_LENGTH and MAX_SALT allow.
        """
        if len(kdf) != 2 or encode(kdf[0]) != _PBKDF2_DER:
            raise algorithms.AlgorithmError(
                f"unknown key derivation function {encode_sequence_of(kdf).hex()}"
            )
        params = decode(_PBKDF2Params, kdf[1])
        iterations = params.iterationCount
        _check_derivation(params.salt, iterations, min(max_iterations, _PBKDF2_ITERATIONS))
        prf = (
            algorithms.PKCS5_MAC_IDENTIFIERS[_DEFAULT_PRF]
            if params.prf is None
            else encode_sequence_of(params.prf)
        )
        digest = algorithms.mac_digest_of(prf)
        length = key_length if params.keyLength is None else params.keyLength
        if not 1 <= length <= MAX_KEY_LENGTH:
            raise RemoteCmpError(
                f"the key derivation wants a key of {length} octets, accepted are 1 to"
                f" {MAX_KEY_LENGTH}"
            )
        cost, ceiling = _pbkdf2_cost(digest, iterations, length), max(MAX_COST, max_iterations)
        if cost > ceiling:
            raise RemoteCmpError(
                f"the key derivation wants {iterations} iterations for a key of {length} octets,"
                f" which are {cost} HMACs; accepted are {ceiling}",
                hint=f"if you trust this peer, raise --max-pbm-iterations to {cost}",
            )
        return cls(params.salt, digest, iterations, length)

    def derivation(self, secret: Secret) -> Derivation:
        """How the key is derived from a secret."""
        return Derivation(
            secret, self.salt, self.digest, self.iterations, PasswordMac.PBMAC1, self.key_length
        )


def pbkdf2_identifier(salt: bytes, prf: str, iterations: int, key_length: int) -> bytes:
    """DER AlgorithmIdentifier of a PBKDF2 of our own.

    Raises:
        KeyError: `prf` is not in `algorithms.MACS`.
    """
    prf_identifier = algorithms.PKCS5_MAC_IDENTIFIERS[prf]
    params = wrap(
        0x30,
        encode(salt),
        encode(iterations),
        encode(key_length),
        # DER leaves a DEFAULT out
        b"" if prf == _DEFAULT_PRF else prf_identifier,
    )
    return wrap(0x30, _PBKDF2_DER, params)


def _check_derivation(salt: bytes, iterations: int, max_iterations: int) -> None:
    if not MIN_ITERATIONS <= iterations <= max_iterations:
        raise RemoteCmpError(
            f"the key derivation wants {iterations} iterations, accepted are"
            f" {MIN_ITERATIONS} to {max_iterations}",
            hint="if you trust this peer, raise --max-pbm-iterations",
        )
    if len(salt) > MAX_SALT:
        raise RemoteCmpError(f"the key derivation's salt has {len(salt)} octets")


class HmacParameters(Protocol):
    """Parameters of a MAC, of whatever its key is derived."""

    @property
    def mac(self) -> str:
        """`hashlib` name of the digest in the HMAC."""

    @property
    def identifier(self) -> bytes:
        """DER AlgorithmIdentifier, as it stands in protectionAlg."""


def mac(key: bytes, parameters: HmacParameters, protected_part: bytes) -> bytes:
    """The MAC over a ProtectedPart (DER)."""
    return hmac.digest(key, protected_part, parameters.mac)


def check_mac(message: PKIMessage, parameters: HmacParameters, key: bytes) -> None:
    """Check a message's MAC, in constant time.

    Raises:
        RemoteCmpError: the MAC is absent or wrong.
    """
    expected = mac(key, parameters, message.protected_part)
    if message.protection is None or not hmac.compare_digest(expected, message.protection):
        raise RemoteCmpError("the MAC is wrong: another secret, or a changed message")


def check_signature(message: PKIMessage, signer: x509.Certificate) -> None:
    """Check a message's signature by the public key of `signer`; its right to sign is not judged.

    Raises:
        RemoteCmpError: the signature is absent or wrong, of an unknown algorithm, or of one that
            the signer's key is not for.
    """
    algorithm = algorithm_of(message)
    if message.protection is None or algorithm is None:
        raise RemoteCmpError("the message is not protected")
    algorithms.verify(
        public_key_of(signer),
        algorithm,
        message.protection,
        message.protected_part,
        key_identifier=algorithms.pss_key_identifier(signer),
    )


@lru_cache(maxsize=algorithms.REMEMBERED)
def public_key_of(certificate: x509.Certificate) -> object:
    """The public key of a certificate, remembered for those that sign many messages.

    Raises:
        RemoteCmpError: a key that can't be read.
    """
    try:
        return certificate.public_key()
    except Exception as error:
        raise RemoteCmpError(f"the signer's public key can't be read: {error}") from error
