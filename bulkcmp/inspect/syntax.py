"""The ASN.1 of CMP (RFC 9810, appendix F) and CRMF (RFC 4211, appendix B) for pyasn1.

pyasn1-modules 0.4 has CMP as of RFC 4210, and it can't decode every message of that: the `issuer`
of a CertId is an OCTET STRING there, so no `rp` with revCerts passes. Its definitions are used
where they hold; a type is redefined here where RFC 9480 and 9810 changed it (EncryptedKey instead
of EncryptedValue, hashAlg of a CertStatus, encryptedRand of a Challenge, ckuann) or where it is
wrong (CertId, POPOPrivKey, genp), and so is each type that holds such a type. X.509 is RFC 5280's
throughout, CMS RFC 5652's. Types are known by their class names, which are the RFCs' own.
"""

from typing import Any, Final, TypeAlias

from pyasn1.type import char, namedtype, namedval, tag, univ, useful
from pyasn1_modules import (
    rfc2986,
    rfc4108,
    rfc4210,
    rfc4211,
    rfc5280,
    rfc5652,
    rfc5753,
    rfc6960,
    rfc8017,
    rfc8018,
)

Spec: TypeAlias = Any
"""An object of a pyasn1 type, with a value or as the pattern to decode by; pyasn1 has no types."""


def _explicit(spec: Spec, number: int) -> Spec:
    return spec.subtype(explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number))


def _implicit(spec: Spec, number: int) -> Spec:
    # pyasn1 keeps the format of the tag that it replaces, and an untagged CHOICE gets the tag
    # as an explicit one (X.680, 31.2.7)
    return spec.subtype(implicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number))


_field = namedtype.NamedType
_optional = namedtype.OptionalNamedType
_default = namedtype.DefaultedNamedType


def _sequence(name: str, *fields: Spec) -> Spec:
    return type(name, (univ.Sequence,), {"componentType": namedtype.NamedTypes(*fields)})


def _choice(name: str, *alternatives: Spec) -> Spec:
    return type(name, (univ.Choice,), {"componentType": namedtype.NamedTypes(*alternatives)})


def _sequence_of(name: str, spec: Spec) -> Spec:
    return type(name, (univ.SequenceOf,), {"componentType": spec})


AlgorithmIdentifier: Final = rfc5280.AlgorithmIdentifier
Certificate: Final = rfc5280.Certificate
CertificateList: Final = rfc5280.CertificateList
CertificationRequest: Final = rfc2986.CertificationRequest
ContentInfo: Final = rfc5652.ContentInfo
Extensions: Final = rfc5280.Extensions
GeneralName: Final = rfc5280.GeneralName
Name: Final = rfc5280.Name
SubjectPublicKeyInfo: Final = rfc5280.SubjectPublicKeyInfo
Time: Final = rfc5280.Time
EnvelopedData: Final = rfc5652.EnvelopedData

# --- CRMF (IMPLICIT TAGS)

EncryptedValue: Final = _sequence(
    "EncryptedValue",
    _optional("intendedAlg", _implicit(AlgorithmIdentifier(), 0)),
    _optional("symmAlg", _implicit(AlgorithmIdentifier(), 1)),
    _optional("encSymmKey", _implicit(univ.BitString(), 2)),
    _optional("keyAlg", _implicit(AlgorithmIdentifier(), 3)),
    _optional("valueHint", _implicit(univ.OctetString(), 4)),
    _field("encValue", univ.BitString()),
)

EncryptedKey: Final = _choice(
    "EncryptedKey",
    _field("encryptedValue", EncryptedValue()),
    _field("envelopedData", _implicit(EnvelopedData(), 0)),
)

CertId: Final = _sequence(
    "CertId",
    _field("issuer", GeneralName()),
    _field("serialNumber", univ.Integer()),
)

OptionalValidity: Final = _sequence(
    "OptionalValidity",
    _optional("notBefore", _implicit(Time(), 0)),
    _optional("notAfter", _implicit(Time(), 1)),
)

