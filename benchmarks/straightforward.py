"""The straightforward client: what one writes in a day with the libraries that are at hand.

Stock `httpx.AsyncClient`, messages by `pyasn1-modules`, cryptography by `cryptography` and
`hashlib`; it does the same transaction as bulkcmp (ir, ip, certConf, pkiConf under an RA's secret)
and makes the same checks, which RFC 9483, 3.5 and 4.1.1 ask for. It derives its own MAC key once,
and the certificate of the CA is loaded once. There is no journal, no retry, no second process.

    python -m benchmarks.straightforward < ORDER

ORDER is the JSON of an `Order`; that of a `Report` is printed.
"""

import asyncio
import datetime as dt
import hashlib
import hmac
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import tag, univ
from pyasn1_modules import rfc2459, rfc2511, rfc4210

_PBM: Final = univ.ObjectIdentifier("1.2.840.113533.7.66.13")
_SHA256: Final = univ.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_HMAC_SHA256: Final = univ.ObjectIdentifier("1.2.840.113549.2.9")
_ECDSA_SHA256: Final = univ.ObjectIdentifier("1.2.840.10045.4.3.2")
_CERTIFICATE: Final = univ.Any().subtype(
    explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, 0)
)
"""That of a CertOrEncCert."""
_MOST_ITERATIONS: Final = 100_000
_TOLERANCE: Final = dt.timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Order:
    """What to do.

    Attributes:
        anchor: path of the CA's certificate.
        keys: PKCS#8 DER, one for each transaction.
        stem: of the subjects' common names.
    """

    url: str
    anchor: str
    reference: str
    secret: str
    iterations: int
    in_flight: int
    stem: str
    keys: list[bytes]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: seconds by the clock, and of CPU."""

    issued: int
    seconds: float
    cpu: float


class CheckError(Exception):
    """An answer is not what it must be."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CheckError(what)


