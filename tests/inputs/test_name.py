import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import read_csr, requested_subject
from bulkcmp.inputs.der import oid_tlv, tlv
from bulkcmp.inputs.name import (
    NULL_DN,
    NameTemplate,
    format_name,
    format_slash_name,
    name_values,
    parse_name,
)

_RFC4514_NAMES = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "L": NameOID.LOCALITY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "UID": NameOID.USER_ID,
}
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=16)


def attributes(value: st.SearchStrategy[str]) -> st.SearchStrategy[x509.NameAttribute[str]]:
    return st.builds(
        x509.NameAttribute, st.sampled_from(sorted(_RFC4514_NAMES.values(), key=str)), value
    )


_ATTRIBUTES = st.one_of(
    attributes(_TEXT),
    st.sampled_from(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NO"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "example"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.example"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "12:34"),
            x509.NameAttribute(x509.ObjectIdentifier("1.2.3.4"), "odd"),
        ]
    ),
)
_NAMES = st.lists(
    st.lists(_ATTRIBUTES, min_size=1, max_size=3, unique=True).map(x509.RelativeDistinguishedName),
    max_size=4,
).map(x509.Name)


@given(_NAMES)
@example(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ' #a+b,c;d<e>f"g\\h=i/O=j ')]))
@example(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "\\ ")]))
@example(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, " ")]))
def test_format_and_parse_round_trip_to_the_bytes_of_cryptography(name: x509.Name) -> None:
    der = name.public_bytes()
    assert parse_name(format_name(der)) == der


@given(_NAMES)
def test_what_cryptography_writes_is_read_to_the_same_bytes(name: x509.Name) -> None:
    text = name.rfc4514_string()
    assume("/" not in text)  # refused where it looks like the slash form
    # a type without a name is written by it as OID=text
    assert parse_name(text) == name.public_bytes()


@given(st.lists(st.tuples(st.sampled_from(sorted(_RFC4514_NAMES)), _TEXT), min_size=1, max_size=4))
def test_plain_texts_are_read_as_cryptography_reads_them(rdns: list[tuple[str, str]]) -> None:
    assume(not any(c in value for _, value in rdns for c in '/\\",+;<>#'))
    assume(all(value == value.strip(" ") and value for _, value in rdns))
    text = ",".join(f"{kind}={value}" for kind, value in rdns)
    assert parse_name(text) == x509.Name.from_rfc4514_string(text).public_bytes()


@given(st.lists(st.tuples(st.sampled_from(sorted(_RFC4514_NAMES)), _TEXT), max_size=4))
def test_slash_form_keeps_its_order_and_its_escapes(rdns: list[tuple[str, str]]) -> None:
    text = "".join(f"/{kind}={_escaped(value)}" for kind, value in rdns) or "/"
    expected = x509.Name([x509.NameAttribute(_RFC4514_NAMES[kind], value) for kind, value in rdns])
    assert parse_name(text) == expected.public_bytes()


def _escaped(value: str) -> str:
    return "".join("\\" + c if c in "/+\\" else c for c in value)


@given(st.text(max_size=40))
@example("/CN=\ud800")
@example("CN=\ud800")
@example('CN="\\\ud800')
@example("/serialNumber=\ud800")
def test_any_text_is_a_name_or_an_input_error(text: str) -> None:
    try:
        der = parse_name(text)
    except InputError:
        return
    x509.Name.from_bytes(der)


_KEPT = [
    ("/CN=dev1/O=Acme/C=SE", "C=SE,O=Acme,CN=dev1"),
    ("/C=NO", "C=NO"),
    ("/C=se", "C=se"),
    ("/CN=a+O=b/C=SE", "C=SE,CN=a+O=b"),
    ("/O=b+CN=a/C=SE", "C=SE,CN=a+O=b"),
    (r"/CN=a\/b\+c\\d\=e", r"CN=a/b\+c\\d\=e"),
    ("/CN= a ", r"CN=\ a\ "),
    ("/CN=a/", "CN=a"),
    ("/CN=a=b,c", r"CN=a=b\,c"),
    ("/emailAddress=a@b/DC=x/CN=å", "CN=å,DC=x,emailAddress=a@b"),
    ("/serialNumber=1/UID=u/GN=g/SN=s/title=t", "title=t,SN=s,givenName=g,UID=u,serialNumber=1"),
]


