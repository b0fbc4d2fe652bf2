"""`bulkcmp probe`: one transaction, shown in full."""

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, Ended, MakeCa, MakeServer, Tools, WritePopulation


def options(ca: "Ca") -> tuple[str, ...]:
    return (
        "--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET", "--trusted",
        str(ca.anchor), "--subject", "/CN={id}",
    )  # fmt: skip


def probed(ended: "Ended") -> Any:
    return json.loads(ended.out)


def test_everything_is_shown(cli: "Cli", ca: "Ca") -> None:
    ended = cli("probe", *options(ca))
    headings = re.findall(r"^(sent|received): (\w+): PKIMessage \2, DER", ended.out, re.MULTILINE)
    assert headings == [
        ("sent", "ir"),
        ("received", "ip"),
        ("sent", "certConf"),
        ("received", "pkiconf"),
    ]
    checks = re.findall(r"^  (ok|FAIL) +([\w' ]+?)(?:  .*)?$", ended.out, re.MULTILINE)
    assert {verdict for verdict, _ in checks} == {"ok"}
    assert [check for _, check in checks][:8] == [
        "message",
        "protection present",
        "protection algorithm",
        "protection's strength",
        "MAC",
        "version",
        "transactionID",
        "recipNonce",
    ]
    assert ("ok", "public key") in checks
    assert ("ok", "chain") in checks
    assert "subject: CN=probe" in ended.out
    assert "\noutcome: issued\n" in ended.out
    assert re.search(r"^times: connect .* wait .* all ", ended.out, re.MULTILINE)
    # what is not kept can be found again
    (serial,) = re.findall(r"^serial: ([0-9A-F]+)$", ended.out, re.MULTILINE)
    assert int(serial, 16) in {one.serial for one in ca.issued()}
    assert "note: the CA has issued a certificate, which is not kept" in ended.out
    assert ca.secret not in ended.out + ended.err


