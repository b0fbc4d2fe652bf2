import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.serials import Base, is_serial_list, read_serials


def serials(text: str, base: Base = Base.AUTO) -> list[int]:
    return [one.serial for one in read_serials(text, "list", base).listed]


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("0x10\n0X1f\n", Base.AUTO, [0x10, 0x1F]),
        ("10\nab\n", Base.AUTO, [0x10, 0xAB]),
        ("01:0A:ff\n", Base.AUTO, [0x10AFF]),
        ("10\n0x10\n", Base.DECIMAL, [10, 16]),
        ("# of Monday\n\n10\n", Base.HEX, [16]),
        ("\ufeffserial\n10\n", Base.DECIMAL, [10]),
    ],
)
def test_one_a_line(text: str, base: Base, expected: list[int]) -> None:
    assert serials(text, base) == expected
    assert is_serial_list(text)


def test_columns_of_ejbca() -> None:
    text = (
        "username;serialNumber;issuerDN;subjectDN;revocationReason;status\na;ff;CN=CA;CN=a;4;40\n"
    )
    (one,) = read_serials(text, "list", Base.AUTO).listed
    assert (one.line, one.serial) == (2, 0xFF)
    assert one.cells == {"id": "a", "issuer": "CN=CA", "subject": "CN=a", "revreason": "4"}


def test_results_of_ours_are_hexadecimal_and_their_reasons_no_crlreasons() -> None:
    text = "id,outcome,serial,subject,reason,cmd,transaction_id,cert_file\n"
    text += 'a,issued,0123,"CN=a,O=b",,ir,00,certs/a.pem\nb,rejected,,,badPOP,ir,01,\n'
    assert is_serial_list(text)
    found = read_serials(text, "results.csv", Base.AUTO)
    assert [(one.serial, one.cells) for one in found.listed] == [
        (0x123, {"id": "a", "subject": "CN=a,O=b"})
    ]
    assert found.without == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the list is empty"),
        ("10\n11\n", "nothing in the list tells"),
        ("ab\nxyz\n", "'xyz' is not a serial number"),
        ("ab\n-1\n", "'-1' is not a serial number"),
    ],
)
def test_what_can_not_be_read(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as raised:
        serials(text)
    assert raised.value.where is not None
    assert raised.value.where.file == "list"


def test_a_decimal_list_with_letters() -> None:
    with pytest.raises(InputError, match=r"list:2: 'ab' is not a serial number"):
        serials("10\nab\n", Base.DECIMAL)


@pytest.mark.parametrize(
    "text", ["", "id,cert\na,a.pem\n", "id,cmd,serial\na,rr,1\n", "dn: cn=a\n", "-----BEGIN\n"]
)
def test_what_is_no_list(text: str) -> None:
    assert not is_serial_list(text)