@pytest.mark.parametrize(("written", "text"), _KEPT)
def test_slash_form(written: str, text: str) -> None:
    assert format_name(parse_name(written)) == text


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_slash_form_is_read_as_openssl_req_reads_it(tmp_path: Path) -> None:
    for written, _ in _KEPT:
        out = tmp_path / "csr.der"
        command = "openssl req -new -newkey ed25519 -nodes -keyout /dev/null -utf8 -outform DER"
        subprocess.run(
            [*command.split(), "-subj", written, "-out", str(out)], check=True, capture_output=True
        )
        assert parse_name(written) == requested_subject(read_csr(out)), written


@pytest.mark.parametrize("text", ["", "/", "  "])
def test_null_dn(text: str) -> None:
    assert parse_name(text) == NULL_DN == x509.Name([]).public_bytes()
    assert format_name(NULL_DN) == ""


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cn=a, ou = b , c=SE", "CN=a,OU=b,C=SE"),
        ("commonname=a,2.5.4.10=b,STREET=c,street=d", "CN=a,O=b,STREET=c,STREET=d"),
        ("email=a@b,E=a@c,userid=u", "emailAddress=a@b,emailAddress=a@c,UID=u"),
        (r"CN=a\2Cb\20", r"CN=a\,b\ "),
        (r"CN=\C3\A5", "CN=å"),
        (r"CN=a\ ", r"CN=a\ "),
        ("CN=#0c0161", "CN=a"),
        ("1.2.3.4=#040161,CN=x", "1.2.3.4=#040161,CN=x"),
        ("1.2.3.4=a", "1.2.3.4=#0c0161"),
        ("CN=" + "å" * 64, "CN=" + "å" * 64),
        ("CN=http://x/y", "CN=http://x/y"),
        ("CN=a\u202eb\n", r"CN=a\E2\80\AEb\0A"),
    ],
)
def test_rfc4514_form(text: str, canonical: str) -> None:
    assert format_name(parse_name(text)) == canonical


@pytest.mark.parametrize(
    ("text", "rdn", "why"),
    [
        ("/CN", "'CN'", "no '=' in 'CN'"),
        ("/CN=a+b/C=SE", "'CN=a+b'", "no '=' in 'b'"),
        ("/CN=a//O=b", "", "an RDN is empty"),
        ("CN=a,", "", "an RDN is empty"),
        ("/XY=a/C=SE", "'XY=a'", "unknown attribute type 'XY'"),
        ("/1.40.1=a", "'1.40.1=a'", "unknown attribute type '1.40.1'"),
        ("/CN=/C=SE", "'CN='", "the value is empty"),
        ("CN=,C=SE", "'CN='", "the value is empty"),
        ("CN=a,C=SWE", "'C=SWE'", "exactly two letters"),
        ("/C=S1", "'C=S1'", "exactly two letters"),
        ("/C=Å1", "'C=Å1'", "exactly two letters"),
        ("/serialNumber=a_b", "'serialNumber=a_b'", "letters, digits"),
        ("/DC=å", "'DC=å'", "ASCII"),
        ("/CN=" + "a" * 65, "'CN=aaa", "65 characters, and CN may have 64"),
        ("/CN=a\\", "'CN=a", "nothing follows the last"),
        ("/CN=\udcff", "'CN=", "not valid Unicode"),
        ("CN=a\\", "'CN=a", "two hex digits"),
        (r"CN=a\x", "'CN=a", "two hex digits"),
        (r"CN=\C3", "'CN=", "not valid UTF-8"),
        ('O="Acme"', "'O=\"Acme\"'", "write '\\\"'"),
        ("CN=a;O=b", "'CN=a;O=b'", "write '\\;'"),
        ("CN=#zz", "'CN=#zz'", "not the hex of one DER value"),
        ("CN=#0c0161ff", "'CN=#0c0161ff'", "not the hex of one DER value"),
        ("CN=a/O=b/C=SE", "'CN=a/O=b/C=SE'", "'/O=' stands inside a value"),
        ("/CN=a+CN=a", "'CN=a+CN=a'", "the same twice"),
    ],
)
def test_errors_name_the_rdn_and_say_why(text: str, rdn: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_name(text)
    assert rdn in caught.value.what
    assert why in caught.value.what


@given(st.binary(max_size=60))
@example(b"\x30\x00\x00")
@example(tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, b"\x80") + tlv(12, b"a")))))
def test_format_never_raises(der: bytes) -> None:
    assert isinstance(format_name(der), str)


