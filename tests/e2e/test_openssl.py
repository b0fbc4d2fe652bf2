"""bulkcmp against OpenSSL's own CMP server, which returns one fixed certificate.

The row asks with that certificate's key and subject. The server has one transaction at a time.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, RunFolder, Tools, WritePopulation

pytestmark = pytest.mark.peer

SUBJECT = "/CN=ee/O=Acme/C=SE"


@pytest.fixture
def pki(tmp_path: Path, tools: "Tools") -> Path:
    """A folder with a CA (ca.pem, ca.key), its device (ee.*) and a client of its (cl.*)."""
    folder = tmp_path / "pki"
    folder.mkdir()
    listed = subprocess.run(
        [tools.program("openssl"), "cmp", "-help"], capture_output=True, check=False
    )
    tools.need(listed.returncode == 0, "this machine's openssl has no cmp")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    ca = (folder / "ca.pem", folder / "ca.key")
    tools.openssl(
        "req", "-x509", *curve, "-subj", "/CN=Peer CA", "-days", "30", "-keyout", ca[1],
        "-out", ca[0], "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
    )  # fmt: skip
    for name, subject in (("ee", SUBJECT), ("cl", "/CN=client")):
        request = ("-subj", subject, "-keyout", folder / f"{name}.key")
        tools.openssl("req", *curve, *request, "-out", folder / f"{name}.csr")
        tools.openssl(
            "x509", "-req", "-in", folder / f"{name}.csr", "-CA", ca[0], "-CAkey", ca[1],
            "-days", "30", "-out", folder / f"{name}.pem", "-extfile", _extensions(folder),
        )  # fmt: skip
    return folder


def _extensions(folder: Path) -> Path:
    path = folder / "extensions"
    path.write_text(
        "keyUsage=critical,digitalSignature\n"
        "subjectKeyIdentifier=hash\n"
        "authorityKeyIdentifier=keyid\n"
    )
    return path


@contextmanager
def serving(pki: Path, tools: "Tools", *options: object) -> Iterator[str]:
    """OpenSSL's server; gives its URL."""
    port = tools.free_port()
    command = [
        "openssl", "cmp", "-config", "", "-port", port, "-srv_ref", "ref",
        "-srv_secret", "pass:pw", "-srv_cert", "ca.pem", "-srv_key", "ca.key",
        "-rsp_cert", "ee.pem", "-rsp_capubs", "ca.pem", *options,
    ]  # fmt: skip
    log = pki / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            list(map(str, command)), cwd=pki, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        # a probe of the port would be taken for a client
        listening = f"0100007F:{port:04X}", f"00000000:{port:04X}", f"{'0' * 32}:{port:04X}"
        end = time.monotonic() + 10
        while not any(place in _listeners() for place in listening):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/pkix/"
    finally:
        process.kill()
        process.wait()


