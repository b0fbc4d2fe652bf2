"""PKCS#12 files (RFC 7292): a private key, its certificate and its chain in one."""

from collections.abc import Sequence
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    pkcs12,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, PKCS12PrivateKeyTypes

from bulkcmp.model import Secret

_ITERATIONS: Final = 20_000
_LEGACY_ITERATIONS: Final = 2048
"""As many as OpenSSL has always taken; slow devices count each of them."""


class Pkcs12:
    """A PKCS#12 that is to be made, or to be found again.

    It holds no key that does not belong to its certificate (a CA that certified another key), and
    none where there is none: it then has the certificates only.

    Args:
        name: friendlyName of the key and its certificate.
        key: PKCS#8 DER, not encrypted.
        certificate: DER; chain: DER, in the order in which they are to stand.
        password: UTF-8; None leaves it all unencrypted.
        legacy: encrypt by 3DES with a key derived by SHA-1, with a MAC of SHA-1, for devices that
            know no PBES2 with AES (RFC 8018).

    Raises:
        ValueError, TypeError: a certificate or the key can't be read.
    """

    def __init__(
        self,
        name: str,
        key: bytes | None,
        certificate: bytes,
        chain: Sequence[bytes],
        password: Secret | None,
        *,
        legacy: bool,
    ) -> None:
        self._name = name.encode("utf-8", "replace")
        self._certificate = x509.load_der_x509_certificate(certificate)
        self._chain = [x509.load_der_x509_certificate(der) for der in chain]
        self._key = own_key(key, self._certificate)
        self._password = None if password is None else password.reveal()
        self._legacy = legacy

    def make(self) -> bytes:
        """The file's content, another one each time."""
        return pkcs12.serialize_key_and_certificates(
            self._name, self._key, self._certificate, self._chain, self._encryption()
        )

    def is_whole(self, content: bytes) -> bool:
        """Whether `content` is such a file, under this password."""
        try:
            store = pkcs12.load_pkcs12(content, self._password)
        except ValueError:
            return False
        held = [one.certificate for one in (store.cert, *store.additional_certs) if one is not None]
        return held == [self._certificate, *self._chain] and (
            None if store.key is None else public_of(store.key.public_key())
        ) == (None if self._key is None else public_of(self._key.public_key()))

    def _encryption(self) -> KeySerializationEncryption:
        if self._password is None:
            return NoEncryption()
        builder = PrivateFormat.PKCS12.encryption_builder()
        if self._legacy:
            return (
                builder.kdf_rounds(_LEGACY_ITERATIONS)
                .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
                .hmac_hash(SHA1())  # noqa: S303  # what such devices know
                .build(self._password)
            )
        return (
            builder.kdf_rounds(_ITERATIONS)
            .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
            .hmac_hash(SHA256())
            .build(self._password)
        )


def own_key(key: bytes | None, certificate: x509.Certificate) -> PKCS12PrivateKeyTypes | None:
    """The private key (PKCS#8 DER) of a certificate; None where it is another's, or there is none.

    Raises:
        ValueError: the key, or that in the certificate, can't be read.
    """
    if key is None:
        return None
    # serialize_key_and_certificates itself refuses what PKCS#12 can't hold, with a TypeError; RSA
    # keys were checked when they were made or read, and checking again costs 10 ms and more
    own = cast(
        PKCS12PrivateKeyTypes,
        load_der_private_key(key, None, unsafe_skip_rsa_key_validation=True),
    )
    is_match = public_of(own.public_key()) == public_of(certificate.public_key())
    return own if is_match else None


def public_of(key: PublicKeyTypes) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
