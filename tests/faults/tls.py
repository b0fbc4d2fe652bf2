"""Servers that fail at TLS, each in another way."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp.checks import Reason
from bulkcmp.errors import Loss
from tests.faults.faults import CROSSED, FINE, bad, lost
from tests.faults.proxy import Fault, Line, Passage, Proxy

_ALERT: Final = bytes.fromhex("15 0303 0002 02 28")
_SERVER_HELLO_BEGUN: Final = bytes.fromhex("16 0303 007a 02 000076 0303")
_HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


class Pki:
    """A CA for TLS that clients trust, and certificates that they must not.

    Attributes:
        anchor: PEM file of the CA's certificate.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._now = dt.datetime.now(dt.UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._stranger = ec.generate_private_key(ec.SECP256R1())
        self.anchor = folder / "anchor.pem"
        certificate = self._certify("TLS CA", self._key, self._key, ca=True)
        self.anchor.write_bytes(certificate.public_bytes(Encoding.PEM))

    def good(self) -> ssl.SSLContext:
        return self._context("good")

    def expired(self) -> ssl.SSLContext:
        return self._context("expired", until=dt.timedelta(minutes=-1))

    def wrong_name(self) -> ssl.SSLContext:
        return self._context("wrong_name", address="127.0.0.2")

    def unknown_ca(self) -> ssl.SSLContext:
        return self._context("unknown_ca", issuer=self._stranger)

    def self_signed(self) -> ssl.SSLContext:
        return self._context("self_signed", self_signed=True)

    def no_shared_version(self) -> ssl.SSLContext:
        context = self.good()
        with warnings.catch_warnings():
            # it is deprecated, which is the point
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        # old versions sign by SHA-1, which OpenSSL lets nobody do by default
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def no_shared_cipher(self) -> ssl.SSLContext:
        context = self.good()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        # for servers with an RSA key, which this one has not
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        return context

    def wants_client_certificate(self) -> ssl.SSLContext:
        context = self.good()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.anchor)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def wants_client_certificate_13(self) -> ssl.SSLContext:
        context = self.wants_client_certificate()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        return context

    def refused_client_certificate(self) -> Path:
        """PEM file of a client's certificate and key, of a CA that the server doesn't know."""
        return self._credential("stranger", issuer=self._stranger)

    def _context(self, name: str, **options: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._credential(name, **options))
        return context

    def _credential(
        self,
        name: str,
        *,
        issuer: ec.EllipticCurvePrivateKey | None = None,
        self_signed: bool = False,
        address: str = "127.0.0.1",
        until: dt.timedelta = dt.timedelta(days=1),
    ) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(
            name, key, key if self_signed else issuer or self._key, address=address, until=until
        )
        path = self._folder / f"{name}.pem"
        path.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return path

    def _certify(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        address: str = "127.0.0.1",
        until: dt.timedelta = dt.timedelta(days=1),
    ) -> x509.Certificate:
        issuer_name = name if issuer is key else "TLS CA"
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer_name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - dt.timedelta(days=2))
            .not_valid_after(self._now + until)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
                critical=False,
            )
            .sign(issuer, hashes.SHA256())
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


# -- what meets the ClientHello ------------------------------------------------------------------


def handshake(context: ssl.SSLContext) -> Line:
    """A server's part of a handshake that fails, alert and all."""

    async def line(_: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        stream = context.wrap_bio(incoming, outgoing, server_side=True)
        going_on = True
        while going_on and (octets := await reader.read(1 << 16)):
            incoming.write(octets)
            try:
                stream.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                going_on = False
            writer.write(outgoing.read())
        await _until_closed(reader)

    return line


def say(octets: bytes) -> Line:
    """Say something else, and no more."""

    async def line(_: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(octets)
        writer.write_eof()
        await _until_closed(reader)

    return line


async def silent(_: Proxy, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Nothing comes at all."""
    await _until_closed(reader)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


@dataclass(frozen=True)
class TlsFault:
    """A way in which TLS fails before a request can leave.

    Attributes:
        says: stands in what is said of it.
        line: what each connection meets.
    """

    name: str
    says: str
    line: Callable[[Pki], Line]


TLS_FAULTS: Final = (
    TlsFault("expired", "certificate has expired", lambda pki: handshake(pki.expired())),
    TlsFault("wrong_name", "mismatch", lambda pki: handshake(pki.wrong_name())),
    TlsFault("unknown_ca", "unable to get local issuer", lambda pki: handshake(pki.unknown_ca())),
    TlsFault("self_signed", "self-signed certificate", lambda pki: handshake(pki.self_signed())),
    TlsFault(
        "no_shared_version",
        "alert protocol version",
        lambda pki: handshake(pki.no_shared_version()),
    ),
    TlsFault(
        "no_shared_cipher",
        "alert handshake failure",
        lambda pki: handshake(pki.no_shared_cipher()),
    ),
    TlsFault(
        "client_certificate_wanted",
        "alert handshake failure",
        lambda pki: handshake(pki.wants_client_certificate()),
    ),
    TlsFault("alert", "alert handshake failure", lambda _: say(_ALERT)),
    TlsFault("plain_http", "wrong version number", lambda _: say(_HTTP)),
    TlsFault("closed", "closed by the peer", lambda _: say(b"")),
    TlsFault("cut", "closed by the peer", lambda _: say(_SERVER_HELLO_BEGUN)),
)


# -- the end of TLS ------------------------------------------------------------------------------


async def no_close_notify(passage: Passage) -> None:
    """The connection ends after a whole answer, and TLS is not told."""
    await passage.write(passage.response(passage.answer()))
    passage.cut()


async def cut_without_close_notify(passage: Passage) -> None:
    """The end of the connection is the end of the body; it comes too early, and TLS is not told."""
    await passage.write(passage.head() + passage.answer()[:-50])
    passage.cut()


async def cut_by_close_notify(passage: Passage) -> None:
    """The end of the connection is the end of the body; it comes too early, in good order."""
    await passage.write(passage.head() + passage.answer()[:-50])
    await passage.close()


TLS_ENDS: Final = (
    Fault(no_close_notify, FINE | CROSSED, FINE, others=CROSSED),
    lost(cut_without_close_notify, Loss.CUT),
    bad(cut_by_close_notify, Reason.MALFORMED),
)