CertTemplate: Final = _sequence(
    "CertTemplate",
    _optional("version", _implicit(rfc5280.Version(), 0)),
    _optional("serialNumber", _implicit(univ.Integer(), 1)),
    _optional("signingAlg", _implicit(AlgorithmIdentifier(), 2)),
    _optional("issuer", _implicit(Name(), 3)),
    _optional("validity", _implicit(OptionalValidity(), 4)),
    _optional("subject", _implicit(Name(), 5)),
    _optional("publicKey", _implicit(SubjectPublicKeyInfo(), 6)),
    _optional("issuerUID", _implicit(univ.BitString(), 7)),
    _optional("subjectUID", _implicit(univ.BitString(), 8)),
    _optional("extensions", _implicit(Extensions(), 9)),
)

AttributeTypeAndValue: Final = rfc4211.AttributeTypeAndValue
Controls: Final = _sequence_of("Controls", AttributeTypeAndValue())

CertRequest: Final = _sequence(
    "CertRequest",
    _field("certReqId", univ.Integer()),
    _field("certTemplate", CertTemplate()),
    _optional("controls", Controls()),
)

PKMACValue: Final = _sequence(
    "PKMACValue",
    _field("algId", AlgorithmIdentifier()),
    _field("value", univ.BitString()),
)

POPOSigningKeyInput: Final = _sequence(
    "POPOSigningKeyInput",
    _field(
        "authInfo",
        _choice(
            "authInfo",
            _field("sender", _implicit(GeneralName(), 0)),
            _field("publicKeyMAC", PKMACValue()),
        )(),
    ),
    _field("publicKey", SubjectPublicKeyInfo()),
)

POPOSigningKey: Final = _sequence(
    "POPOSigningKey",
    _optional("poposkInput", _implicit(POPOSigningKeyInput(), 0)),
    _field("algorithmIdentifier", AlgorithmIdentifier()),
    _field("signature", univ.BitString()),
)

POPOPrivKey: Final = _choice(
    "POPOPrivKey",
    _field("thisMessage", _implicit(univ.BitString(), 0)),
    _field("subsequentMessage", _implicit(rfc4211.SubsequentMessage(), 1)),
    _field("dhMAC", _implicit(univ.BitString(), 2)),
    _field("agreeMAC", _implicit(PKMACValue(), 3)),
    _field("encryptedKey", _implicit(EnvelopedData(), 4)),
)

ProofOfPossession: Final = _choice(
    "ProofOfPossession",
    _field("raVerified", _implicit(univ.Null(), 0)),
    _field("signature", _implicit(POPOSigningKey(), 1)),
    _field("keyEncipherment", _implicit(POPOPrivKey(), 2)),
    _field("keyAgreement", _implicit(POPOPrivKey(), 3)),
)

CertReqMessages: Final = _sequence_of(
    "CertReqMessages",
    _sequence(
        "CertReqMsg",
        _field("certReq", CertRequest()),
        _optional("popo", ProofOfPossession()),
        _optional("regInfo", Controls()),
    )(),
)

SinglePubInfo: Final = _sequence(
    "SinglePubInfo",
    _field(
        "pubMethod",
        univ.Integer(
            namedValues=namedval.NamedValues(("dontCare", 0), ("x500", 1), ("web", 2), ("ldap", 3))
        ),
    ),
    _optional("pubLocation", GeneralName()),
)

PKIPublicationInfo: Final = _sequence(
    "PKIPublicationInfo",
    _field(
        "action",
        univ.Integer(namedValues=namedval.NamedValues(("dontPublish", 0), ("pleasePublish", 1))),
    ),
    _optional("pubInfos", _sequence_of("pubInfos", SinglePubInfo())()),
)

PKIArchiveOptions: Final = _choice(
    "PKIArchiveOptions",
    _field("encryptedPrivKey", _implicit(EncryptedKey(), 0)),
    _field("keyGenParameters", _implicit(univ.OctetString(), 1)),
    _field("archiveRemGenPrivKey", _implicit(univ.Boolean(), 2)),
)

# --- CMP (EXPLICIT TAGS)

