"""bulkcmp against OpenSSL's own CMP server, which returns one fixed certificate.

The row asks with that certificate's key and subject. The server has one transaction at a time.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.openssl import missing, mock_server

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, RunFolder, Tools, WritePopulation

pytestmark = pytest.mark.peer

SUBJECT = "/CN=ee/O=Acme/C=SE"


@pytest.fixture
def pki(tmp_path: Path, tools: "Tools") -> Path:
    """A folder with a CA (ca.pem, ca.key), its device (ee.*) and a client of its (cl.*)."""
    folder = tmp_path / "pki"
    folder.mkdir()
    tools.need(missing() is None, str(missing()))
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


def serving(pki: Path, *options: object) -> AbstractContextManager[str]:
    """OpenSSL's server; gives its URL."""
    return mock_server(
        pki, "-srv_ref", "ref", "-srv_secret", "pass:pw", "-srv_cert", "ca.pem",
        "-srv_key", "ca.key", "-rsp_cert", "ee.pem", "-rsp_capubs", "ca.pem", *options,
    )  # fmt: skip


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
    with serving(pki) as url:
        row = enroll(cli, pki, run, url, *MAC)
    assert (row["outcome"], row["pki_status"]) == ("issued", "accepted")
    tools.verify(pki / "ca.pem", [run.path / row["cert_file"]])
    expected = tools.openssl("x509", "-in", pki / "ee.pem", "-noout", "-serial")
    assert expected.strip() == f"serial={row['serial']}"
    assert row["confirm_s"] != ""


def test_the_shipped_profile(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki) as url:
        server = url.removesuffix("/pkix/")
        cli(
            "enroll", "devices.csv", "--config", "openssl-mock", "--server", server, "--trusted",
            pki / "ca.pem", "--out", run.path, *MAC,
        )  # fmt: skip
    assert run.outcomes() == {("issued", "")}


def test_signature_protection(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, "-srv_trusted", "ca.pem") as url:
        credential = ("--cert", pki / "cl.pem", "--key", pki / "cl.key")
        row = enroll(cli, pki, run, url, *credential)
    assert row["outcome"] == "issued"
    assert row["confirm_s"] != ""


def test_polling(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, "-poll_count", "2", "-check_after", "1") as url:
        row = enroll(cli, pki, run, url, *MAC)
    assert row["outcome"] == "issued"
    assert float(row["polling_s"]) >= 1


def test_implicit_confirmation(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki, "-grant_implicitconf") as url:
        row = enroll(cli, pki, run, url, *MAC, "--implicit-confirm")
    assert row["outcome"] == "issued"
    assert row["confirm_s"] == ""


def test_implicit_confirmation_that_is_not_granted(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools"
) -> None:
    with serving(pki) as url:
        row = enroll(cli, pki, run, url, *MAC, "--implicit-confirm")
    assert row["outcome"] == "issued"
    assert row["confirm_s"] != ""


def test_rejection(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    answer = ("-pkistatus", "2", "-failure", "9", "-statusstring", "not today")
    with serving(pki, *answer) as url:
        row = enroll(cli, pki, run, url, *MAC, code=1)
    assert (row["outcome"], row["pki_status"]) == ("rejected", "rejection")
    assert (row["fail_info"], row["status_text"]) == ("badPOP", "not today")


def test_wrong_secret(cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools") -> None:
    with serving(pki) as url:
        row = enroll(cli, pki, run, url, "--ref", "ref", "--secret", "pass:wrong", code=1)
    assert row["outcome"] in ("credentials refused", "rejected, unauthenticated")
    assert row["cert_file"] == ""


def test_update_of_the_device(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools", write_population: "WritePopulation"
) -> None:
    write_population(lines=["id,cmd,newkey", f"ee,kur,{pki / 'ee.key'}"])
    with serving(pki, "-srv_trusted", "ca.pem") as url:
        credential = ("--cert", pki / "ee.pem", "--key", pki / "ee.key")
        row = enroll(cli, pki, run, url, *credential)
    assert row["outcome"] == "issued"


def test_csr(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools", write_population: "WritePopulation"
) -> None:
    write_population(lines=["id,csr", f"ee,{pki / 'ee.csr'}"])
    with serving(pki) as url:
        row = enroll(cli, pki, run, url, *MAC)
    assert (row["cmd"], row["outcome"]) == ("p10cr", "issued")


@pytest.mark.parametrize("secret", [(), MAC], ids=["signed answers", "answers of either kind"])
def test_unprotected_requests(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools", secret: tuple[str, ...]
) -> None:
    with serving(pki, "-accept_unprotected") as url:
        row = enroll(cli, pki, run, url, "--unprotected-requests", *secret)
    assert row["outcome"] == "issued"
    assert row["confirm_s"] != ""


def test_unprotected_requests_are_refused_where_they_are_not_taken(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools"
) -> None:
    with serving(pki) as url:
        row = enroll(cli, pki, run, url, "--unprotected-requests", code=1)
    assert row["outcome"] != "issued"
    assert row["cert_file"] == ""


def test_all_that_a_template_may_have(
    cli: "Cli", pki: Path, run: "RunFolder", tools: "Tools"
) -> None:
    with serving(pki) as url:
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


@pytest.mark.parametrize(
    ("cmd", "options"),
    [
        ("ir", "-ref ref -secret pass:pw -newkey ee.key -subject '{subject}'"),
        ("ir", "-user ref -pass pw -newkey ee.key -subject '{subject}'"),
        ("cr", "-cert cl.pem -key cl.key -newkey ee.key -subject '{subject}' -implicit_confirm"),
        ("kur", "-cert ee.pem -key ee.key"),
    ],
)
def test_command_lines_of_openssl_cmp(
    cli: "Cli", pki: Path, tools: "Tools", cmd: str, options: str
) -> None:
    cli.environ["CMP_SECRET"] = "pw"
    cli.folder = pki
    with serving(pki, "-srv_trusted", "ca.pem") as url:
        given = options.format(subject=SUBJECT)
        command = f"openssl cmp -cmd {cmd} -server {url} -trusted ca.pem -certout c.pem {given}"
        (pki / "mock.toml").write_text(cli("profiles", "from-openssl", command).out)
        profiles = ("--config", "openssl-mock", "--config", "mock.toml")
        said = cli("probe", *profiles, "--certout", "c.pem").out
    assert "\noutcome: issued\n" in said
    assert f"sent: {cmd}:" in said
    assert tools.openssl("x509", "-in", pki / "c.pem") == tools.openssl(
        "x509", "-in", pki / "ee.pem"
    )
