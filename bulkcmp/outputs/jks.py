"""Java keystores of type JKS, which every Java opens: `keytool -storetype JKS`.

The format is what Sun's `JavaKeyStore` reads, the encryption of keys that of its `KeyProtector`.
SHA-1 is part of both: a JKS is only as good as its password. It is written here, for of the
libraries that know it one has not been kept since 2020, the other is one author's, and both bring
three more for their other formats. A Java since 8u60 opens a PKCS#12 by this type too; older ones,
and other readers of `.jks`, don't.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from bulkcmp.cmp.asn1 import SEQUENCE, ObjectIdentifier, encode, wrap
from bulkcmp.model import Secret

MIN_PASSWORD: Final = 6
"""Characters that `keytool` asks for at least."""

_MAGIC: Final = 0xFEEDFEED
_VERSION: Final = 2
_PRIVATE_KEY_ENTRY: Final = 1
_DIGEST_BYTES: Final = 20
_NULL: Final = b"\x05\x00"
_KEY_PROTECTOR: Final = wrap(SEQUENCE, encode(ObjectIdentifier("1.3.6.1.4.1.42.2.17.1.1")), _NULL)


def java_keystore(
    alias: str, key: bytes | None, certificates: Sequence[bytes], password: Secret, created: float
) -> bytes:
    """A keystore with one private key and its certificates.

    Args:
        alias: of the entry; it is stored in lower case, as Java itself does, which looks for it so.
        key: PKCS#8 DER, not encrypted; None leaves the keystore empty, since it would say of a
            certificate without a key that it is trusted.
        certificates: DER, that of the key first.
        password: UTF-8; of the keystore and of the key in it.
        created: when the entry was made, Unix time, seconds.
    """
    octets = _utf16(password)
    content = struct.pack(">III", _MAGIC, _VERSION, 0 if key is None else 1)
    if key is not None:
        protected = wrap(SEQUENCE, _KEY_PROTECTOR, encode(_protect(key, octets)))
        content += struct.pack(">I", _PRIVATE_KEY_ENTRY) + _text(alias.lower())
        content += struct.pack(">Q", int(created * 1000)) + _sized(protected)
        content += _chain(certificates)
    return content + _integrity(content, octets)


def is_java_keystore(
    content: bytes, certificates: Sequence[bytes], password: Secret, *, has_key: bool
) -> bool:
    """Whether `content` is a whole keystore under this password, of these certificates."""
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if digest != _integrity(body, _utf16(password)):
        return False
    if not has_key:
        return len(body) == struct.calcsize(">III")
    return body.endswith(_chain(certificates))


def _chain(certificates: Sequence[bytes]) -> bytes:
    entries = (_text("X.509") + _sized(certificate) for certificate in certificates)
    return struct.pack(">I", len(certificates)) + b"".join(entries)


def _protect(key: bytes, password: bytes) -> bytes:
    """Salt, the key under a stream of SHA-1 digests, and a digest of the key."""
    salt = os.urandom(_DIGEST_BYTES)
    stream = b"".join(_digests(password, salt, len(key)))[: len(key)]
    encrypted = int.from_bytes(key) ^ int.from_bytes(stream)
    return salt + encrypted.to_bytes(len(key)) + _sha1(password + key)


def _digests(password: bytes, salt: bytes, length: int) -> Iterator[bytes]:
    digest = salt
    for _ in range(0, length, _DIGEST_BYTES):
        digest = _sha1(password + digest)
        yield digest


def _integrity(body: bytes, password: bytes) -> bytes:
    return _sha1(password + b"Mighty Aphrodite" + body)


def _sha1(octets: bytes) -> bytes:
    # the format knows no other
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def _utf16(password: Secret) -> bytes:
    return password.reveal().decode().encode("utf-16-be")


def _text(text: str) -> bytes:
    """What Java's `writeUTF` makes of a text: each UTF-16 unit of it in UTF-8."""
    units = text.encode("utf-16-be")
    octets = "".join(map(chr, struct.unpack(f">{len(units) // 2}H", units))).encode(
        "utf-8", "surrogatepass"
    )
    return struct.pack(">H", len(octets)) + octets


def _sized(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets
