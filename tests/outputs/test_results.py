"""results.csv read back with a plain CSV reader."""

import csv
import dataclasses
import datetime as dt
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.model import (
    Delivery,
    DeliveryState,
    Operation,
    Outcome,
    OutcomeClass,
    RowResult,
    Timings,
)
from bulkcmp.outputs.results import COLUMNS, RowFiles, write_results

ISSUED = RowResult(
    number=7,
    line=9,
    id="dev-7",
    cmd=Operation.IR,
    outcome=Outcome(OutcomeClass.ISSUED_SUBJECT_CHANGED, pki_status=1, status_text="modified"),
    transaction_id="00ff",
    certificate=b"\x30\x00",
    chain=(b"\x30\x00",),
    serial=0xABC,
    requested_subject=r"CN=dev\,7,O=Acme",
    subject="CN=dev-7",
    not_after=dt.datetime(2027, 3, 4, 5, 6, 7, tzinfo=dt.UTC),
    timings=Timings(service=0.0412345678, request=0.03, confirm=0.000001),
    attempts=1,
    sends=3,
    finished_at=dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.UTC),
    delivery=Delivery(DeliveryState.FAILED, 3, "exit code 3"),
)


@pytest.mark.parametrize(
    ("outcome", "delivers"),
    [
        (OutcomeClass.ISSUED, False),
        (OutcomeClass.ISSUED_REFUSED, True),
        (OutcomeClass.REVOKED, True),
    ],
)
def test_what_is_not_to_be_delivered_says_nothing_of_it(
    tmp_path: Path, outcome: OutcomeClass, delivers: bool
) -> None:
    row = dataclasses.replace(ISSUED, outcome=Outcome(outcome))
    write_results(tmp_path / "results.csv", [row], delivers=delivers)
    (read_back,) = read(tmp_path / "results.csv")
    assert (read_back["delivery"], read_back["delivery_reason"]) == ("", "")


def result(text: str) -> RowResult:
    return RowResult(
        1, 2, text, None, Outcome(OutcomeClass.REJECTED, status_text=text, detail=text)
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_every_column_of_an_issued_row(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    files = RowFiles("certs/dev-7.pem", "certs/dev-7.key.pem", ("info/a.pem", "info/a.txt"))
    assert write_results(path, [ISSUED], files=lambda row: files, delivers=True) == 1
    assert read(path) == [
        {
            "id": "dev-7",
            "outcome": "issued, subject changed",
            "pki_status": "grantedWithMods",
            "fail_info": "",
            "status_text": "modified",
            "serial": "0ABC",
            "subject": "CN=dev-7",
            "not_after": "2027-03-04T05:06:07Z",
            "reason": "",
            "detail": "",
            "cmd": "ir",
            "requested_subject": r"CN=dev\,7,O=Acme",
            "transaction_id": "00ff",
            "cert_file": "certs/dev-7.pem",
            "key_file": "certs/dev-7.key.pem",
            "info_files": "info/a.pem|info/a.txt",
            "delivery": "failed",
            "delivery_reason": "exit code 3",
            "attempts": "1",
            "sends": "3",
            "service_s": "0.041235",
            "request_s": "0.030000",
            "polling_s": "",
            "confirm_s": "0.000001",
            "finished_at": "2026-01-02T03:04:05.678Z",
            "row": "7",
            "line": "9",
        }
    ]


def test_a_row_that_got_nothing_has_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    rejected = Outcome(
        OutcomeClass.REJECTED, "badPOP", pki_status=2, fail_info=("badPOP", "badRequest")
    )
    write_results(path, [RowResult(1, 2, "a", None, rejected)])
    [row] = read(path)
    filled = {name: text for name, text in row.items() if text}
    assert filled == {
        "id": "a",
        "outcome": "rejected",
        "pki_status": "rejection",
        "fail_info": "badPOP|badRequest",
        "reason": "badPOP",
        "attempts": "0",
        "sends": "0",
        "row": "1",
        "line": "2",
    }


def test_the_file_is_rfc_4180_in_the_order_given_and_private(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("old")
    assert write_results(path, (result(text) for text in ("b", 'say "hi", ä', "a"))) == 3
    raw = path.read_bytes()
    lines = raw.decode("utf-8").split("\r\n")
    assert lines[0] == ",".join(COLUMNS)
    assert [line[:3] for line in lines[1:]] == ["b,r", '"sa', "a,r", ""]
    assert '"say ""hi"", ä"' in lines[2]
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [row["id"] for row in read(path)] == ["b", 'say "hi", ä', "a"]


def test_an_empty_population_gives_the_header(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    assert write_results(path, []) == 0
    assert path.read_text() == ",".join(COLUMNS) + "\n"


def test_a_failure_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("old")

    def rows() -> Iterator[RowResult]:
        yield ISSUED
        raise RuntimeError("the journal is gone")

    with pytest.raises(RuntimeError, match="journal"):
        write_results(path, rows())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://evil")', '\'=HYPERLINK("http://evil")'),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1+1", "'  =1+1"),
        ("\uff1d1", "'\uff1d1"),
        ("\t=1", r"\t=1"),
        ("\r=1", r"\r=1"),
        ("CN=x", "CN=x"),
        ("a\nb", r"a\nb"),
        ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
    ],
)
def test_hostile_text_is_neutralised(tmp_path: Path, text: str, cell: str) -> None:
    path = tmp_path / "results.csv"
    write_results(path, [result(text)])
    [row] = read(path)
    assert row["status_text"] == row["detail"] == row["id"] == cell


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_gives_one_line_and_no_formula(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.csv"
    write_results(path, [result(text)])
    assert len(path.read_bytes().splitlines()) == 2
    [row] = read(path)
    assert not row["status_text"].startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "accepted"),
        (1, "grantedWithMods"),
        (2, "rejection"),
        (3, "waiting"),
        (4, "revocationWarning"),
        (5, "revocationNotification"),
        (6, "keyUpdateWarning"),
        (7, "7"),
        (-1, "'-1"),
    ],
)
def test_the_status_has_its_rfc_name(tmp_path: Path, number: int, name: str) -> None:
    path = tmp_path / "results.csv"
    outcome = Outcome(OutcomeClass.REJECTED, pki_status=number)
    write_results(path, [RowResult(1, 2, "a", None, outcome)])
    assert read(path)[0]["pki_status"] == name


@pytest.mark.parametrize(
    ("serial", "digits"),
    [(0, "00"), (15, "0F"), (0x1234, "1234"), (-1, "'-01"), (1 << 158, "4" + "0" * 39)],
)
def test_the_serial_has_whole_octets(tmp_path: Path, serial: int, digits: str) -> None:
    path = tmp_path / "results.csv"
    outcome = Outcome(OutcomeClass.ISSUED)
    write_results(path, [RowResult(1, 2, "a", None, outcome, serial=serial)])
    assert read(path)[0]["serial"] == digits


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl in PATH")
@pytest.mark.parametrize("serial", [1, 0xA1, 0xABC, (1 << 159) - 1])
def test_the_serial_is_what_openssl_prints(tmp_path: Path, serial: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), serial, start, start + dt.timedelta(days=1)
    ).sign(key, hashes.SHA256())
    pem = tmp_path / "cert.pem"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    printed = subprocess.run(
        ["openssl", "x509", "-in", str(pem), "-noout", "-serial"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    path = tmp_path / "results.csv"
    outcome = Outcome(OutcomeClass.ISSUED)
    write_results(path, [RowResult(1, 2, "a", None, outcome, serial=serial)])
    assert printed.strip() == f"serial={read(path)[0]['serial']}"
