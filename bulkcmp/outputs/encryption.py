"""Private keys under a passphrase: EncryptedPrivateKeyInfo (RFC 5958, 3) by PBES2 (RFC 8018, 6.2)
with PBKDF2 and AES-256-CBC.

A library's PKCS#8 encryption derives a key from the passphrase for each private key, which takes
half as long as all the cryptography of an enrollment. Here the passphrase's key is derived once for
all that it encrypts, with one salt, and each private key has an IV of its own. That gives nothing
away: the passphrase is the same for all of them, so whoever guesses it for one has them all.
"""

import hashlib
import os
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from bulkcmp.cmp.asn1 import SEQUENCE, ObjectIdentifier, encode, wrap
from bulkcmp.cmp.protection import pbkdf2_identifier
from bulkcmp.model import Secret

_DIGEST: Final = "sha256"
_ITERATIONS: Final = 20_000
"""As many as `cryptography` gives PKCS#12 files; for PKCS#8 it has 2,048."""
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_BLOCK_BYTES: Final = 16

_PBES2: Final = encode(ObjectIdentifier("1.2.840.113549.1.5.13"))
_AES256_CBC: Final = encode(ObjectIdentifier("2.16.840.1.101.3.4.1.42"))


class KeyEncryption:
    """Encrypts private keys under one passphrase. Its methods may be called from any thread."""

    __slots__ = ("_cipher", "_kdf")

    def __init__(self, passphrase: Secret) -> None:
        salt = os.urandom(_SALT_BYTES)
        key = hashlib.pbkdf2_hmac(_DIGEST, passphrase.reveal(), salt, _ITERATIONS, _KEY_BYTES)
        self._cipher = AES(key)
        self._kdf = pbkdf2_identifier(salt, f"hmac-{_DIGEST}", _ITERATIONS, _KEY_BYTES)

    def encrypt(self, key: bytes) -> bytes:
        """DER EncryptedPrivateKeyInfo of a private key (PKCS#8 DER)."""
        iv = os.urandom(_BLOCK_BYTES)
        padder = PKCS7(8 * _BLOCK_BYTES).padder()
        encryptor = Cipher(self._cipher, CBC(iv)).encryptor()
        encrypted = encryptor.update(padder.update(key) + padder.finalize()) + encryptor.finalize()
        scheme = wrap(SEQUENCE, _AES256_CBC, encode(iv))
        algorithm = wrap(SEQUENCE, _PBES2, wrap(SEQUENCE, self._kdf, scheme))
        return wrap(SEQUENCE, algorithm, encode(encrypted))


@lru_cache(maxsize=1)
def key_encryption(passphrase: Secret) -> KeyEncryption:
    """What encrypts under a passphrase; a process has one at a time."""
    return KeyEncryption(passphrase)
