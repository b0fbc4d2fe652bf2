import csv
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from typer.testing import CliRunner

from bulkcmp.cli.ca import app
from bulkcmp.cmp.asn1 import decode
from bulkcmp.cmp.general import (
    ALG_ID,
    CERT_REQ_TEMPLATE,
    ROOT_CA_KEY_UPDATE,
    RSA_KEY_LEN,
    CertReqTemplateContent,
    RootCaKeyUpdate,
)
from bulkcmp.cmp.messages import name_of
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import Secret
from bulkcmp.testca.aliases import ALIASES
from bulkcmp.testca.state import open_books
from bulkcmp.testca.store import EndEntityStatus, Registration

SUBJECT = "/CN=dev1/O=Acme/C=SE"


def ok(*arguments: str | Path, environ: dict[str, str] | None = None) -> str:
    """Run the command; its stdout."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], env=environ)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def refused(*arguments: str | Path) -> BulkcmpError:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(done.exception, BulkcmpError), done.output
    return done.exception


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    folder = tmp_path / "ca"
    ok("init", "--state", folder)
    return folder


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    path = tmp_path / "devices.csv"
    path.write_text("id,subject,secret\n1,/CN=dev1/O=Acme,pass:pw1\n2,/CN=dev2/O=Acme,\n")
    return path


def registered(ca: Path, user: str) -> Registration | None:
    store = open_books(ca)
    try:
        return store.registration(user)
    finally:
        store.close()


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """`bulkcmp ca serve` as a user starts it, and the lines with which it greets."""
    command = [sys.executable, "-c", "from bulkcmp.cli.main import main; main()", "ca", "serve"]
    with subprocess.Popen(
        [*command, "--state", str(folder), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            count = len(ALIASES) + options.count("--mac-key") + 3
            lines = [process.stdout.readline().strip() for _ in range(count)]
            yield process, lines
        finally:
            process.kill()


def test_init_makes_a_ca_once(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    assert ok("init", "--state", folder, "--ca-key", "ed25519").startswith("made a CA")
    assert ok("init", "--state", folder).startswith("there is a CA")
    text = subprocess.run(
        ["openssl", "x509", "-in", folder / "ca.pem", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Public Key Algorithm: ED25519" in text
    assert "is not a key spec" in str(refused("init", "--state", folder, "--ca-key", "x"))


def test_serve_makes_the_ca_and_tells_where_everything_is(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    with serve(folder) as (process, lines):
        url = lines[-1].split()[2].rstrip(",")
        at = {line.split()[0]: line.split()[1] for line in lines[:-3]}
        assert list(at) == list(ALIASES)
        assert lines[-3] == f"trust anchor     {folder / 'ca.pem'}"
        assert lines[-2] == f"CRL              {url}/ca.crl"
        assert len(x509.load_der_x509_crl(httpx.get(lines[-2].split()[1]).content)) == 0
        for address in at.values():
            response = httpx.post(address, content=b"x")
            assert response.headers["content-type"] == "application/pkixcmp"
        assert at["ra-hmac"] == url + "/ejbca/publicweb/cmp/ra-hmac"
        # entries made while it runs
        ok(
            "add-end-entity", "--state", folder, "--user", "dev1", "--secret", "pass:pw1",
            "--subject", SUBJECT,
        )  # fmt: skip
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


def test_serve_can_be_told_its_limits(tmp_path: Path) -> None:
    with serve(tmp_path / "ca", "--max-connections", "1", "--request-timeout", "1") as (_, lines):
        port = int(lines[-1].split()[2].rstrip(",").rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as first,
            socket.create_connection(("127.0.0.1", port), timeout=20) as second,
        ):
            # one too many, and one whose request does not come
            for connection in (second, first):
                with suppress(ConnectionError):
                    assert connection.recv(1) == b""


def test_serve_makes_keys_for_macs_once(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    made: list[bytes] = []
    for _ in range(2):
        with serve(folder, "--mac-key", "x25519", "--mac-key", "ml-kem-768") as (_, lines):
            files = {line.split()[0]: Path(line.split()[1]) for line in lines[-4:-2]}
        assert files == {
            "x25519": folder / "mac-x25519.pem",
            "ml-kem-768": folder / "mac-ml-kem-768.pem",
        }
        made.append(b"".join(file.read_bytes() for file in files.values()))
    assert made[0] == made[1]


def test_serve_warns_where_others_can_reach_it(tmp_path: Path) -> None:
    with serve(tmp_path / "ca", "--host", "0.0.0.0") as (process, _):
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert err.startswith("warning: 0.0.0.0 may be reached from other machines")


def test_vendor_certificates(ca: Path, devices: Path, tmp_path: Path) -> None:
    one, key = tmp_path / "one.pem", tmp_path / "one.key"
    said = ok("vendor-cert", "--state", ca, "--subject", SUBJECT, "--certout", one, "--keyout", key)
    assert said == f"wrote {one} and {key}\n"
    out = tmp_path / "devices"
    assert "made 2 devices" in ok("vendor-cert", "--state", ca, "--csv", devices, "--out", out)
    rows = list(csv.DictReader(io.StringIO((out / "devices.csv").read_text())))
    assert [(row["id"], row["cert"], row["key"]) for row in rows] == [
        ("1", "1.pem", "1.key"),
        ("2", "2.pem", "2.key"),
    ]
    for path in (one, out / "1.pem", out / "2.pem"):
        anchor = str(ca / "vendor-root.pem")
        command = ["openssl", "verify", "-CAfile", anchor, "-untrusted", str(path), str(path)]
        assert subprocess.run(command, capture_output=True, check=True).stdout
        assert path.read_text().count("BEGIN CERTIFICATE") == 2
    for path in (key, out / "1.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for options in (["--subject", SUBJECT], ["--csv", devices], ["--csv", devices, "--out", out,
                    "--certout", one]):  # fmt: skip
        assert isinstance(refused("vendor-cert", "--state", ca, *options), InputError)


def test_serve_like_ejbca(tmp_path: Path) -> None:
    with serve(tmp_path / "ca", "--like", "ejbca") as (_, lines):
        url = lines[-1].split()[2].rstrip(",")
        garbage = httpx.post(url + "/ejbca/publicweb/cmp/ra-hmac", content=b"x")
    assert b"Not a valid CMP message." in garbage.content
    problem = refused("serve", "--state", tmp_path / "ca", "--like", "ejbca", "--poll-count", "1")
    assert "poll count" in str(problem)


def test_serve_passes_the_knobs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("bulkcmp.cli.ca.serve_ca", lambda settings, _: seen.append(settings))
    common = ["serve", "--state", str(tmp_path / "ca")]
    ok(
        *common, "--delay", "0.5", "--poll-count", "2", "--poll-every", "3", "--poll-whole",
        "--check-after", "3",
        "--nonce-after-polling", "request", "--reject", "badTime", "--reject-every", "4",
        "--no-implicit-confirm", "--unprotected-errors", "--sign-answers", "--p10cr-id", "0",
        "--time-tolerance", "60", "--strict", "--unique-keys", "--pwri-kek",
        "--bare-keys",
        "--one-shot", "client-hmac", "--one-shot", "client-cert",
    )  # fmt: skip
    ok(*common, "--reject-every", "2", "--mac-answers", "--url", "http://ca.test")
    ok(*common)
    assert [settings.url for settings in seen] == [None, "http://ca.test", None]
    told, every, plain = (settings.behaviour for settings in seen)
    assert (told.delay, told.poll_count, told.check_after, told.polling_nonce) == (
        0.5, 2, 3, "request",
    )  # fmt: skip
    assert (told.strict, told.unique_keys, told.poll_whole) == (True, True, True)
    assert (told.pwri_kek, plain.pwri_kek) == (True, False)
    assert (told.bare_keys, plain.bare_keys) == (True, False)
    assert (plain.strict, plain.unique_keys) == (False, False)
    assert (told.reject, told.reject_every, told.poll_every) == ("badTime", 4, 3)
    assert (told.implicit_confirm, told.unprotected_errors, told.sign_answers) == (
        False, True, True,
    )  # fmt: skip
    assert (told.p10cr_cert_req_id, told.time_tolerance, told.one_shot) == (0, 60, False)
    assert {name: b.one_shot for name, b in seen[0].exceptions.items()} == {
        "client-hmac": True,
        "client-cert": True,
    }
    assert (every.reject, every.reject_every, every.sign_answers) == ("badRequest", 2, False)
    assert (plain.reject, plain.sign_answers, plain.implicit_confirm) == (None, None, True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--one-shot", "cmp"], "no alias 'cmp'"),
        (["--reject", "badMood"], "'badMood' is no failInfo"),
        (["--tls-key", "k.pem"], "without a certificate"),
        (["--host", "256.0.0.1"], "can't listen on 256.0.0.1"),
        (["--mac-key", "rsa:2048"], "'rsa:2048' is no key for MACs"),
        (["--mac-key", "x448", "--like", "ejbca"], "EJBCA knows neither DHBasedMac"),
    ],
)
def test_serve_refuses(tmp_path: Path, options: list[str], text: str) -> None:
    error = refused("serve", "--state", tmp_path / "ca", *options)
    assert isinstance(error, InputError)
    assert text in str(error)


def test_add_end_entity(ca: Path) -> None:
    one = ["add-end-entity", "--state", str(ca), "--user", "dev1", "--subject", SUBJECT]
    said = ok(*one, "--secret", "env:PW", environ={"PW": "pw1"})
    assert said == "registered 1 end entity for client-hmac\n"
    expected = Registration("dev1", "client-hmac", parse_name(SUBJECT), Secret(b"pw1"))
    assert registered(ca, "dev1") == expected
    error = refused(*one, "--secret", "pass:other")
    assert "registered already" in str(error)
    ok(*one, "--secret", "pass:other", "--replace")
    changed = registered(ca, "dev1")
    assert changed is not None
    assert (changed.secret, changed.status) == (Secret(b"other"), EndEntityStatus.NEW)
    ok(
        "add-end-entity", "--state", ca, "--alias", "client-cert", "--user", "dev2", "--subject",
        "/CN=dev2",
    )  # fmt: skip
    assert registered(ca, "dev2") is not None


def test_add_end_entities_of_a_csv(ca: Path, devices: Path) -> None:
    error = refused("add-end-entity", "--state", ca, "--csv", devices)
    assert f"{devices}:3, column secret: end entity 'dev2' has no secret" in str(error)
    assert registered(ca, "dev1") is None
    said = ok("add-end-entity", "--state", ca, "--csv", devices, "--secret", "pass:all")
    assert said == "registered 2 end entities for client-hmac\n"
    one, two = registered(ca, "dev1"), registered(ca, "dev2")
    assert one is not None
    assert two is not None
    assert (one.secret, two.secret) == (Secret(b"pw1"), Secret(b"all"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "who?"),
        (["--user", "dev1"], "who?"),
        (["--user", "dev1", "--subject", SUBJECT], "wants a secret"),
        (["--user", "dev1", "--subject", "x"], "x"),
        (["--user", "dev1", "--csv", "x.csv"], "exclude each other"),
        (["--alias", "ra-hmac", "--user", "dev1", "--subject", SUBJECT], "the RA registers"),
    ],
)
def test_add_end_entity_refuses(ca: Path, options: list[str], text: str) -> None:
    error = refused("add-end-entity", "--state", ca, *options)
    assert isinstance(error, InputError)
    assert text in str(error)


def test_show_json(ca: Path) -> None:
    facts = json.loads(ok("show", "--state", ca, "--json"))
    assert Path(facts["trust_anchor"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE")
    assert set(facts["aliases"]) == {
        "client-hmac",
        "client-cert",
        "client-regtoken",
        "3gpp",
        "ra-hmac",
        "ra-cert",
        "nested",
    }
    assert "/ejbca/publicweb/cmp/client-hmac" in facts["aliases"]["client-hmac"]["paths"]
    assert "/.well-known/cmp" in facts["aliases"]["ra-hmac"]["paths"]
    assert len(bytes.fromhex(facts["aliases"]["ra-hmac"]["secret"])) == 16
    assert facts["aliases"]["ra-hmac"]["ref"]
    for name in ("cert", "key"):
        assert Path(facts["aliases"]["ra-cert"][name]).is_file()
    assert facts["certificates"] == {
        "pending confirmation": 0,
        "confirmed": 0,
        "rejected": 0,
        "revoked": 0,
    }
    assert (facts["end_entities"], facts["open_transactions"]) == ({}, 0)


def test_show_for_people(ca: Path) -> None:
    said = ok("show", "--state", ca)
    facts = json.loads(ok("show", "--state", ca, "--json"))
    assert f"  secret: {facts['aliases']['ra-hmac']['secret']}\n" in said
    assert f"trust anchor: {ca / 'ca.pem'}\n" in said
    assert "ra-cert: RA mode, certificate\n" in said
    assert "end entities: none\n" in said


@pytest.mark.parametrize("command", ["show", "issued", "recipes"])
def test_without_a_ca(tmp_path: Path, command: str) -> None:
    error = refused(command, "--state", tmp_path / "none")
    assert isinstance(error, InputError)
    assert error.hint is not None
    assert "bulkcmp ca init" in error.hint
    assert not (tmp_path / "none").exists()


def test_issued(ca: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(ok("issued", "--state", ca))))
    assert rows == list(csv.DictReader(io.StringIO(ok("issued", "--state", ca, "--csv"))))
    (row,) = rows
    serial = subprocess.run(
        ["openssl", "x509", "-in", ca / "ra.pem", "-noout", "-serial"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"serial={row['serial']}\n" == serial
    assert (row["subject"], row["alias"], row["user"], row["status"]) == (
        "CN=bulkcmp test RA,O=bulkcmp", "ra-cert", "", "confirmed",
    )  # fmt: skip
    (fact,) = json.loads(ok("issued", "--state", ca, "--json"))
    assert {key: value or "" for key, value in fact.items()} == row
    assert "exclude each other" in str(refused("issued", "--state", ca, "--json", "--csv"))


def test_recipes(ca: Path) -> None:
    said = ok("recipes", "--state", ca, "--url", "https://[::1]:99")
    assert said.count("\nopenssl cmp ") == 7
    assert "-server '[::1]:99' -tls_used -path ejbca/publicweb/cmp/client-hmac" in said
    assert "# before OpenSSL 3.0: openssl cmp -cmd ir" in said
    assert "-user dev1 -pass pw1 " in said
    for url in ("127.0.0.1:8829", "http://", "http://x:99999"):
        assert "URL" in str(refused("recipes", "--state", ca, "--url", url))


def test_export_for_an_ejbca(devices: Path, tmp_path: Path) -> None:
    error = refused("export-preregistration", devices, "--format", "ejbca-sh")
    assert f"{devices}:3, column secret: end entity 'dev2' has no secret" in str(error)
    script, secrets = tmp_path / "register.sh", tmp_path / "secrets.csv"
    said = ok(
        "export-preregistration", devices, "--format", "ejbca-sh", "-o", script, "--secrets",
        secrets, "--caname", "My CA", "--eeprofile", "EE",
    )  # fmt: skip
    assert said == ""
    for path in (script, secrets):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (_, one), (_, two) = (
        (row["id"], row["secret"].removeprefix("pass:"))
        for row in csv.DictReader(io.StringIO(secrets.read_text()))
    )
    assert one == "pw1"
    # a stand-in for EJBCA's command that shows its arguments
    tool = tmp_path / "ejbca.sh"
    tool.write_text('#!/bin/sh\nprintf "[%s]" "$@"\necho\n')
    tool.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e", script], env=environ, capture_output=True, text=True, check=True
    )
    expected = [
        "[ra][addendentity][--username][dev{0}][--dn][O=Acme,CN=dev{0}][--caname][My CA][--type][1]"
        "[--token][USERGENERATED][--password][{1}][--eeprofile][EE]",
        "[ra][setclearpwd][--username][dev{0}][--password][{1}]",
    ]
    assert done.stdout.splitlines() == [
        line.format(number, secret) for number, secret in ((1, one), (2, two)) for line in expected
    ]


def test_export_as_csv_feeds_the_embedded_ca(ca: Path, devices: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    ok("export-preregistration", devices, "--format", "csv", "-o", out)
    ok("add-end-entity", "--state", ca, "--csv", out)
    two = registered(ca, "dev2")
    assert two is not None
    assert two.secret is not None
    assert f"2,dev2,pass:{two.secret.reveal().decode()}," in out.read_text()
    # to stdout, with templates for what the rows lack
    short = tmp_path / "short.csv"
    short.write_text("id\na1\n")
    said = ok(
        "export-preregistration", short, "--format", "csv", "--subject", "/CN={id}", "--ref",
        "{id}",
    )  # fmt: skip
    assert said.splitlines()[0] == "id,ref,secret,subject"
    assert said.splitlines()[1].startswith("a1,a1,pass:")
    assert said.splitlines()[1].endswith(",CN=a1")


def test_export_where_every_row_has_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_text("id,subject,secret\n1,/CN=dev1,pass:p w\n")
    assert ok("export-preregistration", path, "--format", "ejbca-sh") == (
        "ejbca.sh ra addendentity --username dev1 --dn CN=dev1 --caname ManagementCA --type 1"
        " --token USERGENERATED --password 'p w' &&"
        " ejbca.sh ra setclearpwd --username dev1 --password 'p w'\n"
    )


def information(ca: Path, info_type: str) -> bytes | None:
    with closing(open_books(ca)) as store:
        return store.information(info_type)


def test_root_update(ca: Path) -> None:
    assert "next-ca.pem" in ok("root-update", "--state", ca)
    value = information(ca, ROOT_CA_KEY_UPDATE)
    assert value is not None
    new = x509.load_der_x509_certificate(RootCaKeyUpdate.decode(value).new_with_new)
    assert new == x509.load_pem_x509_certificate((ca / "next-ca.pem").read_bytes())
    assert stat.S_IMODE((ca / "next-ca.key").stat().st_mode) == 0o600
    ok("root-update", "--state", ca, "--ca-key", "ed25519")
    assert information(ca, ROOT_CA_KEY_UPDATE) != value
    said = ok("root-update", "--state", ca, "--withdraw")
    assert said == "no rootCaKeyUpdate is told any more\n"
    assert information(ca, ROOT_CA_KEY_UPDATE) is None


def test_cert_req_template(ca: Path) -> None:
    fields = ["--subject", "/O=Acme", "--sans", "a.example", "--keyusage", "digitalSignature"]
    more = ["--extkeyusage", "clientAuth", "--extensions", "1.2.3=DER:0500"]
    keys = ["--newkey", "rsa:3072", "--newkey", "ec:P-256"]
    ok("cert-req-template", "--state", ca, *fields, *more, *keys)
    value = information(ca, CERT_REQ_TEMPLATE)
    assert value is not None
    content = decode(CertReqTemplateContent, value)
    assert name_of(content.certTemplate.subject or []) == parse_name("/O=Acme")
    oids = [one.extnID.dotted_string for one in content.certTemplate.extensions or ()]
    assert oids == ["2.5.29.17", "2.5.29.15", "2.5.29.37", "1.2.3"]
    assert [one.type for one in content.keySpec or ()] == [RSA_KEY_LEN, ALG_ID]
    ok("cert-req-template", "--state", ca)
    assert information(ca, CERT_REQ_TEMPLATE) == b"\x30\x02\x30\x00"
    error = refused("cert-req-template", "--state", ca, "--withdraw", "--subject", "/O=Acme")
    assert isinstance(error, InputError)
    ok("cert-req-template", "--state", ca, "--withdraw")
    assert information(ca, CERT_REQ_TEMPLATE) is None


def test_crl(ca: Path, tmp_path: Path) -> None:
    out = tmp_path / "ca.crl"
    assert ok("crl", "--state", ca, "-o", out) == f"0 revoked certificates in the CRL in {out}\n"
    pem = x509.load_pem_x509_crl(out.read_bytes())
    ok("crl", "--state", ca, "--out", out, "--der")
    assert x509.load_der_x509_crl(out.read_bytes()) == pem
    anchor = x509.load_pem_x509_certificate((ca / "ca.pem").read_bytes())
    assert pem.issuer == anchor.subject
    assert isinstance(refused("crl", "--state", tmp_path / "none", "-o", out), InputError)


@pytest.mark.parametrize(
    "url", ["ftp://ca.test", "ca.test:8829", "http://", "http://[x", "http://ä"]
)
def test_serve_refuses_a_url_that_is_none(tmp_path: Path, url: str) -> None:
    error = refused("serve", "--state", tmp_path / "ca", "--port", "0", "--url", url)
    assert "is no http or https URL" in str(error)
