"""The CA's own keys for MACs: whom it believes by a DHBasedMac, and what it answers by them."""

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from bulkcmp.cmp import algorithms, dhmac, kemmac, protection
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, wrap
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.general import CA_CERTS, KEM_CIPHERTEXT_INFO, encode_infos
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters
from bulkcmp.cmp.messages import BodyType, PKIMessage, PKIStatus, decode_message
from bulkcmp.cmp.request import Credential, DhCredential, NoCredential, Protector
from bulkcmp.errors import InputError
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import Itav, KeySpec, Profile
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.identity import MAC_KEYS
from bulkcmp.testca.store import CertificateStatus
from tests.testca import asking
from tests.testca.conftest import Reply, cert_status, shared_new_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

SUBJECT = "/CN=dev1/O=Acme/C=SE"
AGREEMENT = [kind for kind in MAC_KEYS if not kind.startswith("ml-kem")]
QUESTION = encode_infos([Itav(CA_CERTS)])
CA_MAC = KemMacParameters.choose()


@dataclass
class Asker:
    """An end entity that sends single messages."""

    ca: "Ca"
    credential: Credential
    mac_key: bytes | None = None
    alias: str = "client-cert"
    transaction_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    recip_nonce: bytes | None = None
    recipient: bytes | None = None

    def send(self, body_type: BodyType, body: bytes, general_info: bytes = b"") -> PKIMessage:
        """The answer; its protection is for the test to check."""
        profile = Profile(recipient=self.recipient or self.ca.root.name)
        message = Protector(self.credential, profile, self.mac_key).message(
            body_type,
            body,
            now=self.ca.now.timestamp(),
            transaction_id=self.transaction_id,
            sender_nonce=secrets.token_bytes(16),
            recip_nonce=self.recip_nonce,
            general_info=general_info,
        )
        answer = decode_message(self.ca.answer(self.alias, message))
        self.recip_nonce = answer.header.senderNonce
        return answer

    def enroll(self, general_info: bytes = b"") -> PKIMessage:
        body = self.ca.crmf(shared_new_key("ec:P-256"), SUBJECT)
        return self.send(BodyType.CR, body, general_info)


def agreeing(ca: "Ca", kind: str = "ec:P-256", **options: Any) -> Asker:
    credential = ca.agreement_credential(kind, **options)
    return Asker(ca, credential, credential.mac_key)


def refused(answer: PKIMessage) -> tuple[str, ...]:
    """The failInfo of an error."""
    assert answer.body_type is BodyType.ERROR
    return Reply(answer, "").status[1]


def signed(ca: "Ca", answer: PKIMessage) -> PKIMessage:
    protection.check_signature(answer, ca.root.certificate)
    return answer


# --- DHBasedMac


@pytest.mark.parametrize("kind", AGREEMENT)
def test_a_whole_transaction(ca: "Ca", kind: str) -> None:
    asker = agreeing(ca, kind)
    assert isinstance(asker.credential, DhCredential)
    own = ca.mac_identity(kind)

    def check(answer: PKIMessage) -> None:
        # by what the request was protected by
        assert dhmac.dh_mac_parameters(answer) == DhMacParameters.choose()
        assert asker.mac_key is not None
        protection.check_mac(answer, DhMacParameters.choose(), asker.mac_key)
        assert (answer.sender, answer.header.senderKID) == (own.name, own.key_identifier)

    answer = asker.enroll()
    check(answer)
    reply = Reply(answer, "")
    assert reply.status[0] == PKIStatus.ACCEPTED
    statuses = wrap(0x30, encode(cert_status(0, reply.der)))
    answer = asker.send(BodyType.CERT_CONF, statuses)
    check(answer)
    assert answer.body_type is BodyType.PKICONF
    serial = x509.load_der_x509_certificate(reply.der).serial_number
    issued = ca.store.certificate(serial)
    assert issued is not None
    assert (issued.status, issued.user) == (CertificateStatus.CONFIRMED, "dev1")


