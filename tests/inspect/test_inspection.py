import datetime as dt
import hashlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import AttributeOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inspect.armour import Part
from bulkcmp.inspect.finding import FindingKind
from bulkcmp.inspect.inspection import Inspection, inspect_octets, inspect_part
from bulkcmp.inspect.text import lines_of

Tlv = Callable[..., bytes]
Message = Callable[[int, bytes], bytes]


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[arg-type, misc]


def value_of(data: bytes) -> Any:
    """The tree of a strict DER value that is as it should be, as JSON has it."""
    inspection = inspect_octets(data, "f")
    assert inspection.findings == ()
    assert inspection.encoding == "DER"
    return inspection.json()["value"]


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        inspect_octets(data, "f")
    assert str(caught.value).startswith("f: ")
    return caught.value.what


def test_independent_of_the_run_time_codec() -> None:
    script = (
        "import sys, bulkcmp.inspect.inspection, bulkcmp.inspect.text;"
        "print([m for m in sys.modules if m.startswith(('bulkcmp.cmp', 'cryptography'))])"
    )
    command = (sys.executable, "-c", script)
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"[]\n"


# --- messages of OpenSSL


def test_every_vector(vectors: dict[str, bytes]) -> None:
    kinds = {
        "req-1": {"ir", "cr", "kur", "p10cr", "rr", "genm"},
        "req-2": {"certConf", "pollReq"},
    }
    for name, data in vectors.items():
        inspection = inspect_octets(data, name)
        assert (inspection.encoding, inspection.size) == ("DER", len(data))
        assert inspection.findings == ()
        if name in ("root", "signer", "device"):
            assert inspection.type == "Certificate"
            continue
        assert inspection.type == "PKIMessage"
        transaction, number, direction = name.rsplit("-", 2)
        (body,) = value_of(data)["body"]
        if direction == "req" and number == "1":
            assert body in kinds["req-1"]
            assert body == transaction.split("-")[0] or transaction.startswith("hash")
        elif direction == "req":
            assert body in kinds["req-2"]


def test_header_with_a_mac(vectors: dict[str, bytes]) -> None:
    header = value_of(vectors["cr-mac-sha512-1-req"])["header"]
    parameters = header["protectionAlg"].pop("parameters")
    assert header["protectionAlg"] == {"algorithm": "PasswordBasedMac"}
    assert len(bytes.fromhex(parameters.pop("salt"))) == 16
    assert parameters == {
        "owf": {"algorithm": "sha512"},
        "iterationCount": 500,
        "mac": {"algorithm": "hmacWithSHA512"},
    }
    assert bytes.fromhex(header["senderKID"]) == b"vector"
    assert header["recipient"] == {"directoryName": "CN=Root,O=bulkcmp vectors"}
    assert header["pvno"] == 2


def test_request(vectors: dict[str, bytes]) -> None:
    (request,) = value_of(vectors["ir-mac-1-req"])["body"]["ir"]
    template = request["certReq"]["certTemplate"]
    assert request["certReq"]["certReqId"] == 0
    assert template["subject"] == "CN=device 1,O=bulkcmp vectors"
    assert template["publicKey"]["algorithm"] == "ecPublicKey secp256r1"
    assert template["extensions"] == [
        {
            "extnID": "subjectAltName",
            "critical": False,
            "extnValue": [{"dNSName": "device1.example"}],
        }
    ]
    begin, end = map(dt.datetime.fromisoformat, template["validity"].values())
    assert end - begin == dt.timedelta(days=30)
    assert request["popo"]["signature"]["algorithmIdentifier"] == {"algorithm": "ecdsa-with-SHA256"}
    (request,) = value_of(vectors["ir-raverified-1-req"])["body"]["ir"]
    assert request["popo"] == {"raVerified": None}


def test_other_requests(vectors: dict[str, bytes]) -> None:
    device = x509.load_der_x509_certificate(vectors["device"])
    (details,) = value_of(vectors["rr-signature-1-req"])["body"]["rr"]
    assert details["crlEntryDetails"] == [
        {"extnID": "reasonCode", "critical": False, "extnValue": "keyCompromise"}
    ]
    assert details["certDetails"]["serialNumber"] == hex(device.serial_number)
    (request,) = value_of(vectors["kur-signature-1-req"])["body"]["kur"]
    assert request["certReq"]["controls"] == [
        {
            "type": "oldCertID",
            "value": {
                "issuer": {"directoryName": "CN=Root,O=bulkcmp vectors"},
                "serialNumber": hex(device.serial_number),
            },
        }
    ]
    assert value_of(vectors["p10cr-mac-1-req"])["body"]["p10cr"]["subject"] == (
        "CN=device 1,O=bulkcmp vectors"
    )
    assert value_of(vectors["genm-mac-1-req"])["body"] == {
        "genm": [{"infoType": "signKeyPairTypes"}]
    }