PKIFreeText: Final = _sequence_of("PKIFreeText", char.UTF8String())
InfoTypeAndValue: Final = rfc4210.InfoTypeAndValue
GenMsgContent: Final = _sequence_of("GenMsgContent", InfoTypeAndValue())
Certificates: Final = _sequence_of("Certificates", Certificate())
CertificateLists: Final = _sequence_of("CertificateLists", CertificateList())
AlgorithmIdentifiers: Final = _sequence_of("AlgorithmIdentifiers", AlgorithmIdentifier())
ObjectIdentifiers: Final = _sequence_of("ObjectIdentifiers", univ.ObjectIdentifier())

PKIHeader: Final = _sequence(
    "PKIHeader",
    _field("pvno", univ.Integer()),
    _field("sender", GeneralName()),
    _field("recipient", GeneralName()),
    _optional("messageTime", _explicit(useful.GeneralizedTime(), 0)),
    _optional("protectionAlg", _explicit(AlgorithmIdentifier(), 1)),
    _optional("senderKID", _explicit(univ.OctetString(), 2)),
    _optional("recipKID", _explicit(univ.OctetString(), 3)),
    _optional("transactionID", _explicit(univ.OctetString(), 4)),
    _optional("senderNonce", _explicit(univ.OctetString(), 5)),
    _optional("recipNonce", _explicit(univ.OctetString(), 6)),
    _optional("freeText", _explicit(PKIFreeText(), 7)),
    _optional("generalInfo", _explicit(GenMsgContent(), 8)),
)

PKIStatusInfo: Final = _sequence(
    "PKIStatusInfo",
    _field("status", rfc4210.PKIStatus()),
    _optional("statusString", PKIFreeText()),
    _optional("failInfo", rfc4210.PKIFailureInfo()),
)

CertOrEncCert: Final = _choice(
    "CertOrEncCert",
    _field("certificate", _explicit(Certificate(), 0)),
    _field("encryptedCert", _explicit(EncryptedKey(), 1)),
)

CertifiedKeyPair: Final = _sequence(
    "CertifiedKeyPair",
    _field("certOrEncCert", CertOrEncCert()),
    _optional("privateKey", _explicit(EncryptedKey(), 0)),
    _optional("publicationInfo", _explicit(PKIPublicationInfo(), 1)),
)

CertResponse: Final = _sequence(
    "CertResponse",
    _field("certReqId", univ.Integer()),
    _field("status", PKIStatusInfo()),
    _optional("certifiedKeyPair", CertifiedKeyPair()),
    _optional("rspInfo", univ.OctetString()),
)

CertRepMessage: Final = _sequence(
    "CertRepMessage",
    _optional("caPubs", _explicit(Certificates(), 1)),
    _field("response", _sequence_of("response", CertResponse())()),
)

POPODecKeyChallContent: Final = _sequence_of(
    "POPODecKeyChallContent",
    _sequence(
        "Challenge",
        _optional("owf", AlgorithmIdentifier()),
        _field("witness", univ.OctetString()),
        _field("challenge", univ.OctetString()),
        _optional("encryptedRand", _explicit(EnvelopedData(), 0)),
    )(),
)

POPODecKeyRespContent: Final = _sequence_of("POPODecKeyRespContent", univ.Integer())

KeyRecRepContent: Final = _sequence(
    "KeyRecRepContent",
    _field("status", PKIStatusInfo()),
    _optional("newSigCert", _explicit(Certificate(), 0)),
    _optional("caCerts", _explicit(Certificates(), 1)),
    _optional("keyPairHist", _explicit(_sequence_of("keyPairHist", CertifiedKeyPair())(), 2)),
)

RevReqContent: Final = _sequence_of(
    "RevReqContent",
    _sequence(
        "RevDetails",
        _field("certDetails", CertTemplate()),
        _optional("crlEntryDetails", Extensions()),
    )(),
)

RevRepContent: Final = _sequence(
    "RevRepContent",
    _field("status", _sequence_of("status", PKIStatusInfo())()),
    _optional("revCerts", _explicit(_sequence_of("revCerts", CertId())(), 0)),
    _optional("crls", _explicit(CertificateLists(), 1)),
)

