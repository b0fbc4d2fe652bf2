"""Questions and answers of general messages, encoded."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import encode, explicit, wrap
from bulkcmp.cmp.general import RootCaKeyUpdate, crl_status_list, decode_infos, encode_infos
from bulkcmp.errors import InputError, RemoteCmpError
from bulkcmp.model import Itav

if TYPE_CHECKING:
    from tests.cmp.conftest import Party, Pki

OIDS = st.sampled_from([*general.QUESTIONS.values(), "1.2.3", "2.999.4294967296"])
VALUES = st.none() | st.binary(max_size=40).map(lambda octets: wrap(0x04, octets))
URL = "http://ca.test/ca.crl"
WHEN = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
TIME = wrap(0x17, b"260501120000Z")


@given(st.lists(st.builds(Itav, OIDS, VALUES), max_size=4).map(tuple))
def test_what_is_encoded_is_read_again(infos: tuple[Itav, ...]) -> None:
    assert decode_infos(encode_infos(infos)) == infos


@pytest.mark.parametrize(
    "body",
    [
        b"\x05\x00",
        wrap(0x30, b"\x05\x00"),
        wrap(0x30, wrap(0x30)),
        wrap(0x30, wrap(0x30, b"\x02\x01\x01")),
        wrap(0x30, wrap(0x30, b"\x06\x01\x2a", b"\x05\x00", b"\x05\x00")),
    ],
)
def test_what_is_no_general_message(body: bytes) -> None:
    with pytest.raises(RemoteCmpError):
        decode_infos(body)


def test_names_of_infotypes() -> None:
    assert general.name_of("1.3.6.1.5.5.7.4.17") == "caCerts"
    assert general.name_of("1.3.6.1.5.5.7.4.23") == "crls"
    assert general.name_of("1.2.3") == "1.2.3"


# --- which CRL ------------------------------------------------------------------------------------


def by_issuer(name: bytes) -> bytes:
    return explicit(1, wrap(0x30, explicit(4, name)))


BY_URL = explicit(0, explicit(0, wrap(0x86, URL.encode())))


def status(source: bytes, time: bytes = b"") -> bytes:
    return wrap(0x30, wrap(0x30, source, time))


def crl(issuer: "Party", *extensions: x509.ExtensionType) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name.from_bytes(issuer.subject))
        .last_update(WHEN)
        .next_update(WHEN + dt.timedelta(days=90))
    )
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def certificate(issuer: "Party", *points: x509.DistributionPoint) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_bytes(issuer.subject))
        .issuer_name(x509.Name.from_bytes(issuer.subject))
        .public_key(issuer.key.public_key())
        .serial_number(5)
        .not_valid_before(WHEN)
        .not_valid_after(WHEN)
    )
    if points:
        builder = builder.add_extension(x509.CRLDistributionPoints(points), critical=False)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def point(*, url: bool) -> x509.DistributionPoint:
    if url:
        return x509.DistributionPoint([x509.UniformResourceIdentifier(URL)], None, None, None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "else")])
    return x509.DistributionPoint(None, None, None, [x509.DirectoryName(name)])


def test_a_crl_is_named_by_its_issuer(pki: "Pki") -> None:
    root = pki.root
    source = by_issuer(root.subject)
    assert crl_status_list(pki.device.certificate, None) == status(source)
    assert crl_status_list(None, crl(root)) == status(source, TIME)
    assert crl_status_list(pki.device.certificate, crl(root)) == status(source, TIME)
    # a distribution point without a name of its own
    assert crl_status_list(certificate(root, point(url=False)), None) == status(source)


def test_a_crl_is_named_by_its_distribution_point(pki: "Pki") -> None:
    root = pki.root
    assert crl_status_list(certificate(root, point(url=True)), None) == status(BY_URL)
    second = certificate(root, point(url=False), point(url=True))
    assert crl_status_list(second, None) == status(BY_URL)
    issuing = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier(URL)], None, False, False, None, False, False
    )
    assert crl_status_list(None, crl(root, issuing)) == status(BY_URL, TIME)


def test_what_names_no_crl(pki: "Pki") -> None:
    with pytest.raises(InputError, match="Neither"):
        crl_status_list(None, None)
    for names in ((b"\x30\x00", None), (None, b"\x30\x00"), (pki.device.certificate, b"")):
        with pytest.raises(InputError, match="not a usable certificate or CRL"):
            crl_status_list(*names)


# --- updates of a root ----------------------------------------------------------------------------

A, B, C = (wrap(0x30, encode(number)) for number in (1, 2, 3))


@pytest.mark.parametrize(
    "update",
    [
        RootCaKeyUpdate(A),
        RootCaKeyUpdate(A, B),
        RootCaKeyUpdate(A, None, C),
        RootCaKeyUpdate(A, B, C),
    ],
)
def test_a_root_update_is_read_as_it_was_written(update: RootCaKeyUpdate) -> None:
    der = update.encode()
    assert RootCaKeyUpdate.decode(der) == update
    assert general.ca_key_update(explicit(0, der)) == update


def test_the_older_form_of_an_update() -> None:
    assert general.ca_key_update(wrap(0x30, C, B, A)) == RootCaKeyUpdate(A, B, C)


@pytest.mark.parametrize(
    "der",
    [
        b"\x05\x00",
        wrap(0x30),
        wrap(0x30, A, B),
        wrap(0x30, A, explicit(1, C), explicit(0, B)),
        wrap(0x30, A, explicit(0, B), explicit(0, B)),
        wrap(0x30, A, explicit(2, B)),
    ],
)
def test_what_is_no_root_update(der: bytes) -> None:
    with pytest.raises(RemoteCmpError):
        RootCaKeyUpdate.decode(der)
    with pytest.raises(RemoteCmpError):
        general.ca_key_update(explicit(0, der))


@pytest.mark.parametrize("der", [b"\x05\x00", wrap(0x30), wrap(0x30, A, B), b""])
def test_what_is_no_ca_key_update(der: bytes) -> None:
    with pytest.raises(RemoteCmpError):
        general.ca_key_update(der)