def test_responses(vectors: dict[str, bytes]) -> None:
    assert value_of(vectors["ir-rejected-1-rsp"])["body"]["ip"]["response"][0]["status"] == {
        "status": "rejection",
        "statusString": ["twice no"],
        "failInfo": ["badAlg", "duplicateCertReq"],
    }
    error = value_of(vectors["ir-error-1-rsp"])["body"]["error"]
    assert error["pKIStatusInfo"]["failInfo"] == ["badRequest"]
    assert error["pKIStatusInfo"]["statusString"] == ["error processing message"]
    assert error["errorDetails"] == ["CMP routines", "error processing message"]
    assert "protection" not in value_of(vectors["ir-unprotected-error-1-rsp"])
    # the pyasn1-modules own definition does not decode revCerts
    (cert_id,) = value_of(vectors["rr-signature-1-rsp"])["body"]["rp"]["revCerts"]
    assert cert_id["issuer"] == {"directoryName": "CN=Root,O=bulkcmp vectors"}
    implicit = value_of(vectors["ir-implicit-1-rsp"])["header"]["generalInfo"]
    assert implicit == [{"infoType": "implicitConfirm", "infoValue": None}]
    assert value_of(vectors["cr-polling-2-req"])["body"] == {"pollReq": [{"certReqId": 0}]}
    assert value_of(vectors["cr-polling-2-rsp"])["body"] == {
        "pollRep": [{"certReqId": 0, "checkAfter": 1}]
    }
    assert value_of(vectors["ir-mac-2-rsp"])["body"] == {"pkiconf": None}


def test_certificate_and_its_hash(vectors: dict[str, bytes]) -> None:
    response = value_of(vectors["ir-mac-1-rsp"])["body"]["ip"]["response"][0]
    issued = response["certifiedKeyPair"]["certOrEncCert"]["certificate"]
    device = x509.load_der_x509_certificate(vectors["device"])
    assert issued == value_of(vectors["device"])
    assert issued["serialNumber"] == hex(device.serial_number)
    assert issued["signature"] == device.signature.hex()
    assert dt.datetime.fromisoformat(issued["validity"]["notAfter"]) == device.not_valid_after_utc
    assert issued["extensions"][1]["extnValue"] == (
        device.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
    )
    (status,) = value_of(vectors["ir-mac-2-req"])["body"]["certConf"]
    assert status["certHash"] == hashlib.sha256(vectors["device"]).hexdigest()


