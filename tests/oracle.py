"""A second opinion on messages: what pyasn1 reads must be what the run-time codec reads.

By the modules of RFC 4210 and 4211 where they hold, else by the types of `bulkcmp.inspect`.
"""

from collections.abc import Callable
from typing import Any

from cryptography import x509
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc4210, rfc4211

from bulkcmp.cmp import messages
from bulkcmp.cmp.asn1 import decode, decode_sequence_of, encode, explicit, wrap
from bulkcmp.cmp.general import decode_infos
from bulkcmp.cmp.messages import (
    BodyType,
    CertId,
    CertRepMessage,
    CertRequest,
    CertTemplate,
    ErrorMsgContent,
    PKIMessage,
    PKIStatusInfo,
    RevRepContent,
    decode_message,
)
from bulkcmp.cmp.protection import algorithm_of
from bulkcmp.inspect import syntax
from bulkcmp.model import Popo

FAIL_INFO_NAMES = {int(bit): str(name) for name, bit in rfc4210.PKIFailureInfo.namedValues.items()}

NULL_DN_SUBJECT = explicit(5, messages.NULL_DN)


def read(der: bytes, spec: object) -> Any:
    """What pyasn1 makes of `der`; that its encoding is the same says that ours is DER."""
    value, rest = decoder.decode(der, asn1Spec=spec)
    assert rest == b""
    # pyasn1 takes an optional SEQUENCE OF that is empty, a NULL-DN, for an absent one
    assert encoder.encode(value) == der or NULL_DN_SUBJECT in der
    return value


def _der(value: Any) -> bytes | None:
    """DER of a constructed value; None for an absent one."""
    return encoder.encode(value) if value.isValue else None


def _octets(value: Any) -> bytes | None:
    return bytes(value) if value.isValue else None


def _number(value: Any) -> int | None:
    return int(value) if value.isValue else None


def _texts(value: Any) -> list[str] | None:
    return [str(text) for text in value] if value.isValue else None


# --- the message around a body ------------------------------------------------------------------


def same(der: bytes) -> None:
    """pyasn1 and we read the same in a PKIMessage."""
    ours = decode_message(der)
    theirs = read(der, syntax.PKI_MESSAGE)
    if _is_of_rfc_4210(theirs["body"], ours):
        assert read(der, rfc4210.PKIMessage())["body"].getName() == ours.body_type.label
    _same_header(theirs["header"], ours)
    assert theirs["body"].getName() == ours.body_type.label
    BODIES[ours.body_type](theirs["body"].getComponent(), ours.body)
    protection = theirs["protection"]
    assert (protection.asOctets() if protection.isValue else None) == ours.protection
    assert tuple(encoder.encode(one) for one in theirs["extraCerts"]) == ours.extra_certs


def _is_of_rfc_4210(body: Any, ours: PKIMessage) -> bool:
    """Whether pyasn1-modules can read it: it has another CertId and genp, and no EnvelopedData."""
    if ours.header.pvno != messages.PVNO_CMP2000 or ours.body_type in (BodyType.RP, BodyType.GENP):
        return False
    if ours.body_type not in (BodyType.IP, BodyType.CP, BodyType.KUP):
        return True
    pairs = [one["certifiedKeyPair"] for one in body.getComponent()["response"]]
    return not any(
        pair.isValue
        and (pair["privateKey"].isValue or pair["certOrEncCert"].getName() == "encryptedCert")
        for pair in pairs
    )


def _same_header(theirs: Any, ours: PKIMessage) -> None:
    header = ours.header
    assert int(theirs["pvno"]) == header.pvno
    assert _der(theirs["sender"]) == encode(header.sender)
    assert _der(theirs["recipient"]) == encode(header.recipient)
    assert theirs["messageTime"].isValue == (header.messageTime is not None)
    if header.messageTime is not None:
        assert theirs["messageTime"].asDateTime == header.messageTime.as_datetime()
    for field in ("senderKID", "recipKID", "transactionID", "senderNonce", "recipNonce"):
        assert _octets(theirs[field]) == getattr(header, field), field
    infos = [encoder.encode(info) for info in theirs["generalInfo"]]
    assert infos == [encode(info) for info in header.generalInfo or ()]
    for info in theirs["generalInfo"]:
        spec = syntax.INFO_TYPES.get(str(info["infoType"]))
        if spec is not None and info["infoValue"].isValue:
            read(bytes(info["infoValue"]), spec)
    algorithm = _der(theirs["protectionAlg"])
    assert (algorithm is None) == (header.protectionAlg is None)
    if algorithm is not None:
        # under the [1] of the header, the SEQUENCE's own tag stands inside
        assert algorithm.endswith(algorithm_of(ours) or b"?")
        _parameters(theirs["protectionAlg"])


