"""A whole run over a real connection to a server that does one thing wrong.

The server is the embedded CA. What it says is changed on its way, then protected again, so that a
fault is the only one: a message whose certReqId is wrong has a good MAC.
"""

import asyncio
import contextlib
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from bulkcmp.cmp import algorithms, messages, protection
from bulkcmp.cmp.asn1 import content, decode_sequence_of, encode, explicit, tag, wrap
from bulkcmp.cmp.general import CA_CERTS
from bulkcmp.cmp.messages import BodyType, PKIMessage, decode_message
from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import hire_task
from bulkcmp.engine.frame import Setup
from bulkcmp.engine.keys import FreshKeys
from bulkcmp.engine.run import Run
from bulkcmp.engine.worker import Worker
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keyworker import make_keys
from bulkcmp.io.limits import Limits
from bulkcmp.journal.journal import Journal
from bulkcmp.model import (
    EndEntity,
    Itav,
    KeySpec,
    Operation,
    OutcomeClass,
    Popo,
    Profile,
    RowResult,
    Secret,
)
from bulkcmp.testca import state
from bulkcmp.testca.aliases import CLIENT_CERT, RA_CERT, RA_HMAC, Alias, Behaviour
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.store import Store
from tests import loopback

EC = KeySpec.parse("ec:P-256")
SUBJECT = "/CN=dev1/O=Acme/C=SE"
HOUR = dt.timedelta(hours=1)
SECONDS = 8.0
"""What any of these runs may take; what waits for a time limit sets that to a second or less."""

_PROTECTION_ALG = 1


@dataclass
class Draft:
    """An answer, taken apart; a fault changes it in place.

    Attributes:
        fields: DER of each optional header field, by its tag.
        body: content of the body's tag `body_tag`.
        value: of the protection; None where it is not protected.
    """

    pvno: int
    sender: bytes
    recipient: bytes
    fields: dict[int, bytes]
    body_tag: int
    body: bytes
    value: bytes | None
    extra_certs: tuple[bytes, ...]

    @classmethod
    def of(cls, der: bytes) -> "Draft":
        message = decode_message(der)
        header = decode_sequence_of(decode_sequence_of(der)[0])
        return cls(
            message.header.pvno,
            encode(header[1]),
            encode(header[2]),
            {tag(one) - 0xA0: content(one) for one in header[3:]},
            message.body_type,
            message.body,
            message.protection,
            message.extra_certs,
        )

    @property
    def _header(self) -> bytes:
        tagged = (explicit(number, der) for number, der in sorted(self.fields.items()))
        return wrap(0x30, encode(self.pvno), self.sender, self.recipient, *tagged)

    @property
    def _body(self) -> bytes:
        return explicit(self.body_tag, self.body)

    def der(self) -> bytes:
        return messages.encode_message(self._header, self._body, self.value, self.extra_certs)

    def unprotect(self) -> None:
        self.value = None
        self.fields.pop(_PROTECTION_ALG, None)

    def set_octets(self, number: int, value: bytes) -> None:
        """Replace a header field that is an OCTET STRING."""
        self.fields[number] = encode(value)

    def protect(self, secret: Secret, identity: Identity) -> None:
        """Protect it again, in the way in which it was."""
        if self.value is None:
            return
        algorithm = decode_sequence_of(self.fields[_PROTECTION_ALG])
        parameters = protection.parameters_of(algorithm)
        if parameters is None:
            self.sign(identity)
        else:
            self.mac(secret, parameters)

    def mac(self, secret: Secret, parameters: protection.MacParameters) -> None:
        self.fields[_PROTECTION_ALG] = parameters.identifier
        key = protection.derive(parameters.derivation(secret))
        part = messages.protected_part(self._header, self._body)
        self.value = protection.mac(key, parameters, part)

    def sign(self, identity: Identity) -> None:
        self.fields[_PROTECTION_ALG] = algorithms.signature_identifier(identity.key, "sha256")
        part = messages.protected_part(self._header, self._body)
        self.value = algorithms.sign(identity.key, "sha256", part)


