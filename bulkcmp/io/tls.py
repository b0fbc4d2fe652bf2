"""TLS for the HTTP transport: one context per process, and OpenSSL's failures in words."""

import re
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from bulkcmp.errors import InputError, Where
from bulkcmp.model import Secret

# A server tells a TLS 1.3 client only after the client's handshake is over that it refuses the
# client's certificate (RFC 8446, 4.4.2.4 and 6.2), and it reads no request before that.
_HANDSHAKE_ALERTS = (
    "ALERT_ACCESS_DENIED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_DECRYPT_ERROR",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_UNKNOWN_CA",
    "ALERT_UNSUPPORTED_CERTIFICATE",
)


def tls_context(
    *,
    trusted: Sequence[Path] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    key_password: Secret | None = None,
    insecure: bool = False,
) -> ssl.SSLContext:
    """A client's context: TLS 1.2 or later, the server's certificate and host name checked.

    Loading the system's trust anchors takes some 60 ms: make one context and share it.

    Args:
        trusted: PEM files of the certificates to trust, and of no others; an intermediate one may
            be an anchor. None: the system's trust anchors.
        certificate: PEM file of the client's certificate, its chain after it.
        key: PEM file of its private key; by default it stands in the certificate's file.
        key_password: what decrypts the key.
        insecure: check neither the server's certificate nor its host name (`--insecure`).

    Raises:
        InputError: a file can't be read, holds no certificate or key, the password is missing or
            wrong, or the key is not the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif trusted:
        for path in trusted:
            _load_trusted(context, path)
    else:
        context.load_default_certs()
    if certificate is not None:
        _load_credential(context, certificate, key or certificate, key_password)
    elif key is not None:
        raise InputError(
            "a TLS client key was given without its certificate",
            where=Where(str(key)),
            hint="give the certificate with --tls-cert",
        )
    return context


def tls_reason(error: ssl.SSLError) -> str:
    """What OpenSSL said, without its source line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    text = re.sub(r"\s*\(_ssl\.c:\d+\)$", "", str(error.args[-1] if error.args else error))
    return re.sub(r"^\[[^\]]*\]\s*", "", text)


def refuses_handshake(error: BaseException | None) -> bool:
    """True for an alert by which a server refuses our part of the handshake."""
    return isinstance(error, ssl.SSLError) and (error.reason or "").endswith(_HANDSHAKE_ALERTS)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror or error}", where=Where(str(path))
        ) from error


def _load_trusted(context: ssl.SSLContext, path: Path) -> None:
    try:
        certificates = x509.load_pem_x509_certificates(_read(path))
        for one in certificates:
            context.load_verify_locations(cadata=one.public_bytes(serialization.Encoding.DER))
    except (ValueError, ssl.SSLError) as error:
        raise InputError(
            "holds no trusted TLS certificate that can be read",
            where=Where(str(path)),
            hint="it must be PEM (-----BEGIN CERTIFICATE-----)",
        ) from error


def _load_credential(
    context: ssl.SSLContext, certificate: Path, key: Path, password: Secret | None
) -> None:
    # OpenSSL says only "PEM lib" for most of what can be wrong here, so each is tried before
    try:
        leaf = x509.load_pem_x509_certificates(_read(certificate))[0]
    except ValueError as error:
        raise InputError(
            "holds no TLS client certificate that can be read",
            where=Where(str(certificate)),
            hint="it must be PEM (-----BEGIN CERTIFICATE-----)",
        ) from error
    private, phrase = _load_key(key, password)
    if private.public_key() != leaf.public_key():
        raise InputError(
            f"the TLS client key is not the key of the certificate in {certificate}",
            where=Where(str(key)),
        )
    try:
        # never None: OpenSSL would ask for a password on the terminal
        context.load_cert_chain(certificate, key, password=phrase)
    except (ssl.SSLError, ValueError) as error:
        reason = tls_reason(error) if isinstance(error, ssl.SSLError) else str(error)
        raise InputError(
            f"the TLS client certificate can't be used: {reason}", where=Where(str(certificate))
        ) from error


def _load_key(path: Path, password: Secret | None) -> tuple[PrivateKeyTypes, bytes]:
    """The key, and what decrypts its file: empty where it is not encrypted."""
    pem, where = _read(path), Where(str(path))
    try:
        return serialization.load_pem_private_key(pem, None), b""
    except TypeError:
        if password is None:
            raise InputError(
                "the TLS client key is encrypted",
                where=where,
                hint="give its password with --tls-keypass",
            ) from None
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise InputError("holds no PEM private key that can be read", where=where) from error
    phrase = password.reveal()
    try:
        return serialization.load_pem_private_key(pem, phrase), phrase
    except (ValueError, TypeError) as error:
        raise InputError("the password of the TLS client key is wrong", where=where) from error
