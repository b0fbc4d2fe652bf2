import io

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.io import keyworker
from bulkcmp.io.keypool import chunk_size
from bulkcmp.io.keyworker import make_keys, pack, serve, unpack
from bulkcmp.model import KeySpec

SPECS = [
    "rsa:2048",
    "rsa:3072",
    "rsa:4096",
    "ec:P-256",
    "ec:P-384",
    "ec:P-521",
    "ed25519",
    "ed448",
    "ml-dsa-44",
    "ml-dsa-65",
    "ml-dsa-87",
    "ml-kem-768",
    "ml-kem-1024",
]


def kind_of(der: bytes) -> str:
    key = load_der_private_key(der, None)
    if isinstance(key, rsa.RSAPrivateKey):
        assert key.public_key().public_numbers().e == 65537
        return f"rsa:{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f"ec:P-{key.curve.key_size}"
    name = type(key).__name__.lower().removesuffix("privatekey")
    return name.replace("mldsa", "ml-dsa-").replace("mlkem", "ml-kem-")


@pytest.mark.parametrize("text", SPECS)
def test_each_type_is_what_it_says_and_loads_without_a_password(text: str) -> None:
    spec = KeySpec.parse(text)
    keys = make_keys(spec, 2 if text.startswith("rsa") else 20)
    assert {kind_of(key) for key in keys} == {text}
    public = {
        load_der_private_key(key, None)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for key in keys
    }
    assert len(public) == len(keys)
    assert chunk_size(spec) >= 1


@given(st.lists(st.binary(max_size=300)))
def test_frames_carry_keys_unchanged(keys: list[bytes]) -> None:
    assert unpack(pack(keys)) == keys


def test_requests_are_answered_in_order_until_they_end() -> None:
    answers = io.BytesIO()
    serve(io.BytesIO(b"ed25519 3\nec:P-384 1\n"), answers)
    stream = io.BytesIO(answers.getvalue())
    kinds = []
    while head := stream.read(keyworker.HEAD.size):
        kind, length = keyworker.HEAD.unpack(head)
        assert kind == keyworker.KEYS
        kinds.append([kind_of(key) for key in unpack(stream.read(length))])
    assert kinds == [["ed25519"] * 3, ["ec:P-384"]]


def test_an_unsupported_type_is_refused_and_the_next_one_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(spec: KeySpec, count: int) -> list[bytes]:
        if str(spec) == "ml-dsa-65":
            raise UnsupportedAlgorithm("no ML-DSA here")
        return [b"key"] * count

    monkeypatch.setattr(keyworker, "make_keys", make)
    answers = io.BytesIO()
    serve(io.BytesIO(b"ml-dsa-65 1\ned25519 1\n"), answers)
    refusal = keyworker.HEAD.pack(keyworker.REFUSED, 14) + b"no ML-DSA here"
    body = pack([b"key"])
    assert answers.getvalue() == refusal + keyworker.HEAD.pack(keyworker.KEYS, len(body)) + body