CAKeyUpdAnnContent: Final = _sequence(
    "CAKeyUpdAnnContent",
    _field("oldWithNew", Certificate()),
    _field("newWithOld", Certificate()),
    _field("newWithNew", Certificate()),
)

RootCaKeyUpdateContent: Final = _sequence(
    "RootCaKeyUpdateContent",
    _field("newWithNew", Certificate()),
    _optional("newWithOld", _explicit(Certificate(), 0)),
    _optional("oldWithNew", _explicit(Certificate(), 1)),
)

CAKeyUpdContent: Final = _choice(
    "CAKeyUpdContent",
    _field("cAKeyUpdAnnV2", CAKeyUpdAnnContent()),
    _field("cAKeyUpdAnnV3", _explicit(RootCaKeyUpdateContent(), 0)),
)

RevAnnContent: Final = _sequence(
    "RevAnnContent",
    _field("status", rfc4210.PKIStatus()),
    _field("certId", CertId()),
    _field("willBeRevokedAt", useful.GeneralizedTime()),
    _field("badSinceDate", useful.GeneralizedTime()),
    _optional("crlDetails", Extensions()),
)

ErrorMsgContent: Final = _sequence(
    "ErrorMsgContent",
    _field("pKIStatusInfo", PKIStatusInfo()),
    _optional("errorCode", univ.Integer()),
    _optional("errorDetails", PKIFreeText()),
)

CertConfirmContent: Final = _sequence_of(
    "CertConfirmContent",
    _sequence(
        "CertStatus",
        _field("certHash", univ.OctetString()),
        _field("certReqId", univ.Integer()),
        _optional("statusInfo", PKIStatusInfo()),
        _optional("hashAlg", _explicit(AlgorithmIdentifier(), 0)),
    )(),
)

# each message stays an ANY and is decoded on its own: pyasn1 can't define a recursive type
PKIMessages: Final = _sequence_of("PKIMessages", univ.Any())

_BODY: Final = (
    ("ir", CertReqMessages),
    ("ip", CertRepMessage),
    ("cr", CertReqMessages),
    ("cp", CertRepMessage),
    ("p10cr", CertificationRequest),
    ("popdecc", POPODecKeyChallContent),
    ("popdecr", POPODecKeyRespContent),
    ("kur", CertReqMessages),
    ("kup", CertRepMessage),
    ("krr", CertReqMessages),
    ("krp", KeyRecRepContent),
    ("rr", RevReqContent),
    ("rp", RevRepContent),
    ("ccr", CertReqMessages),
    ("ccp", CertRepMessage),
    ("ckuann", CAKeyUpdContent),
    ("cann", Certificate),
    ("rann", RevAnnContent),
    ("crlann", CertificateLists),
    ("pkiconf", univ.Null),
    ("nested", PKIMessages),
    ("genm", GenMsgContent),
    ("genp", GenMsgContent),
    ("error", ErrorMsgContent),
    ("certConf", CertConfirmContent),
    ("pollReq", rfc4210.PollReqContent),
    ("pollRep", rfc4210.PollRepContent),
)

BODY_TYPES: Final = len(_BODY)
"""The number of alternatives of a PKIBody; their tags are [0], [1] and so on."""

PKIMessage: Final = _sequence(
    "PKIMessage",
    _field("header", PKIHeader()),
    _field(
        "body",
        _choice(
            "PKIBody",
            *(_field(name, _explicit(spec(), number)) for number, (name, spec) in enumerate(_BODY)),
        )(),
    ),
    _optional("protection", _explicit(univ.BitString(), 0)),
    _optional("extraCerts", _explicit(Certificates(), 1)),
)

# --- what object identifiers announce

PBMParameter: Final = _sequence(
    "PBMParameter",
    _field("salt", univ.OctetString()),
    _field("owf", AlgorithmIdentifier()),
    _field("iterationCount", univ.Integer()),
    _field("mac", AlgorithmIdentifier()),
)