@pytest.mark.peer
def test_same_values_as_openssl(vectors: dict[str, bytes], tmp_path: Path) -> None:
    """Every octet string and time of the header stands in what `openssl asn1parse` prints."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    for name in ("ir-mac-1-req", "ir-signature-1-rsp", "genm-mac-1-rsp", "rr-signature-1-rsp"):
        file = tmp_path / name
        file.write_bytes(vectors[name])
        command = (openssl, "asn1parse", "-inform", "DER", "-in", str(file))
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        header = value_of(vectors[name])["header"]
        for field in ("transactionID", "senderNonce", "senderKID"):
            assert (
                f"[HEX DUMP]:{header[field].upper()}" in printed
                or bytes.fromhex(header[field]).decode("ascii", "replace") in printed
            )
        digits = "".join(filter(str.isdigit, header["messageTime"]))
        assert f"GENERALIZEDTIME   :{digits}Z" in printed


# --- messages that OpenSSL 3.0 does not make


def test_certconf_with_hashalg(tlv: Tlv, message: Message) -> None:
    sha512 = tlv(0x30, bytes.fromhex("0609608648016503040203"))
    status = tlv(0x30, tlv(4, b"h"), tlv(2, b"\xff"), tlv(0xA0, sha512))
    assert value_of(message(24, tlv(0x30, status)))["body"] == {
        "certConf": [{"certHash": b"h".hex(), "certReqId": -1, "hashAlg": {"algorithm": "sha512"}}]
    }


def test_pbmac1(tlv: Tlv) -> None:
    nobody = tlv(0xA4, tlv(0x30))
    sha256 = tlv(0x30, bytes.fromhex("06082a864886f70d0209"), b"\x05\x00")
    pbkdf2 = tlv(
        0x30,
        bytes.fromhex("06092a864886f70d01050c"),
        tlv(0x30, tlv(4, b"salt1234"), tlv(2, b"\x03\xe8"), tlv(2, b"\x20"), sha256),
    )
    pbmac1 = tlv(0x30, bytes.fromhex("06092a864886f70d01050e"), tlv(0x30, pbkdf2, sha256))
    header = tlv(0x30, b"\x02\x01\x03", nobody, nobody, tlv(0xA1, pbmac1))
    shown = value_of(tlv(0x30, header, tlv(0xB3, b"\x05\x00"), tlv(0xA0, b"\x03\x02\x00\x01")))
    prf = {"algorithm": "hmacWithSHA256", "parameters": None}
    assert shown["header"]["protectionAlg"] == {
        "algorithm": "PBMAC1",
        "parameters": {
            "keyDerivationFunc": {
                "algorithm": "PBKDF2",
                "parameters": {
                    "salt": {"specified": b"salt1234".hex()},
                    "iterationCount": 1000,
                    "keyLength": 32,
                    "prf": prf,
                },
            },
            "messageAuthScheme": prf,
        },
    }
    assert shown["protection"] == "01"


def test_support_messages(
    tlv: Tlv, message: Message, vectors: dict[str, bytes], key: ec.EllipticCurvePrivateKey
) -> None:
    def info(last: int, *value: bytes) -> bytes:
        return tlv(0x30, bytes.fromhex("06082b060105050704") + bytes((last,)), *value)

    def generalized(text: bytes) -> bytes:
        return tlv(0x18, text)

    rsa_key_length = bytes.fromhex("06092b06010505070501") + b"\x0c"
    key_spec = tlv(0x30, tlv(0x30, rsa_key_length, b"\x02\x02\x08\x00"))
    root = vectors["root"]
    status = tlv(0x30, tlv(0xA1, tlv(0x30, tlv(0xA4, tlv(0x30)))), generalized(b"20260101000000Z"))
    dpn = tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://crl"))))
    body = tlv(
        0x30,
        info(17, tlv(0x30, root, root)),
        info(18, tlv(0x30, root, tlv(0xA0, root))),
        info(19, tlv(0x30, tlv(0x30, tlv(0xA5, tlv(0x30))), key_spec)),
        info(21, tlv(0x30, tlv(12, b"profile1"))),
        info(22, tlv(0x30, status, dpn)),
        info(16, tlv(0x30, tlv(12, b"de"))),
        info(6, crl(key)),
        tlv(0x30, b"\x06\x03\x2a\x03\x04", tlv(12, "eigen ü".encode())),
        tlv(0x30, b"\x06\x03\x2a\x03\x05", tlv(0x30, b"\x05\x00")),
    )
    shown = value_of(message(22, body))["body"]["genp"]
    certificate = value_of(root)
    assert shown[0] == {"infoType": "caCerts", "infoValue": [certificate, certificate]}
    assert shown[1]["infoValue"] == {"newWithNew": certificate, "newWithOld": certificate}
    assert shown[2]["infoValue"] == {
        "certTemplate": {"subject": ""},
        "keySpec": [{"type": "rsaKeyLen", "value": 2048}],
    }
    assert shown[3] == {"infoType": "certProfile", "infoValue": ["profile1"]}
    assert shown[4]["infoValue"] == [
        {"source": {"issuer": [{"directoryName": ""}]}, "thisUpdate": "2026-01-01T00:00:00Z"},
        {"source": {"dpn": {"fullName": [{"uniformResourceIdentifier": "http://crl"}]}}},
    ]
    assert shown[5] == {"infoType": "suppLangTags", "infoValue": ["de"]}
    assert shown[6]["infoValue"]["issuer"] == "CN=c"
    assert shown[7:] == [
        {"infoType": "1.2.3.4", "infoValue": "eigen ü"},
        {"infoType": "1.2.3.5", "infoValue": "30020500"},
    ]


def test_what_is_inspected_where_its_type_is_said(tlv: Tlv) -> None:
    body = tlv(0x30, tlv(0x30, b"\x06\x03\x2a\x03\x04"))
    with pytest.raises(InputError, match="no known type"):
        inspect_octets(body, "genp")
    shown = inspect_octets(body, "genp", kind="GenMsgContent")
    assert (shown.type, shown.json()["value"]) == ("GenMsgContent", [{"infoType": "1.2.3.4"}])
    with pytest.raises(InputError, match="genp: GenMsgContent, but"):
        inspect_octets(tlv(0x30, b"\x05\x00"), "genp", kind="GenMsgContent")


def test_central_key_generation(
    tlv: Tlv, message: Message, vectors: dict[str, bytes], certificate: x509.Certificate
) -> None:
    """The private key comes in an EnvelopedData, made here by cryptography."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    recipient = (
        x509.CertificateBuilder(certificate.subject, certificate.subject, rsa_key.public_key(), 5)
        .not_valid_before(utc(2026, 1, 1))
        .not_valid_after(utc(2027, 1, 1))
        .sign(rsa_key, hashes.SHA256())
    )
    envelope = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(b"a key")
        .add_recipient(recipient)
        .encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    content = value_of(envelope)
    assert content["contentType"] == "envelopedData"
    (info,) = content["content"]["recipientInfos"]
    assert info["ktri"]["rid"]["issuerAndSerialNumber"]["serialNumber"] == "0x5"
    assert info["ktri"]["keyEncryptionAlgorithm"]["algorithm"] == "rsaEncryption"
    encrypted = content["content"]["encryptedContentInfo"]
    assert encrypted["contentEncryptionAlgorithm"]["algorithm"] == "aes128-CBC"
    # [0] IMPLICIT in an EncryptedKey that is [0] EXPLICIT in a CertifiedKeyPair
    inner = envelope[envelope.index(bytes.fromhex("06092a864886f70d010703")) + 11 :]
    enveloped = inner[4:]
    assert inner[0] == 0xA0
    assert enveloped[0] == 0x30
    pair = tlv(0x30, tlv(0xA0, vectors["device"]), tlv(0xA0, b"\xa0" + enveloped[1:]))
    response = tlv(0x30, tlv(2, b"\x00"), tlv(0x30, tlv(2, b"\x00")), pair)
    shown = value_of(message(1, tlv(0x30, tlv(0x30, response))))["body"]["ip"]["response"][0]
    assert shown["certifiedKeyPair"]["privateKey"] == {"envelopedData": content["content"]}


