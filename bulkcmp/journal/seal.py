"""Keys at rest: each is sealed by AES-256-GCM under one random data key per run or key file.

The data key is wrapped under a key derived from the passphrase, so the dear derivation is paid
once for a file and not once for each of its 100,000 keys. The wrapping is authenticated: a wrong
passphrase is found when the file is opened, before any work.

The derivation is scrypt (RFC 7914) with N = 2**17, r = 8, p = 1, the first choice that OWASP's
Password Storage Cheat Sheet gives for it: 128 MiB and 0.25 s on the machine of DESIGN.md. It is
not Argon2id because two threads that derive at once, with more than one lane, wait for each
other for ever (seen with cryptography 50.0.2; they share OpenSSL's one budget of threads), and
with one lane it is not what RFC 9106 recommends.

A *plain* seal (`--plain-keys`) encrypts nothing but goes through the same calls. It keeps a
checksum, so that damage and swapped rows are noticed there too; it protects against nobody.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bulkcmp.errors import InputError, Where
from bulkcmp.model import Secret

_VERSION: Final = 1
_CIPHER: Final = "AES-256-GCM"
_NO_CIPHER: Final = "none"
_KDF: Final = "scrypt"

WORK: Final = 1 << 17
"""N of scrypt (RFC 7914) for new seals: memory is N times 1,024 octets, and time goes with it."""

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 16

# the first byte of whatever was sealed, so that neither form is ever taken for the other
_PLAIN: Final = b"\x00"
_SEALED: Final = b"\x01"

# What a header may ask for: a file from a stranger must not cost a terabyte or an hour.
_MAX_HEADER_CHARS: Final = 4096
_MAX_MEMORY: Final = 1 << 30
"""Octets."""
_MAX_WORK: Final = 4 << 30
"""Octets written: memory times p; some 8 s."""


@dataclass(frozen=True, slots=True)
class _Scrypt:
    n: int
    r: int
    p: int
    salt: str

    def derive(self, passphrase: Secret) -> AESGCM:
        salt = bytes.fromhex(self.salt)
        kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=self.n, r=self.r, p=self.p)
        return AESGCM(kdf.derive(passphrase.reveal()))

    @classmethod
    def read(cls, fields: Any) -> Self | None:
        """The parameters that a header names, or None where they are malformed or too dear."""
        if not isinstance(fields, dict) or fields.keys() != {"name", "n", "r", "p", "salt"}:
            return None
        n, r, p = fields["n"], fields["r"], fields["p"]
        # bool is an int to isinstance
        if not all(type(number) is int and number >= 1 for number in (n, r, p)):
            return None
        # RFC 7914, 2 and 6: N is a power of 2, 1 < N < 2**(128 * r / 8); memory is 128 * r * N
        memory = 128 * r * n
        bounded = memory <= _MAX_MEMORY and memory * p <= _MAX_WORK
        allowed = n > 1 and n & (n - 1) == 0 and n.bit_length() - 1 < 16 * r
        salt = _unhex(fields["salt"])
        if salt is None or len(salt) != _SALT_BYTES or fields["name"] != _KDF:
            return None
        return cls(n, r, p, fields["salt"]) if bounded and allowed else None


class Seal:
    """Seals private keys for one run or key file. Its methods may be called from any thread.

    A data key seals at most 2**32 keys (NIST SP 800-38D, 8.3: random 96-bit nonces).
    """

    __slots__ = ("_cipher", "_header", "_where")

    def __init__(self, header: str, cipher: AESGCM | None, where: Where | None) -> None:
        self._header = header
        self._cipher = cipher
        self._where = where

    @classmethod
    def create(cls, passphrase: Secret | None, *, where: Where | None = None) -> Self:
        """Make a seal with a fresh data key; None makes a plain one.

        Args:
            passphrase: wraps the data key; costs about 0.25 s and 128 MiB.
            where: the file that errors shall name.

        Raises:
            InputError: the passphrase is empty.
        """
        if passphrase is None:
            return cls(_canonical({"version": _VERSION, "cipher": _NO_CIPHER}), None, where)
        refuse_empty(passphrase, where)
        kdf = _Scrypt(n=WORK, r=8, p=1, salt=os.urandom(_SALT_BYTES).hex())
        header = {"version": _VERSION, "cipher": _CIPHER, "kdf": {"name": _KDF, **asdict(kdf)}}
        data_key = os.urandom(_KEY_BYTES)
        wrapped = _encrypt(kdf.derive(passphrase), data_key, _canonical(header).encode())
        return cls(_canonical({**header, "wrapped": wrapped.hex()}), AESGCM(data_key), where)

    @classmethod
    def open(cls, header: str, passphrase: Secret | None, *, where: Where | None = None) -> Self:
        """Open a seal by the header that `create` gave.

        Raises:
            InputError: wrong passphrase; a passphrase where there is none to give, or none where
                one is needed; a header that is damaged, of another version, or that asks for
                more memory or time than a sane one does.
        """
        fields = _read_header(header, where)
        if fields["cipher"] == _NO_CIPHER:
            if passphrase is not None:
                raise InputError(
                    "a passphrase was given, but the keys are stored unencrypted",
                    where=where,
                    hint="give --plain-keys instead of --key-pass",
                )
            return cls(header, None, where)
        if passphrase is None:
            raise InputError(
                "the keys are encrypted and no passphrase was given",
                where=where,
                hint="give it with --key-pass (pass:…, env:… or file:…)",
            )
        kdf = _Scrypt.read(fields.get("kdf"))
        wrapped = _unhex(fields.pop("wrapped", None))
        if kdf is None or wrapped is None:
            raise _bad_header(where)
        try:
            data_key = _decrypt(kdf.derive(passphrase), wrapped, _canonical(fields).encode())
        except InvalidTag:
            raise InputError(
                "wrong passphrase",
                where=where,
                hint="give with --key-pass the passphrase that the keys were made with",
            ) from None
        return cls(header, AESGCM(data_key), where)

    @property
    def header(self) -> str:
        """What `open` needs besides the passphrase; holds nothing secret. One line of JSON."""
        return self._header

    @property
    def is_plain(self) -> bool:
        return self._cipher is None

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal `plaintext`; `context` names its place and must be the same for `unseal`."""
        if self._cipher is None:
            return _PLAIN + _checksum(plaintext, context) + plaintext
        return _SEALED + _encrypt(self._cipher, plaintext, context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Give back what was sealed.

        Raises:
            InputError: `sealed` is damaged, was sealed by another seal, or stands in another
                place than the one it was sealed for.
        """
        body = sealed[1:]
        if self._cipher is None:
            if sealed[:1] == _PLAIN:
                plaintext = body[_CHECKSUM_BYTES:]
                if body[:_CHECKSUM_BYTES] == _checksum(plaintext, context):
                    return plaintext
        elif sealed[:1] == _SEALED:
            try:
                return _decrypt(self._cipher, body, context)
            except InvalidTag:
                pass
        raise InputError(
            "a stored key is damaged or stands in another's place",
            where=self._where,
            hint="the file was changed after it was written: restore it from a copy",
        )


def refuse_empty(passphrase: Secret | None, where: Where | None = None) -> None:
    """Check what can be checked of a passphrase before a file is made for it.

    Raises:
        InputError: the passphrase is empty.
    """
    if passphrase is not None and not passphrase.reveal():
        raise InputError(
            "the passphrase for the keys is empty",
            where=where,
            hint="give one that is not, or --plain-keys to store the keys unencrypted",
        )


def is_plain_header(header: str, *, where: Where | None = None) -> bool:
    """Whether the keys under `header` are stored unencrypted; needs no passphrase.

    Raises:
        InputError: the header is damaged or of another version.
    """
    return bool(_read_header(header, where)["cipher"] == _NO_CIPHER)


def _read_header(header: str, where: Where | None) -> dict[str, Any]:
    try:
        fields = json.loads(header) if len(header) <= _MAX_HEADER_CHARS else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise _bad_header(where)
    if fields.get("version") != _VERSION:
        raise InputError(
            f"the keys are sealed in format {fields.get('version')!r}, this is bulkcmp for"
            f" format {_VERSION}",
            where=where,
            hint="use the version of bulkcmp that wrote the file",
        )
    if fields.get("cipher") not in (_CIPHER, _NO_CIPHER):
        raise _bad_header(where)
    return fields


def _bad_header(where: Where | None) -> InputError:
    return InputError(
        "the header of the sealed keys is damaged",
        where=where,
        hint="the file was changed after it was written: restore it from a copy",
    )


def _canonical(header: dict[str, Any]) -> str:
    return json.dumps(header, sort_keys=True, separators=(",", ":"))


def _unhex(text: object) -> bytes | None:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _encrypt(cipher: AESGCM, plaintext: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, associated)


def _decrypt(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    if len(sealed) < _NONCE_BYTES:
        raise InvalidTag
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)


def _checksum(plaintext: bytes, context: bytes) -> bytes:
    framed = len(context).to_bytes(8, "big") + context + plaintext
    return hashlib.sha256(framed).digest()[:_CHECKSUM_BYTES]
