"""Who may have sent a request, by EJBCA's authentication modules HMAC, EndEntityCertificate and
RegTokenPwd."""

import datetime as dt
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from bulkcmp.cmp import protection
from bulkcmp.cmp.asn1 import content, decode_sequence_of, tag
from bulkcmp.cmp.messages import (
    CONTROL_REG_TOKEN,
    BodyType,
    CertReqMsg,
    PKIMessage,
    decode_cert_req_messages,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.trust import EXTENSION_ERRORS, TrustStore, load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import PasswordMac, Secret
from bulkcmp.testca.aliases import Alias, Authentication, Mode
from bulkcmp.testca.ejbca.response import Mac
from bulkcmp.testca.refusal import FailedError, RefusedError, rejected
from bulkcmp.testca.store import (
    CertificateStatus,
    EndEntityStatus,
    IssuedCertificate,
    Registration,
    Store,
)

_MOST_ITERATIONS: Final = 10_000
_INTEGER: Final = 0x02


@dataclass(frozen=True, slots=True)
class Requester:
    """Whoever sent a request.

    Attributes:
        mac: how it was protected; None where it was not by a MAC.
        signer: its certificate; None where it is not signed.
    """

    mac: Mac | None = None
    signer: IssuedCertificate | None = None


class Authenticator:
    """Checks requests.

    Args:
        ca_secret: the CA's own secret for RAs, taken beside the alias's.
        vendors: DER certificates of the CAs whose devices may enroll at an alias for vendors'.
    """

    def __init__(
        self, store: Store, ca_secret: Secret | None, vendors: Sequence[bytes] = ()
    ) -> None:
        self._store = store
        self._vendors = TrustStore(vendors) if vendors else None
        self._ca_secret = ca_secret

    def own_secret(self, alias: Alias) -> Secret | None:
        """The secret of an alias; of the CA, where the alias has none."""
        return self._store.alias_secret(alias.name) or self._ca_secret

    def enrolls(self, alias: Alias, message: PKIMessage, user: str, now: dt.datetime) -> Requester:
        """Whoever asks for a certificate of an end entity.

        Raises:
            RefusedError: it has no right to.
            FailedError: controls or regInfo without regToken.
        """
        if alias.authentication is Authentication.CERTIFICATE:
            signer = self.signer(alias, message, now)
            if alias.mode is Mode.CLIENT and signer.user != user:
                raise RefusedError(
                    "badRequest", f"The End Entity certificate does not belong to user '{user}'."
                )
            return Requester(signer=signer)
        if alias.authentication is Authentication.VENDOR:
            self._check_vendor(message, user, now)
            self._registered(user)
            return Requester()
        if alias.mode is Mode.CLIENT:
            registration = self._registered(user)
            if registration.secret is None:
                raise _unknown_user()
            token = _reg_token(message)
            if token is not None:
                return _by_token(registration, token)
            return self._by_mac(message, user, [registration.secret])
        return self._by_mac(message, user, [self.own_secret(alias), self._ca_secret])

    def revokes(
        self, alias: Alias, message: PKIMessage, user: str | None, now: dt.datetime
    ) -> Requester:
        """Whoever asks for a revocation; any certificate that is active may.

        Raises:
            RefusedError: it has no right to.
            FailedError: a client's MAC, and the template says not whose it is.
        """
        if alias.authentication in (Authentication.CERTIFICATE, Authentication.VENDOR):
            return Requester(signer=self.signer(alias, message, now))
        if alias.mode is Mode.RA:
            secrets = [self.own_secret(alias), self._ca_secret]
            return self._by_mac(message, user or "", secrets)
        if user is None:
            raise FailedError("a rr without the subject")
        return self._by_mac(message, user, [self._registered(user).secret])

    def _check_vendor(self, message: PKIMessage, user: str, now: dt.datetime) -> None:
        """Check that a vendor vouches for an end entity, by its CN."""
        der, certificate = _signed_by(message)
        if self._vendors is None:
            raise RefusedError("badRequest", "The signer's certificate is not in the database.")
        try:
            self._vendors.chain(der, message.extra_certs, now)
            names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except (RemoteCmpError, ValueError) as error:
            raise RefusedError("badRequest", "The signer's vendor is unknown.") from error
        if user not in [name.value for name in names]:
            raise RefusedError(
                "badRequest", f"The vendor certificate does not belong to user '{user}'."
            )

    def signer(self, alias: Alias, message: PKIMessage, now: dt.datetime) -> IssuedCertificate:
        """The signer's certificate, checked; an RA's at an alias for RAs.

        Raises:
            RefusedError: it is not good.
        """
        der, certificate = _signed_by(message)
        issued = self._store.certificate(certificate.serial_number)
        if issued is None or issued.der != der:
            raise RefusedError("badRequest", "The signer's certificate is not in the database.")
        subject = certificate.subject.rfc4514_string()
        if issued.status is CertificateStatus.REVOKED or certificate.not_valid_after_utc < now:
            raise RefusedError(
                "badRequest", f"The certificate with subject '{subject}' is not active."
            )
        if alias.mode is Mode.RA and not issued.is_ra:
            raise RefusedError("badRequest", f"'{subject}' is not an authorized administrator.")
        return issued

    def _registered(self, user: str) -> Registration:
        registration = self._store.registration(user)
        if registration is None:
            raise _unknown_user()
        return registration

    def _by_mac(self, message: PKIMessage, user: str, secrets: list[Secret | None]) -> Requester:
        parameters = None if message.protection is None else mac_parameters(message)
        if parameters is None:
            raise RefusedError("badRequest", "No HMAC protection was found.")
        for secret in secrets:
            if secret is None:
                continue
            try:
                key = protection.derive(parameters.derivation(secret))
                protection.check_mac(message, parameters, key)
            except RemoteCmpError:
                continue
            return Requester(Mac(parameters, secret))
        raise RefusedError("badRequest", f"Authentication failed for message. {user}.")


def _signed_by(message: PKIMessage) -> tuple[bytes, x509.Certificate]:
    """The certificate by which a request is signed, which is all that was checked of it."""
    if message.protection is None or mac_parameters(message) is not None:
        raise RefusedError("badRequest", "No certificate based protection was found.")
    der = _last_end_entity(message.extra_certs)
    try:
        certificate = load_certificate(der)
        protection.check_signature(message, certificate)
    except RemoteCmpError as error:
        raise RefusedError(
            "badRequest", "Failed to verify the signature in the PKIMessage"
        ) from error
    return der, certificate


def _unknown_user() -> RefusedError:
    return rejected("incorrectData", "Wrong username or password")


def check_status(registration: Registration) -> None:
    """Check that an end entity may have a certificate: it gets one, until an operator says so.

    Raises:
        RefusedError: it had its certificate.
    """
    if registration.status is EndEntityStatus.GENERATED:
        raise RefusedError(
            "badRequest",
            f"Got request with status {registration.status.name} ({registration.status.value})."
            f" Status NEW, FAILED or INPROCESS required: {registration.user}.",
        )


def _by_token(registration: Registration, token: bytes) -> Requester:
    assert registration.secret is not None, "checked before"
    if not hmac.compare_digest(token, registration.secret.reveal()):
        raise RefusedError("notAuthorized", "Got request for user with invalid password")
    return Requester()


def _reg_token(message: PKIMessage) -> bytes | None:
    """The password in the regToken.

    Raises:
        FailedError: there are controls or regInfo, and it is not among them.
    """
    if message.body_type is BodyType.P10CR:
        return None
    request: CertReqMsg = decode_cert_req_messages(message.body)[0]
    controls = [
        *(request.request.controls or ()),
        *(request.regInfo or ()),
    ]
    for control in controls:
        if control.type == CONTROL_REG_TOKEN:
            return content(control.value)
    if controls:
        raise FailedError("controls or regInfo without regToken")
    return None


def mac_parameters(message: PKIMessage) -> MacParameters | None:
    """The MAC parameters of a request; None where it has no MAC.

    Raises:
        RefusedError: EJBCA does not take such parameters.
    """
    try:
        parameters = protection.mac_parameters(message)
    except RemoteCmpError as error:
        raise RefusedError("badRequest", f"Error during CMP processing. {error.what}.") from error
    if parameters is None:
        return None
    if parameters.kind is PasswordMac.PBM:
        if parameters.iterations > _MOST_ITERATIONS:
            raise RefusedError("badRequest", "Iteration count can not exceed 10000")
        return parameters
    if not _has_key_length(parameters):
        raise RefusedError("badRequest", "Error during CMP processing. .")
    return _as_sha256(parameters)


def _has_key_length(parameters: MacParameters) -> bool:
    _, params = decode_sequence_of(parameters.identifier)
    _, pbkdf2 = decode_sequence_of(decode_sequence_of(params)[0])
    return any(tag(one) == _INTEGER for one in decode_sequence_of(pbkdf2)[2:])


def _as_sha256(parameters: MacParameters) -> MacParameters:
    """The PRF is not looked at: it is HMAC-SHA256, whatever the message says."""
    return replace(parameters, digest="sha256")


def _last_end_entity(extra_certs: tuple[bytes, ...]) -> bytes:
    """Of several, the last one that is no CA's is taken."""
    found = [der for der in extra_certs if not _is_ca(der)]
    if not found:
        raise RefusedError("badRequest", "There is no certificate in the extraCerts field.")
    return found[-1]


def _is_ca(der: bytes) -> bool:
    try:
        extensions = load_certificate(der).extensions
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (RemoteCmpError, x509.ExtensionNotFound, *EXTENSION_ERRORS):
        return False