@dataclass
class Ca:
    """The embedded CA's keys and books, and other CAs that a fault may need."""

    books: Store
    root: Identity
    ra: Identity
    secret: Secret
    stranger: Identity
    """A root of the same name that nobody trusts."""

    def certify(
        self,
        subject: str,
        key: CertificatePublicKeyTypes,
        *,
        issuer: Identity | None = None,
        ca: bool = False,
        signs: bool = True,
        until: dt.timedelta = HOUR,
    ) -> x509.Certificate:
        """A certificate of the root, or of another issuer, that is valid `until` from now."""
        issuer = issuer or self.root
        now = dt.datetime.now(dt.UTC)
        usage = dict.fromkeys(
            (
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_bytes(parse_name(subject)))
            .issuer_name(issuer.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 24 * HOUR)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.KeyUsage(
                    **usage,
                    digital_signature=signs,
                    content_commitment=not signs,
                    key_cert_sign=ca,
                ),
                critical=True,
            )
            .sign(issuer.key, hashes.SHA256())
        )

    def identity(self, subject: str, **options: Any) -> Identity:
        """A new key, and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Identity(key, self.certify(subject, key.public_key(), **options))


@dataclass
class Exchange:
    """A request and the CA's answer to it, for a fault to work on.

    Attributes:
        signer: signs the answer again, where it was signed.
    """

    ca: Ca
    request: PKIMessage
    answer: Draft
    signer: Identity

    @property
    def issued(self) -> x509.Certificate:
        """The certificate in the answer."""
        (der,) = [one.der for one in self.ca.books.certificates() if one.transaction_id == self.id]
        return x509.load_der_x509_certificate(der)

    @property
    def wanted(self) -> ec.EllipticCurvePublicKey:
        """The key that the last answer's certificate is for."""
        key = self.issued.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key

    @property
    def id(self) -> bytes:
        assert self.request.header.transactionID is not None
        return self.request.header.transactionID


Fault = Callable[[Exchange], bytes | None]
"""Changes the answer in place; or returns octets to send as they are."""


@dataclass
class Wire(loopback.Wire):
    """The connection on which an answer is due.

    Attributes:
        answer: DER of the right answer.
    """

    answer: bytes

    async def say(self, body: bytes, *fields: str, **head: str) -> None:
        """Write a well-formed HTTP response."""
        await self.write(self.response(body, *fields, **head))

    def close(self) -> None:
        self.writer.close()


HttpFault = Callable[[Wire], Awaitable[None]]
"""Answers on the wire."""


async def _say_it(wire: Wire) -> None:
    await wire.say(wire.answer)


