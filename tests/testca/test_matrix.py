"""Operation x protection x confirmation x key type x requests in a message: client and CA agree.

Every pair of values is tried; with BULKCMP_SCALE=full, every combination.
"""

import itertools
import os
import secrets
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.messages import BodyType
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import Applicant, Credential, MacCredential, SignatureCredential
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import (
    EndEntity,
    Operation,
    OutcomeClass,
    PasswordMac,
    Profile,
    RsaPadding,
)
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.store import CertificateStatus
from tests.testca.conftest import converse, shared_key

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

KEYS: Final = (
    "rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65",
    "ml-dsa-87",
)  # fmt: skip
PSS: Final = "rsa-pss"
AXES: Final = (
    [operation.value for operation in Operation],
    [*(mac.value for mac in PasswordMac), PSS, *KEYS],
    ["explicit", "implicit", "implicit, not granted", "disabled"],
    list(KEYS),
    [1, 3],
)
Cell = tuple[str, str, str, str, int]

SUBJECT: Final = parse_name("/CN=dev1/O=Acme/C=SE")


def makes_sense(cell: Cell) -> bool:
    """Whether there is such a transaction."""
    operation, protection, confirm, key, count = cell
    if operation == "kur" and protection in list(PasswordMac):
        # a kur is signed with the certificate that it updates
        return False
    if operation == "p10cr" and count > 1:
        # its body is one PKCS#10 request
        return False
    # nothing is certified or confirmed in a rr: one of each kind will do
    return operation != "rr" or (confirm, key) == ("explicit", "ec:P-256")


def _pairs(cell: Cell) -> frozenset[tuple[tuple[int, object], ...]]:
    return frozenset(itertools.combinations(enumerate(cell), 2))


def _cells() -> list[Cell]:
    every = [cell for cell in itertools.product(*AXES) if makes_sense(cell)]
    if os.environ.get("BULKCMP_SCALE") == "full":
        return every
    # allpairspy 2.5 left out 150 of 363 pairs, since many whole rows make no sense
    left = set().union(*map(_pairs, every))
    chosen = []
    while left:
        best = max(every, key=lambda cell: len(_pairs(cell) & left))
        chosen.append(best)
        left -= _pairs(best)
    return chosen


def _pkcs8(key: SigningKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _csr(key: SigningKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_bytes(SUBJECT))
    hashed = isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256() if hashed else None).public_bytes(Encoding.DER)


def _credential(ca: "Ca", protection: str) -> tuple[str, Credential]:
    """An alias, and what protects requests there."""
    if protection in list(PasswordMac):
        kind = PasswordMac(protection)
        parameters = MacParameters.choose(secrets.token_bytes(16), kind=kind, iterations=10)
        return "ra-hmac", MacCredential("ra1", ca.ra_secret(), parameters)
    holder = ca.client_cert(spec="rsa:2048" if protection == PSS else protection)
    assert holder.key is not None
    assert holder.cert is not None
    return "client-cert", SignatureCredential(_pkcs8(holder.key), (holder.cert,))


@pytest.mark.parametrize("cell", _cells(), ids=lambda cell: "-".join(map(str, cell)))
def test_client_and_ca_agree(ca: "Ca", cell: Cell) -> None:
    cmd, protection, confirm, spec, count = cell
    operation = Operation(cmd)
    alias, credential = _credential(ca, protection)
    ca.behave(Behaviour(implicit_confirm=confirm != "implicit, not granted"))
    profile = Profile(
        rsa_padding=RsaPadding.PSS if protection == PSS else RsaPadding.PKCS1,
        implicit_confirm=confirm.startswith("implicit"),
        disable_confirm=confirm == "disabled",
    )
    old = [
        ca.ra_hmac().enroll(BodyType.IR, "/CN=dev1/O=Acme/C=SE", implicit=True).der
        for _ in range(count if operation is Operation.RR else 0)
    ]
    known = {one.serial for one in ca.store.certificates()}
    applicants = []
    keys = [shared_key(spec, number) for number in range(count)]
    for number, key in enumerate(keys):
        entity = EndEntity(
            number,
            number + 1,
            str(number),
            operation,
            subject=SUBJECT,
            cert=credential.chain if isinstance(credential, SignatureCredential) else (),
            csr=_csr(key) if operation is Operation.P10CR else None,
            old_cert=old[number] if old else None,
        )
        asks = operation not in (Operation.P10CR, Operation.RR)
        applicants.append(Applicant(entity, _pkcs8(key) if asks else None))
    store = TrustStore([ca.root.der])
    finish = converse(
        ca,
        alias,
        Transaction(
            applicants,
            credential,
            profile,
            Trust(store, store),
            transaction_id=secrets.token_bytes(16),
            nonces=iter(lambda: secrets.token_bytes(16), None),
            jitter=itertools.repeat(0.0),
        ),
    )
    assert finish.checkpoint is not None
    if operation is Operation.RR:
        assert {one.outcome for one in finish.outcomes} == {OutcomeClass.REVOKED}
        for der in old:
            serial = x509.load_der_x509_certificate(der).serial_number
            issued = ca.store.certificate(serial)
            assert issued is not None
            assert issued.status is CertificateStatus.REVOKED
        return
    assert [one.outcome for one in finish.outcomes] == [OutcomeClass.ISSUED] * count
    # the books alone don't tell how a certificate was confirmed
    sent_cert_conf = finish.timings.confirm is not None
    assert sent_cert_conf is (confirm in ("explicit", "implicit, not granted"))
    status = CertificateStatus.PENDING if confirm == "disabled" else CertificateStatus.CONFIRMED
    new = [one for one in ca.store.certificates() if one.serial not in known]
    assert {one.status for one in new} == {status}
    assert {one.der for one in new} == {part.certificate for part in finish.checkpoint.parts}
    for part, key in zip(finish.checkpoint.parts, keys, strict=True):
        assert part.certificate is not None
        public_key = x509.load_der_x509_certificate(part.certificate).public_key()
        assert algorithms.public_bytes(public_key) == algorithms.public_key_info(key)
        assert part.chain == (ca.root.der,)
