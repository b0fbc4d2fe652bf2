import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.inputs.der import oid_text, oid_tlv, tlv, tlvs


@given(st.lists(st.tuples(st.sampled_from([0x04, 0x30, 0x82, 0xA0]), st.binary(max_size=300))))
def test_what_is_written_is_read_back(values: list[tuple[int, bytes]]) -> None:
    data = b"".join(tlv(tag, content) for tag, content in values)
    assert [(tag, content) for tag, content, _ in tlvs(data)] == values
    assert b"".join(whole for _, _, whole in tlvs(data)) == data


def test_length_forms() -> None:
    assert tlv(4, bytes(127))[:2] == b"\x04\x7f"
    assert tlv(4, bytes(128))[:3] == b"\x04\x81\x80"
    assert tlv(4, bytes(65536))[:5] == b"\x04\x83\x01\x00\x00"


@given(st.binary(max_size=40))
def test_random_bytes_are_values_or_a_value_error(data: bytes) -> None:
    try:
        found = list(tlvs(data))
    except ValueError:
        return
    assert b"".join(whole for _, _, whole in found) == data


@pytest.mark.parametrize("data", [b"\x30", b"\x30\x05abc", b"\x30\x80\x00\x00", b"\x1f\x01\x00"])
def test_what_is_no_der_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        list(tlvs(data))


@given(
    st.one_of(
        st.tuples(st.integers(0, 1), st.integers(0, 39)),
        st.tuples(st.just(2), st.integers(0, 2**40)),
    ),
    st.lists(st.integers(0, 2**64), max_size=5),
)
def test_oids_round_trip(first: tuple[int, int], rest: list[int]) -> None:
    dotted = ".".join(map(str, (*first, *rest)))
    ((tag, content, _),) = tlvs(oid_tlv(dotted))
    assert tag == 6
    assert oid_text(content) == dotted


def test_oid_is_that_of_cryptography() -> None:
    (entry,) = tlvs(x509.SubjectAlternativeName([x509.RegisteredID(_oid())]).public_bytes()[2:])
    assert oid_tlv(_oid().dotted_string)[2:] == entry[1]


def _oid() -> x509.ObjectIdentifier:
    return x509.ObjectIdentifier("2.999.1.16384.127.128")


@pytest.mark.parametrize(
    "text", ["", "1", "3.1", "1.40", "1.2.", "1..2", "1.02", "a.b", "1.2.x", "1.2." + "9" * 39]
)
def test_what_is_no_oid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an object identifier"):
        oid_tlv(text)


def test_a_cut_oid_is_refused() -> None:
    with pytest.raises(ValueError):
        oid_text(b"\x2a\x86")
    with pytest.raises(ValueError):
        oid_text(b"")
