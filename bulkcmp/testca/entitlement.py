"""Who may have which certificate: what an alias's mode allows its requesters."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from bulkcmp.cmp.algorithms import public_bytes
from bulkcmp.cmp.asn1 import encode
from bulkcmp.cmp.messages import BodyType, CertTemplate, RevDetails, name_of
from bulkcmp.model import Popo
from bulkcmp.testca.aliases import Mode
from bulkcmp.testca.enrollment import V3, Enrollment
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.issuer import has_subject_alt_name, key_identifier
from bulkcmp.testca.refusal import RefusedError, rejected
from bulkcmp.testca.store import CertificateStatus, EndEntityStatus, IssuedCertificate, Store


class Entitlement:
    """The rules of the aliases, on the CA's books.

    Args:
        name: DER Name of the CA.
    """

    def __init__(self, store: Store, name: bytes) -> None:
        self._store = store
        self._name = name

    def end_entity(
        self, exchange: Exchange, enrollment: Enrollment
    ) -> tuple[str | None, bytes | None]:
        """The end entity that a certificate is for, and the subject that it gets.

        The user name is the CN of the subject, as EJBCA's aliases of the recipes extract it. In
        client mode the subject is the registered one, whichever was asked for.

        Returns:
            User name, None for an end entity without CN; DER Name, None where a subjectAltName
            stands for it.

        Raises:
            RefusedError: the requester may not have this certificate.
        """
        if enrollment.issuer is not None and enrollment.issuer != self._name:
            raise rejected("wrongAuthority", "the template asks for another issuer")
        if exchange.alias.mode is Mode.RA:
            user, subject = self._of_ra(exchange, enrollment)
        else:
            user, subject = self._of_client(exchange, enrollment)
        self._check_one_shot(exchange, user)
        if exchange.behaviour.unique_keys and enrollment.public_key is not None:
            self._check_key(enrollment.public_key, user)
        return user, subject

    def _check_key(self, public_key: PublicKeyTypes, user: str | None) -> None:
        known = self._store.certificates_of_key(key_identifier(public_key))
        if any(one.user != user for one in known):
            raise rejected("badCertTemplate", "the public key is another end entity's")

    def _of_ra(self, exchange: Exchange, enrollment: Enrollment) -> tuple[str | None, bytes | None]:
        asked = enrollment.common_name
        if exchange.message.body_type is BodyType.KUR:
            old = self._certificate_to_update(exchange, enrollment)
            if exchange.requester.user is not None and enrollment.popo is Popo.RA_VERIFIED:
                raise rejected("notAuthorized", "raVerified is for RAs to say")
            if asked is not None and asked != old.user:
                raise rejected("badCertId", "the certificate to update is another end entity's")
            return old.user, enrollment.subject or old.subject
        if enrollment.subject is None and not has_subject_alt_name(enrollment):
            raise rejected("badCertTemplate", "neither subject nor subjectAltName")
        return asked, enrollment.subject

    def _of_client(
        self, exchange: Exchange, enrollment: Enrollment
    ) -> tuple[str | None, bytes | None]:
        if enrollment.popo is Popo.RA_VERIFIED:
            raise rejected("notAuthorized", "raVerified is for RAs to say")
        if exchange.message.body_type is BodyType.KUR:
            self._certificate_to_update(exchange, enrollment)
        user = exchange.requester.user
        assert user is not None, "client mode authenticates end entities"
        asked = enrollment.common_name
        if asked is not None and asked != user:
            raise rejected("notAuthorized", "the subject's CN is another end entity's")
        registration = self._store.registration(user)
        if registration is not None:
            return user, registration.subject
        # the vendor has vouched for it; others that are not registered don't come so far
        if enrollment.subject is None:
            raise rejected("badCertTemplate", "no subject, and none is registered")
        return user, enrollment.subject

    def _certificate_to_update(
        self, exchange: Exchange, enrollment: Enrollment
    ) -> IssuedCertificate:
        if exchange.requester.signer is None:
            raise RefusedError("wrongIntegrity", "a kur is signed with the certificate it updates")
        named = enrollment.old_certificate
        if named is None:
            if exchange.requester.user is None:
                raise rejected("badCertId", "an RA's kur names the certificate in oldCertID")
            return exchange.requester.signer
        old = self._store.certificate(named.serial) if named.issuer == self._name else None
        if old is None or old.is_ra:
            raise rejected("badCertId", "oldCertID names no certificate of this CA")
        if exchange.requester.user not in (None, old.user):
            raise rejected("badCertId", "oldCertID names another end entity's certificate")
        if old.status is CertificateStatus.REVOKED:
            raise rejected("certRevoked", "oldCertID names a revoked certificate")
        if old.status is not CertificateStatus.CONFIRMED:
            raise rejected("badCertId", f"oldCertID names a certificate that is {old.status}")
        if x509.load_der_x509_certificate(old.der).not_valid_after_utc < exchange.now:
            raise rejected("badCertId", "oldCertID names an expired certificate")
        return old

    def _check_one_shot(self, exchange: Exchange, user: str | None) -> None:
        renews = exchange.message.body_type is BodyType.KUR
        if not exchange.behaviour.one_shot or user is None or renews:
            return
        registration = self._store.registration(user)
        if registration is not None and registration.status is EndEntityStatus.GENERATED:
            status = registration.status
            # EJBCA's very words: clients know the case by them
            raise RefusedError(
                "badRequest",
                f"Got request with status {status.name} ({status.value})."
                f" Status NEW, FAILED or INPROCESS required: {user}.",
            )

    def certificate_to_revoke(self, exchange: Exchange, details: RevDetails) -> IssuedCertificate:
        """The certificate that a rr names.

        Raises:
            RefusedError: there is none, it is not as described, or it is another end entity's.
        """
        template = details.certDetails
        if template.issuer is None or template.serialNumber is None:
            # RFC 9483, 4.2: both are needed
            raise rejected("addInfoNotAvailable", "issuer or serial number is absent")
        certificate = None
        if name_of(template.issuer) == self._name:
            certificate = self._store.certificate(template.serialNumber)
        if certificate is None or certificate.is_ra:
            raise rejected("badCertId", "no such certificate of this CA")
        _check_description(template, certificate)
        if exchange.alias.mode is Mode.CLIENT and certificate.user != exchange.requester.user:
            raise rejected("notAuthorized", "the certificate is another end entity's")
        return certificate


def _check_description(template: CertTemplate, certificate: IssuedCertificate) -> None:
    """Check what else a rr says of a certificate (RFC 9483, 4.2: it must match, if it is there).

    Raises:
        RefusedError: the certificate is another one.
    """
    if template.version not in (None, V3):
        raise rejected("badRequest", "certificates of this CA are of version v3")
    if template.subject is not None and name_of(template.subject) != certificate.subject:
        raise rejected("badCertId", "the certificate has another subject")
    parsed = x509.load_der_x509_certificate(certificate.der)
    key = template.publicKey
    if key is not None and encode(key) != public_bytes(parsed.public_key()):
        raise rejected("badCertId", "the certificate has another public key")
    known = {
        (one.oid.dotted_string, one.critical, one.value.public_bytes()) for one in parsed.extensions
    }
    for one in template.extensions or ():
        if (one.extnID.dotted_string, one.critical, one.extnValue) not in known:
            raise rejected("badCertId", "the certificate has other extensions")
