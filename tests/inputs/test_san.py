import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.san import SanTemplate, format_sans, parse_sans, san_values
from bulkcmp.model import RequestedExtension

_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


def _san(*names: x509.GeneralName, critical: bool = False) -> RequestedExtension:
    value = x509.SubjectAlternativeName(names).public_bytes()
    return RequestedExtension("2.5.29.17", critical, value)


def _dn(text: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name.from_bytes(parse_name(text)))


def _other(oid: str, value: bytes) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.example", [x509.DNSName("a.example")]),
        ("*.a.example", [x509.DNSName("*.a.example")]),
        ("localhost", [x509.DNSName("localhost")]),
        (
            " a.example, b_1.example\t10.0.0.1,,\n2001:db8::1 ",
            [
                x509.DNSName("a.example"),
                x509.DNSName("b_1.example"),
                x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
                x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
            ],
        ),
        ("https://a.example/x?y=z", [x509.UniformResourceIdentifier("https://a.example/x?y=z")]),
        (
            "URI:urn:dev:mac:0024befffe804ff1",
            [x509.UniformResourceIdentifier("urn:dev:mac:0024befffe804ff1")],
        ),
        (
            "dns:critical IP:::1",
            [x509.DNSName("critical"), x509.IPAddress(ipaddress.ip_address("::1"))],
        ),
        ("email:a@b.example", [x509.RFC822Name("a@b.example")]),
        ("rid:1.2.3.4", [x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4"))]),
        ("upn:å@b", [x509.OtherName(_UPN, b"\x0c\x04\xc3\xa5@b")]),
        (r"otherName:1.2.3.4;UTF8:a\ b", [_other("1.2.3.4", b"\x0c\x03a b")]),
        ("othername:1.2.3.4;ia5:a", [_other("1.2.3.4", b"\x16\x01a")]),
        (
            # hardwareModuleName (RFC 4108, 5)
            "otherName:1.3.6.1.5.5.7.8.4;DER:30:09:06:02:2a:03:04:03:01:02:03",
            [_other("1.3.6.1.5.5.7.8.4", bytes.fromhex("300906022a030403010203"))],
        ),
        (r"dirName:/CN=a\/b/O=Acme\ Devices", [_dn(r"/CN=a\/b/O=Acme Devices")]),
        ("dirname:CN=a", [_dn("CN=a")]),
    ],
)
def test_entries(text: str, names: list[x509.GeneralName]) -> None:
    assert parse_sans(text) == _san(*names)


