"""certConf: an end entity accepts or rejects its certificate (RFC 9810, 5.3.18)."""

import hmac
from dataclasses import replace

from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import encode, wrap
from bulkcmp.cmp.messages import CertStatus, PKIStatus, decode_cert_confirm_content
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason
from bulkcmp.testca import response
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import (
    CertificateStatus,
    EndEntityStatus,
    IssuedCertificate,
    Store,
    Transaction,
    TransactionState,
)


class Confirmation:
    """Answers certConfs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, exchange: Exchange) -> Answer:
        transaction = exchange.transaction(self._store)
        if transaction.serial is None:
            raise RefusedError("badRequest", "no certificate was issued in this transaction yet")
        certificate = self._store.certificate(transaction.serial)
        assert certificate is not None, "issued with the transaction"
        statuses: list[CertStatus] = decode_cert_confirm_content(exchange.message.body)
        accepted = _verdict(statuses, transaction, certificate)
        verdict = TransactionState.CONFIRMED if accepted else TransactionState.REJECTED
        if transaction.state is not TransactionState.UNCONFIRMED:
            # a client that lost the pkiconf sends its certConf again: it gets the same answer
            if transaction.state is verdict:
                return response.confirmed()
            raise RefusedError("certConfirmed", f"the certificate is {transaction.state} already")
        if certificate.status is CertificateStatus.REVOKED:
            raise RefusedError("certRevoked", "the certificate was revoked meanwhile")
        self._store.update_transaction(replace(transaction, state=verdict))
        if accepted:
            self._store.set_certificate_status(certificate.serial, CertificateStatus.CONFIRMED)
        else:
            self._store.set_certificate_status(
                certificate.serial,
                CertificateStatus.REJECTED,
                reason=RevocationReason.UNSPECIFIED,
                revoked_at=exchange.now,
            )
            if certificate.user is not None:
                self._store.set_status(certificate.user, EndEntityStatus.FAILED)
        return response.confirmed()


def _verdict(
    statuses: list[CertStatus], transaction: Transaction, certificate: IssuedCertificate
) -> bool:
    """Whether a certConf accepts the certificate (RFC 9810, 5.3.18).

    Raises:
        RefusedError: it speaks of another certificate.
    """
    if not statuses:
        return False
    if len(statuses) > 1:
        raise RefusedError("badRequest", "more than one CertStatus for one certificate")
    (status,) = statuses
    if status.certReqId != transaction.cert_req_id:
        raise RefusedError("badCertId", f"certReqId is not {transaction.cert_req_id}")
    if status.hashAlg is None:
        parsed = x509.load_der_x509_certificate(certificate.der)
        expected, _ = algorithms.certificate_hash(parsed, certificate.der)
    else:
        try:
            identifier = wrap(0x30, *map(encode, status.hashAlg))
            expected = algorithms.hash_by(identifier, certificate.der)
        except RemoteCmpError as problem:
            raise RefusedError("badAlg", problem.what) from problem
    if not hmac.compare_digest(status.certHash, expected):
        raise RefusedError("badCertId", "certHash is not that of the certificate")
    return status.statusInfo is None or status.statusInfo.status in (
        PKIStatus.ACCEPTED,
        PKIStatus.GRANTED_WITH_MODS,
    )
