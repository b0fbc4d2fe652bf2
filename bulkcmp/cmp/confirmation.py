"""The content of a certConf (RFC 9810, 5.3.18): which certificates are taken, and which are not."""

from collections.abc import Sequence
from typing import Final

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import OCTET_STRING, SEQUENCE, encode, explicit, integer, wrap
from bulkcmp.cmp.checks import Reason
from bulkcmp.cmp.events import Part
from bulkcmp.cmp.messages import (
    PVNO_CMP2000,
    PVNO_CMP2021,
    PKIStatus,
    PKIStatusInfo,
    fail_info,
)
from bulkcmp.cmp.trust import load_certificate
from bulkcmp.errors import RemoteCmpError

_REFUSAL_BITS: Final = {
    Reason.PUBLIC_KEY.value: "badCertTemplate",
    Reason.SUBJECT.value: "badCertTemplate",
    Reason.CHAIN.value: "signerNotTrusted",
    Reason.KEY_WEAK.value: "badAlg",
    Reason.CERTIFICATE_WEAK.value: "badAlg",
    Reason.KGA_NOT_TRUSTED.value: "signerNotTrusted",
}
"""failInfo of a certificate that is rejected, by our reason."""


def is_possible(certificate: bytes) -> bool:
    """Whether a certConf can take or reject a certificate (DER): what can't be parsed has no
    certHash."""
    try:
        load_certificate(certificate)
    except RemoteCmpError:
        return False
    return True


# CertConfirmContent ::= SEQUENCE OF CertStatus
def content_of(parts: Sequence[Part]) -> tuple[bytes, int]:
    """What a certConf says of parts whose certificates came.

    Returns:
        DER CertConfirmContent, and the pvno that its message must have.
    """
    statuses = [_cert_status(part) for part in parts]
    # hashAlg came with cmp2021 (RFC 9810, 7)
    pvno = PVNO_CMP2021 if any(named for _, named in statuses) else PVNO_CMP2000
    return wrap(SEQUENCE, *(status for status, _ in statuses)), pvno


# CertStatus ::= SEQUENCE {
#     certHash    OCTET STRING,
#     certReqId   INTEGER,
#     statusInfo  PKIStatusInfo OPTIONAL,
#     hashAlg [0] AlgorithmIdentifier{DIGEST-ALGORITHM, {...}} OPTIONAL }
def _cert_status(part: Part) -> tuple[bytes, bool]:
    """DER CertStatus of a part, and whether it names a hashAlg."""
    assert part.certificate is not None
    assert part.granted is not None
    certificate = load_certificate(part.certificate)
    digest, algorithm = algorithms.certificate_hash(certificate, part.certificate)
    refused = b""
    if part.is_refused:
        refused = encode(
            PKIStatusInfo(
                status=PKIStatus.REJECTION,
                statusString=[part.granted.reason],
                failInfo=fail_info(_REFUSAL_BITS.get(part.granted.reason, "incorrectData")),
            )
        )
    named = b"" if algorithm is None else explicit(0, algorithm)
    status = wrap(SEQUENCE, wrap(OCTET_STRING, digest), integer(part.cert_req_id), refused, named)
    return status, algorithm is not None