class Client:
    """One RA, and the transactions that it makes."""

    def __init__(self, order: Order, http: httpx.AsyncClient) -> None:
        self._order = order
        self._http = http
        self._secret = order.secret.encode()
        self._anchor = x509.load_pem_x509_certificate(Path(order.anchor).read_bytes())
        self._salt = os.urandom(16)
        self._key = _derive(self._secret, self._salt, order.iterations)
        self._sender = _as_asn1(_name(order.reference))
        self._recipient = _as_asn1(self._anchor.subject)

    async def enroll(self, number: int, pkcs8: bytes) -> x509.Certificate:
        """One transaction: ir, ip, certConf, pkiConf.

        Raises:
            CheckError: the CA refused, or an answer is wrong.
        """
        key = load_der_private_key(pkcs8, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        subject = _name(f"{self._order.stem}{number}")
        transaction = os.urandom(16)
        body = rfc4210.PKIBody()
        body["ir"][0] = _cert_req_msg(key, subject)
        answer = await self._exchange(body, transaction, None)
        _require(answer["body"].getName() == "ip", "the answer is no ip")
        response = answer["body"]["ip"]["response"]
        _require(len(response) == 1, "the answer is not one CertResponse")
        certificate = self._check(response[0], key, subject)
        status = rfc4210.CertStatus()
        der = certificate.public_bytes(Encoding.DER)
        # of the hash of its signature (RFC 9810, 5.3.18)
        assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
        status["certHash"] = hashlib.sha256(der).digest()
        status["certReqId"] = 0
        body = rfc4210.PKIBody()
        body["certConf"][0] = status
        nonce = bytes(answer["header"]["senderNonce"])
        answer = await self._exchange(body, transaction, nonce)
        _require(answer["body"].getName() == "pkiconf", "the confirmation is not confirmed")
        return certificate

    async def _exchange(self, body: Any, transaction: bytes, nonce: bytes | None) -> Any:
        own = os.urandom(16)
        request = self._protect(self._header(transaction, own, nonce), body)
        response = await self._http.post(
            self._order.url, content=request, headers={"Content-Type": "application/pkixcmp"}
        )
        _require(response.status_code == 200, f"HTTP status {response.status_code}")
        kind = response.headers["Content-Type"]
        _require(kind == "application/pkixcmp", f"Content-Type {kind}")
        answer, rest = decode(response.content, asn1Spec=rfc4210.PKIMessage())
        _require(not rest, "octets after the message")
        self._authenticate(answer)
        header = answer["header"]
        _require(bytes(header["transactionID"]) == transaction, "another transactionID")
        _require(bytes(header["recipNonce"]) == own, "another recipNonce")
        _require(len(bytes(header["senderNonce"])) >= 16, "a short senderNonce")
        sent = header["messageTime"].asDateTime
        _require(abs(dt.datetime.now(dt.UTC) - sent) < _TOLERANCE, "another time")
        return answer

    def _header(self, transaction: bytes, own: bytes, nonce: bytes | None) -> Any:
        header = rfc4210.PKIHeader()
        header["pvno"] = 2
        header["sender"]["directoryName"][""] = self._sender
        header["recipient"]["directoryName"][""] = self._recipient
        header["messageTime"] = f"{dt.datetime.now(dt.UTC):%Y%m%d%H%M%SZ}"
        algorithm = header["protectionAlg"]
        algorithm["algorithm"] = _PBM
        parameter = rfc2511.PBMParameter()
        parameter["salt"] = self._salt
        parameter["owf"]["algorithm"] = _SHA256
        parameter["iterationCount"] = self._order.iterations
        parameter["mac"]["algorithm"] = _HMAC_SHA256
        algorithm["parameters"] = univ.Any(encode(parameter))
        header["senderKID"] = self._order.reference.encode()
        header["transactionID"] = transaction
        header["senderNonce"] = own
        if nonce is not None:
            header["recipNonce"] = nonce
        return header

    def _protect(self, header: Any, body: Any) -> bytes:
        message = rfc4210.PKIMessage()
        message["header"] = header
        message["body"] = body
        mac = hmac.digest(self._key, _protected_part(message), "sha256")
        message["protection"] = _bits(message, "protection", mac)
        return bytes(encode(message))

    def _authenticate(self, answer: Any) -> None:
        algorithm = answer["header"]["protectionAlg"]
        _require(algorithm["algorithm"] == _PBM, "not protected by a password-based MAC")
        parameter, rest = decode(algorithm["parameters"], asn1Spec=rfc2511.PBMParameter())
        _require(not rest, "octets after the parameters")
        _require(parameter["owf"]["algorithm"] == _SHA256, "another owf")
        _require(parameter["mac"]["algorithm"] == _HMAC_SHA256, "another mac")
        iterations = int(parameter["iterationCount"])
        _require(0 < iterations <= _MOST_ITERATIONS, "another count of iterations")
        key = _derive(self._secret, bytes(parameter["salt"]), iterations)
        mac = hmac.digest(key, _protected_part(answer), "sha256")
        _require(hmac.compare_digest(mac, answer["protection"].asOctets()), "a wrong MAC")

    def _check(
        self, response: Any, key: ec.EllipticCurvePrivateKey, subject: x509.Name
    ) -> x509.Certificate:
        _require(int(response["certReqId"]) == 0, "another certReqId")
        _require(int(response["status"]["status"]) == 0, "not accepted")
        tagged = encode(response["certifiedKeyPair"]["certOrEncCert"]["certificate"])
        der, _ = decode(tagged, asn1Spec=_CERTIFICATE)
        certificate = x509.load_der_x509_certificate(bytes(der))
        _require(_spki(certificate.public_key()) == _spki(key.public_key()), "another key")
        _require(certificate.subject == subject, "another subject")
        certificate.verify_directly_issued_by(self._anchor)
        now = dt.datetime.now(dt.UTC)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _require(begins <= now <= ends, "not valid now")
        return certificate


def _cert_req_msg(key: ec.EllipticCurvePrivateKey, subject: x509.Name) -> Any:
    request = rfc2511.CertRequest()
    request["certReqId"] = 0
    template = request["certTemplate"]
    template["subject"][""] = _as_asn1(subject)
    spki, _ = decode(_spki(key.public_key()), asn1Spec=rfc2459.SubjectPublicKeyInfo())
    for field in spki:
        template["publicKey"][field] = spki[field]
    message = rfc2511.CertReqMsg()
    message["certReq"] = request
    signature = key.sign(encode(request), ec.ECDSA(hashes.SHA256()))
    proof = message["pop"]["signature"]
    proof["algorithmIdentifier"]["algorithm"] = _ECDSA_SHA256
    proof["signature"] = _bits(proof, "signature", signature)
    return message


def _protected_part(message: Any) -> bytes:
    part = rfc4210.ProtectedPart()
    part["header"] = message["header"]
    part["infoValue"] = message["body"]
    return bytes(encode(part))


def _bits(value: Any, field: str, octets: bytes) -> Any:
    """A BIT STRING of octets, with the tags that it has in a field."""
    return value.componentType[field].asn1Object.clone(hexValue=octets.hex())


def _derive(secret: bytes, salt: bytes, iterations: int) -> bytes:
    key = secret + salt
    for _ in range(iterations):
        key = hashlib.sha256(key).digest()
    return key


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
        ]
    )


def _as_asn1(name: x509.Name) -> Any:
    """The RDNSequence of a name."""
    value, _ = decode(name.public_bytes(), asn1Spec=rfc2459.Name())
    return value[""]


def _spki(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


async def carry_out(order: Order) -> Report:
    """Enroll with as many transactions in flight as the order says."""
    limits = httpx.Limits(
        max_connections=order.in_flight, max_keepalive_connections=order.in_flight
    )
    issued = 0
    async with httpx.AsyncClient(limits=limits, timeout=None) as http:  # no limits
        client = Client(order, http)

        async def work(numbered: Iterator[tuple[int, bytes]]) -> None:
            nonlocal issued
            for number, key in numbered:
                await client.enroll(number, key)
                issued += 1

        began, cpu = time.monotonic(), time.process_time()
        numbered = enumerate(order.keys)
        async with asyncio.TaskGroup() as group:
            for _ in range(order.in_flight):
                group.create_task(work(numbered))
        return Report(issued, time.monotonic() - began, time.process_time() - cpu)


if __name__ == "__main__":
    import uvloop

    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    print(msgspec.json.encode(uvloop.run(carry_out(given))).decode())