def test_the_client_chooses_the_parameters(ca: "Ca") -> None:
    credential = ca.agreement_credential()
    for owf, mac in (("sha1", "hmac-sha512"), ("sha3-512", "hmac-sha1")):
        parameters = DhMacParameters.choose(owf, mac)
        own = replace(credential, parameters=parameters)
        answer = Asker(ca, own, own.mac_key).send(BodyType.GENM, QUESTION)
        assert dhmac.dh_mac_parameters(answer) == parameters
        protection.check_mac(answer, parameters, own.mac_key)


def test_a_wrong_mac(ca: "Ca") -> None:
    asker = agreeing(ca)
    asker.mac_key = b"another"
    assert refused(signed(ca, asker.enroll())) == ("badMessageCheck",)


def test_a_key_for_which_the_ca_has_none(ca: "Ca") -> None:
    asker = agreeing(ca)
    ca.mac_identities = tuple(ca.mac_identity(kind) for kind in ("x25519", "ml-kem-768"))
    ca.behave(Behaviour())
    assert refused(signed(ca, asker.enroll())) == ("badAlg",)


def test_the_certificate_of_a_key_that_agrees_on_nothing(ca: "Ca") -> None:
    ca.mac_identity("ec:P-256")
    peer = ca.client_cert(spec="rsa:2048")
    assert isinstance(peer.key, rsa.RSAPrivateKey)
    assert peer.cert is not None
    credential = replace(ca.agreement_credential(), chain=(peer.cert,))
    assert refused(signed(ca, Asker(ca, credential, b"any").enroll())) == ("badAlg",)


def test_a_message_for_another_key_of_the_ca(ca: "Ca") -> None:
    asker = agreeing(ca)
    assert isinstance(asker.credential, DhCredential)
    asker.credential = replace(asker.credential, recipient_kid=b"another")
    assert refused(asker.enroll()) == ("badMessageCheck",)
    # it may be left out
    asker.credential = replace(asker.credential, recipient_kid=None)
    asker.transaction_id, asker.recip_nonce = secrets.token_bytes(16), None
    assert asker.enroll().body_type is BodyType.CP


def test_a_certificate_of_somebody_else(ca: "Ca", make_ca: "Callable[[str], Ca]") -> None:
    theirs = make_ca("ec:P-256").agreement_credential()
    credential = replace(ca.agreement_credential(), chain=theirs.chain)
    assert refused(signed(ca, Asker(ca, credential, b"any").enroll())) == ("signerNotTrusted",)


def test_key_usage_without_key_agreement(ca: "Ca") -> None:
    asker = agreeing(ca, key_encipherment=True)
    assert refused(signed(ca, asker.enroll())) == ("signerNotTrusted",)


def test_a_revoked_certificate(ca: "Ca") -> None:
    asker = agreeing(ca)
    assert isinstance(asker.credential, DhCredential)
    serial = x509.load_der_x509_certificate(asker.credential.chain[0]).serial_number
    with ca.store.writing():
        ca.store.set_certificate_status(serial, CertificateStatus.REVOKED, revoked_at=ca.now)
    assert refused(signed(ca, asker.enroll())) == ("certRevoked",)


def test_parameters_that_nobody_knows(ca: "Ca") -> None:
    credential = ca.agreement_credential()
    identifier = wrap(0x30, encode(dhmac.DH_BASED_MAC))
    parameters = replace(credential.parameters, identifier=identifier)
    asker = Asker(ca, replace(credential, parameters=parameters), credential.mac_key)
    assert refused(signed(ca, asker.enroll())) == ("badAlg",)


def test_who_takes_password_based_macs_only(ca: "Ca") -> None:
    asker = agreeing(ca)
    asker.alias = "ra-hmac"
    assert refused(signed(ca, asker.enroll())) == ("badAlg",)


# --- answers by the CA's KEM key


def secret(ca: "Ca", kind: str = "ml-kem-768") -> CaSecret:
    return asking.conveyed(ca.mac_identity(kind))