def test_controls(tlv: Tlv, message: Message) -> None:
    def control(arc: str, last: int, value: bytes) -> bytes:
        return tlv(0x30, tlv(6, bytes.fromhex(f"2b060105050705{arc}") + bytes((last,))), value)

    controls = tlv(0x30, control("01", 1, tlv(12, b"token")), control("01", 2, tlv(12, b"who")))
    info = tlv(0x30, control("02", 1, tlv(12, b"a?b%")))
    request = tlv(0x30, tlv(2, b"\x00"), tlv(0x30), controls)
    popo = tlv(0xA2, tlv(0x81, b"\x00"))
    (shown,) = value_of(message(0, tlv(0x30, tlv(0x30, request, popo, info))))["body"]["ir"]
    assert shown["certReq"]["controls"] == [
        {"type": "regToken", "value": "token"},
        {"type": "authenticator", "value": "who"},
    ]
    assert shown["popo"] == {"keyEncipherment": {"subsequentMessage": "encrCert"}}
    assert shown["regInfo"] == [{"type": "utf8Pairs", "value": "a?b%"}]


def test_bare_certreqmessages(tlv: Tlv, vectors: dict[str, bytes]) -> None:
    data = vectors["ir-mac-1-req"]
    message = value_of(data)
    request = tlv(0x30, tlv(0x30, tlv(2, b"\x07"), tlv(0x30)))
    inspection = inspect_octets(tlv(0x30, request), "f")
    assert inspection.type == "CertReqMessages"
    assert inspection.value == [{"certReq": {"certReqId": 7, "certTemplate": {}}}]
    assert message["body"]["ir"][0]["certReq"]["certReqId"] == 0


def nested(message: Message, tlv: Tlv, inner: bytes, layers: int) -> bytes:
    for _ in range(layers):
        inner = message(20, tlv(0x30, inner))
    return inner


