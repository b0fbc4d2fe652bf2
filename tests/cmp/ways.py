"""The ways to the states of a transaction, and what may happen there."""

import datetime as dt
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.cmp import general, messages
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, explicit, wrap
from bulkcmp.cmp.events import (
    Event,
    Finish,
    TimerFired,
)
from bulkcmp.cmp.general import RootCaKeyUpdate
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.request import SignatureCredential
from bulkcmp.cmp.state import State
from bulkcmp.model import (
    Itav,
    Outcome,
    OutcomeClass,
)

if TYPE_CHECKING:
    from tests.cmp.conftest import Answer, MakeRun, Opaque, Pki, Run

IMPLICIT = wrap(0x30, encode(messages.IT_IMPLICIT_CONFIRM), b"\x05\x00")
SAID_NO = Outcome(OutcomeClass.REJECTED, "badRequest", "no", fail_info=("badRequest",))


def error(run: "Run", *bits: str, status: int = PKIStatus.REJECTION) -> "Answer":
    body = run.peer.error(run.peer.status(status, *bits, text=("no",)), "because")
    return run.answer(body, BodyType.ERROR)


def requested(make_run: "MakeRun", **changes: Any) -> "Run":
    run = make_run(**changes)
    run.start()
    return run


def waiting(make_run: "MakeRun", **changes: Any) -> "Run":
    run = requested(make_run, **changes)
    run.receive(run.answer(run.peer.waiting()).macced())
    return run


def polled(make_run: "MakeRun", **changes: Any) -> "Run":
    run = waiting(make_run, **changes)
    run.go(TimerFired(run.now))
    return run


def confirming(make_run: "MakeRun", **changes: Any) -> "Run":
    run = requested(make_run, **changes)
    run.receive(run.granted().macced())
    return run


def confirmation_waiting(make_run: "MakeRun", **changes: Any) -> "Run":
    run = confirming(make_run, **changes)
    run.receive(error(run, status=PKIStatus.WAITING).macced())
    return run


def confirmation_polled(make_run: "MakeRun", **changes: Any) -> "Run":
    run = confirmation_waiting(make_run, **changes)
    run.go(TimerFired(run.now))
    return run


def on_token(make_run: "MakeRun", pki: "Pki", **changes: Any) -> tuple["Run", "Opaque"]:
    key = pki.device.elsewhere()
    chain = (pki.device.certificate,)
    return make_run(credential=SignatureCredential(key, chain), **changes), key


def gone(run: "Run", key: "Opaque", event: Event) -> Finish:
    """What comes of a transaction whose key is lost."""
    key.gone = True
    finish = run.go(event)
    assert isinstance(finish, Finish)
    assert run.state is State.FINISHED
    assert finish.outcome.detail == "the token is gone"
    return finish


def told(pki: "Pki") -> dict[str, bytes]:
    """What a genp may tell, rightly, by its infoType."""
    root, now = pki.root, pki.at()
    key = pki.keys["ec"]
    new = pki.certify("new root", key, ca=True)
    link = pki.certify("new root", key, root, ca=True)
    back = pki.certify("root", root.key, new, ca=True)
    update = RootCaKeyUpdate(new.certificate, link.certificate, back.certificate)
    assert isinstance(root.key, ec.EllipticCurvePrivateKey)
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name.from_bytes(root.subject))
        .last_update(now)
        .next_update(now + dt.timedelta(days=1))
        .sign(root.key, hashes.SHA256(), ecdsa_deterministic=True)
        .public_bytes(serialization.Encoding.DER)
    )
    algorithm = wrap(0x30, encode(ObjectIdentifier("1.3.101.112")))
    control = wrap(0x30, encode(general.RSA_KEY_LEN), encode(2048))
    template = wrap(0x30, wrap(0x30, explicit(5, root.subject)), wrap(0x30, control))
    return {
        general.CA_CERTS: wrap(0x30, root.certificate),
        general.CA_PROT_ENC_CERT: pki.signer.certificate,
        general.ROOT_CA_KEY_UPDATE: update.encode(),
        general.CA_KEY_UPDATE_INFO: explicit(0, update.encode()),
        general.CURRENT_CRL: crl,
        general.CRLS: wrap(0x30, crl),
        general.CERT_REQ_TEMPLATE: template,
        general.SIGN_KEY_PAIR_TYPES: wrap(0x30, algorithm),
        general.PREFERRED_SYMM_ALG: algorithm,
        general.SUPP_LANG_TAGS: wrap(0x30, b"\x0c\x02en"),
        "1.2.3": b"\x04\x01x",
    }


_ASKED = {
    general.ROOT_CA_KEY_UPDATE: general.ROOT_CA_CERT,
    general.CRLS: general.CRL_STATUS_LIST,
}


def asked(pki: "Pki", told: str) -> Itav:
    """What asks for an infoType in the genp."""
    crls = general.crl_status_list(pki.device.certificate, None)
    return Itav(_ASKED.get(told, told), crls if told == general.CRLS else None)