KemBMParameter: Final = _sequence(
    "KemBMParameter",
    _field("kdf", AlgorithmIdentifier()),
    _optional("kemContext", _explicit(univ.OctetString(), 0)),
    _field("len", univ.Integer()),
    _field("mac", AlgorithmIdentifier()),
)

KemCiphertextInfo: Final = _sequence(
    "KemCiphertextInfo",
    _field("kem", AlgorithmIdentifier()),
    _field("ct", univ.OctetString()),
)

CertReqTemplateContent: Final = _sequence(
    "CertReqTemplateContent",
    _field("certTemplate", CertTemplate()),
    _optional("keySpec", Controls()),
)

CRLStatus: Final = _sequence(
    "CRLStatus",
    _field(
        "source",
        _choice(
            "CRLSource",
            _field("dpn", _explicit(rfc5280.DistributionPointName(), 0)),
            _field("issuer", _explicit(rfc5280.GeneralNames(), 1)),
        )(),
    ),
    _optional("thisUpdate", Time()),
)

KEMRecipientInfo: Final = _sequence(
    "KEMRecipientInfo",  # RFC 9629, 3
    _field("version", rfc5652.CMSVersion()),
    _field("rid", rfc5652.RecipientIdentifier()),
    _field("kem", AlgorithmIdentifier()),
    _field("kemct", univ.OctetString()),
    _field("kdf", AlgorithmIdentifier()),
    _field("kekLength", univ.Integer()),
    _optional("ukm", _explicit(univ.OctetString(), 0)),
    _field("wrap", AlgorithmIdentifier()),
    _field("encryptedKey", univ.OctetString()),
)

INFO_TYPES: Final[dict[str, Spec]] = {
    "1.3.6.1.5.5.7.4.1": Certificate(),
    "1.3.6.1.5.5.7.4.2": AlgorithmIdentifiers(),
    "1.3.6.1.5.5.7.4.3": AlgorithmIdentifiers(),
    "1.3.6.1.5.5.7.4.4": AlgorithmIdentifier(),
    "1.3.6.1.5.5.7.4.5": CAKeyUpdContent(),
    "1.3.6.1.5.5.7.4.6": CertificateList(),
    "1.3.6.1.5.5.7.4.7": ObjectIdentifiers(),
    "1.3.6.1.5.5.7.4.10": univ.ObjectIdentifier(),
    "1.3.6.1.5.5.7.4.11": AlgorithmIdentifier(),
    "1.3.6.1.5.5.7.4.12": EncryptedKey(),
    "1.3.6.1.5.5.7.4.13": univ.Null(),
    "1.3.6.1.5.5.7.4.14": useful.GeneralizedTime(),
    "1.3.6.1.5.5.7.4.15": PKIMessages(),
    "1.3.6.1.5.5.7.4.16": PKIFreeText(),
    "1.3.6.1.5.5.7.4.17": Certificates(),
    "1.3.6.1.5.5.7.4.18": RootCaKeyUpdateContent(),
    "1.3.6.1.5.5.7.4.19": CertReqTemplateContent(),
    "1.3.6.1.5.5.7.4.20": Certificate(),
    "1.3.6.1.5.5.7.4.21": PKIFreeText(),
    "1.3.6.1.5.5.7.4.22": _sequence_of("CRLStatusListValue", CRLStatus())(),
    "1.3.6.1.5.5.7.4.23": CertificateLists(),
    "1.3.6.1.5.5.7.4.24": KemCiphertextInfo(),
}
"""infoValue by infoType (RFC 9810, 5.1.1 and 5.3.19)."""

