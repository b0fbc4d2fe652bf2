"""The KEM-based MAC at the CA: who may have a ciphertext, and which messages it then believes."""

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mlkem

from bulkcmp.cmp import algorithms, kemmac
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.general import CA_CERTS, KEM_CIPHERTEXT_INFO, decode_infos, encode_infos
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.messages import BodyType, PKIStatus, directory_name
from bulkcmp.cmp.request import KemCredential, Protector
from bulkcmp.model import Itav, Popo, Profile
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.store import CertificateStatus
from tests.testca.conftest import cert_status, shared_new_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca, Reply

SPECS = pytest.mark.parametrize("spec", ["ml-kem-768", "ml-kem-1024"])
QUESTION = kemmac.ask_ciphertext()


@dataclass
class Holder:
    """An end entity with a KEM certificate of the CA, in one transaction."""

    ca: "Ca"
    spec: str = "ml-kem-768"
    user: str = "dev1"
    alias: str = "client-cert"
    transaction_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    shared_secret: bytes = b""
    nonce: bytes | None = None

    def __post_init__(self) -> None:
        subject = f"/CN={self.user}/O=Acme/C=SE"
        self.der = (
            self.ca.ra_hmac()
            .enroll(subject=subject, spec=self.spec, implicit=True, prove=Popo.RA_VERIFIED)
            .der
        )
        self.certificate = x509.load_der_x509_certificate(self.der)

    def ask(
        self, question: bytes = QUESTION, *, certificate: bytes | None = None, **header: Any
    ) -> "Reply":
        """Send the unprotected genm; what it brings is kept."""
        peer = self.ca.ra_hmac().again()
        peer.alias, peer.secret, peer.ref = self.alias, None, None
        peer.transaction_id = self.transaction_id
        sender = directory_name(self.certificate.subject.public_bytes())
        reply = peer.send(
            BodyType.GENM,
            question,
            extra_certs=(certificate or self.der,),
            **({"sender": sender} | header),
        )
        if reply.type is BodyType.GENP:
            self.nonce = reply.message.header.senderNonce
            info = kemmac.ciphertext_in(reply.message.body)
            key = shared_new_key(self.spec)
            assert isinstance(key, mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey)
            self.shared_secret = kemmac.decapsulate(info, key)
        return reply

    def send(
        self,
        body_type: BodyType,
        body: bytes,
        *,
        parameters: KemMacParameters | None = None,
        derived_for: bytes | None = None,
        recip_nonce: bytes | None = None,
        now: dt.datetime | None = None,
        pvno: int = 2,
    ) -> "Reply":
        """Send a message with a KEM-based MAC."""
        parameters = parameters or KemMacParameters.choose()
        key = parameters.derive(self.shared_secret, derived_for or self.transaction_id)
        credential = KemCredential(b"", (self.der,), parameters)
        when = now or self.ca.now
        message = Protector(credential, Profile(recipient=self.ca.root.name), key).message(
            body_type,
            body,
            now=when.timestamp(),
            transaction_id=self.transaction_id,
            sender_nonce=secrets.token_bytes(16),
            recip_nonce=recip_nonce or self.nonce,
            pvno=pvno,
        )
        return self.ca.ask(self.alias, message, now=when)

    def request(self, **options: Any) -> "Reply":
        """A cr for an EC key."""
        body = self.ca.crmf(shared_new_key("ec:P-256"), f"/CN={self.user}/O=Acme/C=SE")
        return self.send(BodyType.CR, body, **options)


@SPECS
def test_a_ciphertext_protects_a_whole_transaction(ca: "Ca", spec: str) -> None:
    holder = Holder(ca, spec)
    answer = holder.ask()
    assert [one.oid for one in decode_infos(answer.message.body)] == [KEM_CIPHERTEXT_INFO]
    reply = holder.request()
    assert (reply.status[0], reply.protection) == (PKIStatus.ACCEPTED, "signature")
    holder.nonce = reply.message.header.senderNonce
    statuses = wrap(0x30, encode(cert_status(0, reply.der)))
    assert holder.send(BodyType.CERT_CONF, statuses).type is BodyType.PKICONF
    serial = x509.load_der_x509_certificate(reply.der).serial_number
    issued = ca.store.certificate(serial)
    assert issued is not None
    assert (issued.status, issued.user) == (CertificateStatus.CONFIRMED, "dev1")


