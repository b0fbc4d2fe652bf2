"""What is told of an end entity that is finished."""

import datetime as dt
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.errors import BulkcmpError
from bulkcmp.model import Operation, Outcome, OutcomeClass, RowResult
from bulkcmp.outputs.delivery import DeliveryLogs, DeliveryNote
from bulkcmp.outputs.results import RowFiles

FOLDER = Path("/runs/17")
NOW = dt.datetime(2027, 3, 4, 5, 6, 7, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW).public_key(key.public_key())
    return builder.sign(key, hashes.SHA256())


def note(certificate: x509.Certificate, row_id: str = "dev", key: str = "") -> DeliveryNote:
    der = certificate.public_bytes(Encoding.DER)
    result = RowResult(
        number=3,
        line=4,
        id=row_id,
        cmd=Operation.IR,
        outcome=Outcome(OutcomeClass.ISSUED),
        transaction_id="00ff",
        certificate=der,
        chain=(der, der),
        serial=0xABC,
        subject="CN=dev",
        not_after=NOW,
    )
    return DeliveryNote("1a2b", FOLDER, result, RowFiles("certs/dev.pem", key), attempt=2)


def test_environment(certificate: x509.Certificate) -> None:
    assert note(certificate, key="certs/dev.key.pem").environ() == {
        "BULKCMP_TOKEN": "1a2b-3-00ff",
        "BULKCMP_ATTEMPT": "2",
        "BULKCMP_RUN": "1a2b",
        "BULKCMP_FOLDER": "/runs/17",
        "BULKCMP_ROW": "3",
        "BULKCMP_LINE": "4",
        "BULKCMP_ID": "dev",
        "BULKCMP_CMD": "ir",
        "BULKCMP_OUTCOME": "issued",
        "BULKCMP_SERIAL": "0ABC",
        "BULKCMP_SUBJECT": "CN=dev",
        "BULKCMP_NOT_AFTER": "2027-03-04T05:06:07Z",
        "BULKCMP_SHA256": certificate.fingerprint(hashes.SHA256()).hex(),
        "BULKCMP_CERTIFICATE": "/runs/17/certs/dev.pem",
        "BULKCMP_KEY": "/runs/17/certs/dev.key.pem",
    }


def test_document(certificate: x509.Certificate) -> None:
    line = note(certificate, "a\nb\0\udce4").document()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    document = json.loads(line)
    assert document["schema"] == "bulkcmp/delivery/1"
    # as it is: JSON can say it
    assert document["id"] == "a\nb\0\udce4"
    assert (document["row"], document["attempt"], document["key"]) == (3, 2, "")
    pem = certificate.public_bytes(Encoding.PEM).decode()
    assert document["certificate_pem"] == pem
    assert document["chain_pem"] == 2 * pem


def test_variables_are_texts_that_a_process_can_have(certificate: x509.Certificate) -> None:
    told = note(certificate, "a\nb\0\udce4").environ()
    assert told["BULKCMP_ID"] == r"a\nb\x00\udce4"
    assert told["BULKCMP_KEY"] == ""


def test_logs(tmp_path: Path) -> None:
    logs = DeliveryLogs(tmp_path)
    logs.remove("../a")
    logs.write("../a", b"first")
    logs.write("../a", b"last")
    (path,) = (tmp_path / "deliveries").iterdir()
    assert path.read_bytes() == b"last"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    logs.remove("../a")
    assert not path.exists()


def test_logs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "deliveries").write_text("a file")
    logs = DeliveryLogs(tmp_path)
    with pytest.raises(BulkcmpError, match="can't be written"):
        logs.write("a", b"")
    with pytest.raises(BulkcmpError, match="can't be written"):
        logs.remove("a")
