"""A CA in process, and peers that talk CMP to it octet by octet."""

import datetime as dt
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bulkcmp.cmp import algorithms, popo, protection
from bulkcmp.cmp.algorithms import PrivateKey, RsaScheme, SigningKey
from bulkcmp.cmp.asn1 import (
    TLV,
    GeneralizedTime,
    ObjectIdentifier,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    explicit,
    wrap,
)
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.events import (
    DeriveKey,
    Event,
    Finish,
    KeyDerived,
    Received,
    Send,
    Start,
    Store,
    Stored,
)
from bulkcmp.cmp.messages import (
    CONTROL_OLD_CERT_ID,
    IT_IMPLICIT_CONFIRM,
    NULL_DN,
    AttributeTypeAndValue,
    BodyType,
    CertId,
    CertRepMessage,
    CertRequest,
    CertStatus,
    CertTemplate,
    ErrorMsgContent,
    Extension,
    PKIHeader,
    PKIMessage,
    PKIStatusInfo,
    PollReq,
    RevDetails,
    RevRepContent,
    SubjectPublicKeyInfo,
    body,
    decode_message,
    directory_name,
    encode_message,
    fail_info_names,
    name_elements,
    protected_part,
)
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import DhCredential
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec, PasswordMac, Popo, RsaPadding, Secret
from bulkcmp.testca import state
from bulkcmp.testca.aliases import ALIASES, Behaviour, paths
from bulkcmp.testca.answering import Answering
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.header import FOLLOWING
from bulkcmp.testca.identity import (
    Identity,
    MacIdentity,
    key_usage,
    make_device,
    make_mac_identity,
    sign,
)
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate, Registration
from bulkcmp.testca.store import Store as Books
from tests import oracle

NOW = dt.datetime(2027, 3, 1, 12, 0, tzinfo=dt.UTC)
USER_SECRET = Secret(b"pw1")


@cache
def _made(spec: str, _number: int) -> PrivateKey:
    return algorithms.load_private_key(make_keys(KeySpec.parse(spec), 1)[0])


def shared_new_key(spec: str, number: int = 0) -> PrivateKey:
    """A key of that type to certify; the same one for the same number."""
    return _made(spec, number)


def shared_key(spec: str, number: int = 0) -> SigningKey:
    """As `shared_new_key`, of a type that signs."""
    key = shared_new_key(spec, number)
    assert isinstance(key, SigningKey)
    return key


@dataclass(frozen=True)
class Reply:
    """A response of the CA, its protection verified."""

    message: PKIMessage
    protection: str
    """`mac`, `signature` or `none`."""

    @property
    def type(self) -> BodyType:
        return self.message.body_type

    @property
    def status(self) -> tuple[int, tuple[str, ...], str]:
        """PKIStatus, failInfo and statusString."""
        info: PKIStatusInfo
        match self.type:
            case BodyType.ERROR:
                info = decode(ErrorMsgContent, self.message.body).pKIStatusInfo
            case BodyType.RP:
                (info,) = decode(RevRepContent, self.message.body).status
            case _:
                (one,) = decode(CertRepMessage, self.message.body).response
                info = one.status
        return info.status, fail_info_names(info.failInfo), " / ".join(info.statusString or ())

    @property
    def responses(self) -> dict[int, tuple[int, tuple[str, ...]]]:
        """PKIStatus and failInfo of each CertResponse, by certReqId."""
        return {
            one.certReqId: (one.status.status, fail_info_names(one.status.failInfo))
            for one in decode(CertRepMessage, self.message.body).response
        }

    @property
    def issued(self) -> dict[int, bytes]:
        """The issued certificates, by certReqId."""
        return {
            one.certReqId: content(one.certifiedKeyPair[0])
            for one in decode(CertRepMessage, self.message.body).response
            if one.certifiedKeyPair is not None
        }

    @property
    def cert_req_id(self) -> int:
        (one,) = decode(CertRepMessage, self.message.body).response
        return one.certReqId

    @property
    def der(self) -> bytes:
        """The issued certificate."""
        (der,) = self.issued.values()
        return der

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)


def assert_refused(
    reply: Reply, type_: BodyType, fail_info: str, protection: str, text: str = ""
) -> None:
    """The CA said no: by a message of this type, for this failInfo, protected like this."""
    assert (reply.type, reply.status[:2], reply.protection) == (
        type_,
        (2, (fail_info,)),
        protection,
    ), reply.status
    assert text in reply.status[2]