def _one(dotted: str, tag: int, value: bytes) -> bytes:
    return tlv(0x30, tlv(0x31, tlv(0x30, oid_tlv(dotted) + tlv(tag, value))))


@pytest.mark.parametrize(
    ("der", "text"),
    [
        (_one("2.5.4.3", 0x1E, "å€".encode("utf-16-be")), "CN=å€"),
        (_one("2.5.4.3", 0x1C, "å".encode("utf-32-be")), "CN=å"),
        (_one("2.5.4.3", 0x14, b"\xe5"), "CN=å"),
        (_one("2.5.4.3", 0x13, b"a"), "CN=a"),
        (_one("2.5.4.3", 0x0C, b"\xff"), "CN=#0c01ff"),
        (_one("2.5.4.3", 0x1E, b"a"), "CN=#1e0161"),
        (_one("2.5.4.3", 0x0C, b""), "CN="),
        (_one("2.5.4.6", 0x13, b"SWE"), "C=SWE"),
        (_one("2.5.4.45", 0x03, b"\x00a"), "2.5.4.45=#03020061"),
        (_one("2.5.4.16", 0x30, tlv(12, b"Street")), "2.5.4.16=#30080c06537472656574"),
        (b"\x04\x01a", "#040161"),
        (b"", "#"),
    ],
)
def test_odd_names_are_shown(der: bytes, text: str) -> None:
    assert format_name(der) == text


@given(_TEXT, st.sampled_from(["/CN={id}/O=Acme+OU={ref}/C=SE", "C=SE,O=Acme+OU={ref},CN={id}"]))
@example("a/CN=evil", "/CN={id}/O=Acme+OU={ref}/C=SE")
@example("a,O=evil+CN=b\\", "C=SE,O=Acme+OU={ref},CN={id}")
def test_a_value_cannot_alter_the_structure(value: str, text: str) -> None:
    der = NameTemplate(text, ["id", "ref"]).render({"id": value, "ref": "{id}"})
    expected = x509.Name(
        [
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, value)]),
            x509.RelativeDistinguishedName(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "{id}"),
                ]
            ),
            x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "SE")]),
        ]
    )
    assert der == expected.public_bytes()


def test_a_template_knows_its_fields() -> None:
    template = NameTemplate("/CN={id}-{{x}}/OU=#/1.2.3.4={ref}", ["id", "ref"])
    assert template.fields == ("id", "ref")
    assert template.render({"id": "a", "ref": "b"}) == parse_name("/CN=a-{x}/OU=#/1.2.3.4=b")
    assert NameTemplate("CN=#0c0161,O={{}}", []).render({}) == parse_name("CN=a,O={}")


def test_a_template_is_checked_before_it_is_filled_in() -> None:
    with pytest.raises(InputError, match=r"unknown placeholder \{nope\}"):
        NameTemplate("/CN={nope}", ["id"])
    with pytest.raises(InputError, match=r"unknown attribute type '\{id\}'"):
        NameTemplate("/{id}=a", ["id"])
    with pytest.raises(InputError, match="exactly two letters"):
        NameTemplate("/CN={id}/C=SWE", ["id"])


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="65 characters, and CN may have 64"):
        NameTemplate("/CN={id}", ["id"]).render({"id": "a" * 65})


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=4))
def test_the_slash_form_of_a_name(values: list[str]) -> None:
    der = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, value) for value in values]
    ).public_bytes()
    assert parse_name(format_slash_name(der)) == der
    assert name_values(der) == {"cn": tuple(values)}


def test_the_time_for_a_name_grows_as_its_length() -> None:
    """Squared, it would be a minute for half a megabyte of LDIF, and hours for 16."""
    began = time.process_time()
    assert name_values(parse_name("CN=a," * 150_000 + "CN=b"))["cn"][:2] == ("b", "a")
    with pytest.raises(InputError, match="300001 characters"):
        parse_name("CN=" + "\\," * 300_000 + "b")
    assert time.process_time() - began < 20