@pytest.mark.parametrize(
    ("text", "entry", "why"),
    [
        ("", "", "no subject alternative name"),
        (" , ", "", "no subject alternative name"),
        ("critical", "", "no subject alternative name"),
        ("otherName:1.2.3", "'othername:1.2.3'", "written as OID;VALUE"),
        ("otherName:1;UTF8:a", "'othername:1;UTF8:a'", "not an object identifier"),
        ("otherName:1.2.3;FOO:a", "'othername:1.2.3;FOO:a'", "not UTF8:text"),
        ("otherName:1.2.3;DER:0c", "'othername:1.2.3;DER:0c'", "not the hexadecimal digits"),
        ("a.example,10.0.0.300", "'10.0.0.300'", "neither an IP address"),
        ("10.0.0.0/8", "'10.0.0.0/8'", "not a DNS name"),
        ("fe80::1%eth0", "'fe80::1%eth0'", "neither an IP address"),
        ("ip:fe80::1%eth0", "'ip:fe80::1%eth0'", "no zone"),
        ("ip:a.example", "'ip:a.example'", "not an IP address"),
        ("foo:bar", "'foo:bar'", "neither an IP address"),
        ("a@b.example", "'a@b.example'", "write email:a@b.example"),
        ("a..example", "'a..example'", "not a DNS name"),
        ("-a.example", "'-a.example'", "not a DNS name"),
        ("a.*.example", "'a.*.example'", "not a DNS name"),
        ("a" * 64, "aaa", "not a DNS name"),
        ("å.example", "'å.example'", "A-labels"),
        ("uri:nothing", "'uri:nothing'", "not a URI"),
        ("https://å.example", "'https://å.example'", "not a URI"),
        ("email:a", "'email:a'", "not a mail address"),
        ("rid:1", "'rid:1'", "not a dotted object identifier"),
        ("dirName:/CN", "'dirname:/CN'", "no '='"),
        ("dirName:/", "'dirname:/'", "the name is empty"),
        ("dns:", "'dns:'", "nothing follows the prefix"),
        ("a.example\\", "'a.example", "nothing follows the last"),
        ("upn:\ud800", "'upn:", "not valid Unicode"),
    ],
)
def test_errors_name_the_entry(text: str, entry: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_sans(text)
    assert entry in caught.value.what
    assert why in caught.value.what


@given(st.text(max_size=40))
def test_any_text_is_names_or_an_input_error(text: str) -> None:
    try:
        san = parse_sans(text)
    except InputError:
        return
    assert san.value[0] == 0x30


def test_sans_may_be_critical() -> None:
    name = x509.DNSName("a.example")
    assert parse_sans("Critical, a.example") == _san(name, critical=True)
    assert parse_sans("a.example critical") == _san(name, critical=True)
    filled = SanTemplate("critical,{id}.example", ["id"]).render({"id": "a"})
    assert filled == _san(name, critical=True)


def test_a_template_is_filled_in() -> None:
    template = SanTemplate("{id}.example,ip:{ref},dirName:/CN={id}", ["id", "ref"])
    assert template.fields == ("id", "ref", "id")
    assert template.render({"id": "a", "ref": "10.0.0.1"}) == _san(
        x509.DNSName("a.example"), x509.IPAddress(ipaddress.ip_address("10.0.0.1")), _dn("/CN=a")
    )
    assert SanTemplate("a.example", []).fields == ()


@pytest.mark.parametrize("value", ["a,b", "a b", "email:a@b", "critical,x", "uri:x:y"])
def test_a_value_cannot_add_an_entry_or_change_its_kind(value: str) -> None:
    with pytest.raises(InputError):
        SanTemplate("{id}", ["id"]).render({"id": value})


def test_an_entry_without_prefix_is_what_its_value_looks_like() -> None:
    template = SanTemplate("{id}", ["id"])
    assert template.render({"id": "::1"}) == parse_sans("::1")
    assert template.render({"id": "a.example"}) == parse_sans("a.example")


def test_a_dn_in_a_template_keeps_its_structure() -> None:
    template = SanTemplate("dirName:/CN={id}/C=SE", ["id"])
    name = x509.Name.from_bytes(parse_name(r"/CN=a\/CN=evil, b/C=SE"))
    assert template.render({"id": "a/CN=evil, b"}) == _san(x509.DirectoryName(name))


def test_a_wrong_filled_in_dn_is_an_input_error() -> None:
    with pytest.raises(InputError, match="may have 64"):
        SanTemplate("dirName:/CN={id}", ["id"]).render({"id": "a" * 65})


@pytest.mark.parametrize(
    "text",
    [
        "dns:a.example",
        "critical,dns:*.a.example,ip:10.0.0.1,ip:2001:db8::1",
        "email:a@b.example,uri:https://a.example/x?y=z\\,w,rid:1.2.3.4",
        "upn:å\\ \\,\\\\b@c",
        "othername:1.2.3.4;DER:0c03612062",
        "dirname:/CN=gate\\ 1/O=Acme\\,\\ Inc.",
        "dirname:/CN=a\\+b\\/c\\\\+DC=example",
    ],
)
def test_the_text_of_an_extension(text: str) -> None:
    assert format_sans(parse_sans(text)) == text


@given(
    st.lists(
        st.one_of(
            st.text(min_size=1, max_size=9).map(
                lambda text: _other("1.3.6.1.4.1.311.20.2.3", _utf8(text))
            ),
            st.binary(max_size=9).map(lambda data: _other("1.2.3.4", b"\x04%c" % len(data) + data)),
            st.ip_addresses().map(x509.IPAddress),
            st.text("abc-.0_*", min_size=1).map(x509.DNSName),
            st.text(min_size=1, max_size=9)
            .filter(lambda text: text.isprintable())
            .map(lambda text: x509.DirectoryName(x509.Name([_common_name(text)]))),
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_text_and_extension_are_each_the_inverse_of_the_other(
    names: list[x509.GeneralName], critical: bool
) -> None:
    """Or `parse_sans` refuses the text: never does it make another extension of it."""
    extension = _san(*names, critical=critical)
    try:
        assert parse_sans(format_sans(extension)) == extension
    except InputError:
        assert any(isinstance(name, x509.DNSName) for name in names)


def test_names_that_have_no_text_are_refused_not_lost() -> None:
    x400 = RequestedExtension(
        "2.5.29.17", False, bytes.fromhex("300fa30130820a612e6578616d706c6531")
    )
    text = format_sans(x400)
    assert text == "GeneralName:#a30130,dns:a.example1"
    with pytest.raises(InputError):
        parse_sans(text)
    unknown_type = _san(_dn("1.2.3.4=x"), x509.DNSName("a"))
    with pytest.raises(InputError):
        parse_sans(format_sans(unknown_type))


def test_the_names_of_each_kind() -> None:
    names = "dns:a.example,dns:b.example,ip:10.0.0.1,upn:u@x,dirname:/CN=g,othername:1.2.3;UTF8:z"
    assert san_values(parse_sans(names)) == {
        "dns": ("a.example", "b.example"),
        "ip": ("10.0.0.1",),
        "upn": ("u@x",),
    }


def _utf8(text: str) -> bytes:
    encoded = text.encode()
    return b"\x0c%c" % len(encoded) + encoded


def _common_name(text: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, text)
