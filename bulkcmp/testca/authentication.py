"""Who sent a request: its protection checked against what an alias asks for."""

import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from cryptography import x509

from bulkcmp.cmp import algorithms, dhmac, kemmac, protection
from bulkcmp.cmp.algorithms import AlgorithmError
from bulkcmp.cmp.asn1 import decode_sequence_of
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.kemmac import KemMacParameters, asks_ciphertext
from bulkcmp.cmp.messages import (
    BodyType,
    CertReqMsg,
    PKIMessage,
    decode_cert_req_messages,
)
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.trust import EXTENSION_ERRORS, TrustStore, load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Secret
from bulkcmp.testca import attributes
from bulkcmp.testca.aliases import RA_CERT, RA_HMAC, Alias, Authentication, Mode
from bulkcmp.testca.enrollment import REQUESTS, common_name, requested_subject
from bulkcmp.testca.refusal import RefusedError, rejected
from bulkcmp.testca.sharing import ReplyMac, Sharing
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate, Store

_CACHE_SIZE = 4096
_FEW = 256
"""Of what may have the size of a request."""

_OF_UPDATES: Final = frozenset({BodyType.KUR, BodyType.CERT_CONF, BodyType.POLL_REQ})

_BY_TOKEN: Final = b"regToken:"


@dataclass(frozen=True, slots=True)
class Requester:
    """Whoever proved to have sent a request.

    Attributes:
        identity: equal in all messages of one sender, and in nobody else's.
        user: the end entity that it is; None for an RA.
        mac: parameters of its MAC, and
        secret: what it shares with the CA; None where it signs.
        signer: its certificate of this CA, by which it signs, or has a KEM-based MAC or a
            DHBasedMac; None where it uses a password-based one, or signs as a vendor's device.
        certificate: DER of the certificate of its key; None where it uses a password-based MAC.
        agreed: the MAC of answers, where it has a DHBasedMac.
    """

    identity: bytes
    user: str | None
    mac: MacParameters | None = None
    secret: Secret | None = None
    signer: IssuedCertificate | None = None
    certificate: bytes | None = field(default=None, repr=False)
    agreed: ReplyMac | None = None


