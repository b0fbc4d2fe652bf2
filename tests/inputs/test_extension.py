"""Extensions as text: what OpenSSL's names mean, in `cryptography`'s own encoding."""

from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.extension import (
    ExtensionsTemplate,
    parse_ext_key_usage,
    parse_extensions,
    parse_key_usage,
    parse_policies,
)
from bulkcmp.model import RequestedExtension

USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}


@given(st.sets(st.sampled_from(sorted(USAGES)), min_size=1), st.booleans())
def test_key_usage(names: set[str], critical: bool) -> None:
    if names & {"encipherOnly", "decipherOnly"}:
        names |= {"keyAgreement"}
    expected = x509.KeyUsage(**{one: name in names for name, one in USAGES.items()})
    text = ", ".join([*sorted(names), *["critical"] * critical])
    asked = RequestedExtension("2.5.29.15", critical, expected.public_bytes())
    assert parse_key_usage(text) == asked


def test_key_usage_has_another_name_for_non_repudiation() -> None:
    assert parse_key_usage("contentCommitment") == parse_key_usage("nonrepudiation")


def test_ext_key_usage() -> None:
    asked = parse_ext_key_usage("serverauth CLIENTAUTH critical,1.2.3.4")
    oids = [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        x509.ObjectIdentifier("1.2.3.4"),
    ]
    expected = x509.ExtendedKeyUsage(oids)
    assert asked == RequestedExtension("2.5.29.37", True, expected.public_bytes())


def test_policies() -> None:
    uri = "https://acme.example/cps"
    asked = parse_policies(f"1.2.3.4={uri},anyPolicy")
    expected = x509.CertificatePolicies(
        [
            x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), [uri]),
            x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None),
        ]
    )
    assert asked == RequestedExtension("2.5.29.32", False, expected.public_bytes())
    assert parse_policies("critical 1.2.3").critical is True


def test_any_extensions() -> None:
    text = r"1.2.3=DER:0500, 1.2.4:CRITICAL=UTF8:a\ b\,c 1.2.5=BASE64:BQA= 1.2.6=printable:{x}y"
    with pytest.raises(InputError, match="PrintableString"):
        parse_extensions(text)
    assert parse_extensions(text.replace("printable:", "ia5:")) == (
        RequestedExtension("1.2.3", False, b"\x05\x00"),
        RequestedExtension("1.2.4", True, b"\x0c\x05a b,c"),
        RequestedExtension("1.2.5", False, b"\x05\x00"),
        RequestedExtension("1.2.6", False, b"\x16\x04{x}y"),
    )


def test_a_value_cannot_add_an_extension() -> None:
    template = ExtensionsTemplate("1.2.3=UTF8:{id}", ["id"])
    assert template.fields == ("id",)
    (one,) = template.render({"id": "x,1.2.4=DER:0500"})
    assert one == RequestedExtension("1.2.3", False, b"\x0c\x10x,1.2.4=DER:0500")
    with pytest.raises(InputError, match=r"needs column id, which is empty"):
        template.render({})


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (parse_key_usage, "", "no name of a keyUsage in it"),
        (parse_key_usage, "critical", "no name of a keyUsage in it"),
        (parse_key_usage, "digitalSignatur", "'digitalSignatur' is no keyUsage"),
        (parse_key_usage, "encipherOnly", "mean nothing without keyAgreement"),
        (parse_ext_key_usage, "serverAuth,1", "'1' is no extended key usage"),
        (parse_ext_key_usage, " ", "no name of an extended key usage"),
        (parse_policies, "", "no name of a policy"),
        (parse_policies, "1.2.3,1.2.3", "policy 1.2.3 stands twice"),
        (parse_policies, "1.2.3=x", "not a URI after the '='"),
        (parse_policies, "1.2.3\\", "nothing follows the last"),
        (parse_extensions, "", "no extension in it"),
        (parse_extensions, "critical,1.2.3=DER:0500", "write 'critical' behind an OID"),
        (parse_extensions, "1.2.3", "'1.2.3': no extension"),
        (parse_extensions, "1=DER:0500", "'1' is not an object identifier"),
        (parse_extensions, "1.2.3=DER:0500,1.2.3=DER:0500", "extension 1.2.3 stands twice"),
        (parse_extensions, "1.2.3=0500", "not UTF8:text, IA5:text"),
        (parse_extensions, "1.2.3=DER:05000500", "not the hexadecimal digits of one whole DER"),
        (parse_extensions, "1.2.3=BASE64:x", "not the base64 of one whole DER value"),
        (parse_extensions, "1.2.3=IA5:\u00e5", "an IA5String is ASCII"),
        (parse_extensions, "1.2.3=UTF8:\ud800", "not valid Unicode"),
    ],
)
def test_what_is_none_is_named(parse: object, text: str, why: str) -> None:
    assert callable(parse)
    with pytest.raises(InputError) as caught:
        parse(text)
    assert why in caught.value.what


@pytest.mark.parametrize(
    "parse", [parse_key_usage, parse_ext_key_usage, parse_policies, parse_extensions]
)
@given(st.text(max_size=30))
def test_any_text_is_an_extension_or_an_input_error(parse: object, text: str) -> None:
    assert callable(parse)
    with suppress(InputError):
        assert parse(text)
