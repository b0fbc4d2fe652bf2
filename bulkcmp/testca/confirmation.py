"""certConf: an end entity accepts or rejects its certificates (RFC 9810, 5.3.18)."""

import hmac
from dataclasses import replace

from cryptography import x509

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import encode_sequence_of
from bulkcmp.cmp.messages import (
    PVNO_CMP2021,
    CertStatus,
    PKIStatus,
    decode_cert_confirm_content,
)
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RevocationReason
from bulkcmp.testca import response
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import (
    CertificateStatus,
    CertRequestState,
    EndEntityStatus,
    IssuedCertificate,
    RequestState,
    Store,
)

_ACCEPTING = (PKIStatus.ACCEPTED, PKIStatus.GRANTED_WITH_MODS)


class Confirmation:
    """Answers certConfs, for one or several certificates."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, exchange: Exchange) -> Answer:
        """The pkiconf; a certificate that was issued and is not named is rejected.

        Raises:
            RefusedError: nothing is to be confirmed, or it is not these certificates.
            RemoteCmpError: the body can't be decoded.
        """
        transaction = exchange.transaction(self._store)
        entries: list[CertStatus] = decode_cert_confirm_content(exchange.message.body)
        statuses = {one.certReqId: one for one in entries}
        if len(statuses) != len(entries):
            raise RefusedError("badRequest", "more than one CertStatus for one certificate")
        issued = {one.cert_req_id: one for one in transaction.requests if one.serial is not None}
        if not issued:
            raise RefusedError("badRequest", "no certificate was issued in this transaction yet")
        if not issued.keys() >= statuses.keys():
            known = ", ".join(map(str, sorted(issued)))
            raise RefusedError("badRequest", f"what was issued has certReqId {known}")
        verdicts: dict[int, RequestState] = {}
        for cert_req_id, one in issued.items():
            status = statuses.get(cert_req_id)
            if one.state is RequestState.UNCONFIRMED:
                verdicts[cert_req_id] = self._decide(exchange, one, status)
            elif status is not None:
                raise RefusedError("certConfirmed", f"the certificate is {one.state} already")
        if not verdicts:
            raise RefusedError("certConfirmed", "every certificate was confirmed or rejected")
        self._store.update_transaction(
            replace(
                transaction.answered(exchange.nonce),
                requests=tuple(
                    replace(one, state=verdicts.get(one.cert_req_id, one.state))
                    for one in transaction.requests
                ),
            )
        )
        return response.confirmed()

    def _decide(
        self, exchange: Exchange, request: CertRequestState, status: CertStatus | None
    ) -> RequestState:
        assert request.serial is not None, "it was issued"
        certificate = self._store.certificate(request.serial)
        assert certificate is not None, "issued with the transaction"
        accepted = status is not None and _accepts(
            status, exchange.message.header.pvno, certificate
        )
        if certificate.status is CertificateStatus.REVOKED:
            raise RefusedError("certRevoked", "the certificate was revoked meanwhile")
        if accepted:
            self._store.set_certificate_status(certificate.serial, CertificateStatus.CONFIRMED)
            return RequestState.CONFIRMED
        self._store.set_certificate_status(
            certificate.serial,
            CertificateStatus.REJECTED,
            reason=RevocationReason.UNSPECIFIED,
            revoked_at=exchange.now,
        )
        if certificate.user is not None:
            self._store.set_status(certificate.user, EndEntityStatus.FAILED)
        return RequestState.REJECTED


def _accepts(status: CertStatus, pvno: int, certificate: IssuedCertificate) -> bool:
    """Whether a CertStatus accepts a certificate.

    Raises:
        RefusedError: it contradicts itself, or is of another certificate.
    """
    info = status.statusInfo
    accepts = info is None or info.status in _ACCEPTING
    if accepts and info is not None and info.failInfo is not None:
        raise RefusedError("badRequest", "a CertStatus that accepts has no failInfo")
    if not hmac.compare_digest(status.certHash, _certificate_hash(status, pvno, certificate)):
        raise RefusedError("badCertId", "certHash is not that of the certificate")
    return accepts


def _certificate_hash(status: CertStatus, pvno: int, certificate: IssuedCertificate) -> bytes:
    """The certHash that a CertStatus must have."""
    if not status.certHash:
        raise RefusedError("badPOP", "certHash is empty")
    if status.hashAlg is None:
        parsed = x509.load_der_x509_certificate(certificate.der)
        expected, _ = algorithms.certificate_hash(parsed, certificate.der)
        return expected
    if pvno < PVNO_CMP2021:
        # RFC 9810, 5.3.18 and 7
        raise RefusedError("badRequest", "hashAlg came with cmp2021, that is pvno 3")
    try:
        return algorithms.hash_by(encode_sequence_of(status.hashAlg), certificate.der)
    except RemoteCmpError as problem:
        raise RefusedError("badAlg", problem.what) from problem
