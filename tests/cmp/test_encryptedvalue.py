"""EncryptedValue: made, opened, changed, and read by pyasn1. OpenSSL reads it in tests/testca."""

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc2511

from bulkcmp.cmp.algorithms import AlgorithmError
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, wrap
from bulkcmp.cmp.encryptedvalue import decrypt, encrypt
from bulkcmp.cmp.envelope import CONTENT_CIPHERS, UndecryptableError
from bulkcmp.errors import RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

VALUE = b"the value"
IV = bytes(range(16))


@pytest.fixture(scope="module")
def holder(pki: "Pki") -> rsa.RSAPrivateKey:
    key = pki.keys["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.mark.parametrize("length", [16, 24, 32])
def test_a_value_is_encrypted(holder: rsa.RSAPrivateKey, length: int) -> None:
    der = encrypt(VALUE, holder.public_key(), key=bytes(range(length)), iv=IV)
    assert decrypt(der, holder) == VALUE
    value, rest = decoder.decode(der, asn1Spec=rfc2511.EncryptedValue())
    assert not rest
    assert encoder.encode(value) == der
    assert not any(value[name].isValue for name in ("intendedAlg", "keyAlg", "valueHint"))
    assert str(value["symmAlg"]["algorithm"]) == CONTENT_CIPHERS[length].dotted_string
    assert bytes(value["symmAlg"]["parameters"]) == encode(IV)


ALGORITHM = wrap(0xA1, encode(CONTENT_CIPHERS[16]), encode(IV))
KEY = wrap(0x82, b"\0", bytes(256))
CONTENT = wrap(0x03, b"\0", bytes(16))


@pytest.mark.parametrize(
    ("parts", "error", "said"),
    [
        ((KEY, CONTENT), RemoteCmpError, "without its algorithm or its key"),
        ((ALGORITHM, CONTENT), RemoteCmpError, "without its algorithm or its key"),
        ((ALGORITHM, KEY), RemoteCmpError, "not a DER"),
        (
            (wrap(0xA1, encode(ObjectIdentifier("1.2.3")), encode(IV)), KEY, CONTENT),
            AlgorithmError,
            "other than AES-CBC",
        ),
        ((ALGORITHM, wrap(0x82, b"\0", b"short"), CONTENT), UndecryptableError, "can't be"),
        # not a whole number of blocks, whatever the key
        ((ALGORITHM, KEY, wrap(0x03, b"\0", bytes(15))), UndecryptableError, "can't be"),
    ],
)
def test_what_is_refused(
    holder: rsa.RSAPrivateKey, parts: tuple[bytes, ...], error: type[RemoteCmpError], said: str
) -> None:
    with pytest.raises(error, match=said):
        decrypt(wrap(0x30, *parts), holder)
