"""Whom a file is encrypted to: age identities, or the holders of certificates.

age (age-encryption.org/v1) comes from `pyrage`, the extra `age`; a certificate's holder gets CMS
EnvelopedData (RFC 5652, 6), which `openssl cms -decrypt` opens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from bulkcmp.errors import InputError

_AGE: Final = "age1"


@dataclass(frozen=True, slots=True)
class Recipients:
    """Attributes:
    suffix: of the file's name.
    encrypt: makes the file's content, which each of the recipients opens.
    """

    suffix: str
    encrypt: Callable[[bytes], bytes]


def is_age(text: str) -> bool:
    """Whether a text is an age recipient, not the path of a certificate."""
    return text.startswith(_AGE)


def age_recipients(texts: Sequence[str]) -> Recipients:
    """Recipients by their age public keys (`age1...`).

    Raises:
        InputError: one is damaged, or pyrage is not installed.
    """
    pyrage = _pyrage()
    try:
        found = [pyrage.x25519.Recipient.from_str(text) for text in texts]
    except pyrage.RecipientError as error:
        raise InputError(
            f"not an age recipient: {error}", hint="age-keygen -y KEYFILE prints it"
        ) from None

    def encrypt(content: bytes) -> bytes:
        return bytes(pyrage.encrypt(content, found))

    return Recipients(".age", encrypt)


def cms_recipients(certificates: Sequence[bytes]) -> Recipients:
    """Recipients by their certificates (DER), of RSA keys.

    Raises:
        InputError: one can't be encrypted to.
    """
    loaded = [x509.load_der_x509_certificate(der) for der in certificates]
    for certificate in loaded:
        name = certificate.subject.rfc4514_string()
        try:
            key = certificate.public_key()
            usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            usage = None
        except (ValueError, UnsupportedAlgorithm):
            raise InputError(f"the certificate of {name} can't be read") from None
        if not isinstance(key, RSAPublicKey):
            raise InputError(
                f"the key of {name} is not RSA", hint="give an age recipient, or another one"
            )
        if usage is not None and not usage.key_encipherment:
            raise InputError(f"the certificate of {name} is not for keyEncipherment")
    return Recipients(".p7m", partial(_envelop, loaded))


def _envelop(certificates: Sequence[x509.Certificate], content: bytes) -> bytes:
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content)
    builder = builder.set_content_encryption_algorithm(AES256)
    for certificate in certificates:
        builder = builder.add_recipient(certificate)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def _pyrage() -> Any:
    try:
        import pyrage
    except ImportError:
        raise InputError(
            "age recipients need pyrage, which is not installed", hint="pip install 'bulkcmp[age]'"
        ) from None
    return pyrage
