"""The key generation authority: makes keys for who asks, and seals them (RFC 9483, 4.1.6)."""

import datetime as dt
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bulkcmp.cmp import algorithms, envelope, package, recipient
from bulkcmp.cmp.algorithms import PrivateKey
from bulkcmp.cmp.trust import load_certificate
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec
from bulkcmp.testca.authentication import Requester
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.identity import Identity, digest_for, make_kga
from bulkcmp.testca.refusal import rejected

_CONTENT_KEY_OCTETS: Final = 32
_IV_OCTETS: Final = 16
_SALT_OCTETS: Final = 16
_UKM_OCTETS: Final = 32


class KeyGeneration:
    """Makes keys and the key packages in which they travel.

    Args:
        root: certifies the authority, which signs the packages.
        token_bytes: a source of random octets.
    """

    def __init__(self, root: Identity, token_bytes: Callable[[int], bytes]) -> None:
        self._root = root
        self._token_bytes = token_bytes
        self._authority: Identity | None = None

    def make(self, spec: KeySpec) -> PrivateKey:
        """A new key."""
        return algorithms.load_private_key(make_keys(spec, 1)[0])

    def seal(self, key: PrivateKey, exchange: Exchange) -> bytes:
        """DER EncryptedKey with a private key, for its requester alone.

        Raises:
            RefusedError: there is nothing to encrypt for.
        """
        content_key = self._token_bytes(_CONTENT_KEY_OCTETS)
        info = self._recipient_info(content_key, exchange)
        kga = self._kga(exchange.now)
        bare = exchange.behaviour.bare_keys
        signed = package.sign(
            package.pkcs8_of(key) if bare else package.encode_package(key),
            kga.key,
            (kga.der, self._root.der),
            digest_for(kga.key),
            bare=bare,
        )
        sealed = envelope.encrypt(
            signed,
            envelope.SIGNED_DATA,
            [info],
            key=content_key,
            iv=self._token_bytes(_IV_OCTETS),
        )
        return envelope.encrypted_key(sealed)

    def check(self, requester: Requester) -> None:
        """Make sure that there is something to encrypt for.

        Raises:
            RefusedError: there is not.
        """
        if requester.secret is None:
            _certified_key(requester)

    def _recipient_info(self, content_key: bytes, exchange: Exchange) -> bytes:
        """By the technique that goes with the requester's credential."""
        requester = exchange.requester
        if requester.secret is not None:
            salt = self._token_bytes(_SALT_OCTETS)
            wants_noise = exchange.behaviour.pwri_kek
            noise = self._token_bytes(recipient.PWRI_KEK_NOISE) if wants_noise else None
            return recipient.password(content_key, requester.secret, salt, pwri_kek=noise)
        certificate, key = _certified_key(requester)
        if isinstance(key, rsa.RSAPublicKey):
            return recipient.transport(content_key, certificate)
        ephemeral = ec.generate_private_key(key.curve)
        ukm = self._token_bytes(_UKM_OCTETS)
        return recipient.agree(content_key, certificate, ephemeral, ukm=ukm)

    def _kga(self, now: dt.datetime) -> Identity:
        if self._authority is None:
            self._authority = make_kga(self._root, now)
        return self._authority


def _certified_key(
    requester: Requester,
) -> tuple[x509.Certificate, rsa.RSAPublicKey | ec.EllipticCurvePublicKey]:
    """The certificate of a requester, and the key in it, for which the CA may encrypt."""
    if requester.certificate is None:
        raise rejected("badRequest", "keys are made for who has a secret or a certificate")
    certificate = load_certificate(requester.certificate)
    key = certificate.public_key()
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if isinstance(key, rsa.RSAPublicKey):
        lacks = "" if usage is None or usage.key_encipherment else "keyEncipherment"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        lacks = "" if usage is None or usage.key_agreement else "keyAgreement"
    else:
        raise rejected("badRequest", "keys are made for certificates with RSA or EC keys")
    if lacks:
        # RFC 9483, 4.1.6.1 and 4.1.6.2
        raise rejected("notAuthorized", f"the certificate has a keyUsage without {lacks}")
    return certificate, key
