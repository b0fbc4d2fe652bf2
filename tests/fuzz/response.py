"""The response path: octets -> message -> transaction -> outcome.

An input is an octet for the exchange, one for how the rest is presented, and the rest.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import cache, partial
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bulkcmp.cmp import encryptedvalue, envelope, package, recipient
from bulkcmp.cmp.asn1 import ObjectIdentifier, explicit
from bulkcmp.cmp.encapsulation import Encapsulated, encapsulate
from bulkcmp.cmp.events import Finish, Send, TimerFired, WakeAt
from bulkcmp.cmp.general import encode_infos
from bulkcmp.cmp.messages import BodyType, PKIStatus
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.errors import Loss
from bulkcmp.model import Itav, Operation, OutcomeClass, PasswordMac, Popo, Profile, SubjectCheck
from bulkcmp.outputs.information import contents
from tests.cmp.conftest import SECRET, Answer, MakeRun, Peer, Pki, Run, run_maker
from tests.cmp.ways import asked, told
from tests.fuzz.keys import fixed_pki
from tests.fuzz.mutation import PIECES
from tests.fuzz.protecting import macced

_MOST: Final = 200
"""Instructions after which a transaction has long ended."""

_KEY: Final = bytes(range(32))
_IV: Final = bytes(range(16))
_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")

_MOST_ITERATIONS: Final = 500


class Presented(IntEnum):
    """How the rest of an input reaches the client."""

    MACCED = 0
    """It is the body, protected by MAC as it should be,"""
    SIGNED = 1
    """or by signature."""
    WHOLE = 2
    """It is the message."""
    PROTECTED = 3
    """It is the message, but for the value of its MAC, which is made right."""


@cache
def _pki() -> Pki:
    return fixed_pki()


@cache
def _maker() -> MakeRun:
    return run_maker(_pki(), Peer())


def _started(
    operation: Operation = Operation.IR,
    credential: str = "mac",
    *,
    implicit: bool = False,
    first_trust: bool = False,
    **changes: object,
) -> Run:
    profile = Profile(
        max_pbm_iterations=_MOST_ITERATIONS,
        tolerate_pkiconf=False,
        subject_check=SubjectCheck.RECORD,
        implicit_confirm=implicit,
    )
    run = _maker()(operation, credential, profile=profile, first_trust=first_trust, **changes)
    run.start()
    return run


def _granted(operation: Operation, *, implicit: bool = False) -> tuple[Run, Answer]:
    run = _started(
        operation, "signature" if operation is Operation.KUR else "mac", implicit=implicit
    )
    return run, run.granted()


def _waiting() -> tuple[Run, Answer]:
    run = _started()
    return run, run.answer(run.peer.waiting())


def _polled() -> tuple[Run, Answer]:
    run, answer = _waiting()
    run.receive(answer.macced())
    run.go(TimerFired(run.now))
    return run, run.granted()


def _polled_again() -> tuple[Run, Answer]:
    run, _ = _polled()
    return run, run.answer(run.peer.poll_rep(1), BodyType.POLL_REP)


def _confirming() -> tuple[Run, Answer]:
    run, answer = _granted(Operation.IR)
    run.receive(answer.macced())
    return run, run.confirmed()


def _refused() -> tuple[Run, Answer]:
    run = _started()
    status = run.peer.status(PKIStatus.REJECTION, "badPOP", text=("no",))
    return run, run.answer(run.peer.error(status, "why"), BodyType.ERROR)


def _revoked() -> tuple[Run, Answer]:
    run = _started(Operation.RR, "signature")
    return run, run.answer(run.peer.rev_rep(run.peer.status(PKIStatus.ACCEPTED)))


def _first_trusted() -> tuple[Run, Answer]:
    run = _started(first_trust=True)
    root = _pki().root.certificate
    response = run.peer.response(run.peer.status(0), explicit(0, _pki().issue()))
    return run, run.answer(run.peer.cert_rep(response, ca_pubs=(root,)))


def _several() -> tuple[Run, Answer]:
    run = _started(count=3)
    ids = range(3)
    responses = [
        run.peer.response(run.peer.status(0), explicit(0, _pki().issue()), one) for one in ids
    ]
    return run, run.answer(run.peer.cert_rep(*responses))


def _told(place: int) -> tuple[Run, Answer]:
    pki = _pki()
    oid, value = list(told(pki).items())[place]
    run = _started(Operation.GENM, infos=(asked(pki, oid),))
    return run, run.answer(encode_infos([Itav(oid, value)]))


def _encrypted(kind: str) -> tuple[Run, Answer]:
    """A certificate that is encrypted to its key."""
    pki = _pki()
    key = pki.kem_keys[kind] if kind in pki.kem_keys else pki.keys[kind]
    certificate = pki.certificate("device", key, pki.root)
    parsed = x509.load_der_x509_certificate(certificate)
    popo = Popo.KEY_ENCIPHERMENT
    if isinstance(key, rsa.RSAPrivateKey):
        info = recipient.transport(_KEY, parsed)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        popo = Popo.KEY_AGREEMENT
        info = recipient.agree(_KEY, parsed, ec.derive_private_key(5, ec.SECP256R1()))
    else:
        secret, ciphertext = pki.kem_keys[kind].public_key().encapsulate()
        info = encapsulate(_KEY, parsed, Encapsulated(ciphertext, secret))
    run = _started(new_key=pki.pkcs8(key), popo=popo)
    sealed = envelope.encrypted_key(envelope.encrypt(certificate, _DATA, [info], key=_KEY, iv=_IV))
    response = run.peer.response(run.peer.status(0), explicit(1, sealed))
    return run, run.answer(run.peer.cert_rep(response))


def _encrypted_value() -> tuple[Run, Answer]:
    pki = _pki()
    key = pki.keys["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    run = _started(new_key=pki.pkcs8(key), popo=Popo.KEY_ENCIPHERMENT)
    certificate = pki.certificate("device", key, pki.root)
    sealed = encryptedvalue.encrypt(certificate, key.public_key(), key=_KEY, iv=_IV)
    response = run.peer.response(run.peer.status(0), explicit(1, sealed))
    return run, run.answer(run.peer.cert_rep(response))


def _made_key() -> tuple[Run, Answer]:
    """A private key that the CA made."""
    pki = _pki()
    key = pki.keys["ed25519"]
    authority = pki.certify("kga", key, pki.root, purposes=[package.CM_KGA])
    made = package.encode_package(pki.keys["ec"])
    signed = package.sign(made, key, (authority.certificate,), "sha512")
    info = recipient.password(_KEY, SECRET, b"salt of an envelope", iterations=5)
    sealed = envelope.encrypt(signed, envelope.SIGNED_DATA, [info], key=_KEY, iv=_IV)
    run = _started(central_keygen=True)
    pair = explicit(0, pki.issue()) + explicit(0, envelope.encrypted_key(sealed))
    return run, run.answer(run.peer.cert_rep(run.peer.response(run.peer.status(0), pair)))


def _encapsulated() -> tuple[Run, Answer]:
    """The ciphertext for a KEM-based MAC."""
    run = _started(credential="kem")
    return run, run.ciphertext()


def _by_kem() -> tuple[Run, Answer]:
    run, answer = _encapsulated()
    run.receive(answer.plain())
    return run, run.granted()


_EXCHANGES: Final[tuple[Callable[[], tuple[Run, Answer]], ...]] = (
    partial(_granted, Operation.IR),
    partial(_granted, Operation.CR, implicit=True),
    partial(_granted, Operation.KUR),
    partial(_granted, Operation.P10CR),
    _waiting,
    _polled,
    _polled_again,
    _confirming,
    _refused,
    _revoked,
    _first_trusted,
    _several,
    _made_key,
    partial(_encrypted, "rsa"),
    partial(_encrypted, "ec"),
    partial(_encrypted, "ml-kem-768"),
    _encrypted_value,
    _encapsulated,
    _by_kem,
    *(partial(_told, place) for place in range(11)),
)


def one(data: bytes) -> None:
    """Whatever a server answers, a transaction ends in an outcome of the known classes.

    And in few steps; what it keeps can be written to files.
    """
    if len(data) < 2:
        return
    run, answer = _EXCHANGES[data[0] % len(_EXCHANGES)]()
    received = _presented(run, answer, Presented(data[1] % len(Presented)), data[2:])
    instruction = run.receive(received)
    for _ in range(_MOST):
        match instruction:
            case Finish(outcomes, checkpoint):
                break
            case Send():
                instruction = run.lose(Loss.TIMEOUT)
            case WakeAt(at):
                run.now = max(run.now, at)
                instruction = run.go(TimerFired(run.now))
            case _:
                raise AssertionError(instruction)
    else:
        raise AssertionError("no end")
    assert outcomes
    assert all(isinstance(outcome.outcome, OutcomeClass) for outcome in outcomes)
    for part in () if checkpoint is None else checkpoint.parts:
        contents(part.infos)


def _presented(run: Run, answer: Answer, how: Presented, rest: bytes) -> bytes:
    if how is Presented.WHOLE:
        return rest
    if how is Presented.PROTECTED:
        return macced(rest, SECRET, _MOST_ITERATIONS)
    said = Answer(
        answer.body_type,
        rest,
        answer.transaction_id,
        answer.recip_nonce,
        answer.sender,
        extra_certs=answer.extra_certs,
    )
    return said.macced() if how is Presented.MACCED else said.signed(run.pki.signer)


def seeds() -> Iterator[bytes]:
    """What would be right, in each exchange and way of presenting it; and OpenSSL's answers."""
    for number, begin in enumerate(_EXCHANGES):
        _, answer = begin()
        whole = answer.macced()
        yield bytes((number, Presented.MACCED)) + answer.body
        yield bytes((number, Presented.SIGNED)) + answer.body
        yield bytes((number, Presented.WHOLE)) + whole
        yield bytes((number, Presented.PROTECTED)) + whole
    _, answer = _granted(Operation.IR)
    pbmac1 = MacParameters.choose(b"salt of a PBMAC1", kind=PasswordMac.PBMAC1, iterations=100)
    yield bytes((0, Presented.PROTECTED)) + answer.macced(parameters=pbmac1)
    for piece in PIECES:
        yield bytes((0, Presented.WHOLE)) + piece