CONTROLS: Final[dict[str, Spec]] = {
    "1.3.6.1.5.5.7.5.1.1": char.UTF8String(),
    "1.3.6.1.5.5.7.5.1.2": char.UTF8String(),
    "1.3.6.1.5.5.7.5.1.3": PKIPublicationInfo(),
    "1.3.6.1.5.5.7.5.1.4": PKIArchiveOptions(),
    "1.3.6.1.5.5.7.5.1.5": CertId(),
    "1.3.6.1.5.5.7.5.1.6": SubjectPublicKeyInfo(),
    "1.3.6.1.5.5.7.5.1.7": AttributeTypeAndValue(),
    "1.3.6.1.5.5.7.5.1.11": AlgorithmIdentifier(),
    "1.3.6.1.5.5.7.5.1.12": univ.Integer(),
    "1.3.6.1.5.5.7.5.2.1": char.UTF8String(),
    "1.3.6.1.5.5.7.5.2.2": CertRequest(),
}
"""Values of registration controls and regInfo (RFC 4211, 6 and 7; RFC 9810, 5.3.19.16)."""


def _algorithm(oid: str, parameters: bytes) -> Spec:
    identifier = AlgorithmIdentifier()
    identifier["algorithm"] = oid
    identifier["parameters"] = parameters
    return identifier


# pyasn1-modules has these three types too, but with DEFAULT values that equal nothing decoded
_SHA1: Final = _algorithm("1.3.14.3.2.26", b"\x05\x00")
_MGF1_SHA1: Final = _algorithm("1.2.840.113549.1.1.8", bytes.fromhex("300906052b0e03021a0500"))
_HMAC_SHA1: Final = _algorithm("1.2.840.113549.2.7", b"\x05\x00")
_NO_LABEL: Final = _algorithm("1.2.840.113549.1.1.9", b"\x04\x00")

PBKDF2_params: Final = _sequence(
    "PBKDF2_params",  # RFC 8018, A.2
    _field("salt", rfc8018.PBKDF2_params.componentType[0].asn1Object),
    _field("iterationCount", univ.Integer()),
    _optional("keyLength", univ.Integer()),
    _default("prf", _HMAC_SHA1),
)

RSASSA_PSS_params: Final = _sequence(
    "RSASSA_PSS_params",  # RFC 8017, A.2.3
    _default("hashAlgorithm", _explicit(_SHA1, 0)),
    _default("maskGenAlgorithm", _explicit(_MGF1_SHA1, 1)),
    _default("saltLength", _explicit(univ.Integer(20), 2)),
    _default("trailerField", _explicit(univ.Integer(1), 3)),
)

RSAES_OAEP_params: Final = _sequence(
    "RSAES_OAEP_params",  # RFC 8017, A.2.1
    _default("hashAlgorithm", _explicit(_SHA1, 0)),
    _default("maskGenAlgorithm", _explicit(_MGF1_SHA1, 1)),
    _default("pSourceAlgorithm", _explicit(_NO_LABEL, 2)),
)

_NAMED_CURVE: Final = univ.ObjectIdentifier()
_IV: Final = univ.OctetString()

ALGORITHM_PARAMETERS: Final[dict[str, Spec]] = {
    "1.2.840.113533.7.66.13": PBMParameter(),
    "1.2.840.113533.7.66.30": _sequence(
        "DHBMParameter",
        _field("owf", AlgorithmIdentifier()),
        _field("mac", AlgorithmIdentifier()),
    )(),
    "1.2.840.113533.7.66.16": KemBMParameter(),
    "1.2.840.113549.1.5.12": PBKDF2_params(),
    "1.2.840.113549.1.5.13": rfc8018.PBES2_params(),
    "1.2.840.113549.1.5.14": rfc8018.PBMAC1_params(),
    "1.2.840.113549.1.1.7": RSAES_OAEP_params(),
    "1.2.840.113549.1.1.8": AlgorithmIdentifier(),
    "1.2.840.113549.1.1.9": univ.OctetString(),
    "1.2.840.113549.1.1.10": RSASSA_PSS_params(),
    "1.2.840.10045.2.1": _NAMED_CURVE,
    "1.3.132.1.12": _NAMED_CURVE,
    "1.3.132.1.13": _NAMED_CURVE,
    "1.2.840.113549.3.7": _IV,
    "2.16.840.1.101.3.4.1.2": _IV,
    "2.16.840.1.101.3.4.1.22": _IV,
    "2.16.840.1.101.3.4.1.42": _IV,
    # key agreement schemes and the password KEK name the algorithm that wraps the key
    "1.2.840.113549.1.9.16.3.9": AlgorithmIdentifier(),
    **{
        str(scheme): AlgorithmIdentifier()
        for name, scheme in vars(rfc5753).items()
        if name.endswith("kdf_scheme")
    },
}
"""Parameters by algorithm; those that are NULL or absent need no entry."""

