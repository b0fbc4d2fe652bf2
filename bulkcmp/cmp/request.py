"""The requests of end entities: bodies of ir, cr, kur, p10cr, rr and genm, and the message around
them.

A request is built from end entities and their credential; header and protection are made anew for
each message of the transaction, the body once.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519
from cryptography.x509.oid import NameOID

from bulkcmp.cmp import algorithms, general, popo, protection
from bulkcmp.cmp.algorithms import OpaqueKey, PrivateKey, RsaScheme, Signer, SigningKey
from bulkcmp.cmp.asn1 import ObjectIdentifier, decode_sequence_of, encode, explicit, integer, wrap
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.envelope import Recipient
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import (
    DIRECTORY_NAME,
    IT_CERT_PROFILE,
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    PVNO_CMP2000,
    PVNO_CMP2021,
    BodyType,
    encode_header,
    encode_message,
    protected_part,
    protection_fields,
)
from bulkcmp.cmp.messages import body as tagged_body
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.recipient import AnyOf, KeyRecipient, PasswordRecipient
from bulkcmp.cmp.template import cert_template, controls, reg_info
from bulkcmp.cmp.trust import EXTENSION_ERRORS, load_certificate
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import EndEntity, KeySpec, Operation, Profile, RevocationReason, Secret

CERT_REQ_ID: Final = 0
"""certReqId of the first request in a message, and of the only one (RFC 9483, 4.1.1)."""

CERT_REQ_ID_P10CR: Final = -1
"""certReqId that stands for a PKCS#10 request (RFC 9483, 4.1.4)."""

CERT_REQ_ID_WHOLE: Final = -1
"""certReqId by which an answer that waits as a whole is polled for (RFC 9483, 4.4)."""

BODY_TYPES: Final = {
    Operation.IR: (BodyType.IR, BodyType.IP),
    Operation.CR: (BodyType.CR, BodyType.CP),
    Operation.KUR: (BodyType.KUR, BodyType.KUP),
    Operation.P10CR: (BodyType.P10CR, BodyType.CP),
    Operation.RR: (BodyType.RR, BodyType.RP),
    Operation.GENM: (BodyType.GENM, BodyType.GENP),
}
"""The request's and the response's body of each operation (RFC 9810, 5.3)."""

_CRL_REASON: Final = encode(ObjectIdentifier("2.5.29.21"))
_NO_BITS: Final = b"\x03\x01\x00"
"""An empty BIT STRING: the public key of who leaves the making of it to the CA."""
_IMPLICIT_CONFIRM: Final = wrap(0x30, encode(IT_IMPLICIT_CONFIRM), b"\x05\x00")


@dataclass(frozen=True, slots=True)
class MacCredential:
    """A shared secret (RFC 9810, 5.1.3.1).

    Attributes:
        ref: reference value; sent as senderKID and, as servers want it, as CN of the sender.
        parameters: kind, salt, digest, iteration count and mac of our own messages.
    """

    ref: str
    secret: Secret
    parameters: MacParameters

    @property
    def derivation(self) -> Derivation:
        return self.parameters.derivation(self.secret)

    def resumed(self, identifier: bytes) -> "MacCredential":
        """The same secret with the salt and count that a transaction began with.

        Args:
            identifier: DER of the protectionAlg that was recorded; empty where none was.
        """
        if not identifier:
            return self
        # our own record, and our own choice: no ceiling
        parameters = protection.parameters_of(
            decode_sequence_of(identifier), max_iterations=sys.maxsize
        )
        return self if parameters is None else replace(self, parameters=parameters)


