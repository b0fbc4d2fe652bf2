"""The DHBasedMac (RFC 9810, 5.1.3.2): a MAC whose key both sides make by Diffie-Hellman, each of
its own key and the other's certificate."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import (
    SEQUENCE,
    ObjectIdentifier,
    decode,
    encode,
    encode_sequence_of,
    sequence,
    wrap,
)
from bulkcmp.cmp.messages import AlgorithmIdentifier, PKIMessage
from bulkcmp.errors import RemoteCmpError

DH_BASED_MAC: Final = ObjectIdentifier("1.2.840.113533.7.66.30")

_DH_BASED_MAC_DER: Final = encode(DH_BASED_MAC)


# DHBMParameter ::= SEQUENCE {
#     owf  AlgorithmIdentifier{DIGEST-ALGORITHM, {...}},
#     mac  AlgorithmIdentifier{MAC-ALGORITHM, {...}} }
@sequence
class _DHBMParameter:
    owf: AlgorithmIdentifier
    mac: AlgorithmIdentifier


@dataclass(frozen=True, slots=True)
class DhMacParameters:
    """DHBMParameter.

    Attributes:
        digest: `hashlib` name of the one-way function.
        mac: `hashlib` name of the digest in the HMAC.
        identifier: DER AlgorithmIdentifier, as it stands in protectionAlg.
    """

    digest: str
    mac: str
    identifier: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"DHBasedMac, {self.digest}, hmac {self.mac}"

    @classmethod
    def choose(cls, owf: str = "sha256", mac: str = "hmac-sha256") -> "DhMacParameters":
        """Parameters of our own; names are as in `openssl cmp -digest -mac`.

        Raises:
            KeyError: a name that is not in `algorithms.DIGESTS` or `algorithms.MACS`.
        """
        owf_identifier = algorithms.DIGEST_IDENTIFIERS[owf]
        mac_identifier = algorithms.MAC_IDENTIFIERS[mac]
        return cls(
            algorithms.digest_of(owf_identifier),
            algorithms.mac_digest_of(mac_identifier),
            wrap(SEQUENCE, _DH_BASED_MAC_DER, wrap(SEQUENCE, owf_identifier, mac_identifier)),
        )

    def derive(self, secret: bytes) -> bytes:
        """The MAC's key, of the result of Diffie-Hellman (`algorithms.agree`).

        It is BASEKEY whole: an HMAC takes a key of any length (RFC 2104, 3), so nothing is to be
        cut off or added, as with PBM.
        """
        return hashlib.new(self.digest, secret).digest()


def dh_mac_parameters(message: PKIMessage) -> DhMacParameters | None:
    """The parameters of a message's DHBasedMac; None where it is protected otherwise.

    Raises:
        RemoteCmpError: malformed parameters, or algorithms that are not known here.
    """
    algorithm = message.header.protectionAlg or []
    if not algorithm or encode(algorithm[0]) != _DH_BASED_MAC_DER:
        return None
    if len(algorithm) != 2:
        raise RemoteCmpError("a DHBasedMac without its DHBMParameter")
    parameter = decode(_DHBMParameter, algorithm[1])
    return DhMacParameters(
        algorithms.digest_of(encode_sequence_of(parameter.owf)),
        algorithms.mac_digest_of(encode_sequence_of(parameter.mac)),
        encode_sequence_of(algorithm),
    )
