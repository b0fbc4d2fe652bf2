"""CRLs out of files, from web servers, and from where certificates say that they are."""

import datetime as dt
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp.evidence import Evidence
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.engine import crl as crls
from bulkcmp.engine.crl import (
    Revocations,
    checked_revocations,
    read_crls,
    read_revocations,
)
from bulkcmp.errors import InputError

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@dataclass
class Issuer:
    """A root CA that signs CRLs."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def subject(self) -> bytes:
        return self.name.public_bytes()

    def certificate(self, *points: str) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
        )
        if points:
            uris = [x509.UniformResourceIdentifier(one) for one in points]
            value = x509.CRLDistributionPoints([x509.DistributionPoint(uris, None, None, None)])
            builder = builder.add_extension(value, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def crl(self, *serials: int, age: dt.timedelta = DAY / 24, point: str = "") -> bytes:
        entries = [
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(NOW - age)
            .add_extension(x509.CRLReason(x509.ReasonFlags.superseded), critical=False)
            .build()
            for serial in serials
        ]
        builder = (
            x509.CertificateRevocationListBuilder(revoked_certificates=entries)
            .issuer_name(self.name)
            .last_update(NOW - age)
            .next_update(NOW - age + DAY)
        )
        if point:
            uri = x509.UniformResourceIdentifier(point)
            scope = x509.IssuingDistributionPoint([uri], None, False, False, None, False, False)
            builder = builder.add_extension(scope, critical=True)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def issuer(name: str) -> Issuer:
    return Issuer(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))


@pytest.fixture(scope="module")
def issuers() -> tuple[Issuer, Issuer]:
    return issuer("one"), issuer("two")


@pytest.fixture
def evidence(issuers: tuple[Issuer, Issuer]) -> Evidence:
    store = TrustStore([one.certificate() for one in issuers])
    return Evidence(Trust(store, store), (), NOW)


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """Serves some content at a URL."""
    contents: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents[int(self.path[1:])]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def make(content: bytes) -> str:
        contents.append(content)
        return f"http://127.0.0.1:{server.server_address[1]}/{len(contents) - 1}"

    yield make
    server.shutdown()
    server.server_close()
    thread.join()


def read(*sources: object, evidence: Evidence, certificates: tuple[bytes, ...] = ()) -> Revocations:
    return anyio.run(
        partial(
            read_revocations,
            list(map(str, sources)),
            evidence,
            certificates=certificates,
            proxy="",
        )
    )


def refused(*sources: object, evidence: Evidence, certificates: tuple[bytes, ...] = ()) -> str:
    with pytest.raises(InputError) as caught:
        read(*sources, evidence=evidence, certificates=certificates)
    return f"{caught.value}; {caught.value.hint}"


def pem(*ders: bytes) -> bytes:
    return b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in ders)


def test_crls_of_several_issuers(
    issuers: tuple[Issuer, Issuer],
    evidence: Evidence,
    serve: Callable[[bytes], str],
    tmp_path: Path,
) -> None:
    one, two = issuers
    (tmp_path / "one.crl").write_bytes(one.crl(7, 8))
    url = serve(pem(two.crl(8, 9)))
    found = read(tmp_path / "one.crl", url, url, evidence=evidence)
    assert len(found.lists) == 2
    assert found.statuses(one.subject, [7, 8, 9]).keys() == {7, 8}
    assert found.statuses(two.subject, [7, 8, 9]).keys() == {8, 9}
    assert found.covers(one.subject)
    stranger = issuer("three").subject
    assert not found.covers(stranger)
    assert found.statuses(stranger, [7]) == {}


def test_the_newest_crl_counts(
    issuers: tuple[Issuer, Issuer], evidence: Evidence, tmp_path: Path
) -> None:
    one = issuers[0]
    # 7 was taken off hold in between
    (tmp_path / "crls.pem").write_bytes(pem(one.crl(8), one.crl(7, 8, age=DAY / 2)))
    found = read(tmp_path / "crls.pem", evidence=evidence)
    assert found.statuses(one.subject, [7, 8]).keys() == {8}
    older = checked_revocations([one.crl(7, age=DAY / 2)], evidence, "the genp")
    assert older.statuses(one.subject, [7, 8]).keys() == {7}


def test_parts_of_a_crl_do_not_cover_an_issuer(
    issuers: tuple[Issuer, Issuer], evidence: Evidence, serve: Callable[[bytes], str]
) -> None:
    one, two = issuers
    urls = [serve(one.crl(serial, point=f"http://ca.test/{serial}")) for serial in (7, 8)]
    certificates = (b"damaged", two.certificate(), *(one.certificate(url) for url in urls))
    found = read("cdp", evidence=evidence, certificates=certificates)
    assert found.statuses(one.subject, [7, 8, 9]).keys() == {7, 8}
    assert not found.covers(one.subject)


def test_a_part_that_is_newer_adds_to_a_whole_crl(
    issuers: tuple[Issuer, Issuer], evidence: Evidence
) -> None:
    one = issuers[0]
    whole = one.crl(6, age=DAY / 4)
    newer, older = (
        one.crl(n, age=age, point="http://ca.test/") for n, age in ((7, DAY / 8), (8, DAY / 2))
    )
    found = checked_revocations([newer, whole, older], evidence, "the genp")
    assert found.statuses(one.subject, [6, 7, 8]).keys() == {6, 7}
    assert found.as_of(one.subject) == NOW - DAY / 4


def test_crls_that_can_not_be_used(
    issuers: tuple[Issuer, Issuer],
    evidence: Evidence,
    serve: Callable[[bytes], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = issuers[0]
    foreign = issuer("one")
    path = tmp_path / "crl"
    path.write_bytes(foreign.crl())
    assert refused(path, evidence=evidence).startswith(
        f"{path}: the CRL of CN=one: its signature is wrong; --trusted names"
    )
    path.write_bytes(one.certificate())
    assert "neither PEM nor the DER of a CRL" in refused(path, evidence=evidence)
    path.write_bytes(pem(one.crl()).replace(b"MI", b"??"))
    assert "damaged" in refused(path, evidence=evidence)
    assert "no such file" in refused(tmp_path / "missing", evidence=evidence)
    url = serve(b"<html>")
    assert refused(url, evidence=evidence).startswith(f"{url}: neither PEM")
    assert "Connection refused" in refused("http://127.0.0.1:1/", evidence=evidence)
    assert "name no CRL" in refused("cdp", evidence=evidence, certificates=(one.certificate(),))
    many = tuple(one.certificate(f"http://ca.test/{n}") for n in range(65))
    assert "more than 64 CRLs" in refused("cdp", evidence=evidence, certificates=many)
    monkeypatch.setattr(crls, "MOST", 400)
    path.write_bytes(one.crl(*range(1, 20)))
    assert "more than 400 octets" in refused(path, evidence=evidence)
    assert " 400" in refused(serve(path.read_bytes()), evidence=evidence)
    with pytest.raises(InputError, match="the genp: the CRL of CN=one: its signature is wrong"):
        checked_revocations([foreign.crl()], evidence, "the genp")


def test_crls_to_look_signers_up_in(
    issuers: tuple[Issuer, Issuer], serve: Callable[[bytes], str], tmp_path: Path
) -> None:
    one, two = (each.crl(7) for each in issuers)
    path = tmp_path / "one.crl"
    path.write_bytes(pem(one, two))
    url = serve(two)
    sources = [str(path), url, url]
    read_all = partial(read_crls, sources, NOW, allow_weak=False, proxy="")
    assert read_all() == (one, two, two)

    async def within() -> tuple[bytes, ...]:
        return read_all()

    assert anyio.run(within) == (one, two, two)
    path.write_bytes(issuers[0].crl(age=DAY * 2))
    with pytest.raises(
        InputError, match=r"one\.crl: the CRL of CN=one was to be renewed"
    ) as caught:
        read_all()
    assert caught.value.hint == "give a newer CRL"
    with pytest.raises(InputError, match="Connection refused"):
        read_crls(["http://127.0.0.1:1/"], NOW, allow_weak=False, proxy="")