@dataclass(frozen=True, slots=True)
class SignatureCredential:
    """A certificate and its key (RFC 9810, 5.1.3.3).

    Attributes:
        key: PKCS#8 DER, or a key that signs elsewhere.
        chain: DER certificates, the signer's own first; they travel in extraCerts.
        secret: checks the MAC of an answer; None where no such answer is good.
    """

    key: bytes | OpaqueKey = field(repr=False)
    chain: tuple[bytes, ...]
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class KemCredential:
    """A certificate for a KEM key, and the key, which makes a MAC's key of what the CA encapsulates
    (RFC 9810, 5.1.3.4).

    Attributes:
        key: PKCS#8 DER.
        chain: DER certificates, the key's own first; they travel in extraCerts.
        parameters: of our own messages.
        secret: checks the MAC of an answer; None where no such answer is good.
    """

    key: bytes = field(repr=False)
    chain: tuple[bytes, ...]
    parameters: KemMacParameters
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class DhCredential:
    """A certificate for a key of Diffie-Hellman, and what its key and the CA's agree on
    (RFC 9810, 5.1.3.2).

    Attributes:
        key: PKCS#8 DER.
        chain: DER certificates, the key's own first; they travel in extraCerts.
        agreed: the result of Diffie-Hellman, which checks the MAC of an answer too.
        recipient_kid: subject key identifier of the CA's certificate; None where it has none.
        parameters: of our own messages.
        secret: checks the MAC of an answer; None where no such answer is good.
    """

    key: bytes = field(repr=False)
    chain: tuple[bytes, ...]
    agreed: bytes = field(repr=False)
    recipient_kid: bytes | None
    parameters: DhMacParameters
    secret: Secret | None = None

    @classmethod
    def with_ca(
        cls,
        key: bytes,
        chain: tuple[bytes, ...],
        ca: bytes,
        parameters: DhMacParameters,
        secret: Secret | None = None,
        *,
        ignore_keyusage: bool = False,
    ) -> "DhCredential":
        """The credential to be used with a CA.

        Args:
            ca: DER of the CA's certificate for a key of Diffie-Hellman, which is trusted.
            ignore_keyusage: it may have a keyUsage without keyAgreement.

        Raises:
            LocalCmpError: a key can't be used, or the two are not for the same curve.
        """
        try:
            public_key = protection.public_key_of(load_certificate(ca))
            agreed = algorithms.agree(algorithms.load_agreement_key(key), public_key)
        except RemoteCmpError as error:
            raise LocalCmpError(
                f"a DHBasedMac with the CA's certificate: {error.what}",
                hint="--srvcert is to be its certificate for a key of the same type and curve",
            ) from error
        usage = _key_usage(ca)
        if not (usage is None or usage.key_agreement or ignore_keyusage):
            raise LocalCmpError(
                "the CA's certificate has a keyUsage without keyAgreement",
                hint="--ignore-keyusage accepts it",
            )
        _, kid, _ = _signer_names(ca)
        return cls(key, chain, agreed, kid, parameters, secret)

    @property
    def mac_key(self) -> bytes:
        """The key of our own messages' MAC."""
        return self.parameters.derive(self.agreed)


@dataclass(frozen=True, slots=True)
class NoCredential:
    """No protection (RFC 9810, 5.1.3): something else than CMP says who we are.

    Attributes:
        certificate: DER, whose subject is the sender, or
        sender: DER Name; the NULL-DN where there is none to give.
        ref: reference value, sent as senderKID, or None.
        secret: checks the MAC of an answer; None where no such answer is good.
    """

    certificate: bytes | None = None
    sender: bytes = NULL_DN
    ref: str | None = None
    secret: Secret | None = None


Credential = MacCredential | SignatureCredential | KemCredential | DhCredential | NoCredential


def password_recipient(
    credential: Credential, profile: Profile, derive: Callable[[Derivation], bytes]
) -> PasswordRecipient | None:
    """The receiver of private keys that the secret of a credential makes; None without one."""
    if credential.secret is None:
        return None
    return PasswordRecipient(credential.secret, profile.max_pbm_iterations, derive)


def recipient(
    credential: Credential,
    profile: Profile,
    derive: Callable[[Derivation], bytes],
    certificates: Sequence[bytes],
) -> Recipient | None:
    """Who receives private keys from the CA: the holder of a credential (RFC 9483, 4.1.6).

    Args:
        derive: makes the key-encryption key of a secret.
        certificates: DER of those that came along.

    Returns:
        None where the credential is neither a secret nor a key of RSA or EC that we have.
    """
    holders = (
        _key_recipient(credential, certificates),
        password_recipient(credential, profile, derive),
    )
    found = tuple(holder for holder in holders if holder is not None)
    return AnyOf(found) if found else None


def _key_recipient(credential: Credential, certificates: Sequence[bytes]) -> KeyRecipient | None:
    key: object
    match credential:
        case SignatureCredential(key=bytes(pkcs8), chain=chain):
            key = algorithms.load_signing_key(pkcs8)
        case DhCredential(key=pkcs8, chain=chain):
            key = algorithms.load_agreement_key(pkcs8)
        case _:
            return None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return None
    return KeyRecipient(key, load_certificate(chain[0]), certificates)