class Authenticator:
    """Checks the protection of requests.

    Args:
        sharing: by the CA's own keys.
        vendors: DER certificates of the CAs whose devices may enroll at an alias for vendors'.
    """

    def __init__(self, store: Store, sharing: Sharing, vendors: Sequence[bytes] = ()) -> None:
        self._store = store
        self._sharing = sharing
        self._vendors = TrustStore(vendors) if vendors else None

    def authenticate(self, alias: Alias, message: PKIMessage, now: dt.datetime) -> Requester:
        """Check a request's protection.

        Raises:
            RefusedError: it is absent, wrong, of a method that the alias does not take, or by
                somebody without the right.
        """
        if alias.authentication is Authentication.REG_TOKEN:
            return self._by_reg_token(alias, message)
        if message.protection is None or message.header.protectionAlg is None:
            if alias.authentication is Authentication.CERTIFICATE and asks_ciphertext(message):
                return self._by_kem_certificate(alias, message, now)
            raise RefusedError("badMessageCheck", "the request is not protected")
        parameters = _parameters(message)
        if alias.authentication is Authentication.EITHER:
            by_mac = parameters is not None
        else:
            # a kur is signed by the certificate that it updates (RFC 9483, 4.1.3), whatever an
            # alias asks for else, and so is what follows it
            may_update = parameters is None and message.body_type in _OF_UPDATES
            by_mac = alias.authentication is Authentication.SECRET and not may_update
        if by_mac:
            return self._by_mac(alias, message, parameters)
        if parameters is not None:
            raise RefusedError("wrongIntegrity", f"alias {alias.name} takes signatures only")
        kem_parameters = _kem_parameters(message)
        if kem_parameters is not None:
            return self._by_kem_mac(alias, message, kem_parameters, now)
        dh_parameters = _dh_parameters(message)
        if dh_parameters is not None:
            return self._by_dh_mac(alias, message, dh_parameters, now)
        return self._by_signature(alias, message, now)

    def authenticate_layer(self, message: PKIMessage, now: dt.datetime) -> Requester:
        """Check the protection of a `nested` message, which is that of an RA.

        Raises:
            RefusedError: as of `authenticate`.
        """
        by_mac = _parameters(message) is not None
        return self.authenticate(RA_HMAC if by_mac else RA_CERT, message, now)

    def _by_mac(
        self, alias: Alias, message: PKIMessage, parameters: MacParameters | None
    ) -> Requester:
        if parameters is None:
            text = f"alias {alias.name} takes password-based MACs only"
            signs = algorithms.is_signature(protection.algorithm_of(message) or b"")
            raise RefusedError("wrongIntegrity" if signs else "badAlg", text)
        reference = message.header.senderKID
        if reference is None:
            raise RefusedError("badMessageCheck", "no senderKID: whose secret is it?")
        if message.sender is None:
            raise RefusedError("badMessageCheck", "the sender is no directoryName")
        user, secret = self._secret(alias, message, reference)
        key = _mac_key(parameters.derivation(secret))
        try:
            protection.check_mac(message, parameters, key)
        except RemoteCmpError as error:
            shown = "" if user is None else f" {user}."
            raise RefusedError(
                "badMessageCheck", f"Authentication failed for message.{shown}"
            ) from error
        identity = f"{parameters.kind.value}:".encode() + reference
        return Requester(identity, user, parameters, secret)

    def _secret(
        self, alias: Alias, message: PKIMessage, reference: bytes
    ) -> tuple[str | None, Secret]:
        if alias.mode is Mode.RA:
            secret = self._store.alias_secret(alias.name)
            assert secret is not None, "made with the state"
            return None, secret
        registration = self._store.registration(reference.decode("utf-8", "replace"))
        if registration is None or registration.secret is None:
            # EJBCA says no more than this, and says it in the request's own response
            raise RefusedError(
                "incorrectData",
                "Wrong username or password",
                as_response=message.body_type in REQUESTS,
            )
        return registration.user, registration.secret

    def _by_reg_token(self, alias: Alias, message: PKIMessage) -> Requester:
        if message.protection is not None:
            raise RefusedError("wrongIntegrity", f"alias {alias.name} takes a regToken only")
        if message.body_type in (BodyType.CERT_CONF, BodyType.POLL_REQ):
            return self._by_transaction(message)
        if message.body_type not in (BodyType.IR, BodyType.CR):
            raise RefusedError("notAuthorized", f"a {message.body_type.label} bears no regToken")
        requests: list[CertReqMsg] = decode_cert_req_messages(message.body)
        users = {self._user_of_token(request) for request in requests}
        if len(users) != 1:
            raise RefusedError("badRequest", "the requests are not all of one end entity")
        (user,) = users
        return Requester(_BY_TOKEN + user.encode(), user)

    def _by_transaction(self, message: PKIMessage) -> Requester:
        """Who began the transaction: its ID and nonces, which are random, prove it."""
        known = self._store.transaction(message.header.transactionID or b"")
        if known is None or not known.requester.startswith(_BY_TOKEN):
            raise RefusedError("badRequest", "there is no such transaction")
        return Requester(known.requester, known.requester.removeprefix(_BY_TOKEN).decode())

    def _user_of_token(self, request: CertReqMsg) -> str:
        template = request.request.certTemplate
        token = attributes.read(request).reg_token
        if token is None:
            raise rejected("notAuthorized", "no regToken")
        _, user = requested_subject(template)
        known = None if user is None else self._store.registration(user)
        secret = None if known is None else known.secret
        if (
            known is None
            or secret is None
            or not hmac.compare_digest(secret.reveal(), token.encode())
        ):
            # EJBCA's very words
            raise rejected("notAuthorized", "Got request for user with invalid password")
        return known.user

    def _by_signature(self, alias: Alias, message: PKIMessage, now: dt.datetime) -> Requester:
        der = self._signer(message)
        try:
            certificate, may_sign = _signing_certificate(der)
            protection.check_signature(message, certificate)
        except AlgorithmError as error:
            raise RefusedError("badAlg", error.what) from error
        except RemoteCmpError as error:
            raise RefusedError("badMessageCheck", error.what) from error
        # equality with what was issued is the path to the root, and says who it was issued to
        issued = self._store.certificate(certificate.serial_number)
        is_ours = issued is not None and issued.der == der
        if alias.authentication is Authentication.VENDOR and not is_ours:
            return self._by_vendor(message, certificate, der, now, may_sign=may_sign)
        if issued is None or not is_ours:
            raise RefusedError("signerNotTrusted", "the signer's certificate is not of this CA")
        lacks = "" if may_sign else "signatures"
        return self._holder(alias, message, certificate, issued, now, lacks)

    def _by_dh_mac(
        self, alias: Alias, message: PKIMessage, parameters: DhMacParameters, now: dt.datetime
    ) -> Requester:
        certificate, issued, usage = self._own_certificate(message)
        agreed = self._sharing.agreed(message, certificate.public_key(), parameters)
        try:
            protection.check_mac(message, parameters, agreed.key)
        except RemoteCmpError as error:
            raise RefusedError("badMessageCheck", error.what) from error
        lacks = "" if usage is None or usage.key_agreement else "keyAgreement"
        holder = self._holder(alias, message, certificate, issued, now, lacks)
        return replace(holder, agreed=agreed)

    def _by_kem_certificate(self, alias: Alias, message: PKIMessage, now: dt.datetime) -> Requester:
        """Who asks for a KEM ciphertext, which only the holder of the certificate can use."""
        certificate, issued, usage = self._own_certificate(message)
        return self._holder(alias, message, certificate, issued, now, _lacks_encipherment(usage))

    def _own_certificate(
        self, message: PKIMessage
    ) -> tuple[x509.Certificate, IssuedCertificate, x509.KeyUsage | None]:
        """The certificate of this CA that a message's sender has, as it is in the books, and its
        keyUsage."""
        der = self._signer(message)
        try:
            certificate, usage = _certificate_with_usage(der)
        except RemoteCmpError as error:
            raise RefusedError("badMessageCheck", error.what) from error
        # equality with what was issued is the path to the root, and says who it was issued to
        issued = self._store.certificate(certificate.serial_number)
        if issued is None or issued.der != der:
            raise RefusedError("signerNotTrusted", "the signer's certificate is not of this CA")
        return certificate, issued, usage

    def _by_kem_mac(
        self, alias: Alias, message: PKIMessage, parameters: KemMacParameters, now: dt.datetime
    ) -> Requester:
        header = message.header
        transaction_id = header.transactionID or b""
        secret = self._store.encapsulated_secret(transaction_id)
        if secret is None:
            raise RefusedError("badMessageCheck", "no KEM ciphertext was asked for before")
        key = parameters.derive(secret.shared_secret, transaction_id)
        try:
            protection.check_mac(message, parameters, key)
        except RemoteCmpError as error:
            raise RefusedError("badMessageCheck", error.what) from error
        begins = message.body_type not in (BodyType.CERT_CONF, BodyType.POLL_REQ, BodyType.ERROR)
        # told by several genps, it is no matter which of them came
        nonces = (None, header.recipNonce if secret.nonce is None else secret.nonce)
        if begins and header.recipNonce not in nonces:
            raise RefusedError("badRecipientNonce", "recipNonce is not that of the genp")
        issued = self._store.certificate(secret.serial)
        assert issued is not None, "it was there when the secret was made"
        certificate, usage = _certificate_with_usage(issued.der)
        return self._holder(alias, message, certificate, issued, now, _lacks_encipherment(usage))

    def _holder(
        self,
        alias: Alias,
        message: PKIMessage,
        certificate: x509.Certificate,
        issued: IssuedCertificate,
        now: dt.datetime,
        lacks: str,
    ) -> Requester:
        """The holder of a certificate of this CA, who used its key.

        Args:
            lacks: what the certificate's keyUsage does not allow, and was done; else empty.
        """
        kid = message.header.senderKID
        if message.sender != issued.subject:
            raise RefusedError("badMessageCheck", "the sender is not the signer's subject")
        # what is not protected may go without
        if kid != issued.key_identifier and (kid is not None or message.protection is not None):
            raise RefusedError("badMessageCheck", "senderKID is not that of the signer's key")
        if issued.status is CertificateStatus.REVOKED:
            # taken off hold by its holder (RFC 9483, 4.2); that it is this only, the rr is checked
            if not (issued.is_on_hold and message.body_type is BodyType.RR):
                raise RefusedError("certRevoked", "the signer's certificate is revoked")
        elif issued.status is not CertificateStatus.CONFIRMED:
            # the certificate that a certConf is about can't sign it (RFC 9483, 4.1)
            own = issued.transaction_id == message.header.transactionID
            raise RefusedError(
                "badMessageCheck" if own else "signerNotTrusted",
                f"the signer's certificate is {issued.status}",
            )
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise RefusedError("signerNotTrusted", "the signer's certificate is not valid now")
        if lacks:
            raise RefusedError(
                "signerNotTrusted", f"the signer's certificate has a keyUsage without {lacks}"
            )
        # where an RA has a secret, whom it enrolled updates its certificate for itself
        by_ra = alias.mode is Mode.RA and alias.authentication is not Authentication.SECRET
        if issued.is_ra != by_ra:
            raise RefusedError(
                "notAuthorized",
                "the signer is an RA" if issued.is_ra else "the signer is not an authorized RA",
            )
        if not by_ra and issued.user is None:
            raise RefusedError("notAuthorized", "the signer is no registered end entity")
        identity = b"cert:" + f"{issued.serial:x}".encode()
        return Requester(identity, issued.user, signer=issued, certificate=issued.der)

    def _by_vendor(
        self,
        message: PKIMessage,
        certificate: x509.Certificate,
        der: bytes,
        now: dt.datetime,
        *,
        may_sign: bool,
    ) -> Requester:
        """A device with the certificate that its vendor gave it; the CN of that is its user."""
        if self._vendors is None:
            raise RefusedError("signerNotTrusted", "no vendor's CA is trusted here")
        try:
            self._vendors.chain(der, message.extra_certs, now)
        except RemoteCmpError as error:
            raise RefusedError("signerNotTrusted", f"the signer's vendor: {error.what}") from error
        if not may_sign:
            raise RefusedError(
                "signerNotTrusted", "the signer's certificate has a keyUsage without signatures"
            )
        try:
            subject = certificate.subject.public_bytes()
            user = common_name(subject)
        except ValueError as error:
            raise RefusedError("badDataFormat", f"the signer's subject: {error}") from error
        if message.sender != subject:
            raise RefusedError("badMessageCheck", "the sender is not the signer's subject")
        identifier = _subject_key_identifier(certificate)
        # a vendor's certificate may have none (RFC 9483, 3.1)
        if identifier is not None and message.header.senderKID != identifier:
            raise RefusedError("badMessageCheck", "senderKID is not that of the signer's key")
        if user is None:
            raise RefusedError("notAuthorized", "the vendor's certificate has no CN")
        return Requester(b"vendor:" + hashlib.sha256(der).digest(), user, certificate=der)

    def _signer(self, message: PKIMessage) -> bytes:
        """DER of the signer's certificate: the first of extraCerts (RFC 9483, 3.3).

        Later messages of a transaction may leave it out, so those that this CA issued are looked
        up by senderKID.
        """
        if message.extra_certs:
            return message.extra_certs[0]
        kid = message.header.senderKID
        if kid is not None and message.body_type in (BodyType.CERT_CONF, BodyType.POLL_REQ):
            known = self._store.certificates_of_key(kid)
            for issued in sorted(known, key=lambda one: one.issued_at, reverse=True):
                if issued.status is CertificateStatus.CONFIRMED:
                    return issued.der
        raise RefusedError("badMessageCheck", "no certificate of the signer came along")