def test_nested(tlv: Tlv, message: Message, vectors: dict[str, bytes]) -> None:
    one, two = vectors["ir-mac-1-req"], vectors["rr-signature-1-req"]
    batch = value_of(message(20, tlv(0x30, one, two)))["body"]["nested"]
    assert batch == [value_of(one), value_of(two)]
    shown = value_of(nested(message, tlv, one, 30))
    for _ in range(30):
        (shown,) = shown["body"]["nested"]
    assert shown == value_of(one)
    for layers in (31, 100, 3000):
        assert refusal(nested(message, tlv, one, layers)).startswith("values nest more than 100")


# --- other types


def crl(key: ec.EllipticCurvePrivateKey) -> bytes:
    entry = (
        x509.RevokedCertificateBuilder(0xABC, utc(2026, 1, 2))
        .add_extension(x509.CRLReason(x509.ReasonFlags.superseded), critical=False)
        .build()
    )
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "c")])
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(utc(2026, 1, 3))
        .next_update(utc(2026, 1, 4))
        .add_revoked_certificate(entry)
        .add_extension(x509.CRLNumber(9), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def test_crl(key: ec.EllipticCurvePrivateKey) -> None:
    shown = value_of(crl(key))
    assert shown.pop("signature")
    assert shown == {
        "version": "v2",
        "issuer": "CN=c",
        "thisUpdate": "2026-01-03T00:00:00Z",
        "nextUpdate": "2026-01-04T00:00:00Z",
        "revokedCertificates": [
            {
                "userCertificate": "0xabc",
                "revocationDate": "2026-01-02T00:00:00Z",
                "crlEntryExtensions": [
                    {"extnID": "reasonCode", "critical": False, "extnValue": "superseded"}
                ],
            }
        ],
        "crlExtensions": [{"extnID": "cRLNumber", "critical": False, "extnValue": 9}],
        "signatureAlgorithm": {"algorithm": "ecdsa-with-SHA256"},
    }


def test_request_with_attributes() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "r")])
    request = (
        x509.CertificateSigningRequestBuilder(name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("d")]), critical=False)
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"open")
        .sign(ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32), None)
    )
    inspection = inspect_octets(request.public_bytes(serialization.Encoding.DER), "f")
    assert inspection.type == "CertificationRequest"
    shown: Any = inspection.json()["value"]
    assert shown["subjectPKInfo"]["algorithm"] == "Ed25519"
    assert {"type": "challengePassword", "values": ["open"]} in shown["attributes"]
    extensions = [{"extnID": "subjectAltName", "critical": False, "extnValue": [{"dNSName": "d"}]}]
    assert {"type": "extensionRequest", "values": [extensions]} in shown["attributes"]


def test_certificate_bundle(certificate: x509.Certificate) -> None:
    bundle = pkcs7.serialize_certificates([certificate], serialization.Encoding.DER)
    single = value_of(certificate.public_bytes(serialization.Encoding.DER))
    assert value_of(bundle)["content"]["certificates"] == [{"certificate": single}]


def test_key_types(certificate: x509.Certificate) -> None:
    keys: dict[str, Any] = {
        "rsaEncryption 2048": rsa.generate_private_key(65537, 2048),
        "ecPublicKey secp521r1": ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate(),
    }
    for name, key in keys.items():
        digest = None if name in ("Ed25519", "ML-DSA-65") else hashes.SHA256()
        built = (
            x509.CertificateBuilder(certificate.subject, certificate.subject, key.public_key(), 1)
            .not_valid_before(utc(2026, 1, 1))
            .not_valid_after(utc(2027, 1, 1))
            .sign(key, digest)
        )
        shown = value_of(built.public_bytes(serialization.Encoding.DER))
        assert shown["subjectPublicKeyInfo"]["algorithm"] == name


# --- what is not as it should be


def test_trailing_octets(vectors: dict[str, bytes]) -> None:
    data = vectors["root"]
    inspection = inspect_octets(data + bytes(range(20)), "f")
    (finding,) = inspection.findings
    assert finding.kind is FindingKind.TRAILING
    assert finding.offset == inspection.size == len(data)
    assert finding.what == "20 octets follow the value: 000102030405060708090a0b0c0d0e0f …"
    assert inspection.encoding == "DER"
    assert inspection.json()["value"] == value_of(data)


