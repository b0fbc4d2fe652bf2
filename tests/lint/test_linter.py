"""Certificates linted by pkilint."""

import datetime as dt
import logging
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.errors import InputError
from bulkcmp.lint.linter import UNREADABLE, Finding, Severity, check_profile, lint


@pytest.fixture(scope="module")
def make_certificate() -> "Make":
    return Make()


class Make:
    """Makes certificates; `wrong` is without the extensions that RFC 5280 wants."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def __call__(self, *, wrong: bool = False) -> bytes:
        now = dt.datetime.now(dt.UTC)
        public = self.key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.test")]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + dt.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if not wrong:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public), critical=False
            ).add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False
            )
        made = builder.sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.DER)


def test_rfc_5280(make_certificate: Make) -> None:
    good, bad = lint("rfc5280", [make_certificate(), make_certificate(wrong=True)])
    assert good == ()
    assert Finding("pkix.authority_key_identifier_extension_absent", Severity.ERROR) in bad
    assert bad == tuple(sorted(set(bad)))


@pytest.mark.parametrize(
    ("profile", "rule"),
    [
        ("cabf-serverauth", "cabf.serverauth.subscriber.subject_altname_extension_absent"),
        (
            "cabf-serverauth-dv-final-certificate",
            "cabf.serverauth.subscriber.subject_altname_extension_absent",
        ),
        ("cabf-smime", "cabf.smime.san_extension_missing"),
        ("cabf-smime-mailbox-strict", "cabf.smime.san_extension_missing"),
        ("etsi", "etsi.en_319_412_2.certificate_policies_extension_absent"),
        (
            "etsi-ncp-legal-person-certificate",
            "etsi.en_319_412_2.certificate_policies_extension_absent",
        ),
    ],
)
def test_profiles(make_certificate: Make, profile: str, rule: str) -> None:
    check_profile(profile)
    (findings,) = lint(profile, [make_certificate()])
    assert rule in {finding.rule for finding in findings if finding.severity.breaks}


@pytest.mark.parametrize("octets", [b"", b"no DER", b"\x30\x03\x02\x01\x01", b"\x30\x84\xff"])
def test_what_is_no_certificate_is_a_finding(
    octets: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert lint("rfc5280", [octets]) == [(Finding(UNREADABLE, Severity.FATAL),)]
    assert capfd.readouterr().err == ""


def test_every_octet_of_a_certificate_may_be_wrong(make_certificate: Make) -> None:
    good = make_certificate()
    spoilt = [good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :] for at in range(0, 250, 7)]
    assert len(lint("rfc5280", spoilt)) == len(spoilt)


def test_severities_that_break() -> None:
    assert [severity.name for severity in Severity if severity.breaks] == ["FATAL", "ERROR"]


def test_an_unknown_profile() -> None:
    with pytest.raises(InputError, match="'cabf-severauth' is not known") as near:
        check_profile("cabf-severauth")
    assert near.value.hint is not None
    assert "cabf-serverauth" in near.value.hint
    with pytest.raises(InputError) as far:
        check_profile("zzz")
    assert far.value.hint is not None
    assert far.value.hint.startswith("rfc5280, cabf-serverauth, cabf-smime, etsi")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkilint", None)
    with pytest.raises(InputError, match="not installed") as missing:
        check_profile("rfc5280")
    assert missing.value.hint == "pip install 'bulkcmp[lint]'"