def test_nested_messages_are_shown_whole(cli: "Cli", ca: "Ca", tmp_path: Path) -> None:
    ra = ("--ra-cert", str(ca.folder / "ra.pem"), "--ra-key", str(ca.folder / "ra.key"))
    files = ("--certout", tmp_path / "c.pem", "--newkeyout", tmp_path / "k.pem", "--plain-keys")
    folder = tmp_path / "messages"
    ended = cli("probe", *options(ca), *ra, *files, "--save-messages", folder)
    headings = re.findall(r"^(?:sent|received): (\w+): PKIMessage \1, DER", ended.out, re.MULTILINE)
    assert headings == ["nested"] * 4
    assert len(list(folder.glob("*-nested.der"))) == 4
    for inner in ("ir", "ip", "certConf", "pkiconf"):
        assert re.search(rf"body: {inner}\b", ended.out)
    # the checks are those of the inner answers
    assert "\noutcome: issued\n" in ended.out
    assert re.search(r"^  ok +MAC", ended.out, re.MULTILINE)
    assert (tmp_path / "c.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_a_refused_nested_is_shown(cli: "Cli", ca: "Ca") -> None:
    layer = ("--ra-ref", "ra1", "--ra-secret", "pass:wrong")
    ended = cli("probe", *options(ca), *layer, code=1)
    assert re.search(r"^sent: nested: ", ended.out, re.MULTILINE)
    assert re.search(r"^received: error: ", ended.out, re.MULTILINE)
    assert re.search(r"^no answer: badMessageCheck: ", ended.out, re.MULTILINE)
    assert "\noutcome: credentials refused" in ended.out


def test_json_has_all_of_it(cli: "Cli", ca: "Ca") -> None:
    shown = probed(cli("probe", *options(ca), "--id", "dev7", "--json"))
    assert (shown["id"], shown["cmd"], shown["outcome"]) == ("dev7", "ir", "issued")
    assert [step["sent"]["type"] for step in shown["steps"]] == ["ir", "certConf"]
    assert [step["received"]["type"] for step in shown["steps"]] == ["ip", "pkiconf"]
    first = shown["steps"][0]
    assert first["received"]["inspection"]["type"] == "PKIMessage"
    assert bytes.fromhex(first["sent"]["der"])[:1] == b"\x30"
    assert {check["verdict"] for step in shown["steps"] for check in step["checks"]} == {"passed"}
    assert 0 < first["seconds"]["wait"] <= first["seconds"]["all"]
    assert shown["seconds"]["request"] > 0
    assert shown["key_seconds"] > 0
    certificate = x509.load_pem_x509_certificate(shown["certificate"].encode())
    assert certificate.subject.rfc4514_string() == "CN=dev7"
    assert f"{certificate.serial_number:X}" == shown["serial"]
    assert shown["chain"] == ca.anchor.read_text()


def test_what_is_kept(cli: "Cli", ca: "Ca", tools: "Tools", tmp_path: Path) -> None:
    names = ("certout", "chainout", "newkeyout", "cacertsout", "extracertsout")
    files = {name: tmp_path / f"{name}.pem" for name in names}
    outputs = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    ended = cli("probe", *options(ca), *outputs, "--key-pass", "env:KEY_PASS")
    assert "note:" not in ended.out
    assert b"ENCRYPTED PRIVATE KEY" in files["newkeyout"].read_bytes()
    assert files["newkeyout"].stat().st_mode & 0o077 == 0
    password = tools.passphrase.encode()
    key = load_pem_private_key(files["newkeyout"].read_bytes(), password)
    certificate = x509.load_pem_x509_certificate(files["certout"].read_bytes())
    assert certificate.public_key() == key.public_key()
    anchor = ca.anchor.read_text()
    for name in ("chainout", "cacertsout", "extracertsout"):
        assert files[name].read_text() == anchor


def test_a_key_that_the_ca_made_is_kept(
    cli: "Cli", ca: "Ca", tools: "Tools", tmp_path: Path
) -> None:
    key_file, certificate_file = tmp_path / "key.pem", tmp_path / "cert.pem"
    kept = ("--certout", certificate_file, "--newkeyout", key_file, "--key-pass", "env:KEY_PASS")
    ended = cli("probe", *options(ca), "--centralkeygen", *kept)
    assert "private key decrypted" in ended.out
    assert "key generation authority" in ended.out
    assert key_file.stat().st_mode & 0o077 == 0
    key = load_pem_private_key(key_file.read_bytes(), tools.passphrase.encode())
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    assert certificate.public_key() == key.public_key()
    # and who keeps the certificate alone is told
    alone = ("--certout", tmp_path / "c.pem", "--centralkeygen")
    ended = cli("probe", *options(ca), *alone, code=2)
    assert "the certificate's private key would be lost" in ended.err


def test_the_key_is_kept_before_the_request_leaves(
    cli: "Cli", ca: "Ca", make_server: "MakeServer", tmp_path: Path
) -> None:
    key, seen = tmp_path / "key.pem", []

    def answer(_number: int, _body: bytes) -> bytes | None:
        seen.append(key.read_bytes())
        return None

    given = (*options(ca), "--server", make_server(answer).url)
    kept = ("--newkeyout", key, "--plain-keys", "--certout", tmp_path / "cert.pem")
    ended = cli("probe", *given, *kept, code=1)
    assert seen == [key.read_bytes()]
    assert not (tmp_path / "cert.pem").exists()
    assert "no answer: connection lost" in ended.out
    assert "outcome: unknown outcome: connection lost" in ended.out
    assert "hint: the CA may have issued" in ended.out


def test_messages_are_saved_for_inspect(cli: "Cli", ca: "Ca", tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    shown = probed(cli("probe", *options(ca), "--save-messages", folder, "--json"))
    names = ["01-ir.der", "02-ip.der", "03-certConf.der", "04-pkiconf.der"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "02-ip.der").read_bytes().hex() == shown["steps"][0]["received"]["der"]
    inspected = cli("inspect", folder).out
    assert re.findall(r"^.*/(\S+): PKIMessage", inspected, re.MULTILINE) == names

    before = ca.count()
    ended = cli("probe", *options(ca), "--save-messages", folder, code=2)
    assert "is not an empty folder" in ended.err
    assert ca.count() == before


def test_polling_is_shown(cli: "Cli", make_ca: "MakeCa") -> None:
    ca = make_ca(Behaviour(poll_count=2))
    shown = probed(cli("probe", *options(ca), "--json"))
    steps = [(step["sent"]["type"], step["received"]["type"]) for step in shown["steps"]]
    assert steps == [
        ("ir", "ip"),
        ("pollReq", "pollRep"),
        ("pollReq", "ip"),
        ("certConf", "pkiconf"),
    ]
    assert "checkAfter" in {check["check"] for check in shown["steps"][1]["checks"]}
    assert shown["seconds"]["polling"] >= 1


def test_a_refusal_is_explained(cli: "Cli", ca: "Ca") -> None:
    ended = cli("probe", *options(ca), "--secret", "pass:wrong", code=1)
    assert "\noutcome: credentials refused: badMessageCheck\n" in ended.out
    assert "EJBCA: the MAC is by another secret" in ended.out
    assert "note:" not in ended.out


def test_a_failed_check_has_its_reason_and_a_hint(
    cli: "Cli", ca: "Ca", make_server: "MakeServer", tools: "Tools"
) -> None:
    def answer(_number: int, body: bytes) -> bytes | None:
        head, _, message = tools.forward(ca, body).partition(b"\r\n\r\n")
        return head + b"\r\n\r\n" + message[:-1] + b"\0"

    given = (*options(ca), "--server", make_server(answer).url)
    shown = probed(cli("probe", *given, "--json", code=1))
    last = shown["steps"][-1]["checks"][-1]
    assert (last["verdict"], last["reason"]) == ("failed", shown["reason"])
    assert last["detail"] == shown["detail"]
    assert last["hint"]


def test_an_answer_that_is_no_message(
    cli: "Cli", ca: "Ca", make_server: "MakeServer", tools: "Tools", tmp_path: Path
) -> None:
    octets = tools.http_answer("200 OK", "application/pkixcmp", b"\x1b[31mzzzz")
    given = (*options(ca), "--server", make_server(lambda *_: octets).url)
    ended = cli("probe", *given, "--save-messages", tmp_path / "messages", code=1)
    assert "received: answer: 9 octets that can't be shown" in ended.out
    assert "  FAIL  message" in ended.out
    assert "\x1b" not in ended.out
    assert (tmp_path / "messages" / "02-answer.der").read_bytes() == b"\x1b[31mzzzz"


def test_a_row_of_a_population(cli: "Cli", ca: "Ca", write_population: "WritePopulation") -> None:
    file = write_population(lines=["id,subject", "a,/CN=first", "b,/CN=second", "c,nonsense"])
    given = [text for text in options(ca) if text not in ("--subject", "/CN={id}")]
    assert probed(cli("probe", file, *given, "--json"))["id"] == "a"
    ended = cli("probe", file, *given, "--id", "b")
    assert "subject: CN=second" in ended.out
    before = ca.count()
    assert "has no row with the id 'x'" in cli("probe", file, *given, "--id", "x", code=2).err
    assert "column subject" in cli("probe", file, *given, "--id", "c", code=2).err
    assert ca.count() == before


def test_what_was_issued_can_be_revoked(cli: "Cli", ca: "Ca", tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    kept = ("--certout", certificate, "--newkeyout", key, "--plain-keys")
    cli("probe", *options(ca), *kept)
    given = [text for text in options(ca) if text not in ("--subject", "/CN={id}")]
    ended = cli("probe", *given, "--cmd", "rr", "--oldcert", certificate)
    assert "outcome: revoked" in ended.out
    assert "note:" not in ended.out
    assert "private key" not in ended.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--certout", "c.pem"), "--certout without --newkeyout"),
        (("--newkeyout", "k.pem"), "how shall --newkeyout be stored?"),
        (
            ("--newkeyout", "k.pem", "--plain-keys", "--key-pass", "pass:x"),
            "exclude each other",
        ),
        (("--chainout", "nowhere/c.pem"), "is in no folder that exists"),
        (("--chainout", "."), "is a folder"),
        (("--chainout", "a.pem", "--cacertsout", "./a.pem"), "two of the outputs are one file"),
        (("--newkeyout", "ca.pem", "--plain-keys"), "may hold the only copy of a key"),
        (("--save-messages", "devices.csv"), "is not an empty folder"),
        (
            ("--cmd", "rr", "--oldcert", "ca.pem", "--newkeyout", "k.pem", "--plain-keys"),
            "no key is made",
        ),
        (("--subject", "nonsense"), "subject"),
        (("--days", "0"), "days"),
    ],
)
def test_bad_input_is_found_before_anything_is_sent(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    tmp_path: Path,
    given: tuple[str, ...],
    said: str,
) -> None:
    write_population(1)
    (tmp_path / "ca.pem").write_bytes(ca.anchor.read_bytes())
    before = ca.count()
    ended = cli("probe", *options(ca), *given, code=2)
    assert said in " ".join(ended.err.split())
    assert ca.count() == before
    assert not (tmp_path / "k.pem").exists()


def test_ctrl_c_ends_it(cli: "Cli", ca: "Ca", make_server: "MakeServer", tools: "Tools") -> None:
    def silence(_number: int, _body: bytes) -> bytes | None:
        raise TimeoutError

    server = make_server(silence)
    process = cli.start("probe", *options(ca), "--server", server.url)
    tools.wait_until(lambda: bool(server.times))
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=60)
    assert "the CA may have issued" in ended.err


def test_no_credential(cli: "Cli", ca: "Ca") -> None:
    given = ("--server", ca.url(), "--trusted", ca.anchor, "--subject", "/CN=a")
    assert "no credential" in cli("probe", *given, code=2).err
