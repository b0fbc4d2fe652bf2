"""Message protection (RFC 9810, 5.1.3): password-based MAC and signature, made and checked.

A MAC key is derived apart from its use, so that a driver can cache derivations and run dear ones
elsewhere: `mac_parameters` says what a message wants, `derive` makes the key, `check_mac` uses it.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import ObjectIdentifier, decode, encode, sequence, wrap
from bulkcmp.cmp.messages import AlgorithmIdentifier, PKIMessage, short
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Secret

PASSWORD_BASED_MAC: Final = ObjectIdentifier("1.2.840.113533.7.66.13")
_PASSWORD_BASED_MAC_DER: Final = encode(PASSWORD_BASED_MAC)

MIN_ITERATIONS: Final = 1
MAX_ITERATIONS: Final = 100_000
"""Iteration count above which a response is refused by default: a peer must not buy our CPU."""

MAX_SALT: Final = 1024
"""Octets of salt above which a response is refused."""


# PBMParameter ::= SEQUENCE {
#     salt                OCTET STRING,
#     owf                 AlgorithmIdentifier{DIGEST-ALGORITHM, {...}},
#     iterationCount      INTEGER,
#     mac                 AlgorithmIdentifier{MAC-ALGORITHM, {...}} }
@sequence
class _PBMParameter:
    salt: bytes
    owf: AlgorithmIdentifier
    iterationCount: int
    mac: AlgorithmIdentifier

    def __post_init__(self) -> None:
        short(self.iterationCount)


@dataclass(frozen=True, slots=True)
class MacParameters:
    """PBMParameter (RFC 9810, 5.1.3.1).

    Attributes:
        salt: octets.
        owf: `hashlib` name of the one-way function.
        iterations: how often owf is applied.
        mac: `hashlib` name of the digest in the HMAC.
        identifier: DER AlgorithmIdentifier, as it stands in protectionAlg.
    """

    salt: bytes
    owf: str
    iterations: int
    mac: str
    identifier: bytes = field(repr=False)

    @classmethod
    def choose(
        cls, salt: bytes, *, owf: str = "sha256", iterations: int = 1024, mac: str = "hmac-sha256"
    ) -> "MacParameters":
        """Parameters of our own; `owf` and `mac` are names as in `openssl cmp -digest -mac`.

        Raises:
            KeyError: a name that is not in `algorithms.DIGESTS` or `algorithms.MACS`.
        """
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


@dataclass(frozen=True, slots=True)
class Derivation:
    """What a MAC key is derived from; equal derivations give equal keys, so it is a cache key."""

    secret: Secret
    salt: bytes
    owf: str
    iterations: int


def derive(derivation: Derivation) -> bytes:
    """The PBM key: owf applied iterationCount times to secret || salt (RFC 9810, 5.1.3.1)."""
    if derivation.owf == "sha256":
        owf = hashlib.sha256
        key = owf(derivation.secret.reveal() + derivation.salt).digest()
        for _ in repeat(None, derivation.iterations - 1):
            key = owf(key).digest()
        return key
    key = hashlib.new(derivation.owf, derivation.secret.reveal() + derivation.salt).digest()
    for _ in repeat(None, derivation.iterations - 1):
        key = hashlib.new(derivation.owf, key).digest()
    return key


def algorithm_of(message: PKIMessage) -> bytes | None:
    """DER of a message's protectionAlg, or None where it has none."""
    algorithm = message.header.protectionAlg
    return None if algorithm is None else wrap(0x30, *map(encode, algorithm))


def mac_parameters(
    message: PKIMessage, *, max_iterations: int = MAX_ITERATIONS
) -> MacParameters | None:
    """The PBM parameters of a message; None where it is not protected by a password-based MAC.

    Raises:
        RemoteCmpError: malformed parameters, an unknown owf or mac, or an iteration count outside
            1 to `max_iterations`.
    """
    return parameters_of(message.header.protectionAlg or [], max_iterations=max_iterations)


def parameters_of(
    algorithm: AlgorithmIdentifier, *, max_iterations: int = MAX_ITERATIONS
) -> MacParameters | None:
    """The PBM parameters of a protectionAlg; returns and raises as `mac_parameters`."""
    if not algorithm or encode(algorithm[0]) != _PASSWORD_BASED_MAC_DER:
        return None
    if len(algorithm) != 2:
        raise RemoteCmpError("passwordBasedMac without its PBMParameter")
    parameter = decode(_PBMParameter, algorithm[1])
    if not MIN_ITERATIONS <= parameter.iterationCount <= max_iterations:
        raise RemoteCmpError(
            f"the MAC wants {parameter.iterationCount} iterations, accepted are"
            f" {MIN_ITERATIONS} to {max_iterations}",
            hint="if you trust this peer, raise --max-pbm-iterations",
        )
    if len(parameter.salt) > MAX_SALT:
        raise RemoteCmpError(f"the MAC's salt has {len(parameter.salt)} octets")
    return MacParameters(
        salt=parameter.salt,
        owf=algorithms.digest_of(wrap(0x30, *map(encode, parameter.owf))),
        iterations=parameter.iterationCount,
        mac=algorithms.mac_digest_of(wrap(0x30, *map(encode, parameter.mac))),
        identifier=wrap(0x30, *map(encode, algorithm)),
    )


def mac(key: bytes, parameters: MacParameters, protected_part: bytes) -> bytes:
    """The MAC over a ProtectedPart (DER)."""
    return hmac.digest(key, protected_part, parameters.mac)


def check_mac(message: PKIMessage, parameters: MacParameters, key: bytes) -> None:
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
        RemoteCmpError: the signature is absent or wrong, or of an unknown algorithm.
    """
    algorithm = algorithm_of(message)
    if message.protection is None or algorithm is None:
        raise RemoteCmpError("the message is not protected")
    algorithms.verify(public_key_of(signer), algorithm, message.protection, message.protected_part)


def public_key_of(certificate: x509.Certificate) -> object:
    """The public key of a certificate.

    Raises:
        RemoteCmpError: a key that can't be read.
    """
    try:
        return certificate.public_key()
    except Exception as error:
        raise RemoteCmpError(f"the signer's public key can't be read: {error}") from error