def by_kem(ca: "Ca", asker: Asker, kem: CaSecret, answer: PKIMessage) -> PKIMessage:
    """The answer, found to be protected by what was encapsulated."""
    assert kemmac.kem_mac_parameters(answer) == CA_MAC
    protection.check_mac(answer, CA_MAC, CA_MAC.derive(kem.shared_secret, asker.transaction_id))
    own = ca.mac_identity("ml-kem-768")
    assert (answer.sender, answer.header.senderKID) == (own.name, own.key_identifier)
    return answer


def by_secret(ca: "Ca") -> Asker:
    credential = asking.mac("pbm", "ra1", ca.ra_secret())
    key = protection.derive(credential.derivation)
    return Asker(ca, credential, key, alias="ra-hmac")


def test_the_secret_is_good_for_the_transaction(ca: "Ca") -> None:
    asker, kem = by_secret(ca), secret(ca)
    reply = Reply(by_kem(ca, asker, kem, asker.enroll(kem.general_info)), "")
    assert reply.status[0] == PKIStatus.ACCEPTED
    statuses = wrap(0x30, encode(cert_status(0, reply.der)))
    answer = by_kem(ca, asker, kem, asker.send(BodyType.CERT_CONF, statuses))
    assert answer.body_type is BodyType.PKICONF
    # and for no other
    asker.transaction_id, asker.recip_nonce = secrets.token_bytes(16), None
    assert kemmac.kem_mac_parameters(asker.enroll()) is None


def test_the_newest_secret_counts(ca: "Ca") -> None:
    ca.behave(Behaviour(poll_count=3))
    asker, kem = by_secret(ca), secret(ca)
    by_kem(ca, asker, kem, asker.enroll(kem.general_info))
    poll = wrap(0x30, wrap(0x30, encode(0)))
    newer = secret(ca)
    by_kem(ca, asker, newer, asker.send(BodyType.POLL_REQ, poll, newer.general_info))
    by_kem(ca, asker, newer, asker.send(BodyType.POLL_REQ, poll))


def test_a_refusal_is_proven_too(ca: "Ca") -> None:
    asker, kem = by_secret(ca), secret(ca)
    asker.mac_key = b"another"
    assert refused(by_kem(ca, asker, kem, asker.enroll(kem.general_info))) == ("badMessageCheck",)
    # what came with a message that nobody vouches for is not kept
    assert ca.store.decapsulated_secret(asker.transaction_id) is None


def test_who_asks_for_a_ciphertext_leaves_none(ca: "Ca") -> None:
    """The genm that asks is not protected."""
    holder = asking.certified(ca, "ml-kem-768")
    assert not isinstance(holder, DhCredential)
    kem = secret(ca)
    asker = Asker(ca, NoCredential(certificate=holder.chain[0]))
    sent = Profile(extra_certs=holder.chain)
    message = Protector(asker.credential, sent).message(
        BodyType.GENM,
        kemmac.ask_ciphertext(),
        now=ca.now.timestamp(),
        transaction_id=asker.transaction_id,
        sender_nonce=bytes(16),
        recip_nonce=None,
        general_info=kem.general_info,
    )
    answer = decode_message(ca.answer("client-cert", message))
    assert by_kem(ca, asker, kem, answer).body_type is BodyType.GENP
    assert ca.store.decapsulated_secret(asker.transaction_id) is None


def info(value: bytes) -> bytes:
    return wrap(0x30, encode(ObjectIdentifier(KEM_CIPHERTEXT_INFO)), value)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (b"", "badDataFormat"),
        (b"\x05\x00", "badMessageCheck"),
        (wrap(0x30, wrap(0x30, encode(ObjectIdentifier("1.2.3"))), encode(b"?")), "badAlg"),
    ],
)
def test_ciphertexts_that_are_no_use(ca: "Ca", value: bytes, bits: str) -> None:
    ca.mac_identity("x25519")
    ca.mac_identity("ml-kem-768")
    assert refused(signed(ca, by_secret(ca).enroll(info(value)))) == (bits,)