@dataclass
class Server:
    """The CA behind HTTP.

    Attributes:
        spoils: the kind of request whose answer is wrong.
        seen: the requests that came.
    """

    ca: Ca
    authority: Authority
    spoils: BodyType
    fault: Fault | None
    http: HttpFault
    alias: Alias
    seen: list[PKIMessage] = field(default_factory=list)
    port: int = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with loopback.listening(self._serve) as self.port:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            await self._exchange(reader, writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, fields = await loopback.read_head(reader)
        request = await loopback.read_body(reader, fields)
        message = decode_message(request)
        self.seen.append(message)
        answer = self.authority.handle(self.alias, request, dt.datetime.now(dt.UTC))
        if message.body_type is not self.spoils:
            await _say_it(Wire(reader, writer, answer))
        elif self.fault is None:
            await self.http(Wire(reader, writer, answer))
        else:
            await _say_it(Wire(reader, writer, self._spoilt(message, answer, self.fault)))

    def _spoilt(self, request: PKIMessage, answer: bytes, fault: Fault) -> bytes:
        exchange = Exchange(self.ca, request, Draft.of(answer), self.ca.root)
        octets = fault(exchange)
        if octets is None:
            exchange.answer.protect(self.ca.secret, exchange.signer)
            octets = exchange.answer.der()
        return octets


@dataclass(frozen=True)
class Ended:
    """How the only row of a run ended.

    Attributes:
        seen: the requests that the server got.
    """

    result: RowResult
    seen: list[PKIMessage]

    @property
    def outcome(self) -> OutcomeClass:
        return self.result.outcome.outcome

    @property
    def reason(self) -> str:
        return self.result.outcome.reason

    @property
    def kinds(self) -> list[BodyType]:
        return [message.body_type for message in self.seen]


@dataclass
class Stage:
    """Plays runs of one row against servers that misbehave."""

    ca: Ca
    folder: Path

    def play(
        self,
        fault: Fault | None = None,
        *,
        http: HttpFault = _say_it,
        spoils: BodyType | None = None,
        cmd: Operation = Operation.IR,
        signed: bool = False,
        signed_requests: bool = False,
        kem: bool = False,
        behaviour: Behaviour | None = None,
        profile: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        row: dict[str, Any] | None = None,
        srvcert: bytes | None = None,
    ) -> Ended:
        """One run.

        Args:
            fault: what is wrong with the message; or
            http: how it is carried.
            spoils: the kind of request whose answer is wrong; by default the first.
            signed: answers to MAC'd requests are signed.
            signed_requests: requests are signed by the RA.
            kem: requests are those of an end entity with a KEM-based MAC.
            profile, limits, row: fields that are not as by default.
            srvcert: DER of the only certificate that may sign answers.
        """
        first = BodyType.IR if cmd is Operation.IR else BodyType[cmd.name]
        behaviour = behaviour or Behaviour()
        server = Server(
            self.ca,
            Authority(
                self.ca.books, self.ca.root, dataclasses.replace(behaviour, sign_answers=signed)
            ),
            first if spoils is None else spoils,
            fault,
            http,
            CLIENT_CERT if kem else RA_CERT if signed_requests else RA_HMAC,
        )
        entity = self._row(cmd, signed_requests=signed_requests)
        if kem:
            entity = dataclasses.replace(entity, ref=None, secret=None, **self._kem_holder())
        entity = dataclasses.replace(entity, **(row or {}))
        settings = {"pbm_iterations": 100, "retries": 0, "backoff_first": 0.1, **(profile or {})}
        setup = Setup(
            url="",
            profile=Profile(**settings),
            limits=Limits(**{"connect": 2.0, "read": 2.0, "total": 4.0, **(limits or {})}),
            tls=None,
            proxy="",
            anchors=(self.ca.root.der,),
            untrusted=(),
            out_trusted=(),
            srvcert=srvcert,
            pbm_salt=b"sixteen octets..",
            concurrency=1,
        )
        return Ended(anyio.run(self._run, server, entity, setup), server.seen)

    def _row(self, cmd: Operation, *, signed_requests: bool) -> EndEntity:
        signer = self.ca.ra
        pkcs8 = signer.key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        values: dict[str, Any] = (
            {"cert": (signer.der,), "key": pkcs8}
            if signed_requests
            else {"ref": "ra1", "secret": self.ca.secret}
        )
        if cmd is Operation.P10CR:
            values["csr"] = (
                x509.CertificateSigningRequestBuilder()
                .subject_name(x509.Name.from_bytes(parse_name(SUBJECT)))
                .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
                .public_bytes(serialization.Encoding.DER)
            )
        elif cmd is Operation.RR:
            values["old_cert"] = self.play().result.certificate
        elif cmd is Operation.GENM:
            values["infos"] = (Itav(CA_CERTS),)
        else:
            values |= {"subject": parse_name(SUBJECT), "new_key_spec": EC}
        return EndEntity(1, 2, "dev1", cmd, **values)

    def _kem_holder(self) -> dict[str, Any]:
        """Certificate and key of an end entity, as fields of its row."""
        key = make_keys(KeySpec.parse("ml-kem-768"), 1)[0]
        row = {"new_key_spec": None, "new_key": key, "popo": Popo.KEY_ENCIPHERMENT}
        certificate = self.play(row=row).result.certificate
        assert certificate is not None
        return {"cert": (certificate,), "key": key}

    async def _run(self, server: Server, row: EndEntity, setup: Setup) -> RowResult:
        async def work(channel: MemoryChannel) -> None:
            await Worker(channel, SystemClock()).run()

        async with server.serving():
            url = f"http://127.0.0.1:{server.port}/cmp"
            folder = self.folder / f"run-{server.port}"
            with Journal.create(folder, {}, None) as journal:
                run = Run(
                    [row],
                    journal,
                    FreshKeys(),
                    dataclasses.replace(setup, url=url),
                    workers=1,
                    clock=SystemClock(),
                    on_snapshot=lambda _: None,
                    hire=hire_task(work),
                )
                with anyio.fail_after(SECONDS):
                    await run.execute()
                ((result, _),) = journal.results()
        return result


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    folder = tmp_path_factory.mktemp("ca") / "state"
    state.create(folder, EC, dt.datetime.now(dt.UTC) - HOUR)
    books = state.open_books(folder)
    secret = books.alias_secret(RA_HMAC.name)
    assert secret is not None
    ra_key = serialization.load_pem_private_key((folder / "ra.key").read_bytes(), None)
    assert isinstance(ra_key, ec.EllipticCurvePrivateKey)
    ra = x509.load_pem_x509_certificate((folder / "ra.pem").read_bytes())
    root = state.load_identity(folder)
    foreign = ec.generate_private_key(ec.SECP256R1())
    made = Ca(books, root, Identity(ra_key, ra), secret, root)
    name = root.certificate.subject.rfc4514_string()
    itself = Identity(foreign, root.certificate)
    made.stranger = Identity(
        foreign, made.certify(name, foreign.public_key(), issuer=itself, ca=True)
    )
    yield made
    books.close()


@pytest.fixture
def stage(ca: Ca, tmp_path: Path) -> Stage:
    return Stage(ca, tmp_path)
