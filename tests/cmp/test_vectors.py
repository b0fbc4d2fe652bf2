"""Messages of OpenSSL 3.0 (tests/vectors/openssl): what another implementation says, we say too."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509

from bulkcmp.cmp import algorithms, checks, messages, popo, protection
from bulkcmp.cmp.asn1 import content, decode, decode_sequence_of, encode, wrap
from bulkcmp.cmp.messages import (
    BodyType,
    CertRepMessage,
    CertRequest,
    ErrorMsgContent,
    PKIMessage,
    PKIStatus,
    RevRepContent,
    decode_message,
    encode_message,
)
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Popo, Secret

FOLDER = Path(__file__).parent.parent / "vectors" / "openssl"
VECTORS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*-r[es][qp].der"))}
SECRET = Secret(b"vector_secret")
AT = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def _list(decoder: Callable[[bytes], Sequence[object]]) -> Callable[[bytes], bytes]:
    return lambda der: wrap(0x30, *map(encode, decoder(der)))


def _one(kind: type) -> Callable[[bytes], bytes]:
    return lambda der: encode(decode(kind, der))


AGAIN: dict[BodyType, Callable[[bytes], bytes]] = {
    BodyType.IR: _list(messages.decode_cert_req_messages),
    BodyType.CR: _list(messages.decode_cert_req_messages),
    BodyType.KUR: _list(messages.decode_cert_req_messages),
    BodyType.IP: _one(CertRepMessage),
    BodyType.CP: _one(CertRepMessage),
    BodyType.KUP: _one(CertRepMessage),
    BodyType.P10CR: lambda der: der,
    BodyType.RR: _list(messages.decode_rev_req_content),
    BodyType.RP: _one(RevRepContent),
    BodyType.ERROR: _one(ErrorMsgContent),
    BodyType.CERT_CONF: _list(messages.decode_cert_confirm_content),
    BodyType.POLL_REQ: _list(messages.decode_poll_req_content),
    BodyType.POLL_REP: _list(messages.decode_poll_rep_content),
    BodyType.PKICONF: lambda der: b"\x05\x00",
    BodyType.GENM: _list(decode_sequence_of),
    BodyType.GENP: _list(decode_sequence_of),
}
"""Decodes the content of a body and encodes it again."""


def test_the_folder_has_every_message_of_an_enrollment() -> None:
    kinds = {decode_message(der).body_type for der in VECTORS.values()}
    assert kinds == set(AGAIN)
    assert len(VECTORS) > 40


@pytest.mark.parametrize("name", VECTORS)
def test_decoded_and_encoded_again_it_is_the_same(name: str) -> None:
    der = VECTORS[name]
    message = decode_message(der)
    header = encode(message.header)
    body = messages.body(message.body_type, AGAIN[message.body_type](message.body))
    assert encode_message(header, body, message.protection, message.extra_certs) == der
    assert message.protected_part == wrap(0x30, header, body)


def _key(message: PKIMessage, secret: Secret = SECRET) -> bytes:
    parameters = protection.mac_parameters(message)
    assert parameters is not None
    return protection.derive(parameters.derivation(secret))


MACCED = [name for name in VECTORS if protection.mac_parameters(decode_message(VECTORS[name]))]
SIGNED = [name for name in VECTORS if name not in MACCED and "unprotected" not in name]


def test_of_each_kind_there_are_enough() -> None:
    assert len(MACCED) > 20
    assert len(SIGNED) > 10
    assert {decode_message(VECTORS[name]).header.pvno for name in VECTORS} == {2}


@pytest.mark.parametrize("name", MACCED)
def test_its_mac_is_good_under_the_secret_alone(name: str) -> None:
    message = decode_message(VECTORS[name])
    parameters = protection.mac_parameters(message)
    assert parameters is not None
    assert (len(parameters.salt), parameters.iterations) == (16, 500)
    # the server keeps to the defaults
    chosen = ("sha512", "sha512") if name.startswith("cr-mac") and "-req" in name else ()
    assert (parameters.digest, parameters.mac) == (chosen or ("sha256", "sha1"))
    protection.check_mac(message, parameters, _key(message))
    with pytest.raises(RemoteCmpError, match=r"^the MAC is wrong"):
        protection.check_mac(message, parameters, _key(message, Secret(b"Vector_secret")))


@pytest.mark.parametrize("name", SIGNED)
def test_its_signature_is_good_and_its_signer_trusted(name: str) -> None:
    root, signer, device = (
        (FOLDER / f"{who}.der").read_bytes() for who in ("root", "signer", "device")
    )
    store = TrustStore([root])
    message = decode_message(VECTORS[name])
    found = checks.signer(message, Trust(store, store), AT, ignore_keyusage=False, allow_weak=False)
    wanted = device if name.endswith("-req") else signer
    assert found == x509.load_der_x509_certificate(wanted)
    assert message.header.senderKID == (
        found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )


@pytest.mark.parametrize("name", [name for name in VECTORS if name not in SIGNED + MACCED])
def test_the_unprotected_have_no_protection(name: str) -> None:
    message = decode_message(VECTORS[name])
    assert name == "ir-unprotected-error-1-rsp"
    assert (message.protection, message.header.protectionAlg) == (None, None)


REQUESTS = [
    name
    for name, der in VECTORS.items()
    if decode_message(der).body_type in (BodyType.IR, BodyType.CR, BodyType.KUR)
]


@pytest.mark.parametrize("name", REQUESTS)
def test_its_proof_of_possession_is_good(name: str) -> None:
    message = decode_message(VECTORS[name])
    (request,) = messages.decode_cert_req_messages(message.body)
    sender = encode(message.header.sender)
    assert popo.check(request, sender) is (
        Popo.RA_VERIFIED if name == "ir-raverified-1-req" else Popo.SIGNATURE
    )
    cert_request = decode(CertRequest, request.certReq)
    assert encode(cert_request) == encode(request.certReq)
    assert cert_request.certReqId == 0


def test_its_pkcs10_request_is_good() -> None:
    message = decode_message(VECTORS["p10cr-mac-1-req"])
    assert x509.load_der_x509_csr(message.body).is_signature_valid
    reply = decode(CertRepMessage, decode_message(VECTORS["p10cr-mac-1-rsp"]).body)
    confirm = decode_message(VECTORS["p10cr-mac-2-req"])
    (status,) = messages.decode_cert_confirm_content(confirm.body)
    assert reply.response[0].certReqId == status.certReqId == -1


OCTETS = {"hash-ecdsa-sha384": 48, "hash-rsa-sha512": 64, "hash-ed25519": 64}
HASHES = sorted({name.rsplit("-", 2)[0] for name in VECTORS if name.startswith("hash-")})


@pytest.mark.parametrize("transaction", [*HASHES, "ir-mac", "cr-mac-sha512"])
def test_its_certhash_is_ours(transaction: str) -> None:
    reply = decode(CertRepMessage, decode_message(VECTORS[f"{transaction}-1-rsp"]).body)
    (response,) = reply.response
    assert response.certifiedKeyPair is not None
    der = content(response.certifiedKeyPair[0])
    (status,) = messages.decode_cert_confirm_content(
        decode_message(VECTORS[f"{transaction}-2-req"]).body
    )
    certificate = x509.load_der_x509_certificate(der)
    digest, _ = algorithms.certificate_hash(certificate, der)
    # OpenSSL 3.0 takes 32 octets of SHAKE256, RFC 9481 wants 64
    assert status.certHash == (digest[:32] if transaction == "hash-ed448" else digest)
    assert len(status.certHash) == OCTETS.get(transaction, 32)


def test_what_the_errors_say() -> None:
    error = decode(ErrorMsgContent, decode_message(VECTORS["ir-error-1-rsp"]).body)
    assert error.pKIStatusInfo.status == PKIStatus.REJECTION
    reply = decode(CertRepMessage, decode_message(VECTORS["ir-rejected-1-rsp"]).body)
    status = reply.response[0].status
    assert status.statusString == ["twice no"]
    assert messages.fail_info_names(status.failInfo) == ("badAlg", "duplicateCertReq")


def test_polling_asks_and_answers_for_the_same_request() -> None:
    reply = decode(CertRepMessage, decode_message(VECTORS["cr-polling-1-rsp"]).body)
    assert reply.response[0].status.status == PKIStatus.WAITING
    (asked,) = messages.decode_poll_req_content(decode_message(VECTORS["cr-polling-2-req"]).body)
    (answered,) = messages.decode_poll_rep_content(decode_message(VECTORS["cr-polling-2-rsp"]).body)
    assert asked.certReqId == answered.certReqId == 0
    assert answered.checkAfter == 1


def test_a_revocation_names_the_certificate() -> None:
    device = x509.load_der_x509_certificate((FOLDER / "device.der").read_bytes())
    (details,) = messages.decode_rev_req_content(decode_message(VECTORS["rr-signature-1-req"]).body)
    assert details.certDetails.serialNumber == device.serial_number
    assert messages.name_of(details.certDetails.issuer) == device.issuer.public_bytes()


def test_implicit_confirmation_is_asked_and_granted() -> None:
    for side in ("req", "rsp"):
        message = decode_message(VECTORS[f"ir-implicit-1-{side}"])
        assert message.info(messages.IT_IMPLICIT_CONFIRM) is not None