def can_receive(credential: Credential, profile: Profile) -> bool:
    """Whether a credential is one for which the CA can encrypt a private key."""
    return recipient(credential, profile, protection.derive, ()) is not None


class Protector:
    """Makes messages, protected by one credential.

    Args:
        credential: whose MAC key `mac_key` is (derived by `protection.derive`, or from what was
            encapsulated or agreed), or which signs, or which protects nothing.
        profile: digest, RSA padding, recipient, extra certificates.

    Raises:
        LocalCmpError: the credential can't be used.
    """

    def __init__(
        self, credential: Credential, profile: Profile, mac_key: bytes | None = None
    ) -> None:
        self._protect: Callable[[bytes], bytes] | None = None
        self._extra_certs = profile.extra_certs
        algorithm: bytes | None = None
        kid: bytes | None
        recipient_kid: bytes | None = None
        match credential:
            case MacCredential(ref, _, parameters):
                if mac_key is None:
                    raise LocalCmpError("a MAC credential without its derived key")
                self._protect = functools.partial(protection.mac, mac_key, parameters)
                algorithm = parameters.identifier
                sender, kid = _reference_name(ref), ref.encode()
            case SignatureCredential(key, chain):
                signer = _signing_key(key) if isinstance(key, bytes) else key
                sender, kid, scheme = _signer_names(chain[0])
                algorithm = self._sign_with(signer, profile.digest, scheme or profile.rsa_padding)
                self._extra_certs = _extra_certs(chain, profile)
            case KemCredential() | DhCredential():
                if mac_key is None:
                    raise LocalCmpError("a credential for a MAC without its derived key")
                if isinstance(credential, DhCredential):
                    # it says which key was agreed with (RFC 9810, 5.1.1)
                    recipient_kid = credential.recipient_kid
                self._protect = functools.partial(protection.mac, mac_key, credential.parameters)
                algorithm = credential.parameters.identifier
                sender, kid, _ = _signer_names(credential.chain[0])
                self._extra_certs = _extra_certs(credential.chain, profile)
            case _:
                sender = explicit(DIRECTORY_NAME, credential.sender)
                if credential.certificate is not None:
                    sender, _, _ = _signer_names(credential.certificate)
                kid = None if credential.ref is None else credential.ref.encode()
        self._names = sender + explicit(DIRECTORY_NAME, profile.recipient or NULL_DN)
        self._protection = protection_fields(algorithm, kid, recipient_kid)

    def _sign_with(self, key: Signer, digest: str, scheme: RsaScheme) -> bytes:
        """Sign from now on; returns the DER AlgorithmIdentifier of the signatures."""
        self._protect = lambda part: algorithms.sign(key, digest, part, scheme)
        return algorithms.signature_identifier(key, digest, scheme)

    def message(
        self,
        body_type: BodyType,
        body: bytes,
        *,
        now: float,
        transaction_id: bytes,
        sender_nonce: bytes,
        recip_nonce: bytes | None,
        general_info: bytes = b"",
        pvno: int = PVNO_CMP2000,
    ) -> bytes:
        """DER of a PKIMessage, protected unless there is no credential.

        Args:
            body: DER under the body's tag.
            now: Unix time, seconds, for messageTime.
            general_info: concatenated DER InfoTypeAndValues.
        """
        header = encode_header(
            pvno,
            self._names,
            int(now),
            self._protection,
            transaction_id=transaction_id,
            sender_nonce=sender_nonce,
            recip_nonce=recip_nonce,
            general_info=general_info,
        )
        tagged = tagged_body(body_type, body)
        value = None
        if self._protect is not None:
            value = self._protect(protected_part(header, tagged))
        return encode_message(header, tagged, value, self._extra_certs)


@functools.lru_cache(maxsize=16)
def _signing_key(pkcs8: bytes) -> SigningKey:
    """The key of an RA signs all messages of a run."""
    return algorithms.load_signing_key(pkcs8)


@functools.lru_cache(maxsize=1024)
def _reference_name(ref: str) -> bytes:
    """DER GeneralName with the reference as CN: some servers refuse a NULL-DN (RFC 9483, 3.1)."""
    try:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ref)])
    except ValueError:
        # longer than a CN may be (64): the senderKID alone then names us
        return explicit(DIRECTORY_NAME, NULL_DN)
    return explicit(DIRECTORY_NAME, name.public_bytes())