def cert_status(cert_req_id: int, der: bytes, **fields: Any) -> CertStatus:
    """The CertStatus that accepts a certificate; `fields` replaces some of it."""
    value, algorithm = algorithms.certificate_hash(x509.load_der_x509_certificate(der), der)
    status: dict[str, Any] = {
        "certHash": value,
        "certReqId": cert_req_id,
        "hashAlg": None if algorithm is None else decode_sequence_of(algorithm),
    }
    return CertStatus(**(status | fields))


def poll_req(*cert_req_ids: int) -> bytes:
    """DER PollReqContent."""
    return wrap(0x30, *(encode(PollReq(certReqId=one)) for one in cert_req_ids))


def rev_details(serial: int | None, issuer: bytes | None, *reasons: int | bytes) -> bytes:
    """DER RevDetails; a reason is a CRLReason, or whatever stands for its DER."""
    template = CertTemplate(
        serialNumber=serial, issuer=None if issuer is None else name_elements(issuer)
    )
    entries = [
        Extension(
            extnID=ObjectIdentifier("2.5.29.21"),
            critical=False,
            extnValue=one if isinstance(one, bytes) else wrap(0x0A, bytes((one,))),
        )
        for one in reasons
    ]
    return encode(RevDetails(certDetails=template, crlEntryDetails=entries or None))


def rev_req(serial: int | None, issuer: bytes | None, *reasons: int | bytes) -> bytes:
    """DER RevReqContent with one RevDetails."""
    return wrap(0x30, rev_details(serial, issuer, *reasons))


@dataclass
class Peer:
    """One requester at one alias, in one transaction at a time."""

    ca: "Ca"
    alias: str
    ref: bytes | None = None
    secret: Secret | None = None
    key: SigningKey | None = None
    cert: bytes | None = None
    chain: tuple[bytes, ...] = ()
    iterations: int = 100
    mac: PasswordMac = PasswordMac.PBM
    scheme: RsaScheme = RsaPadding.PKCS1
    transaction_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    last: Reply | None = None

    def send(
        self,
        body_type: BodyType,
        der: bytes,
        *,
        implicit: bool = False,
        protect: bool = True,
        spoil: bool = False,
        extra_certs: tuple[bytes, ...] | None = None,
        now: dt.datetime | None = None,
        **header: Any,
    ) -> Reply:
        """Send a message of this transaction; `header` replaces fields of its PKIHeader."""
        when = now or self.ca.now
        sender, kid = directory_name(NULL_DN), self.ref
        parameters: MacParameters | None = None
        algorithm = b""
        if self.secret is not None:
            parameters = MacParameters.choose(
                b"0123456789abcdef", kind=self.mac, iterations=self.iterations
            )
            algorithm = parameters.identifier
        elif self.key is not None and self.cert is not None:
            algorithm = algorithms.signature_identifier(self.key, "sha256", self.scheme)
            certificate = x509.load_der_x509_certificate(self.cert)
            sender = directory_name(certificate.subject.public_bytes())
            with suppress(x509.ExtensionNotFound):
                ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
                kid = ski.value.digest
        fields: dict[str, Any] = {
            "pvno": 2,
            "sender": sender,
            "recipient": directory_name(self.ca.root.name),
            "messageTime": GeneralizedTime(when),
            "protectionAlg": decode_sequence_of(algorithm) if algorithm else None,
            "senderKID": kid,
            "transactionID": self.transaction_id,
            "senderNonce": secrets.token_bytes(16),
            "recipNonce": (
                None
                if self.last is None or body_type not in FOLLOWING
                else self.last.message.header.senderNonce
            ),
            "generalInfo": (
                [any_from(wrap(0x30, encode(IT_IMPLICIT_CONFIRM), b"\x05\x00"))]
                if implicit
                else None
            ),
        }
        head = encode(PKIHeader(**(fields | header)))
        tagged = body(body_type, der)
        part = protected_part(head, tagged)
        value: bytes | None = None
        if parameters is not None and self.secret is not None:
            key = protection.derive(parameters.derivation(self.secret))
            value = protection.mac(key, parameters, part)
        elif self.key is not None:
            value = algorithms.sign(self.key, "sha256", part, self.scheme)
        if value is not None and spoil:
            value = value[:-1] + bytes((value[-1] ^ 1,))
        if extra_certs is None:
            extra_certs = () if self.cert is None else (self.cert, *self.chain)
        self.last = self.ca.ask(
            self.alias,
            encode_message(head, tagged, value if protect else None, extra_certs),
            self.secret,
            when,
        )
        return self.last

    def enroll(
        self,
        body_type: BodyType = BodyType.IR,
        subject: str | list[TLV] | None = "/CN=dev1/O=Acme/C=SE",
        spec: str = "ec:P-256",
        *,
        implicit: bool = False,
        now: dt.datetime | None = None,
        **crmf: Any,
    ) -> Reply:
        """Ask for a certificate by CRMF."""
        der = self.ca.crmf(shared_new_key(spec), subject, **crmf)
        return self.send(body_type, der, implicit=implicit, now=now)

    def confirm(self, reply: Reply, *, pvno: int | None = None, **fields: Any) -> Reply:
        """Send the certConf of all issued certificates of a reply.

        `fields` replaces those of each CertStatus; pvno is 3 where there is a hashAlg.
        """
        statuses = [cert_status(*one, **fields) for one in reply.issued.items()]
        if pvno is None:
            pvno = 2 if all(one.hashAlg is None for one in statuses) else 3
        return self.send(BodyType.CERT_CONF, wrap(0x30, *map(encode, statuses)), pvno=pvno)

    def again(self) -> "Peer":
        """The same requester, in a new transaction."""
        return replace(self, transaction_id=secrets.token_bytes(16), last=None)


