import pytest

from bulkcmp.errors import InputError
from bulkcmp.model import Secret
from bulkcmp.token.uri import Pkcs11Uri, describe_uri, is_uri


def test_a_uri_in_its_parts() -> None:
    uri = Pkcs11Uri.parse(
        "pkcs11:token=The%20RA;serial=00ff;object=signer;id=%01%ff;type=private;x-vendor=1"
        "?pin-source=file:/etc/pin&module-path=/usr/lib/m.so&module-name=m"
    )
    assert uri.attributes == {
        "token": b"The RA",
        "serial": b"00ff",
        "object": b"signer",
        "id": b"\x01\xff",
        "type": b"private",
    }
    assert uri.pin is None
    assert uri.pin_source == "file:/etc/pin"
    assert (uri.module_path, uri.module_name) == ("/usr/lib/m.so", "m")


def test_a_pin_in_a_uri_is_shown_nowhere() -> None:
    text = "pkcs11:object=a?module-name=m&pin-value=ge%3Aheim"
    uri = Pkcs11Uri.parse(text)
    assert uri.pin == Secret(b"ge:heim")
    assert uri.text == "pkcs11:object=a"
    assert "heim" not in repr(uri)
    assert describe_uri(text) == "pkcs11:object=a?module-name=m&pin-value=***"
    assert describe_uri("pkcs11:id=1?pin-value=x&module-name=m") == (
        "pkcs11:id=1?pin-value=***&module-name=m"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("key.pem", "not a PKCS#11 URI"),
        ("pkcs11:", "names no key"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:object=a;type=cert", "not one of a private key"),
        ("pkcs11:object", "has no value"),
        ("pkcs11:object=a;object=b", "has object twice"),
        ("pkcs11:object=a;colour=red", "unknown attribute 'colour'"),
        ("pkcs11:object=a?pin=1234", "unknown attribute 'pin'"),
        ("pkcs11:object=a;pin-value=1234", "unknown attribute 'pin-value'"),
    ],
)
def test_what_is_no_uri_of_a_key(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as raised:
        Pkcs11Uri.parse(text)
    assert "1234" not in str(raised.value)


def test_the_scheme_has_no_case() -> None:
    assert is_uri("PKCS11:object=a")
    assert not is_uri("pkcs11.pem")
    assert Pkcs11Uri.parse("PKCS11:object=a").text == "pkcs11:object=a"


def test_octets_that_are_no_utf8() -> None:
    uri = Pkcs11Uri.parse("pkcs11:object=\udcff?pin-source=file:\udcd0")
    assert uri.attributes == {"object": b"\xff"}
    assert uri.pin_source == "file:\udcd0"
