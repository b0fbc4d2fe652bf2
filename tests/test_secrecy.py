"""The search finds what it is to find: without this, a test that finds nothing says nothing."""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests import secrecy

KEYS: dict[str, Callable[[], PrivateKeyTypes]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("shape", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_keys_are_found_in_each_form(kind: str, encoding: Encoding, shape: PrivateFormat) -> None:
    if kind == "ed25519" and shape is PrivateFormat.TraditionalOpenSSL:
        shape = PrivateFormat.PKCS8
    key = KEYS[kind]()
    numbers = secrecy.numbers_of(key)
    plain = key.private_bytes(encoding, shape, NoEncryption())
    places = [plain]
    if encoding is Encoding.DER:
        places += [plain.hex().encode(), plain.hex(":").encode(), base64.b64encode(b"x" + plain)]
    for place in places:
        hits = secrecy.found(numbers, [("a place", place)])
        assert {hit.split(" (")[0] for hit in hits} == set(numbers)
    sealed = key.private_bytes(encoding, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    assert secrecy.found(numbers, [("a place", sealed)]) == []


def test_numbers_are_found_as_a_traceback_shows_them() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = secrecy.numbers_of(key)
    value = key.private_numbers().private_value
    assert secrecy.found(numbers, [("err", f"d = {value}".encode())])
    assert secrecy.found(numbers, [("err", repr(numbers["scalar"]).encode())])


def test_texts_are_found() -> None:
    secrets = {"secret": b"hunter2 and more"}
    assert secrecy.found(secrets, [("ps", b"--secret\0pass:hunter2 and more\0")])
    assert not secrecy.found(secrets, [("ps", b"--secret\0pass:***\0")])