def test_a_ciphertext_of_another_length(ca: "Ca") -> None:
    own = ca.mac_identity("ml-kem-768")
    short = kemmac.ciphertext_info(own.certificate.public_key(), b"short")
    assert refused(signed(ca, by_secret(ca).enroll(info(short)))) == ("badMessageCheck",)


def test_a_ciphertext_for_another_kem(ca: "Ca", make_ca: "Callable[[str], Ca]") -> None:
    ca.mac_identity("ml-kem-768")
    kem = asking.conveyed(make_ca("ec:P-256").mac_identity("ml-kem-1024"))
    assert refused(signed(ca, by_secret(ca).enroll(kem.general_info))) == ("badAlg",)


def test_without_the_key_answers_are_as_else(ca: "Ca") -> None:
    asker, kem = by_secret(ca), secret(ca)
    reply = Reply(by_kem(ca, asker, kem, asker.enroll(kem.general_info)), "")
    ca.mac_identities = ()
    ca.behave(Behaviour())
    statuses = wrap(0x30, encode(cert_status(0, reply.der)))
    answer = asker.send(BodyType.CERT_CONF, statuses)
    assert protection.mac_parameters(answer) is not None


def test_an_old_secret_is_forgotten(ca: "Ca") -> None:
    ca.behave(Behaviour(time_tolerance=None))
    asker, kem = by_secret(ca), secret(ca)
    asker.enroll(kem.general_info)
    assert ca.store.decapsulated_secret(asker.transaction_id) is not None
    ca.now += dt.timedelta(days=2)
    by_secret(ca).enroll(secret(ca).general_info)
    assert ca.store.decapsulated_secret(asker.transaction_id) is None


def test_the_strict_ca_goes_by_these_names_too(ca: "Ca") -> None:
    ca.behave(Behaviour(strict=True))
    asker = agreeing(ca)
    asker.recipient = ca.mac_identity("ec:P-256").name
    assert asker.enroll().body_type is BodyType.CP


# --- where they lie


def test_they_are_made_once(ca: "Ca") -> None:
    made = [ca.mac_identity(kind) for kind in MAC_KEYS]
    assert [ca.mac_identity(kind).der for kind in MAC_KEYS] == [one.der for one in made]
    assert {one.der for one in state.load_mac_identities(ca.folder)} == {one.der for one in made}
    for kind, one in zip(MAC_KEYS, made, strict=True):
        usage = one.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        encapsulates = isinstance(one.key, algorithms.KemKey)
        assert (usage.key_encipherment, usage.key_agreement) == (encapsulates, not encapsulates)
        assert not usage.digital_signature
        one.certificate.verify_directly_issued_by(ca.root.certificate)
        key = state.Folder(ca.folder).mac_key(kind)
        assert key.stat().st_mode & 0o777 == 0o600
        assert "key=" not in repr(one)


def test_no_such_key(ca: "Ca") -> None:
    with pytest.raises(InputError, match="'rsa:2048' is no key for MACs") as caught:
        state.make_mac_key(ca.folder, "rsa:2048", ca.now)
    assert "x25519" in (caught.value.hint or "")


@pytest.mark.parametrize("content", ["no key", "a key that signs"])
def test_files_that_are_damaged(ca: "Ca", content: str) -> None:
    ca.mac_identity("x25519")
    folder = state.Folder(ca.folder)
    signs = make_keys(KeySpec.parse("ed25519"), 1)[0]
    folder.mac_key("x25519").write_bytes(
        b"?"
        if content == "no key"
        else load_der_private_key(signs, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    with pytest.raises(InputError, match=r"mac-x25519\.pem or mac-x25519\.key") as caught:
        state.load_mac_identities(ca.folder)
    assert caught.value.hint == "remove both files; `bulkcmp ca serve --mac-key` makes new ones"