def test_ber(vectors: dict[str, bytes]) -> None:
    for name in ("ir-mac-1-req", "ir-signature-1-rsp", "root"):
        data = vectors[name]
        assert data[1] == 0x82
        loose = b"\x30\x80" + data[4:] + b"\x00\x00"
        inspection = inspect_octets(loose, "f")
        assert inspection.encoding == "BER"
        assert [str(f) for f in inspection.findings] == ["indefinite length at offset 0"]
        assert inspection.size == len(loose)
        assert inspection.json()["value"] == value_of(data)


def test_default_value_that_is_encoded(tlv: Tlv, message: Message) -> None:
    extension = tlv(0x30, b"\x06\x03\x55\x1d\x0f", b"\x01\x01\x00", tlv(4, b"\x03\x02\x07\x80"))
    data = message(11, tlv(0x30, tlv(0x30, tlv(0x30), tlv(0x30, extension))))
    inspection = inspect_octets(data, "f")
    assert inspection.encoding == "BER"
    assert [str(f) for f in inspection.findings] == [
        "critical with its DEFAULT value, which DER leaves out"
        f" at offset {data.index(bytes.fromhex('010100'))}"
    ]


@pytest.mark.parametrize(
    ("usage", "kind", "what"),
    [
        ("0303008000", "not DER", "BIT STRING of named bits that ends in zero bits"),
        ("03020080", "not DER", "BIT STRING of named bits that ends in zero bits"),
        ("0481020780", "not decoded", "OCTET STRING instead of BIT STRING"),
        ("0302078000", "not decoded", "octets follow the value"),
        ("03", "not decoded", "cut short: within the length of the BIT STRING at offset 0"),
        ("0381020780", "not DER", "length not in its shortest form"),
    ],
)
def test_extension_that_is_wrong(
    tlv: Tlv, message: Message, usage: str, kind: str, what: str
) -> None:
    extension = tlv(0x30, b"\x06\x03\x55\x1d\x0f", tlv(4, bytes.fromhex(usage)))
    inspection = inspect_octets(
        message(11, tlv(0x30, tlv(0x30, tlv(0x30), tlv(0x30, extension)))), "f"
    )
    found = inspection.findings[-1]
    assert (found.kind.value, found.what) == (kind, what)
    assert found.path == "body.rr[0].crlEntryDetails[0].extnValue"
    shown: Any = inspection.json()
    value = shown["value"]["body"]["rr"][0]["crlEntryDetails"][0]["extnValue"]
    assert value == (usage if kind == "not decoded" else ["digitalSignature"])
    if kind == "not decoded" and "0481" not in usage:
        assert inspection.encoding == "DER"


def test_broken_message_within_another(tlv: Tlv, message: Message) -> None:
    inner = tlv(0x30, tlv(0x30, b"\x02\x01\x02"), tlv(0xB3, b"\x05\x00"))
    inspection = inspect_octets(message(20, tlv(0x30, inner)), "f")
    (finding,) = inspection.findings
    assert str(finding) == "header: PKIHeader lacks sender, recipient (in body.nested[0])"
    assert inspection.value == {
        "header": {
            "pvno": 3,
            "sender": {"directoryName": ""},
            "recipient": {"directoryName": ""},
        },
        "body": {"nested": [inner]},
    }


def test_what_is_wrong_and_where(tlv: Tlv, message: Message, vectors: dict[str, bytes]) -> None:
    bad_id = message(25, tlv(0x30, tlv(0x30, b"\x02\x01\x00"), tlv(0x30, b"\x04\x01\x00")))
    assert refusal(bad_id) == (
        "PKIMessage, but body.pollReq[1]: OCTET STRING instead of certReqId"
        f" at offset {bad_id.index(bytes.fromhex('040100'))}"
    )
    twice = message(25, tlv(0x30, tlv(0x30, b"\x02\x01\x00\x02\x01\x00")))
    assert refusal(twice) == (
        "PKIMessage, but body.pollReq[0]: INTEGER is out of place in CertReq at offset"
        f" {len(twice) - 3}"
    )
    text = message(23, tlv(0x30, tlv(0x30, b"\x02\x01\x02", tlv(0x30, tlv(12, b"\xff")))))
    assert refusal(text).startswith(
        "PKIMessage, but body.error.pKIStatusInfo.statusString[0]: not a valid UTF8String:"
    )
    assert refusal(message(19, b"")) == (
        "PKIMessage, but body.pkiconf: [19] holds not one value at offset 15"
    )
    template = tlv(0x30, tlv(0x30, b"\x02\x01\x00", tlv(0x30, tlv(0xA3))))
    assert "certTemplate.issuer: [3] holds not one value" in refusal(
        message(0, tlv(0x30, template))
    )
    sender = tlv(0x30, tlv(0x30, b"\x02\x01\x02\x05\x00\x05\x00"), tlv(0xB3, b"\x05\x00"))
    assert refusal(sender) == "PKIMessage, but header: NULL instead of sender at offset 7"
    root = vectors["root"]
    assert refusal(root[:-1]) == "cut short: the SEQUENCE at offset 0 lacks 1 octet"
    with pytest.raises(InputError, match=r"^f#3: CertificateList, but "):
        inspect_part(Part("f", 3, "X509 CRL", root))