class Ca:
    """A CA with its books, and a clock that stands still until it is set."""

    def __init__(self, folder: Path, spec: str = "ec:P-256", now: dt.datetime = NOW) -> None:
        self.folder = folder
        self.now = now
        self.url: str | None = None
        """Where another process serves it: it is asked then."""
        state.create(folder, KeySpec.parse(spec), now)
        self.root: Identity = state.load_identity(folder)
        self.store: Books = state.open_books(folder)
        # what a crash of the machine would do is no matter of these tests
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.vendors = (state.load_vendor_root(folder),)
        self.mac_identities: tuple[MacIdentity, ...] = ()
        self._knobs: tuple[Behaviour, dict[str, Behaviour]] = Behaviour(), {}
        self.authority: Answering
        self._begin()

    def close(self) -> None:
        self.store.close()

    def behave(self, behaviour: Behaviour, **exceptions: Behaviour) -> None:
        """Restart with other knobs; names in `exceptions` have `_` for `-`."""
        by_name = {name.replace("_", "-"): one for name, one in exceptions.items()}
        self._knobs = behaviour, by_name
        self._begin()

    def _begin(self) -> None:
        self.authority = Authority(
            self.store,
            self.root,
            *self._knobs,
            vendors=self.vendors,
            mac_identities=self.mac_identities,
        )

    def mac_identity(self, kind: str) -> MacIdentity:
        """A key of its own for MACs, with which it restarts if it had none."""
        state.make_mac_key(self.folder, kind, self.now)
        known = state.load_mac_identities(self.folder)
        if len(known) > len(self.mac_identities):
            self.mac_identities = known
            self._begin()
        certificate = state.Folder(self.folder).mac_certificate(kind).read_bytes()
        serial = x509.load_pem_x509_certificate(certificate).serial_number
        (found,) = (one for one in known if one.certificate.serial_number == serial)
        return found

    def agreement_credential(
        self, kind: str = "ec:P-256", user: str = "dev1", **usage: bool
    ) -> DhCredential:
        """An end entity with a certificate for key agreement with the CA's key of that type."""
        subject = parse_name(f"/CN={user}/O=Acme/C=SE")
        made = make_mac_identity(self.root, kind, self.now)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_bytes(subject))
            .issuer_name(self.root.certificate.subject)
            .public_key(made.key.public_key())
            .serial_number(made.certificate.serial_number)
            .not_valid_before(made.certificate.not_valid_before_utc)
            .not_valid_after(made.certificate.not_valid_after_utc)
            .add_extension(
                key_usage(digital_signature=False, **(usage or {"key_agreement": True})),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier(made.key_identifier), critical=False)
        )
        der = sign(builder, self.root.key).public_bytes(Encoding.DER)
        with self.store.writing():
            self.store.add_certificate(
                IssuedCertificate(
                    serial=made.certificate.serial_number,
                    der=der,
                    subject=subject,
                    key_identifier=made.key_identifier,
                    alias="client-cert",
                    user=user,
                    is_ra=False,
                    transaction_id=None,
                    status=CertificateStatus.CONFIRMED,
                    issued_at=self.now,
                )
            )
        key = made.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ca = self.mac_identity(kind).der
        return DhCredential.with_ca(key, (der,), ca, DhMacParameters.choose())

    def restart(self, behaviour: Behaviour | None = None) -> None:
        self.store.close()
        self.store = state.open_books(self.folder)
        self.authority = Authority(self.store, state.load_identity(self.folder), behaviour)

    def register(self, user: str, subject: str | None = None, secret: Secret = USER_SECRET) -> None:
        name = parse_name(subject or f"/CN={user}/O=Acme/C=SE")
        entries = [Registration(user, "client-hmac", name, secret)]
        self.store.register(entries, replace=True)

    def ask(
        self, alias: str, request: bytes, secret: Secret | None = None, now: dt.datetime = NOW
    ) -> Reply:
        """Answer of the CA, decoded, its protection verified."""
        message = decode_message(self.answer(alias, request, now))
        if message.protection is None:
            assert message.header.protectionAlg is None
            return Reply(message, "none")
        parameters = protection.mac_parameters(message)
        if parameters is None:
            protection.check_signature(message, self.root.certificate)
            assert message.extra_certs[0] == self.root.der
            assert message.header.senderKID == self.root.key_identifier
            return Reply(message, "signature")
        assert secret is not None
        protection.check_mac(message, parameters, protection.derive(parameters.derivation(secret)))
        return Reply(message, "mac")

    def answer(self, alias: str, request: bytes, now: dt.datetime | None = None) -> bytes:
        """Answer of the CA, as it is; pyasn1 must read the same in it."""
        if self.url is None:
            answer = self.authority.handle(ALIASES[alias], request, now or self.now)
            oracle.same(answer)
            return answer
        url = f"{self.url}{paths(ALIASES[alias])[0]}"
        return httpx.post(url, content=request).content

    def ra_secret(self) -> Secret:
        secret = self.store.alias_secret("ra-hmac")
        assert secret is not None
        return secret

    def ra_hmac(self) -> Peer:
        return Peer(self, "ra-hmac", b"ra1", self.ra_secret())

    def ra_cert(self) -> Peer:
        folder = state.Folder(self.folder)
        certificate = x509.load_pem_x509_certificate(folder.ra_certificate.read_bytes())
        return Peer(
            self,
            "ra-cert",
            key=_load_pem_key(folder.ra_key),
            cert=certificate.public_bytes(Encoding.DER),
        )

    def client_hmac(self, user: str = "dev1") -> Peer:
        """A registered end entity."""
        known = self.store.registration(user)
        if known is None or known.secret is None:
            self.register(user)
        return Peer(self, "client-hmac", user.encode(), USER_SECRET)

    def client_cert(self, user: str = "dev1", spec: str = "ec:P-256", **crmf: Any) -> Peer:
        """An end entity with a confirmed certificate."""
        der = self.certify(spec, user, **crmf)
        return Peer(self, "client-cert", key=shared_key(spec), cert=der)

    def certify(self, spec: str = "ec:P-256", user: str = "dev1", **crmf: Any) -> bytes:
        """A confirmed certificate, DER, for the shared key of that type."""
        ra = self.ra_hmac()
        reply = ra.enroll(BodyType.IR, f"/CN={user}/O=Acme/C=SE", spec, **crmf)
        assert ra.confirm(reply).type is BodyType.PKICONF
        return reply.der

    def station(self, subject: str = "/CN=dev1/O=Vendor", vendor: Identity | None = None) -> Peer:
        """A device with the certificate that its vendor gave it."""
        vendor = vendor or state.load_vendor(self.folder)
        device = make_device(vendor, parse_name(subject), self.now)
        return Peer(self, "3gpp", key=device.key, cert=device.der, chain=(vendor.der,))

    def requester(self, alias: str) -> Peer:
        """One who may ask for dev1 at an alias."""
        made: dict[str, Callable[[], Peer]] = {
            "client-hmac": self.client_hmac,
            "client-cert": self.client_cert,
            "3gpp": self.station,
            "ra-hmac": self.ra_hmac,
            "ra-cert": self.ra_cert,
        }
        return made[alias]()

    def crmf(
        self,
        key: PrivateKey,
        subject: str | list[TLV] | None = "/CN=dev1/O=Acme/C=SE",
        *,
        prove: bytes | Popo | None = Popo.SIGNATURE,
        scheme: RsaScheme = RsaPadding.PKCS1,
        extensions: list[tuple[str, bool, bytes]] | None = None,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        old: tuple[bytes, int] | None = None,
        other_controls: tuple[AttributeTypeAndValue, ...] = (),
        reg_info: tuple[AttributeTypeAndValue, ...] = (),
        public_key: bytes | None = None,
        cert_req_id: int = 0,
        count: int = 1,
        **template: Any,
    ) -> bytes:
        """DER CertReqMessages; `template` gives further fields of the CertTemplate."""
        validity = [
            any_from(explicit(number, _time(time)))
            for number, time in enumerate((not_before, not_after))
            if time is not None
        ]
        spki = public_key or algorithms.public_key_info(key)
        fields: dict[str, Any] = {
            "subject": (
                name_elements(parse_name(subject)) if isinstance(subject, str) else subject
            ),
            "publicKey": decode(SubjectPublicKeyInfo, spki),
            "validity": validity or None,
            "extensions": None
            if extensions is None
            else [
                Extension(extnID=ObjectIdentifier(oid), critical=critical, extnValue=value)
                for oid, critical, value in extensions
            ],
        }
        controls = list(other_controls)
        if old is not None:
            cert_id = CertId(issuer=directory_name(old[0]), serialNumber=old[1])
            control = AttributeTypeAndValue(
                type=CONTROL_OLD_CERT_ID, value=any_from(encode(cert_id))
            )
            controls.append(control)
        request = encode(
            CertRequest(
                certReqId=cert_req_id,
                certTemplate=CertTemplate(**(fields | template)),
                controls=controls or None,
            )
        )
        proof = prove if isinstance(prove, bytes) else b""
        if isinstance(prove, Popo):
            proof = popo.prove(request, key, "sha256", prove, scheme)
        infos = wrap(0x30, *map(encode, reg_info)) if reg_info else b""
        return wrap(0x30, *([wrap(0x30, request, proof, infos)] * count))


