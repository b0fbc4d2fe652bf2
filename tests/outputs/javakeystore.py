"""Java keystores read back, by what is known of the format: for tests."""

import hashlib
import io
import struct

from pyasn1.codec.der import decoder
from pyasn1_modules import rfc5208


def read_java_keystore(data: bytes, password: str) -> list[tuple[str, bytes, list[bytes]]]:
    """Alias, key (PKCS#8 DER) and chain of each private key of a JKS, whose digest was checked."""
    octets = password.encode("utf-16-be")
    body, digest = data[:-20], data[-20:]
    assert digest == hashlib.sha1(octets + b"Mighty Aphrodite" + body).digest()
    file = io.BytesIO(body)

    def number(form: str) -> int:
        (value,) = struct.unpack(f">{form}", file.read(struct.calcsize(form)))
        return int(value)

    assert (number("I"), number("I")) == (0xFEEDFEED, 2)
    entries = []
    for _ in range(number("I")):
        assert number("I") == 1
        alias = file.read(number("H")).decode("utf-8", "surrogatepass")
        assert 1e12 < number("Q") < 4e12
        key = _unprotected(file.read(number("I")), octets)
        chain = []
        for _ in range(number("I")):
            assert file.read(number("H")) == b"X.509"
            chain.append(file.read(number("I")))
        entries.append((alias, key, chain))
    assert not file.read()
    return entries


def _unprotected(protected: bytes, password: bytes) -> bytes:
    info, _ = decoder.decode(protected, asn1Spec=rfc5208.EncryptedPrivateKeyInfo())
    assert str(info["encryptionAlgorithm"]["algorithm"]) == "1.3.6.1.4.1.42.2.17.1.1"
    octets = bytes(info["encryptedData"])
    digest, encrypted, check = octets[:20], octets[20:-20], octets[-20:]
    key = b""
    while len(key) < len(encrypted):
        digest = hashlib.sha1(password + digest).digest()
        key += bytes(a ^ b for a, b in zip(encrypted[len(key) :], digest, strict=False))
    assert check == hashlib.sha1(password + key).digest()
    return key
