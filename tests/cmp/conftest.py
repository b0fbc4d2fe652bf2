"""A small PKI, the CA's side of a transaction, and a driver that holds ours to its table."""

import datetime as dt
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from bulkcmp.cmp import algorithms, kemmac, messages, protection
from bulkcmp.cmp.algorithms import (
    AgreementKey,
    KemKey,
    OpaqueKey,
    PrivateKey,
    Pss,
    RsaScheme,
    SigningKey,
)
from bulkcmp.cmp.asn1 import decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.checks import Verdict
from bulkcmp.cmp.events import (
    Checkpoint,
    DeriveKey,
    Event,
    Finish,
    Instruction,
    KeyDerived,
    Lost,
    Part,
    Received,
    Send,
    Start,
    Store,
    Stored,
)
from bulkcmp.cmp.general import CA_CERTS, KEM_CIPHERTEXT_INFO, encode_infos
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters
from bulkcmp.cmp.messages import BodyType, PKIMessage, PKIStatus, PKIStatusInfo
from bulkcmp.cmp.protection import HmacParameters, MacParameters
from bulkcmp.cmp.request import (
    Applicant,
    Credential,
    KemCredential,
    MacCredential,
    SignatureCredential,
)
from bulkcmp.cmp.state import TRANSITIONS, State
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.errors import LocalCmpError, Loss
from bulkcmp.model import (
    EndEntity,
    Itav,
    Operation,
    Profile,
    RsaPadding,
    Secret,
    SubjectCheck,
)

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC).timestamp()
DAY = dt.timedelta(days=1)