@pytest.mark.parametrize(
    "parameters",
    [
        KemMacParameters.choose("hmac-sha512"),
        KemMacParameters.choose("hmac-sha3-256"),
        KemMacParameters(
            "sha512",
            100,
            "sha1",
            wrap(
                0x30,
                encode(kemmac.KEM_BASED_MAC),
                wrap(
                    0x30,
                    algorithms.HKDF_IDENTIFIERS["sha512"],
                    wrap(0xA0, encode(b"context")),
                    encode(100),
                    algorithms.MAC_IDENTIFIERS["hmac-sha1"],
                ),
            ),
            b"context",
        ),
    ],
)
def test_the_client_chooses_the_parameters(ca: "Ca", parameters: KemMacParameters) -> None:
    holder = Holder(ca)
    holder.ask()
    assert holder.request(parameters=parameters).status[0] == PKIStatus.ACCEPTED


def test_a_recip_nonce_may_be_left_out_but_not_be_another(ca: "Ca") -> None:
    holder = Holder(ca)
    holder.ask()
    refused = holder.request(recip_nonce=b"sixteen octets..")
    assert refused.status[1] == ("badRecipientNonce",)
    holder.nonce = None
    assert holder.request().status[0] == PKIStatus.ACCEPTED


def test_the_secret_is_of_one_transaction(ca: "Ca") -> None:
    holder = Holder(ca)
    holder.ask()
    refused = holder.request(derived_for=b"another........!")
    assert refused.status[1:] == (
        ("badMessageCheck",),
        "the MAC is wrong: another secret, or a changed message",
    )
    holder.transaction_id = secrets.token_bytes(16)
    refused = holder.request()
    assert refused.status[1:] == (
        ("badMessageCheck",),
        "no KEM ciphertext was asked for before",
    )


def test_another_secret_is_none(ca: "Ca") -> None:
    holder = Holder(ca)
    holder.ask()
    holder.shared_secret = bytes(32)
    assert holder.request().status[1] == ("badMessageCheck",)


@pytest.mark.parametrize("counts", ["older", "newer"])
def test_asked_again_the_same_ciphertext_is_told(ca: "Ca", counts: str) -> None:
    """Whether the first answer was lost, or somebody else asks for the second."""
    holder = Holder(ca)
    holder.ask()
    older = holder.shared_secret, holder.nonce
    holder.ask()
    assert (holder.shared_secret, holder.nonce != older[1]) == (older[0], True)
    if counts == "older":
        holder.nonce = older[1]
    assert holder.request().status[0] == PKIStatus.ACCEPTED


def test_nobody_takes_a_secret_from_a_transaction_under_way(ca: "Ca") -> None:
    holder, other = Holder(ca), Holder(ca, user="dev2")
    holder.ask()
    reply = holder.request()
    holder.nonce = reply.message.header.senderNonce
    other.transaction_id = holder.transaction_id
    refused = other.ask()
    assert refused.status[1:] == (
        ("transactionIdInUse",),
        "the transaction is of another certificate",
    )
    # asked in the holder's own name, with a certificate that all may know
    nonce = holder.nonce
    holder.ask()
    holder.nonce = nonce
    statuses = wrap(0x30, encode(cert_status(0, reply.der)))
    assert holder.send(BodyType.CERT_CONF, statuses).type is BodyType.PKICONF