EXTENSIONS: Final[dict[str, Spec]] = {
    # whatever other modules add to that map when they are imported is left alone
    **{
        str(oid): spec
        for oid, spec in rfc5280.certificateExtensionsMap.items()
        if str(oid).startswith(("2.5.29.", "1.3.6.1.5.5.7.1.1"))
    },
    "2.5.29.46": rfc5280.CRLDistributionPoints(),
    "2.5.29.54": univ.Integer(),
    "1.3.6.1.5.5.7.1.11": rfc5280.SubjectInfoAccessSyntax(),
    "1.3.6.1.5.5.7.1.24": _sequence_of("Features", univ.Integer())(),  # RFC 7633
    str(rfc6960.id_pkix_ocsp_nocheck): univ.Null(),
}
"""extnValue by extnID (RFC 5280, 4.2 and 5.2 and 5.3)."""

ATTRIBUTES: Final[dict[str, Spec]] = {
    "1.2.840.113549.1.9.3": univ.ObjectIdentifier(),
    "1.2.840.113549.1.9.4": univ.OctetString(),
    "1.2.840.113549.1.9.5": Time(),
    "1.2.840.113549.1.9.14": Extensions(),
}
"""Attribute values of PKCS#10 requests and of CMS by type (RFC 2985, RFC 5652)."""

CONTENTS: Final[dict[str, Spec]] = {
    "1.2.840.113549.1.7.1": univ.OctetString(),
    "1.2.840.113549.1.7.2": rfc5652.SignedData(),
    "1.2.840.113549.1.7.3": EnvelopedData(),
    "1.2.840.113549.1.7.5": rfc5652.DigestedData(),
    "1.2.840.113549.1.7.6": rfc5652.EncryptedData(),
    "1.2.840.113549.1.9.16.1.2": rfc5652.AuthenticatedData(),
}
"""The content of a CMS ContentInfo by contentType (RFC 5652)."""

RECIPIENTS: Final[dict[str, Spec]] = {"1.2.840.113549.1.9.16.13.3": KEMRecipientInfo()}
"""oriValue of an OtherRecipientInfo by oriType."""

OTHER_NAMES: Final[dict[str, Spec]] = {
    "1.3.6.1.4.1.311.20.2.3": char.UTF8String(),
    "1.3.6.1.5.5.7.8.4": rfc4108.HardwareModuleName(),
    "1.3.6.1.5.5.7.8.5": char.UTF8String(),
    "1.3.6.1.5.5.7.8.7": char.IA5String(),
    "1.3.6.1.5.5.7.8.9": char.UTF8String(),
}
"""Value of an otherName by type-id."""

POLICY_QUALIFIERS: Final[dict[str, Spec]] = {
    "1.3.6.1.5.5.7.2.1": char.IA5String(),
    "1.3.6.1.5.5.7.2.2": rfc5280.UserNotice(),
}
"""qualifier by policyQualifierId (RFC 5280, 4.2.1.4)."""

RSA_PUBLIC_KEY: Final = rfc8017.RSAPublicKey()

PKI_MESSAGE: Final = PKIMessage()

OPEN_TYPES: Final[dict[str, dict[str, Spec]]] = {
    "AlgorithmIdentifier": ALGORITHM_PARAMETERS,
    "AnotherName": OTHER_NAMES,
    "AttributeTypeAndValue": CONTROLS,
    "ContentInfo": CONTENTS,
    "InfoTypeAndValue": INFO_TYPES,
    "OtherRecipientInfo": RECIPIENTS,
    "PolicyQualifierInfo": POLICY_QUALIFIERS,
}
"""By the name of each type that is an object identifier and an ANY: the types of that ANY."""