def _parameters(algorithm: Any) -> None:
    """The parameters of an AlgorithmIdentifier, and what stands in them, can be read."""
    spec = syntax.ALGORITHM_PARAMETERS.get(str(algorithm["algorithm"]))
    if spec is None:
        assert _octets(algorithm["parameters"]) in (None, b"\x05\x00")
        return
    parameters = read(bytes(algorithm["parameters"]), spec)
    for inner in ("owf", "mac", "kdf", "keyDerivationFunc", "messageAuthScheme", "prf"):
        if inner in parameters and parameters[inner].isValue:
            _parameters(parameters[inner])


# --- requests -----------------------------------------------------------------------------------


def _same_template(theirs: Any, ours: CertTemplate) -> None:
    assert _number(theirs["serialNumber"]) == ours.serialNumber
    for field in ("issuer", "subject"):
        elements = getattr(ours, field)
        name = None if elements is None else messages.name_of(elements)
        if name == messages.NULL_DN:
            continue
        der = _der(theirs[field])
        assert (der is None) == (name is None), field
        assert name is None or (der or b"").endswith(name), field
    validity = theirs["validity"]
    times = [
        encoder.encode(validity[field])
        for field in ("notBefore", "notAfter")
        if validity[field].isValue
    ]
    assert times == [encode(time) for time in ours.validity or ()]
    spki = _der(theirs["publicKey"])
    assert (spki or b"\xa6")[1:] == (b"" if ours.publicKey is None else encode(ours.publicKey)[1:])
    _same_extensions(theirs["extensions"], ours.extensions)


def _same_extensions(theirs: Any, ours: list[messages.Extension] | None) -> None:
    assert [encoder.encode(one) for one in theirs] == [encode(one) for one in ours or ()]
    for extension in theirs:
        spec = syntax.EXTENSIONS.get(str(extension["extnID"]))
        if spec is not None:
            read(bytes(extension["extnValue"]), spec)


def _same_cert_requests(theirs: Any, der: bytes) -> None:
    ours = messages.decode_cert_req_messages(der)
    for their, our in zip(theirs, ours, strict=True):
        _same_cert_request(their, our)


def _same_cert_request(theirs: Any, ours: messages.CertReqMsg) -> None:
    request = decode(CertRequest, ours.certReq)
    assert int(theirs["certReq"]["certReqId"]) == request.certReqId
    _same_template(theirs["certReq"]["certTemplate"], request.certTemplate)
    for their, our in (
        (theirs["certReq"]["controls"], request.controls),
        (theirs["regInfo"], ours.regInfo),
    ):
        assert [(str(one["type"]), bytes(one["value"])) for one in their] == [
            (one.type.dotted_string, encode(one.value)) for one in our or ()
        ]
        for control in their:
            value = read(bytes(control["value"]), syntax.CONTROLS[str(control["type"])])
            if control["type"] == rfc4211.id_regCtrl_oldCertID:
                _same_cert_id(value, decode(CertId, bytes(control["value"])))
    _same_proof(theirs["popo"], ours)


def _same_proof(theirs: Any, ours: messages.CertReqMsg) -> None:
    assert theirs.isValue == (ours.popo is not None)
    if ours.popo is None:
        return
    method = theirs.getName()
    assert method == ours.popo.tag
    if method == "signature":
        proof = theirs["signature"]
        assert not proof["poposkInput"].isValue
        assert isinstance(ours.popo.value, messages.POPOSigningKey)
        assert encoder.encode(proof["algorithmIdentifier"]) == wrap(
            0x30, *map(encode, ours.popo.value.algorithmIdentifier)
        )
        assert proof["signature"].asOctets() == ours.popo.value.signature.as_bytes()
    elif Popo(method).is_indirect:
        assert theirs[method].getName() == "subsequentMessage"
        assert theirs[method]["subsequentMessage"] == 0, "encrCert"


def _same_pkcs10(theirs: Any, der: bytes) -> None:
    csr = x509.load_der_x509_csr(der)
    assert csr.is_signature_valid
    info = theirs["certificationRequestInfo"]
    assert encoder.encode(info) == csr.tbs_certrequest_bytes
    assert encoder.encode(info["subject"]) == csr.subject.public_bytes()


def _same_revocations(theirs: Any, der: bytes) -> None:
    for their, our in zip(theirs, messages.decode_rev_req_content(der), strict=True):
        _same_template(their["certDetails"], our.certDetails)
        _same_extensions(their["crlEntryDetails"], our.crlEntryDetails)


def _same_infos(theirs: Any, der: bytes) -> None:
    assert [(str(one["infoType"]), _octets(one["infoValue"])) for one in theirs] == [
        (one.oid, one.value) for one in decode_infos(der)
    ]