def _listeners() -> set[str]:
    """Local addresses of listening TCP sockets, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(fields[1])
    return found


def enroll(
    cli: "Cli", pki: Path, run: "RunFolder", url: str, *options: object, code: int = 0
) -> dict[str, str]:
    """Enroll the device; its row of results.csv."""
    cli(
        "enroll", "devices.csv", "--server", url, "--trusted", pki / "ca.pem", "--out", run.path,
        "--concurrency", "1", "--workers", "1", "--retry-reused", "--msg-timeout", "10",
        *options, code=code,
    )  # fmt: skip
    (row,) = run.results()
    return row


@pytest.fixture(autouse=True)
def _population(pki: Path, write_population: "WritePopulation") -> None:
    write_population(lines=["id,subject,newkey", f"ee,{SUBJECT},{pki / 'ee.key'}"])


MAC = ("--ref", "ref", "--secret", "pass:pw")


def test_mac_protection(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, tools) as url:
        row = enroll(cli, pki, run, url, *MAC)
    assert (row["outcome"], row["pki_status"]) == ("issued", "accepted")
    tools.verify(pki / "ca.pem", [run.path / row["cert_file"]])
    expected = tools.openssl("x509", "-in", pki / "ee.pem", "-noout", "-serial")
    assert expected.strip() == f"serial={row['serial']}"
    assert row["confirm_s"] != ""


def test_signature_protection(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, tools, "-srv_trusted", "ca.pem") as url:
        credential = ("--cert", pki / "cl.pem", "--key", pki / "cl.key")
        row = enroll(cli, pki, run, url, *credential)
    assert row["outcome"] == "issued"
    assert row["confirm_s"] != ""


def test_polling(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, tools, "-poll_count", "2", "-check_after", "1") as url:
        row = enroll(cli, pki, run, url, *MAC)
    assert row["outcome"] == "issued"
    assert float(row["polling_s"]) >= 1


def test_implicit_confirmation(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, tools, "-grant_implicitconf") as url:
        row = enroll(cli, pki, run, url, *MAC, "--implicit-confirm")
    assert row["outcome"] == "issued"
    assert row["confirm_s"] == ""


def test_implicit_confirmation_that_is_not_granted(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools"
) -> None:
    with serving(pki, tools) as url:
        row = enroll(cli, pki, run, url, *MAC, "--implicit-confirm")
    assert row["outcome"] == "issued"
    assert row["confirm_s"] != ""


def test_rejection(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    answer = ("-pkistatus", "2", "-failure", "9", "-statusstring", "not today")
    with serving(pki, tools, *answer) as url:
        row = enroll(cli, pki, run, url, *MAC, code=1)
    assert (row["outcome"], row["pki_status"]) == ("rejected", "rejection")
    assert (row["fail_info"], row["status_text"]) == ("badPOP", "not today")


def test_wrong_secret(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, tools) as url:
        row = enroll(cli, pki, run, url, "--ref", "ref", "--secret", "pass:wrong", code=1)
    assert row["outcome"] in ("credentials refused", "rejected, unauthenticated")
    assert row["cert_file"] == ""


def test_update_of_the_device(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools", write_population: "WritePopulation"
) -> None:
    write_population(lines=["id,cmd,newkey", f"ee,kur,{pki / 'ee.key'}"])
    with serving(pki, tools, "-srv_trusted", "ca.pem") as url:
        credential = ("--cert", pki / "ee.pem", "--key", pki / "ee.key")
        row = enroll(cli, pki, run, url, *credential)
    assert row["outcome"] == "issued"


def test_csr(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools", write_population: "WritePopulation"
) -> None:
    write_population(lines=["id,csr", f"ee,{pki / 'ee.csr'}"])
    with serving(pki, tools) as url:
        row = enroll(cli, pki, run, url, *MAC)
    assert (row["cmd"], row["outcome"]) == ("p10cr", "issued")


@pytest.mark.parametrize("secret", [(), MAC], ids=["signed answers", "answers of either kind"])
def test_unprotected_requests(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools", secret: tuple[str, ...]
) -> None:
    with serving(pki, tools, "-accept_unprotected") as url:
        row = enroll(cli, pki, run, url, "--unprotected-requests", *secret)
    assert row["outcome"] == "issued"
    assert row["confirm_s"] != ""


def test_unprotected_requests_are_refused_where_they_are_not_taken(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools"
) -> None:
    with serving(pki, tools) as url:
        row = enroll(cli, pki, run, url, "--unprotected-requests", code=1)
    assert row["outcome"] != "issued"
    assert row["cert_file"] == ""


def test_all_that_a_template_may_have(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools"
) -> None:
    with serving(pki, tools) as url:
        row = enroll(
            cli, pki, run, url, *MAC,
            "--issuer", "/CN=Peer CA",
            "--sans", "critical,{id}.example,otherName:1.2.3.4;UTF8:{id}",
            "--keyusage", "critical,digitalSignature",
            "--extkeyusage", "clientAuth,1.2.3.4",
            "--policy-oids", "1.2.3=https://acme.example/cps,anyPolicy",
            "--extensions", "1.2.3.4:critical=UTF8:{id},1.2.3.5=DER:0500",
            "--not-before", "2027-01-31", "--not-after", "99991231235959Z",
            "--regtoken", "pass:t0ken", "--authenticator", "pass:Smith",
            "--reginfo", "version?1%corp_company?{id}%",
        )  # fmt: skip
    assert row["outcome"] == "issued"
    assert b"t0ken" not in run.all_bytes()
    assert b"Smith" not in run.all_bytes()
