"""Every kind of transaction (tests/testca/matrix.py): our client and the embedded CA agree."""

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.request import Credential, NoCredential
from bulkcmp.model import OutcomeClass
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.store import CertificateStatus
from tests.testca import asking, matrix
from tests.testca.conftest import converse, shared_new_key
from tests.testca.matrix import Cell
from tests.testca.nesting import exchange, macced, signing

if TYPE_CHECKING:
    from tests.testca.conftest import Ca


def place(ca: "Ca", cell: Cell) -> tuple[str, Credential]:
    """An alias, and what protects requests there."""
    if cell.protection == matrix.UNPROTECTED:
        ca.register("dev1")
        return "client-regtoken", NoCredential(sender=asking.SUBJECT)
    if cell.protection in matrix.MACS:
        return "ra-hmac", asking.mac(cell.protection, "ra1", ca.ra_secret())
    return "client-cert", asking.certified(ca, cell.protection)


def layers(ca: "Ca", cell: Cell) -> list[Credential]:
    """What RAs put around messages, the innermost first."""
    ra = ca.ra_cert()
    kinds: dict[str, Credential] = {
        "MAC": macced("ra1", ca.ra_secret()),
        "signature": signing(ra.key, ra.cert),
    }
    return [layer for kind, layer in kinds.items() if kind in cell.layers]


@pytest.mark.parametrize("cell", matrix.cells(), ids=str)
def test_client_and_ca_agree(ca: "Ca", cell: Cell) -> None:
    alias, credential = place(ca, cell)
    around = layers(ca, cell)
    ca.behave(Behaviour(implicit_confirm=cell.confirm != matrix.NOT_GRANTED))
    central = cell.key in matrix.CENTRAL
    keys = [
        None if central else shared_new_key(cell.key, number) for number in range(cell.requests)
    ]
    old = [ca.certify() for _ in keys] if cell.operation in matrix.REVOCATIONS else []
    known = {one.serial for one in ca.store.certificates()}

    def post(message: bytes) -> bytes:
        if not around:
            return ca.answer(alias, message)
        _, (answer,) = exchange(ca, [message], *around, alias=alias)
        assert isinstance(answer, bytes)
        return answer

    finish = converse(asking.transaction(ca, cell, credential, keys, old), ca.now, post)
    assert finish.checkpoint is not None
    if cell.operation == matrix.QUESTION:
        assert finish.outcome.outcome is OutcomeClass.ANSWERED
        (told,) = finish.checkpoint.parts[0].infos
        assert told.oid == asking.QUESTION.oid
        assert told.value is not None
        return
    if not cell.certifies:
        assert [one.outcome for one in finish.outcomes] == [OutcomeClass.REVOKED] * cell.requests
        for der in old:
            serial = x509.load_der_x509_certificate(der).serial_number
            issued = ca.store.certificate(serial)
            assert issued is not None
            assert issued.status is CertificateStatus.REVOKED
        return
    assert [one.outcome for one in finish.outcomes] == [OutcomeClass.ISSUED] * cell.requests
    # the books alone don't tell how a certificate was confirmed
    assert (finish.timings.confirm is not None) is cell.confirms
    pending = cell.confirm == "disabled"
    status = CertificateStatus.PENDING if pending else CertificateStatus.CONFIRMED
    new = [one for one in ca.store.certificates() if one.serial not in known]
    assert {one.status for one in new} == {status}
    assert {one.der for one in new} == {part.certificate for part in finish.checkpoint.parts}
    for part, key in zip(finish.checkpoint.parts, keys, strict=True):
        assert part.certificate is not None
        public_key = x509.load_der_x509_certificate(part.certificate).public_key()
        assert (part.key is not None) is central
        own = key if part.key is None else algorithms.load_private_key(part.key)
        assert own is not None
        assert algorithms.public_bytes(public_key) == algorithms.public_key_info(own)
        assert isinstance(own, rsa.RSAPrivateKey) or "central rsa" not in cell.key
        assert part.chain == (ca.root.der,)