def _same_polls(theirs: Any, der: bytes) -> None:
    ours = messages.decode_poll_req_content(der)
    assert [int(one["certReqId"]) for one in theirs] == [one.certReqId for one in ours]


def _same_confirmation(theirs: Any, der: bytes) -> None:
    for their, our in zip(theirs, messages.decode_cert_confirm_content(der), strict=True):
        assert bytes(their["certHash"]) == our.certHash
        assert int(their["certReqId"]) == our.certReqId
        hashed = _der(their["hashAlg"])
        assert (hashed is None) == (our.hashAlg is None)
        if our.hashAlg is not None:
            assert (hashed or b"").endswith(wrap(0x30, *map(encode, our.hashAlg)))
        _same_status(their["statusInfo"], our.statusInfo)


def _same_nested(theirs: Any, der: bytes) -> None:
    inner = [bytes(one) for one in theirs]
    assert [bytes(one) for one in read(der, rfc4210.NestedMessageContent())] == inner
    assert inner == [encode(one) for one in decode_sequence_of(der)]
    for one in inner:
        same(one)


# --- responses ----------------------------------------------------------------------------------


def _same_status(theirs: Any, ours: PKIStatusInfo | None) -> None:
    assert theirs.isValue == (ours is not None)
    if ours is None:
        return
    assert int(theirs["status"]) == ours.status
    assert _texts(theirs["statusString"]) == ours.statusString
    failed = theirs["failInfo"]
    bits = [number for number, bit in enumerate(failed) if bit] if failed.isValue else []
    assert tuple(FAIL_INFO_NAMES[bit] for bit in bits) == messages.fail_info_names(ours.failInfo)


def _same_cert_id(theirs: Any, ours: CertId) -> None:
    assert int(theirs["serialNumber"]) == ours.serialNumber
    assert encoder.encode(theirs["issuer"]) == encode(ours.issuer)


def _same_cert_responses(theirs: Any, der: bytes) -> None:
    ours = decode(CertRepMessage, der)
    assert [encoder.encode(one) for one in theirs["caPubs"]] == [
        encode(one) for one in ours.caPubs or ()
    ]
    for their, our in zip(theirs["response"], ours.response, strict=True):
        assert int(their["certReqId"]) == our.certReqId
        _same_status(their["status"], our.status)
        assert _octets(their["rspInfo"]) == our.rspInfo
        pair = None
        if our.certifiedKeyPair is not None:
            pair = wrap(0x30, *map(encode, our.certifiedKeyPair))
        assert _der(their["certifiedKeyPair"]) == pair


def _same_revocation_responses(theirs: Any, der: bytes) -> None:
    ours = decode(RevRepContent, der)
    for their, our in zip(theirs["status"], ours.status, strict=True):
        _same_status(their, our)
    for their_id, our_id in zip(theirs["revCerts"], ours.revCerts or (), strict=True):
        _same_cert_id(their_id, our_id)
    assert [encoder.encode(one) for one in theirs["crls"]] == [
        encode(one) for one in ours.crls or ()
    ]


def _same_poll_responses(theirs: Any, der: bytes) -> None:
    for their, our in zip(theirs, messages.decode_poll_rep_content(der), strict=True):
        assert (int(their["certReqId"]), int(their["checkAfter"])) == (
            our.certReqId, our.checkAfter,
        )  # fmt: skip
        assert _texts(their["reason"]) == our.reason


def _same_error(theirs: Any, der: bytes) -> None:
    ours = decode(ErrorMsgContent, der)
    _same_status(theirs["pKIStatusInfo"], ours.pKIStatusInfo)
    assert _number(theirs["errorCode"]) == ours.errorCode
    assert _texts(theirs["errorDetails"]) == ours.errorDetails


def _same_null(_theirs: Any, der: bytes) -> None:
    assert der == b"\x05\x00"


BODIES: dict[BodyType, Callable[[Any, bytes], None]] = {
    BodyType.IR: _same_cert_requests,
    BodyType.CR: _same_cert_requests,
    BodyType.KUR: _same_cert_requests,
    BodyType.P10CR: _same_pkcs10,
    BodyType.RR: _same_revocations,
    BodyType.GENM: _same_infos,
    BodyType.POLL_REQ: _same_polls,
    BodyType.CERT_CONF: _same_confirmation,
    BodyType.NESTED: _same_nested,
    BodyType.IP: _same_cert_responses,
    BodyType.CP: _same_cert_responses,
    BodyType.KUP: _same_cert_responses,
    BodyType.RP: _same_revocation_responses,
    BodyType.GENP: _same_infos,
    BodyType.POLL_REP: _same_poll_responses,
    BodyType.PKICONF: _same_null,
    BodyType.ERROR: _same_error,
}
"""Every body that bulkcmp's client or its CA builds."""
