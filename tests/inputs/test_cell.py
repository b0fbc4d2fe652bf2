import datetime as dt
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.cell import (
    SameKey,
    read_new_key,
    read_operation,
    read_reason,
    read_serial,
    read_time,
    read_whole,
)
from bulkcmp.model import KeyFamily, KeySpec, Operation, RevocationReason


@pytest.mark.parametrize("operation", Operation)
def test_operations(operation: Operation) -> None:
    assert read_operation(operation.value) is operation
    assert read_operation(operation.value.upper()) is operation


def test_an_unknown_operation() -> None:
    with pytest.raises(InputError, match="'krr' is not a CMP operation") as caught:
        read_operation("krr")
    assert caught.value.hint == "operations are ir, cr, kur, p10cr, rr, genm"


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("0365", 365), ("36500", 36500)])
def test_whole_numbers(text: str, number: int) -> None:
    assert read_whole(text, low=1, high=36500) == number


@pytest.mark.parametrize(
    "text", ["0", "36501", "-1", "+1", "1.0", "1e3", "x", "", "١", "²", "1_0", "9" * 5000]
)
def test_what_is_no_whole_number_in_range(text: str) -> None:
    with pytest.raises(InputError, match="is not a whole number from 1 to 36500"):
        read_whole(text, low=1, high=36500)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2027-01-31", dt.datetime(2027, 1, 31, tzinfo=dt.UTC)),
        ("2027-01-31T12:00:01Z", dt.datetime(2027, 1, 31, 12, 0, 1, tzinfo=dt.UTC)),
        ("2027-01-31 12:00+02:00", dt.datetime(2027, 1, 31, 10, tzinfo=dt.UTC)),
        ("99991231235959Z", dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)),
        ("491231235959Z", dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)),
        ("500101000000Z", dt.datetime(1950, 1, 1, tzinfo=dt.UTC)),
    ],
)
def test_times(text: str, time: dt.datetime) -> None:
    assert read_time(text) == time


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2027-02-30", "20270230000000Z", "2027-01-31T00:00:00.5Z",
     "9999-12-31T23:59:59-01:00"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="is not a time"):
        read_time(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("keyCompromise", RevocationReason.KEY_COMPROMISE),
        ("KEY_COMPROMISE", RevocationReason.KEY_COMPROMISE),
        ("key-compromise", RevocationReason.KEY_COMPROMISE),
        ("1", RevocationReason.KEY_COMPROMISE),
        ("0", RevocationReason.UNSPECIFIED),
        ("removeFromCRL", RevocationReason.REMOVE_FROM_CRL),
        ("cACompromise", RevocationReason.CA_COMPROMISE),
        ("10", RevocationReason.AA_COMPROMISE),
    ],
)
def test_revocation_reasons(text: str, reason: RevocationReason) -> None:
    assert read_reason(text) is reason


@pytest.mark.parametrize("text", ["7", "11", "-1", "lost", "01"])
def test_what_is_no_revocation_reason(text: str) -> None:
    with pytest.raises(InputError, match=f"'{text}' is not a revocation reason"):
        read_reason(text)


def test_a_new_key_is_a_spec_or_a_path(tmp_path: Path) -> None:
    (tmp_path / "device").write_bytes(b"")
    assert read_new_key(tmp_path, "ec:p-256") == KeySpec(KeyFamily.EC, "P-256")
    assert read_new_key(tmp_path, "device") == tmp_path / "device"
    assert read_new_key(tmp_path, "a/b") == tmp_path / "a/b"
    assert read_new_key(tmp_path, "/a") == Path("/a")
    assert read_new_key(tmp_path, "k.PEM") == tmp_path / "k.PEM"
    assert read_new_key(Path(), "k.key") == Path("k.key")
    assert read_new_key(Path(), "a/b") == Path("a/b")
    assert read_new_key(Path(), "./same") == Path("same")
    assert read_new_key(Path(), "same") is SameKey.SAME


@pytest.mark.parametrize("text", ["rsa:1024", "ec", "device", "ed25519:x", "a\0b"])
def test_what_is_neither(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="is neither a key spec nor a file") as caught:
        read_new_key(tmp_path, text)
    assert "ec:P-256|P-384|P-521" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "number"),
    [("17", 17), ("0x17", 23), ("0XaB", 171), ("0", 0), ("0x" + "f" * 40, (1 << 160) - 1)],
)
def test_serial_numbers(text: str, number: int) -> None:
    assert read_serial(text) == number


# hex digits alone could be meant as decimal ones: another certificate would be revoked
@pytest.mark.parametrize("text", ["", "0x", "12AB", "-1", "+1", "1_0", "0x-1", "١", "9" * 65])
def test_what_is_no_serial_number(text: str) -> None:
    with pytest.raises(InputError, match="is not a serial number"):
        read_serial(text)