def test_too_many_questions_cost_those_who_began_nothing(
    ca: "Ca", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkcmp.testca.store._SECRETS", 2)
    begun, asked = Holder(ca), Holder(ca, user="dev2")
    begun.ask()
    reply = begun.request()
    begun.nonce = reply.message.header.senderNonce
    asked.ask()
    flood = Holder(ca, user="dev3")
    for second in range(1, 5):
        ca.now += dt.timedelta(seconds=second)
        flood.transaction_id = secrets.token_bytes(16)
        flood.ask()
    assert asked.request().status[1] == ("badMessageCheck",), "it was the oldest"
    assert flood.request().status[0] == PKIStatus.ACCEPTED
    statuses = wrap(0x30, encode(cert_status(0, reply.der)))
    assert begun.send(BodyType.CERT_CONF, statuses).type is BodyType.PKICONF


def test_an_old_ciphertext_is_forgotten(ca: "Ca") -> None:
    ca.behave(Behaviour(time_tolerance=None))
    holder, other = Holder(ca), Holder(ca, user="dev2")
    holder.ask()
    ca.now += dt.timedelta(days=2)
    other.ask()
    assert holder.request().status[1] == ("badMessageCheck",)
    assert other.request().status[0] == PKIStatus.ACCEPTED


def spoilt(parameters: KemMacParameters, parameter: bytes) -> KemMacParameters:
    identifier = wrap(0x30, encode(kemmac.KEM_BASED_MAC), parameter)
    return KemMacParameters(parameters.digest, parameters.length, parameters.mac, identifier)


def test_parameters_that_nobody_knows(ca: "Ca") -> None:
    holder = Holder(ca)
    holder.ask()
    for parameter in (b"", b"\x05\x00", wrap(0x30, wrap(0x30), encode(32), wrap(0x30))):
        refused = holder.request(parameters=spoilt(KemMacParameters.choose(), parameter))
        assert refused.status[1] == ("badAlg",)


def revoke(ca: "Ca", holder: Holder) -> None:
    serial = holder.certificate.serial_number
    with ca.store.writing():
        ca.store.set_certificate_status(serial, CertificateStatus.REVOKED, revoked_at=ca.now)


def pend(ca: "Ca", holder: Holder) -> None:
    serial = holder.certificate.serial_number
    with ca.store.writing():
        ca.store.set_certificate_status(serial, CertificateStatus.PENDING)


def age(ca: "Ca", _holder: Holder) -> None:
    ca.behave(Behaviour(time_tolerance=None))
    ca.now += dt.timedelta(days=400)


@pytest.mark.parametrize(
    ("spoil", "bits"),
    [(revoke, "certRevoked"), (pend, "signerNotTrusted"), (age, "signerNotTrusted")],
)
def test_a_certificate_that_is_good_no_more(
    ca: "Ca", spoil: Callable[["Ca", Holder], None], bits: str
) -> None:
    holder = Holder(ca)
    holder.ask()
    spoil(ca, holder)
    # neither with a ciphertext from before, nor with a new one
    assert holder.request().status[1] == (bits,)
    assert holder.ask().status[1] == (bits,)


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"certificate": b"\x30\x00"}, "badMessageCheck"),
        ({"sender": directory_name(b"\x30\x00")}, "badMessageCheck"),
        ({"senderKID": b"another"}, "badMessageCheck"),
        # nothing else is told to who proved nothing
        ({"question": encode_infos([Itav(CA_CERTS)])}, "badMessageCheck"),
        (
            {"question": encode_infos([Itav(KEM_CIPHERTEXT_INFO), Itav(CA_CERTS)])},
            "badMessageCheck",
        ),
        ({"question": encode_infos([Itav(KEM_CIPHERTEXT_INFO, b"\x05\x00")])}, "badMessageCheck"),
    ],
)
def test_who_gets_no_ciphertext(ca: "Ca", options: dict[str, Any], bits: str) -> None:
    refused = Holder(ca).ask(**options)
    assert (refused.type, refused.status[1]) == (BodyType.ERROR, (bits,))


def test_a_stranger_gets_none(ca: "Ca", make_ca: "Callable[[str], Ca]") -> None:
    stranger = Holder(make_ca("ec:P-256"))
    refused = Holder(ca).ask(certificate=stranger.der)
    assert refused.status[1] == ("signerNotTrusted",)


def test_a_certificate_for_another_key_gets_none(ca: "Ca") -> None:
    signing = ca.client_cert()
    refused = Holder(ca).ask(certificate=signing.cert)
    assert refused.status[1] == ("signerNotTrusted",), "its keyUsage has no keyEncipherment"
    rsa = ca.client_cert(spec="rsa:2048")
    holder = Holder(ca)
    peer = ca.ra_hmac().again()
    peer.alias, peer.secret, peer.ref = "client-cert", None, None
    sender = directory_name(holder.certificate.subject.public_bytes())
    assert rsa.cert is not None
    reply = peer.send(BodyType.GENM, QUESTION, extra_certs=(rsa.cert,), sender=sender)
    assert [one.oid for one in decode_infos(reply.message.body)] == ["1.3.6.1.5.5.7.4.7"]


@pytest.mark.parametrize("alias", ["ra-hmac", "client-hmac", "client-regtoken", "3gpp", "ra-cert"])
def test_other_aliases_give_none(ca: "Ca", alias: str) -> None:
    holder = Holder(ca, alias=alias)
    refused = holder.ask()
    assert refused.type is BodyType.ERROR
    assert refused.status[1][0] in ("badMessageCheck", "notAuthorized")


def test_a_kem_based_mac_is_no_password_based_one(ca: "Ca") -> None:
    holder = Holder(ca)
    holder.ask()
    holder.alias = "ra-hmac"
    assert holder.request().status[1:] == (
        ("badAlg",),
        "alias ra-hmac takes password-based MACs only",
    )
