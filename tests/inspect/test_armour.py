import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError, Where
from bulkcmp.inspect.armour import MAX_OCTETS, Part, parts_of

DER = bytes.fromhex("3003020105")
BASE64 = base64.b64encode(DER).decode()
PEM = f"-----BEGIN CMP-----\n{BASE64}\n-----END CMP-----\n"


@pytest.mark.parametrize(
    "data",
    [
        DER,
        b"3003020105",
        b" 30:03:02:01:05\r\n",
        b"0x3003\n020105\n",
        b"30 03 02 01 05",
        b"\xef\xbb\xbf3003020105",
    ],
)
def test_binary_and_hexadecimal(data: bytes) -> None:
    assert parts_of(data, "f") == [Part("f", None, "", DER)]


@pytest.mark.parametrize(
    "text", [PEM, PEM.replace("\n", "\r\n"), f"subject=Ü\n{PEM}rest", f"\ufeff{PEM}"]
)
def test_pem(text: str) -> None:
    (part,) = parts_of(text.encode(), "f")
    assert part == Part("f", None, "CMP", DER)
    assert part.where == Where("f")


def test_several_pem_blocks() -> None:
    first, second = parts_of(f"{PEM}-- between\n{PEM}".encode(), "f")
    assert (first.number, second.number) == (1, 2)
    assert first.octets == second.octets == DER
    assert str(second.where) == "f#2"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "f: empty"),
        (b" \n", "f: empty"),
        (b"30030", "f: 5 hexadecimal digits: an odd number"),
        (b"hello", "f: text, but neither PEM nor hexadecimal digits"),
        (b":", "f: text, but neither PEM nor hexadecimal digits"),
        (f"x\n{PEM[:-10]}".encode(), "f:2: PEM block 'CMP' has no END line"),
        (PEM.replace(BASE64, "MA=A").encode(), "f:1: PEM block 'CMP': bad base64"),
        (PEM.replace("CMP", "EC PRIVATE KEY").encode(), "f:1: holds a private key"),
        (b"\x30" * (MAX_OCTETS + 1), "f: larger than 10 MiB"),
    ],
)
def test_neither(data: bytes, error: str) -> None:
    with pytest.raises(InputError) as caught:
        parts_of(data, "f")
    assert str(caught.value).startswith(error)
    assert BASE64 not in str(caught.value)


@given(st.binary(min_size=1, max_size=100))
def test_forms_of_any_octets(data: bytes) -> None:
    assert parts_of(data.hex(" ").encode(), "f")[0].octets == data
    text = base64.encodebytes(data).decode()
    block = f"-----BEGIN X-----\n{text}-----END X-----"
    assert parts_of(block.encode(), "f")[0].octets == data


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_garbage(one: bytes, two: bytes) -> None:
    for data in (one, b"-----BEGIN X-----\n" + one + b"\n-----END X-----\n" + two):
        try:
            parts = parts_of(data, "f")
        except InputError as error:
            parts = []
            where = error.where
        assert parts or where is not None
