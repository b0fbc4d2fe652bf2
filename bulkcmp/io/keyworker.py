"""The key-making process: what runs on the far side of the key pool's pipes.

It imports no more than it needs, for each process pays for its imports. A request is a line
`SPEC COUNT`; an answer is one frame, a kind octet and a 32-bit length before the body. The body
of `KEYS` holds each key after its own 32-bit length; the body of `REFUSED` is a text.
"""

import os
import struct
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.model import KeyFamily, KeySpec

KEYS: Final = 0
REFUSED: Final = 1
HEAD: Final = struct.Struct(">BI")
_LENGTH: Final = struct.Struct(">I")

_CURVES: Final[dict[str, Callable[[], ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_ML_DSA: Final[dict[str, Callable[[], PrivateKeyTypes]]] = {
    "44": mldsa.MLDSA44PrivateKey.generate,
    "65": mldsa.MLDSA65PrivateKey.generate,
    "87": mldsa.MLDSA87PrivateKey.generate,
}
_ML_KEM: Final[dict[str, Callable[[], PrivateKeyTypes]]] = {
    "768": mlkem.MLKEM768PrivateKey.generate,
    "1024": mlkem.MLKEM1024PrivateKey.generate,
}
# FIPS 186-5, A.1.1: e is odd and greater than 2**16
_RSA_EXPONENT: Final = 65537


def make_keys(spec: KeySpec, count: int) -> list[bytes]:
    """Make `count` private keys.

    Returns:
        Each key as an unencrypted PKCS#8 DER (RFC 5958); ML-DSA and ML-KEM in the seed form
        (RFC 9881, 6; RFC 9935, 6).

    Raises:
        UnsupportedAlgorithm: the OpenSSL under `cryptography` can't make such keys.
    """
    make = _maker(spec)
    return [
        make().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        for _ in range(count)
    ]


def _maker(spec: KeySpec) -> Callable[[], PrivateKeyTypes]:
    match spec.family:
        case KeyFamily.RSA:
            bits = int(spec.parameter)
            return lambda: rsa.generate_private_key(_RSA_EXPONENT, bits)
        case KeyFamily.EC:
            curve = _CURVES[spec.parameter]()
            return lambda: ec.generate_private_key(curve)
        case KeyFamily.ED25519:
            return ed25519.Ed25519PrivateKey.generate
        case KeyFamily.ED448:
            return ed448.Ed448PrivateKey.generate
        case KeyFamily.ML_DSA:
            return _ML_DSA[spec.parameter]
        case KeyFamily.ML_KEM:
            return _ML_KEM[spec.parameter]


def pack(keys: list[bytes]) -> bytes:
    """The body of a `KEYS` frame."""
    return b"".join(part for key in keys for part in (_LENGTH.pack(len(key)), key))


def unpack(body: bytes) -> list[bytes]:
    """The keys in the body of a `KEYS` frame."""
    keys = []
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        keys.append(body[at : at + length])
        at += length
    return keys


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their stream ends, as it does when the parent is gone."""
    for line in requests:
        spec, count = line.decode("ascii").split()
        try:
            kind, body = KEYS, pack(make_keys(KeySpec.parse(spec), int(count)))
        except UnsupportedAlgorithm as error:
            kind, body = REFUSED, str(error).encode()
        answers.write(HEAD.pack(kind, len(body)) + body)
        answers.flush()


def main() -> None:
    """Serve the pipes of standard input and output until they end."""
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # the parent was killed; an ordinary exit would try to flush into the broken pipe
        os._exit(0)