@functools.lru_cache(maxsize=1024)
def _signer_names(der: bytes) -> tuple[bytes, bytes | None, RsaScheme | None]:
    """A signer's GeneralName and subject key identifier (RFC 9483, 3.1), and how its
    key must sign where the certificate says so."""
    try:
        certificate = load_certificate(der)
        sender = explicit(DIRECTORY_NAME, certificate.subject.public_bytes())
        scheme = algorithms.scheme_of(certificate)
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return sender, None, scheme
    except (RemoteCmpError, *EXTENSION_ERRORS) as error:
        raise LocalCmpError(f"the certificate can't be used: {error}") from error
    return sender, identifier.value.digest, scheme


@functools.lru_cache(maxsize=1024)
def is_kem_certificate(der: bytes) -> bool:
    """Whether a certificate is for a KEM key, so that its holder can't sign.

    Raises:
        LocalCmpError: it can't be used.
    """
    return algorithms.kem_identifier(_public_key(der)) is not None


@functools.lru_cache(maxsize=1024)
def is_agreement_certificate(der: bytes) -> bool:
    """Whether a certificate is for Diffie-Hellman and not for signatures: by the type of its key,
    or by its keyUsage.

    Raises:
        LocalCmpError: it can't be used.
    """
    public_key = _public_key(der)
    if isinstance(public_key, x25519.X25519PublicKey | x448.X448PublicKey):
        return True
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        return False
    usage = _key_usage(der)
    return usage is not None and usage.key_agreement and not usage.digital_signature


def is_for_macs(der: bytes) -> bool:
    """Whether a certificate is for no signatures, but for the secrets that MACs are made of.

    Raises:
        LocalCmpError: it can't be used.
    """
    return is_kem_certificate(der) or is_agreement_certificate(der)


def may_sign(der: bytes, *, ignore_keyusage: bool) -> bool:
    """Whether a message can be signed by the key of a certificate.

    Args:
        ignore_keyusage: the type of the key alone decides.

    Raises:
        LocalCmpError: it can't be used.
    """
    by_usage = ignore_keyusage and isinstance(_public_key(der), ec.EllipticCurvePublicKey)
    return by_usage or not is_for_macs(der)


def may_certify(der: bytes) -> bool:
    """Whether certificates can be signed by the key of a certificate for MACs.

    Raises:
        LocalCmpError: it can't be used.
    """
    usage = _key_usage(der)
    signs = isinstance(_public_key(der), ec.EllipticCurvePublicKey)
    return signs and usage is not None and usage.key_cert_sign


def check_kem_usage(der: bytes) -> None:
    """Make sure that a certificate for a KEM key may be encapsulated for (RFC 9935, 5).

    Raises:
        LocalCmpError: it may not, or can't be used.
    """
    usage = _key_usage(der) if is_kem_certificate(der) else None
    if not (usage is None or usage.key_encipherment):
        raise LocalCmpError(
            "the CA's certificate has a keyUsage without keyEncipherment",
            hint="--ignore-keyusage accepts it",
        )


def _public_key(der: bytes) -> object:
    try:
        return protection.public_key_of(load_certificate(der))
    except RemoteCmpError as error:
        raise LocalCmpError(f"the certificate can't be used: {error}") from error


def _key_usage(der: bytes) -> x509.KeyUsage | None:
    try:
        return load_certificate(der).extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    except (RemoteCmpError, *EXTENSION_ERRORS) as error:
        raise LocalCmpError(f"the certificate can't be used: {error}") from error


def unprotected(credential: KemCredential, profile: Profile) -> Protector:
    """Makes the message that asks for a KEM ciphertext, which nothing can protect yet."""
    extra_certs = _extra_certs(credential.chain, profile)
    return Protector(
        NoCredential(certificate=credential.chain[0]), replace(profile, extra_certs=extra_certs)
    )


def _extra_certs(chain: tuple[bytes, ...], profile: Profile) -> tuple[bytes, ...]:
    """The certificates that go with messages of the first one's holder."""
    own = chain if profile.send_root else _without_root(chain)
    return tuple(dict.fromkeys((*own, *profile.extra_certs)))


