import datetime as dt
import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.errors import InputError
from bulkcmp.inputs.attribute import (
    CERTIFICATE_ATTRIBUTES,
    REQUEST_ATTRIBUTES,
    certificate_values,
    dn_attributes,
    dn_values,
    request_values,
)
from bulkcmp.inputs.cell import read_serial, read_time
from bulkcmp.inputs.material import inline
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.san import parse_sans

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(subject: str, year: int, sans: str | None = None) -> bytes:
    """Of a serial number that is its year."""
    name = x509.Name.from_bytes(parse_name(subject))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name.from_bytes(parse_name("/C=SE/CN=Old CA")))
        .public_key(KEY.public_key())
        .serial_number(year)
        .not_valid_before(dt.datetime(year, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(year + 2, 1, 1, 12, 30, 5, tzinfo=dt.UTC))
    )
    if sans is not None:
        wanted = parse_sans(sans)
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(wanted.oid), wanted.value)
        builder = builder.add_extension(extension, wanted.critical)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate() -> None:
    der = certificate("/C=SE/OU=a/OU=b/CN=dev\\, 1", 2026, "critical,dns:a,dns:b,ip:10.0.0.1,upn:u")
    values = certificate_values([der])
    assert values == {
        "cert": (inline(der),),
        "cert.subject": ("CN=dev\\, 1,OU=b,OU=a,C=SE",),
        "cert.issuer": ("CN=Old CA,C=SE",),
        "cert.serial": ("0x7ea",),
        "cert.not_before": ("2026-01-01T00:00:00Z",),
        "cert.not_after": ("2028-01-01T12:30:05Z",),
        "cert.sans": ("critical,dns:a,dns:b,ip:10.0.0.1,upn:u",),
        "cert.sha256": (hashlib.sha256(der).hexdigest(),),
        "cert.subject.c": ("SE",),
        "cert.subject.ou": ("a", "b"),
        "cert.subject.cn": ("dev, 1",),
        "cert.san.dns": ("a", "b"),
        "cert.san.ip": ("10.0.0.1",),
        "cert.san.upn": ("u",),
    }
    assert set(values) <= set(CERTIFICATE_ATTRIBUTES)


def test_the_values_are_what_columns_take() -> None:
    values = certificate_values([certificate("/CN=x", 2026, "dns:a")])
    assert read_serial(values["cert.serial"][0]) == 2026
    assert read_time(values["cert.not_after"][0]) == dt.datetime(
        2028, 1, 1, 12, 30, 5, tzinfo=dt.UTC
    )
    assert parse_name(values["cert.subject"][0]) == parse_name("/CN=x")
    assert parse_sans(values["cert.sans"][0]) == parse_sans("dns:a")


def test_of_several_the_one_that_began_last_comes_first() -> None:
    certificates = [
        certificate("/CN=a", 2024, "dns:a"),
        certificate("/CN=c", 2026),
        certificate("/CN=b", 2025, "dns:b"),
    ]
    values = certificate_values(certificates)
    assert values["cert.serial"] == (hex(2026), hex(2025), hex(2024))
    assert values["cert.subject"] == ("CN=c", "CN=b", "CN=a")
    assert values["cert.sans"] == ("", "dns:b", "dns:a")
    assert values["cert.subject.cn"] == ("c",)
    assert "cert.san.dns" not in values
    assert "cert.sans" not in certificate_values(certificates[1:2])
    assert certificate_values([]) == {}


def test_what_is_no_certificate() -> None:
    with pytest.raises(InputError, match="can't be read"):
        certificate_values([b"\x30\x00"])
    damaged = certificate("/CN=a", 2026, "dns:abc").replace(b"\x82\x03abc", b"\xab\x03abc")
    with pytest.raises(InputError, match="the certificate is damaged"):
        certificate_values([damaged])


def test_a_request(pki: "Pki") -> None:
    assert request_values(pki.csr) == {
        "csr": (inline(pki.csr),),
        "csr.subject": ("CN=dev1",),
        "csr.subject.cn": ("dev1",),
    }
    names = x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.RFC822Name("a@b")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=True)
        .sign(KEY, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    values = request_values(request)
    assert values == {
        "csr": (inline(request),),
        "csr.sans": ("critical,dns:a.example,email:a@b",),
        "csr.san.dns": ("a.example",),
        "csr.san.email": ("a@b",),
    }
    assert set(values) <= set(REQUEST_ATTRIBUTES)


def test_the_values_of_a_dn() -> None:
    values = dn_values("dn", "uid=x, OU=a+OU=b, dc=acme,dc=example")
    assert values == {"dn.uid": ("x",), "dn.ou": ("a", "b"), "dn.dc": ("example", "acme")}
    assert set(values) <= set(dn_attributes("dn"))
    assert dn_values("dn", "nsuniqueid=7") == {}
    assert dn_values("dn", "no dn") == {}