def _time(time: dt.datetime) -> bytes:
    if time.year < 2050:
        return wrap(0x17, time.strftime("%y%m%d%H%M%SZ").encode())
    return wrap(0x18, time.strftime("%Y%m%d%H%M%SZ").encode())


def _load_pem_key(path: Path) -> SigningKey:
    key = load_pem_private_key(path.read_bytes(), None)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return algorithms.load_signing_key(pkcs8)


@pytest.fixture
def make_ca(tmp_path: Path) -> Iterator[Callable[..., Ca]]:
    """Makes CAs with keys of the type that is asked for."""
    made: list[Ca] = []

    def make(spec: str, now: dt.datetime = NOW) -> Ca:
        made.append(Ca(tmp_path / f"ca{len(made)}", spec, now))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def made_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a CA that nobody has asked yet."""
    folder = tmp_path_factory.mktemp("made") / "ca"
    state.create(folder, KeySpec.parse("ec:P-256"), NOW)
    return folder


@pytest.fixture
def ca(made_ca: Path, tmp_path: Path) -> Iterator[Ca]:
    """A CA with new books; its keys are those of other tests, since making them takes its time."""
    copy = Ca(shutil.copytree(made_ca, tmp_path / "ca"))
    yield copy
    copy.close()


def converse(transaction: Transaction, at: dt.datetime, post: Callable[[bytes], bytes]) -> Finish:
    """The end of a transaction of bulkcmp's own client, in no time.

    Args:
        post: brings a message to the server, and its answer back.
    """
    now = at.timestamp()
    event: Event = Start(now)
    while True:
        (instruction,) = transaction.handle(event)
        match instruction:
            case DeriveKey(derivation):
                event = KeyDerived(now, protection.derive(derivation))
            case Store():
                event = Stored(now)
            case Send(message):
                event = Received(now, post(message), now)
            case Finish():
                return instruction
            case _:
                raise AssertionError(instruction)


@pytest.fixture
def key() -> Callable[..., SigningKey]:
    """Keys that tests share, by type and number."""
    return shared_key