@functools.lru_cache(maxsize=1024)
def _without_root(chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A chain without what is self-signed behind its first, as is best left out of extraCerts
    (RFC 9483, 3.3)."""
    return (*chain[:1], *(der for der in chain[1:] if not _is_self_issued(der)))


def _is_self_issued(der: bytes) -> bool:
    try:
        certificate = load_certificate(der)
        subject, issuer = certificate.subject, certificate.issuer
    except (RemoteCmpError, ValueError, TypeError):
        # whatever it is, it was given to be sent
        return False
    return subject == issuer


class Applicant(NamedTuple):
    """Who asks in a message.

    Attributes:
        entity: its row.
        key: PKCS#8 DER of the key to certify, or one that signs elsewhere; None for p10cr, rr and
            genm, and where the CA makes it.
        repeats: the same was asked for before, and the CA may have done it.
    """

    entity: EndEntity
    key: bytes | OpaqueKey | None
    repeats: bool = False

    def __repr__(self) -> str:
        return f"Applicant({self.entity!r})"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one applicant asks for, and the answer must match.

    Attributes:
        cert_req_ids: the certReqIds that the answer may have; the first is RFC 9483's.
        public_key: DER SubjectPublicKeyInfo that was asked for; None for rr and genm, and where the
            CA makes the key.
        subject: DER of the Name that was asked for; None where the CA is to choose.
        central_keygen: the CA makes the key.
        key_spec: of the key that the CA makes, if that was said.
        decrypting_key: opens the certificate, which comes encrypted; None where it does not.
    """

    cert_req_ids: tuple[int, ...]
    public_key: bytes | None = None
    subject: bytes | None = None
    central_keygen: bool = False
    key_spec: KeySpec | None = None
    decrypting_key: PrivateKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """The body of a request and what its answer must match.

    Attributes:
        body: DER under the body's tag.
        general_info: concatenated DER InfoTypeAndValues of the request's header.
        asked: of each applicant, in their order.
    """

    operation: Operation
    body: bytes
    general_info: bytes
    asked: tuple[Asked, ...]

    @property
    def pvno(self) -> int:
        """Of its messages: an EnvelopedData, as cmp2021 has it, is expected (RFC 9810, 7)."""
        encrypted = any(one.central_keygen or one.decrypting_key is not None for one in self.asked)
        return PVNO_CMP2021 if encrypted else PVNO_CMP2000

    def resumed(self, cert_req_ids: Sequence[int]) -> "Request":
        """With the certReqIds that an earlier process gave, in the order of the applicants."""
        asked = (
            one if number in one.cert_req_ids else replace(one, cert_req_ids=(number,))
            for one, number in zip(self.asked, cert_req_ids, strict=True)
        )
        return replace(self, asked=tuple(asked))


def build(applicants: Sequence[Applicant], profile: Profile, now: float) -> Request:
    """The request that end entities' rows ask for, all in one message.

    Args:
        applicants: one or more, all with the same operation; a p10cr or genm has one.
        now: Unix time, seconds; the requested validity begins there.

    Raises:
        LocalCmpError: something that the operation needs is missing or can't be used.
    """
    entities = [applicant.entity for applicant in applicants]
    operation = entities[0].cmd
    general_info = _general_info(entities, profile)
    if operation is Operation.P10CR:
        (entity,) = entities
        body, asked = _p10cr(entity)
        return Request(operation, body, general_info, (asked,))
    if operation is Operation.RR:
        body = wrap(0x30, *(_rev_details(entity, profile) for entity in entities))
        asked_ids = tuple(Asked((place,)) for place in range(len(entities)))
        return Request(operation, body, general_info, asked_ids)
    if operation is Operation.GENM:
        (entity,) = entities
        # not a request for a certificate: the certReqId stands in no message
        asked_infos = (Asked((CERT_REQ_ID_WHOLE,)),)
        return Request(operation, general.encode_infos(entity.infos), general_info, asked_infos)
    parts = [
        _cert_req_msg(applicant, cert_req_id, profile, now)
        for cert_req_id, applicant in enumerate(applicants, CERT_REQ_ID)
    ]
    body = wrap(0x30, *(message for message, _ in parts))
    return Request(operation, body, general_info, tuple(asked for _, asked in parts))


def _cert_req_msg(
    applicant: Applicant, cert_req_id: int, profile: Profile, now: float
) -> tuple[bytes, Asked]:
    """DER CertReqMsg (RFC 4211, 3), and what it asks for."""
    entity = applicant.entity
    key = None if entity.central_keygen else _own_key(applicant)
    subject, old = entity.subject, None
    if entity.cmd is Operation.KUR:
        old = _old_certificate(entity)
        subject = old.subject.public_bytes() if subject is None else subject
    if subject == NULL_DN:
        # said, but leaves the choice to the CA
        subject = None
    public_key = None
    if key is not None:
        public_key = asked_key = algorithms.public_key_info(key)
    elif entity.new_key_spec is not None:
        asked_key = wrap(0x30, algorithms.key_identifier(entity.new_key_spec), _NO_BITS)
    else:
        asked_key = None
    cert_request = wrap(
        0x30,
        integer(cert_req_id),
        cert_template(entity, subject, asked_key, now),
        controls(entity, old),
    )
    proof = b""
    if key is not None:
        proof = popo.prove(cert_request, key, profile.digest, entity.popo, profile.rsa_padding)
    message = wrap(0x30, cert_request, proof, reg_info(entity))
    decrypting_key = None
    if entity.popo.is_indirect:
        assert not isinstance(key, OpaqueKey), "it has no such proof"
        decrypting_key = key
    return message, Asked(
        (cert_req_id,),
        public_key,
        subject,
        entity.central_keygen,
        entity.new_key_spec if entity.central_keygen else None,
        decrypting_key=decrypting_key,
    )


def _own_key(applicant: Applicant) -> PrivateKey | OpaqueKey:
    if applicant.key is None:
        raise LocalCmpError(f"{applicant.entity.cmd} without a key to certify")
    if isinstance(applicant.key, OpaqueKey):
        return applicant.key
    return algorithms.load_private_key(applicant.key)


def _p10cr(entity: EndEntity) -> tuple[bytes, Asked]:
    if entity.csr is None:
        raise LocalCmpError("p10cr without a PKCS#10 request")
    try:
        csr = x509.load_der_x509_csr(entity.csr)
        public_key = algorithms.public_bytes(csr.public_key())
        subject = csr.subject.public_bytes()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LocalCmpError(f"not a usable PKCS#10 request: {error}") from error
    # RFC 9483 says -1; there are servers that answer 0
    return entity.csr, Asked((CERT_REQ_ID_P10CR, CERT_REQ_ID), public_key, subject)


def _rev_details(entity: EndEntity, profile: Profile) -> bytes:
    """DER RevDetails (RFC 9810, 5.3.9)."""
    subject: bytes | None
    if entity.serial is None:
        old = _old_certificate(entity)
        serial, issuer = old.serial_number, old.issuer.public_bytes()
        subject = old.subject.public_bytes()
    else:
        if entity.issuer is None:
            raise LocalCmpError("rr by serial number without its issuer")
        serial, issuer, subject = entity.serial, entity.issuer, entity.subject
    if profile.rr_serial_only:
        subject = None
    template = wrap(
        0x30,
        # [1] IMPLICIT INTEGER
        b"\x81" + encode(serial)[1:],
        explicit(3, issuer),
        # RFC 9483 has no use for it (4.2), but EJBCA's client mode fails without it
        b"" if subject is None else explicit(5, subject),
    )
    # always said, unspecified too (RFC 9483, 4.2)
    reason = entity.revocation_reason or RevocationReason.UNSPECIFIED
    value = wrap(0x0A, bytes((reason.value,)))
    return wrap(0x30, template, wrap(0x30, wrap(0x30, _CRL_REASON, wrap(0x04, value))))


def _old_certificate(entity: EndEntity) -> x509.Certificate:
    der = entity.old_cert or (entity.cert[0] if entity.cert else None)
    if der is None:
        raise LocalCmpError(f"{entity.cmd} without the certificate that it is about")
    try:
        return load_certificate(der)
    except RemoteCmpError as error:
        raise LocalCmpError(f"oldcert: {error}") from error


def _general_info(entities: Sequence[EndEntity], profile: Profile) -> bytes:
    infos = []
    if profile.implicit_confirm and entities[0].cmd.certifies:
        infos.append(_IMPLICIT_CONFIRM)
    # one for each CertReqMsg, in their order (RFC 9810, 5.1.1.4)
    profiles = [entity.profile for entity in entities if entity.profile is not None]
    if profiles:
        names = wrap(0x30, *(wrap(0x0C, one.encode()) for one in profiles))
        infos.append(wrap(0x30, encode(IT_CERT_PROFILE), names))
    return b"".join(infos)