@pytest.mark.parametrize("data", ["0500", "3000", "30020500", "31023000", "3005020101a000"])
def test_no_known_type(data: str) -> None:
    assert "of no known type" in refusal(bytes.fromhex(data))


def test_private_keys_are_not_shown(key: ec.EllipticCurvePrivateKey) -> None:
    for form in (
        serialization.PrivateFormat.PKCS8,
        serialization.PrivateFormat.TraditionalOpenSSL,
    ):
        data = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
        assert "private key" in refusal(data) or "of no known type" in refusal(data)


def test_large_values_are_quick(tlv: Tlv, message: Message) -> None:
    size = 10_000_000
    big = {
        "integer": message(25, tlv(0x30, tlv(0x30, tlv(2, b"\x7f" * size)))),
        "bits": message(23, tlv(0x30, tlv(0x30, tlv(2, b"\x02"), tlv(3, b"\x00", b"\xff" * size)))),
        "text": message(23, tlv(0x30, tlv(0x30, tlv(2, b"\x02"), tlv(0x30, tlv(12, b"a" * size))))),
    }
    for data in big.values():
        lines = list(lines_of(inspect_octets(data, "f"), 80, str))
        assert sum(map(len, lines)) < 5000
    assert refusal(b"\x30\x80" * (size // 2)).startswith("values nest more than 100 deep")
    assert refusal(bytes(11 * 1024 * 1024)).startswith("larger than 10 MiB")


def test_octet_strings_share_the_bound_on_values(tlv: Tlv, message: Message) -> None:
    names = tlv(0x30, b"\x82\x01a" * 30_000)
    extension = tlv(0x30, b"\x06\x03\x55\x1d\x11", tlv(4, names))
    body = tlv(0x30, tlv(0x30, tlv(0x30), tlv(0x30, extension * 5)))
    inspection = inspect_octets(message(11, body), "f")
    assert [str(finding) for finding in inspection.findings] == [
        f"more than 100,000 values (in body.rr[0].crlEntryDetails[{number}].extnValue)"
        for number in (3, 4)
    ]


def check_any(data: bytes) -> Inspection | None:
    """Nothing but a tree, which can be printed, or an InputError with words."""
    try:
        inspection = inspect_octets(data, "f")
    except InputError as error:
        refused = error.what
    else:
        refused = ""
    assert len(refused) < 600
    if refused:
        return None
    for line in lines_of(inspection, 80, lambda text: text.replace("\n", " ")):
        assert isinstance(line, str)
    assert inspection.json()["encoding"] in ("DER", "BER")
    return inspection


@given(st.binary(max_size=120))
def test_random_octets(data: bytes) -> None:
    check_any(data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_mutated_vectors(vectors: dict[str, bytes], data: st.DataObject) -> None:
    octets = bytearray(vectors[data.draw(st.sampled_from(sorted(vectors)))])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(octets) - 1))
        octets[place] = data.draw(st.sampled_from((0, 0x80, 0xFF, 0x30, octets[place] ^ 1)))
    check_any(bytes(octets))


def test_every_single_octet_changed(vectors: dict[str, bytes]) -> None:
    """Each octet of a small message in turn, so that no field is left to chance."""
    message = vectors["cr-polling-2-rsp"]
    dice = random.Random(1)
    shown = 0
    for place in range(len(message)):
        changed = bytearray(message)
        changed[place] = dice.randrange(256)
        shown += check_any(bytes(changed)) is not None
    assert shown > len(message) // 3