KEY_MAKERS: dict[str, Callable[[], SigningKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
}
KEM_KEY_MAKERS: dict[str, Callable[[], KemKey]] = {
    "ml-kem-768": mlkem.MLKEM768PrivateKey.generate,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey.generate,
}

BY_SHA256 = bytes.fromhex("2a864886f70d01010b")
"""sha256WithRSAEncryption, and with SHA-1."""
BY_SHA1 = bytes.fromhex("2a864886f70d010105")


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Party:
    """A key and its certificate."""

    key: SigningKey
    certificate: bytes

    @property
    def subject(self) -> bytes:
        return x509.load_der_x509_certificate(self.certificate).subject.public_bytes()

    @property
    def pkcs8(self) -> bytes:
        return pkcs8(self.key)

    def elsewhere(self) -> "Opaque":
        """The key, as one that can't be had."""
        return Opaque(self.key)


class Opaque(OpaqueKey):
    """A key that signs elsewhere, until it is `gone`."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.gone = False

    def public_key(self) -> PublicKeyTypes:
        return self._key.public_key()

    def sign(self, data: bytes, digest: str, pss: Pss | None) -> bytes:
        if self.gone:
            raise LocalCmpError("the token is gone")
        return algorithms.sign(self._key, digest, data, pss or RsaPadding.PKCS1)


def pkcs8(key: PrivateKey | AgreementKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certify(
    subject: str | x509.Name, key: SigningKey, issuer: Party | None = None, **options: Any
) -> Party:
    """A certificate by `issuer`, or by itself; `options` are those of `certificate`."""
    return Party(key, certificate(subject, key, issuer or key, **options))


def certificate(
    subject: str | x509.Name,
    key: PrivateKey | AgreementKey,
    issuer: Party | SigningKey,
    *,
    ca: bool = False,
    sign: bool | None = True,
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
    age: float = 10,
    days: float = 3650,
    identified: bool = True,
    purposes: Sequence[x509.ObjectIdentifier] | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
    serial: int | None = None,
) -> bytes:
    """DER of a certificate.

    Args:
        issuer: who signs; a key alone signs its own.
        sign: keyUsage digitalSignature or not; None for no keyUsage at all.
        age: days since its validity began.
        days: from the beginning to the end of its validity.
        identified: with a subjectKeyIdentifier.
        purposes: extendedKeyUsage.
        extensions: any others.
        serial: by default another one each time.
    """
    begin = dt.datetime.fromtimestamp(NOW, dt.UTC) - age * DAY
    signer = issuer.key if isinstance(issuer, Party) else issuer
    subject = name(subject) if isinstance(subject, str) else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name.from_bytes(issuer.subject) if isinstance(issuer, Party) else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(begin)
        .not_valid_after(begin + days * DAY)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if identified:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if sign is not None:
        usage = x509.KeyUsage(
            digital_signature=sign,
            content_commitment=not sign,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=ca,
            crl_sign=ca,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    hashed = isinstance(signer, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    algorithm = (digest or hashes.SHA256()) if hashed else None
    deterministic = True if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    made = builder.sign(signer, algorithm, ecdsa_deterministic=deterministic)
    return made.public_bytes(serialization.Encoding.DER)


def by_sha1(party: Party, issuer: SigningKey) -> bytes:
    """DER of a certificate by an RSA key, signed with SHA-1, which `cryptography` does not."""
    tbs, algorithm, _ = (
        encode(one).replace(BY_SHA256, BY_SHA1) for one in decode_sequence_of(party.certificate)
    )
    signature = algorithms.sign(issuer, "sha1", tbs)
    return wrap(0x30, tbs, algorithm, wrap(0x03, b"\0", signature))


@dataclass(frozen=True)
class Pki:
    """Keys of every type, and who is who."""

    keys: dict[str, SigningKey]
    kem_keys: dict[str, KemKey]
    root: Party
    signer: Party
    device: Party
    """Holds a certificate of the root, and asks for the next."""
    stranger: Party
    """Signs under the signer's name, for a root that nobody trusts."""

    def __repr__(self) -> str:
        return "Pki()"

    certify = staticmethod(certify)
    certificate = staticmethod(certificate)
    name = staticmethod(name)
    pkcs8 = staticmethod(pkcs8)
    now = NOW

    def at(self, days: float = 0) -> dt.datetime:
        """Now, or days from now."""
        return dt.datetime.fromtimestamp(self.now, dt.UTC) + dt.timedelta(days=days)

    def trust(self) -> Trust:
        store = TrustStore([self.root.certificate])
        return Trust(store, store)

    def issue(self, subject: str | x509.Name = "device", **changes: float) -> bytes:
        """What the device asks for: a certificate for its new key."""
        return self.certificate(subject, self.keys["ec"], self.root, **changes)  # type: ignore[arg-type]  # times by their names

    def wanted(self, **changes: Any) -> dict[str, Any]:
        """What `checks.issued` is told that the device asked for."""
        return {
            "public_key": algorithms.public_key_info(self.keys["ec"]),
            "subject": name("device").public_bytes(),
            "subject_check": SubjectCheck.EXACT,
            "trust": self.trust(),
            "extra": (),
            "at": self.at(),
            "allow_weak": False,
            **changes,
        }


def fresh_key(kind: str) -> PrivateKey:
    """A new key of a type."""
    return (KEY_MAKERS | KEM_KEY_MAKERS)[kind]()


def make_pki(
    make: Callable[[str], PrivateKey] = fresh_key, *, kind: type[Pki] = Pki, signer: str = "ec"
) -> Pki:
    """A PKI with keys that `make` makes; `signer` is the type of the signers' keys."""

    def signing(kind: str) -> SigningKey:
        key = make(kind)
        assert isinstance(key, SigningKey)
        return key

    def encapsulated(kind: str) -> KemKey:
        key = make(kind)
        assert isinstance(key, KemKey)
        return key

    root = kind.certify("root", signing("ec"), ca=True)
    foreign = kind.certify("root", signing("ec"), ca=True)
    return kind(
        {name: signing(name) for name in KEY_MAKERS},
        {name: encapsulated(name) for name in KEM_KEY_MAKERS},
        root,
        kind.certify("signer", signing(signer), root),
        kind.certify("device", signing("ec"), root),
        kind.certify("signer", signing(signer), foreign),
    )


@pytest.fixture(scope="session")
def pki() -> Pki:
    return make_pki()


SECRET = Secret(b"between us")
OWN_MAC = MacParameters.choose(b"our own salt", iterations=101)
PEER_MAC = MacParameters.choose(b"the peer's salt", iterations=100, mac="hmac-sha1")


@dataclass(frozen=True)
class Answer:
    """A response; a test falsifies any part of it with `dataclasses.replace`."""

    body_type: BodyType
    body: bytes
    transaction_id: bytes | None
    recip_nonce: bytes | None
    sender: bytes
    """DER GeneralName."""
    sender_nonce: bytes = b"nonce of the peer"
    pvno: int = 2
    general_info: tuple[bytes, ...] = ()
    extra_certs: tuple[bytes, ...] = ()

    def _header(self, algorithm: bytes | None) -> bytes:
        def octets(number: int, value: bytes | None) -> bytes:
            return b"" if value is None else explicit(number, encode(value))

        return wrap(
            0x30,
            encode(self.pvno),
            self.sender,
            explicit(4, b"\x30\x00"),
            b"" if algorithm is None else explicit(1, algorithm),
            octets(4, self.transaction_id),
            octets(5, self.sender_nonce),
            octets(6, self.recip_nonce),
            explicit(8, wrap(0x30, *self.general_info)) if self.general_info else b"",
        )

    def plain(self, *, algorithm: bytes | None = None, value: bytes | None = None) -> bytes:
        """The response as it is, under any protection that the caller names."""
        body = messages.body(self.body_type, self.body)
        return messages.encode_message(self._header(algorithm), body, value, self.extra_certs)

    def macced(
        self,
        secret: Secret = SECRET,
        parameters: MacParameters = PEER_MAC,
    ) -> bytes:
        """Protected by a MAC of a secret."""
        return self.keyed(protection.derive(parameters.derivation(secret)), parameters)

    def keyed(self, key: bytes, parameters: HmacParameters) -> bytes:
        """Protected by a MAC, of whatever its key was made."""
        part = messages.protected_part(
            self._header(parameters.identifier), messages.body(self.body_type, self.body)
        )
        value = protection.mac(key, parameters, part)
        return self.plain(algorithm=parameters.identifier, value=value)

    def signed(
        self,
        signer: Party,
        *others: bytes,
        digest: str = "sha256",
        scheme: RsaScheme = RsaPadding.PKCS1,
    ) -> bytes:
        """Signed; the signer's certificate and `others` travel in extraCerts."""
        algorithm = algorithms.signature_identifier(signer.key, digest, scheme)
        part = messages.protected_part(
            self._header(algorithm), messages.body(self.body_type, self.body)
        )
        value = algorithms.sign(signer.key, digest, part, scheme)
        whole = replace(self, extra_certs=(*self.extra_certs, signer.certificate, *others))
        return whole.plain(algorithm=algorithm, value=value)


class Peer:
    """The CA's side: what it says, and how it is put into a response to a request."""

    secret = SECRET
    own_mac = OWN_MAC
    peer_mac = PEER_MAC

    @staticmethod
    def answer(request: bytes, body_type: BodyType, body: bytes, sender: bytes) -> Answer:
        """The right response to `request`; `sender` is the DER of a Name."""
        header = messages.decode_message(request).header
        return Answer(
            body_type, body, header.transactionID, header.senderNonce, explicit(4, sender)
        )

    @staticmethod
    def status(number: int, *bits: str, text: tuple[str, ...] = ()) -> bytes:
        """DER PKIStatusInfo."""
        info = PKIStatusInfo(
            status=number,
            statusString=list(text) or None,
            failInfo=messages.fail_info(*bits) if bits else None,
        )
        return encode(info)

    @staticmethod
    def response(status: bytes, certificate: bytes = b"", cert_req_id: int = 0) -> bytes:
        """DER CertResponse; `certificate` is a DER CertOrEncCert."""
        pair = wrap(0x30, certificate) if certificate else b""
        return wrap(0x30, encode(cert_req_id), status, pair)

    @staticmethod
    def cert_rep(*responses: bytes, ca_pubs: tuple[bytes, ...] = ()) -> bytes:
        """DER CertRepMessage."""
        known = explicit(1, wrap(0x30, *ca_pubs)) if ca_pubs else b""
        return wrap(0x30, known, wrap(0x30, *responses))

    def granted(
        self, certificate: bytes, *, cert_req_id: int = 0, status: int = PKIStatus.ACCEPTED
    ) -> bytes:
        """DER CertRepMessage with a certificate in it."""
        return self.cert_rep(
            self.response(self.status(status), explicit(0, certificate), cert_req_id)
        )

    def waiting(self, cert_req_id: int = 0) -> bytes:
        """DER CertRepMessage that says: later."""
        return self.cert_rep(self.response(self.status(PKIStatus.WAITING), cert_req_id=cert_req_id))

    @staticmethod
    def error(status: bytes, *details: str) -> bytes:
        """DER ErrorMsgContent."""
        texts = wrap(0x30, *(encode(text) for text in details)) if details else b""
        return wrap(0x30, status, texts)

    @staticmethod
    def poll_rep(check_after: int, cert_req_id: int = 0, *, count: int = 1) -> bytes:
        """DER PollRepContent."""
        entry = wrap(0x30, encode(cert_req_id), encode(check_after))
        return wrap(0x30, *[entry] * count)

    @staticmethod
    def rev_rep(*statuses: bytes) -> bytes:
        """DER RevRepContent."""
        return wrap(0x30, wrap(0x30, *statuses))


@pytest.fixture(scope="session")
def peer() -> Peer:
    return Peer()


ANSWERS = {
    Operation.IR: BodyType.IP,
    Operation.CR: BodyType.CP,
    Operation.KUR: BodyType.KUP,
    Operation.P10CR: BodyType.CP,
    Operation.RR: BodyType.RP,
    Operation.GENM: BodyType.GENP,
}


@dataclass
class Run:
    """Drives a transaction, and holds every step of it to the table."""

    pki: Pki
    peer: Peer
    entity: EndEntity
    new_key: bytes | None
    credential: Credential
    profile: Profile
    checkpoint: Checkpoint | None = None
    trust: Trust | None = None
    repeats: bool = False
    first_trust: bool = False
    jitter: float = 1.0
    now: float = NOW
    count: int = 1
    verdicts: list[Verdict] | None = None
    shared_secret: bytes = b""
    ca_secret: CaSecret | None = None
    edges: set[tuple[State, type[Event], State]] = field(default_factory=set)
    stored: list[Checkpoint] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transaction = Transaction(
            [
                Applicant(replace(self.entity, number=number), self.new_key, self.repeats)
                for number in range(1, self.count + 1)
            ],
            self.credential,
            self.profile,
            None if self.first_trust else self.trust or self.pki.trust(),
            transaction_id=b"sixteen octets..",
            nonces=(b"our nonce %6d" % number for number in itertools.count(1)),
            jitter=itertools.repeat(self.jitter),
            checkpoint=self.checkpoint,
            witness=None if self.verdicts is None else self.verdicts.append,
            ca_secret=self.ca_secret,
        )

    @property
    def state(self) -> State:
        return self.transaction.state

    def tell(self, event: Event) -> list[Instruction]:
        """Hand over one event; where it leads must stand in the table."""
        before = self.state
        instructions = self.transaction.handle(event)
        assert self.state in TRANSITIONS[before, type(event)][1]
        assert len(instructions) == 1
        self.edges.add((before, type(event), self.state))
        for instruction in instructions:
            if isinstance(instruction, Store):
                self.stored.append(instruction.checkpoint)
            if isinstance(instruction, Send):
                self.sent.append(instruction)
        return instructions

    def go(self, event: Event) -> Instruction:
        """Hand over an event, derive and store what is asked for; what is to be done next."""
        (instruction,) = self.tell(event)
        while True:
            if isinstance(instruction, DeriveKey):
                key = protection.derive(instruction.derivation)
                (instruction,) = self.tell(KeyDerived(self.now, key))
            elif isinstance(instruction, Store):
                (instruction,) = self.tell(Stored(self.now))
            else:
                return instruction

    def start(self) -> Instruction:
        return self.go(Start(self.now))

    def receive(self, message: bytes) -> Instruction:
        """An answer, half a second after it was asked for."""
        self.now += 0.5
        return self.go(Received(self.now, message, self.now - 0.5))

    def lose(self, loss: Loss, *, retry_after: float | None = None) -> Instruction:
        return self.go(Lost(self.now, loss, "the wire was cut", retry_after))

    def end(self, message: bytes) -> Finish:
        """An answer that ends the transaction."""
        finish = self.receive(message)
        assert isinstance(finish, Finish)
        return finish

    @property
    def kept(self) -> Part:
        """What was stored last of the (only) row."""
        return self.stored[-1].parts[0]

    @property
    def request(self) -> bytes:
        """What was sent last."""
        return self.sent[-1].message

    @property
    def message(self) -> PKIMessage:
        """What was sent last, decoded."""
        return messages.decode_message(self.request)

    def answer(self, body: bytes, body_type: BodyType | None = None) -> Answer:
        """The right response to what was sent last; its body is the operation's if not given."""
        kind = ANSWERS[self.entity.cmd] if body_type is None else body_type
        return self.peer.answer(self.request, kind, body, self.pki.signer.subject)

    def granted(self, certificate: bytes | None = None) -> Answer:
        """The response that carries a certificate, by default the right one."""
        number = -1 if self.entity.cmd is Operation.P10CR else 0
        return self.answer(self.peer.granted(certificate or self.pki.issue(), cert_req_id=number))

    def ciphertext(self) -> Answer:
        """The genp with a ciphertext for the key of the genm's certificate, which the run keeps."""
        certificate = x509.load_der_x509_certificate(self.message.extra_certs[0])
        public_key = certificate.public_key()
        assert isinstance(public_key, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey)
        self.shared_secret, ciphertext = public_key.encapsulate()
        info = kemmac.ciphertext_info(public_key, ciphertext)
        return self.answer(peer_info(info), BodyType.GENP)

    def confirmed(self) -> Answer:
        return self.answer(b"\x05\x00", BodyType.PKICONF)


def peer_info(kem_ciphertext_info: bytes) -> bytes:
    """DER of a genp's content with a KemCiphertextInfo."""
    return encode_infos([Itav(KEM_CIPHERTEXT_INFO, kem_ciphertext_info)])


MakeRun = Callable[..., Run]


def run_maker(pki: Pki, peer: Peer) -> MakeRun:
    """Makes a `Run`: of which operation, under which credential (or `mac`, `signature`, `kem`), for
    how many rows, and any field of Profile, EndEntity or Run."""
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name("device"))
        .sign(pki.keys["ec"], hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    credentials: dict[str, Credential] = {
        "mac": MacCredential("device", SECRET, OWN_MAC),
        "signature": SignatureCredential(pki.device.pkcs8, (pki.device.certificate,)),
        "kem": KemCredential(
            pkcs8(pki.kem_keys["ml-kem-768"]),
            (certificate("device", pki.kem_keys["ml-kem-768"], pki.root),),
            KemMacParameters.choose(),
            SECRET,
        ),
    }

    def make(
        operation: Operation = Operation.IR,
        credential: str | Credential = "mac",
        *,
        profile: Profile | None = None,
        checkpoint: Checkpoint | None = None,
        trust: Trust | None = None,
        repeats: bool = False,
        first_trust: bool = False,
        jitter: float = 1.0,
        now: float = NOW,
        new_key: bytes | None = None,
        cert_profile: str | None = None,
        count: int = 1,
        verdicts: list[Verdict] | None = None,
        ca_secret: CaSecret | None = None,
        **entity: object,
    ) -> Run:
        asks = operation in (Operation.IR, Operation.CR, Operation.KUR)
        values: dict[str, object] = {
            "subject": name("device").public_bytes() if asks else None,
            "csr": csr if operation is Operation.P10CR else None,
            "old_cert": pki.device.certificate,
            "infos": (Itav(CA_CERTS),) if operation is Operation.GENM else (),
            "profile": cert_profile,
            **entity,
        }
        return Run(
            pki,
            peer,
            EndEntity(1, 2, "device", operation, **values),  # type: ignore[arg-type]  # fields by their names
            (new_key or pkcs8(pki.keys["ec"])) if asks else None,
            credentials[credential] if isinstance(credential, str) else credential,
            profile or Profile(),
            checkpoint,
            trust,
            repeats,
            first_trust,
            jitter,
            now,
            count,
            verdicts,
            ca_secret=ca_secret,
        )

    return make


@pytest.fixture(scope="session")
def make_run(pki: Pki, peer: Peer) -> MakeRun:
    return run_maker(pki, peer)