def _parameters(message: PKIMessage) -> MacParameters | None:
    identifier = protection.algorithm_of(message)
    return None if identifier is None else _mac_parameters(identifier)


@lru_cache(maxsize=_FEW)
def _mac_parameters(identifier: bytes) -> MacParameters | None:
    """Those in a protectionAlg; of a client that keeps its salt they are the same again."""
    try:
        return protection.parameters_of(decode_sequence_of(identifier))
    except RemoteCmpError as error:
        raise RefusedError("badAlg", error.what) from error


def _kem_parameters(message: PKIMessage) -> KemMacParameters | None:
    try:
        return kemmac.kem_mac_parameters(message)
    except RemoteCmpError as error:
        raise RefusedError("badAlg", error.what) from error


def _dh_parameters(message: PKIMessage) -> DhMacParameters | None:
    try:
        return dhmac.dh_mac_parameters(message)
    except RemoteCmpError as error:
        raise RefusedError("badAlg", error.what) from error


@lru_cache(maxsize=_CACHE_SIZE)
def _mac_key(derivation: Derivation) -> bytes:
    """A MAC key; a client that keeps its salt pays for one derivation."""
    return protection.derive(derivation)


@lru_cache(maxsize=_CACHE_SIZE)
def _signing_certificate(der: bytes) -> tuple[x509.Certificate, bool]:
    """A certificate, and whether its keyUsage allows digital signatures."""
    certificate, usage = _certificate_with_usage(der)
    return certificate, usage is None or usage.digital_signature


@lru_cache(maxsize=_CACHE_SIZE)
def _certificate_with_usage(der: bytes) -> tuple[x509.Certificate, x509.KeyUsage | None]:
    certificate = load_certificate(der)
    try:
        return certificate, certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return certificate, None
    except EXTENSION_ERRORS as error:
        raise RemoteCmpError(f"the signer's extensions can't be read: {error}") from error


def _lacks_encipherment(usage: x509.KeyUsage | None) -> str:
    return "" if usage is None or usage.key_encipherment else "keyEncipherment"


def _subject_key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return found.value.digest
