"""PBM's one-way function, applied over and over (RFC 9810, 5.1.3.1): the dearest step of a MAC.

A loop in Python spends most of its time on objects around the hash: 500 times SHA-256 take 138 us.
OpenSSL has had the same chain since its first days: EVP_BytesToKey, whose first block is
H^count(data) where no salt is given, takes 38 us for it and releases the interpreter meanwhile. It
is called by `ctypes` in the very libcrypto that Python's `hashlib` is linked with. What can't be
had there (a Python without OpenSSL, or with it linked in statically; OpenSSL before 3.0; a digest
that a FIPS provider refuses), or fails its first test, is done by the loop.
"""

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import repeat
from typing import Final

_Chain = Callable[[bytes, int], bytes | None]
"""H^count(data) of one digest; None where it failed."""

_CIPHERS: Final = {
    20: ("AES-128-WRAP-PAD", 16),
    28: ("AES-128-GCM", 16),
    32: ("AES-256-ECB", 32),
    48: ("AES-256-CBC", 32),
    64: ("AES-256-SIV", 64),
}
"""Of each length of a digest, octets, the cipher that asks EVP_BytesToKey for exactly so many, and
how many of them are its key; the others are its IV. Nothing is encrypted. A longer one would cost a
second chain."""

_MOST: Final = (1 << 31) - 1
"""What a C int holds."""

_KNOWN: Final = (b"known answer", 3)


def iterated(digest: str, data: bytes, count: int) -> bytes:
    """The digest of the digest of ... the data.

    Args:
        digest: `hashlib` name of a digest of RFC 9481, 2.
        count: how many times; at least 1.
    """
    chain = _openssl(digest)
    if chain is not None and max(count, len(data)) <= _MOST:
        result = chain(data, count)
        if result is not None:
            return result
    return _loop(digest, data, count)


def is_native() -> bool:
    """Whether OpenSSL does it for SHA-256, without the loop in Python."""
    return _openssl("sha256") is not None


def _loop(digest: str, data: bytes, count: int) -> bytes:
    owf = getattr(hashlib, digest)
    result: bytes = owf(data).digest()
    for _ in repeat(None, count - 1):
        result = owf(result).digest()
    return result


@cache
def _openssl(digest: str) -> _Chain | None:
    """The chain in OpenSSL; None where it can't be had, or does not agree with the loop."""
    library = _libcrypto()
    chain = None if library is None else _chain(library, digest)
    if chain is None or chain(*_KNOWN) != _loop(digest, *_KNOWN):
        return None
    return chain


@cache
def _libcrypto() -> ctypes.CDLL | None:
    """The libcrypto of `hashlib`, with the types of what is used of it; None where it has not all
    of that."""
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    try:
        library = ctypes.CDLL(import_module("_hashlib").__file__)
        # all three are of 3.0. A digest that is not fetched is looked up again in each round,
        # which takes three times as long as the hash
        for fetch in (library.EVP_MD_fetch, library.EVP_CIPHER_fetch):
            fetch.restype = pointer
            fetch.argtypes = (pointer, text, text)
        library.EVP_BytesToKey.restype = number
        library.EVP_BytesToKey.argtypes = (
            pointer, pointer, text, text, number, number, pointer, pointer,
        )  # fmt: skip
        library.ERR_clear_error.restype = None
        library.ERR_clear_error.argtypes = ()
    except (ImportError, AttributeError, OSError):
        return None
    return library


def _chain(library: ctypes.CDLL, digest: str) -> _Chain | None:
    # What fails leaves no errors behind: the next user of this thread's queue of them would take
    # them for its own.
    length = hashlib.new(digest).digest_size
    name, key_length = _CIPHERS[length]
    cipher = library.EVP_CIPHER_fetch(None, name.encode(), None)
    owf = library.EVP_MD_fetch(None, digest.replace("_", "-").encode(), None)
    if not cipher or not owf:
        library.ERR_clear_error()
        return None
    room, derive, byref = ctypes.c_char * length, library.EVP_BytesToKey, ctypes.byref

    def chain(data: bytes, count: int) -> bytes | None:
        result = room()
        got = derive(
            cipher, owf, None, data, len(data), count, byref(result), byref(result, key_length)
        )
        if got != key_length:
            library.ERR_clear_error()
            return None
        return result.raw

    return chain
