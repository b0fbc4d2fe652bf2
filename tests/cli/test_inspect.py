import base64
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from bulkcmp.cli import inspect as inspect_module
from bulkcmp.errors import InputError, InputErrors

VECTORS = Path(__file__).parent.parent / "vectors" / "openssl"

app = typer.Typer()
app.command()(inspect_module.inspect)


def run(*arguments: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def ok(*arguments: str | Path, stdin: bytes = b"") -> str:
    done = run(*arguments, stdin=stdin)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Messages 2 and 10 of something, and a file that is none."""
    for number, name in ((2, "genm-mac-1-req"), (10, "genm-mac-1-rsp")):
        (tmp_path / f"msg-{number}.der").write_bytes((VECTORS / f"{name}.der").read_bytes())
    (tmp_path / "README").write_text("messages")
    return tmp_path


def test_text(folder: Path) -> None:
    file = folder / "msg-2.der"
    lines = ok(file).splitlines()
    assert lines[0] == f"{file}: PKIMessage genm, DER, {file.stat().st_size} octets"
    assert '    senderKID: 766563746f72 "vector"' in lines
    assert "  body: genm:" in lines
    assert "    - signKeyPairTypes" in lines


def test_folder_in_natural_order(folder: Path) -> None:
    done = run(folder)
    headings = [line for line in done.stdout.splitlines() if ": PKIMessage" in line]
    assert [line.split(":")[0] for line in headings] == [
        str(folder / "msg-2.der"),
        str(folder / "msg-10.der"),
    ]
    assert done.stderr == f"{folder}: 1 files of other names left out\n"
    assert done.exit_code == 0


def test_json(folder: Path) -> None:
    printed: Any = json.loads(ok("--json", folder / "msg-2.der", folder / "msg-10.der"))
    first, second = printed
    assert list(first) == ["file", "type", "encoding", "size", "findings", "value"]
    assert (first["type"], first["encoding"], first["findings"]) == ("PKIMessage", "DER", [])
    assert first["value"]["body"] == {"genm": [{"infoType": "signKeyPairTypes"}]}
    assert second["value"]["header"]["recipNonce"] == first["value"]["header"]["senderNonce"]


def test_standard_input_in_each_form() -> None:
    data = (VECTORS / "root.der").read_bytes()
    (expected,) = json.loads(ok("--json", VECTORS / "root.der"))
    for form in (data, data.hex(":").encode()):
        (shown,) = json.loads(ok("--json", "-", stdin=form))
        assert shown == {**expected, "file": "-"}


def test_several_values_in_a_file(tmp_path: Path) -> None:
    text = base64.encodebytes((VECTORS / "root.der").read_bytes()).decode()
    file = tmp_path / "chain.pem"
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n" * 2)
    shown = json.loads(ok("--json", file))
    assert [item["part"] for item in shown] == [1, 2]
    assert f"{file}#2: Certificate, DER" in ok(file)


def test_ber_is_named(tmp_path: Path) -> None:
    data = (VECTORS / "root.der").read_bytes()
    file = tmp_path / "root.ber"
    file.write_bytes(b"\x30\x80" + data[4:] + b"\x00\x00")
    shown = ok(file)
    assert f"{file}: Certificate, BER, not DER, {len(data)} octets\n" in shown
    assert "! not DER: indefinite length at offset 0\n" in shown
    (parsed,) = json.loads(ok("--json", file))
    assert parsed["encoding"] == "BER"
    assert parsed["findings"] == [
        {"kind": "not DER", "what": "indefinite length", "offset": 0, "path": ""}
    ]


def test_other_files_are_shown_all_the_same(folder: Path) -> None:
    (folder / "a.der").write_bytes(b"\x30\x05\x02\x01\x01")
    done = run(folder, folder / "missing", folder / "msg-2.der")
    assert isinstance(done.exception, InputErrors)
    assert done.exception.exit_code == 2
    assert [str(problem) for problem in done.exception.problems] == [
        f"{folder / 'a.der'}: cut short: the SEQUENCE at offset 0 lacks 2 octets",
        f"{folder / 'missing'}: no such file",
    ]
    assert done.stdout.count("PKIMessage") == 3
    done = run("--json", folder / "a.der", folder / "msg-2.der")
    assert isinstance(done.exception, InputError)
    failed, shown = json.loads(done.stdout)
    assert failed == {
        "file": str(folder / "a.der"),
        "error": "cut short: the SEQUENCE at offset 0 lacks 2 octets",
    }
    assert shown["type"] == "PKIMessage"


def test_folder_without_messages(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("x")
    done = run(tmp_path)
    assert isinstance(done.exception, InputError)
    assert "no file in this folder is named like" in str(done.exception)
    assert ".der" in str(done.exception.hint)


def test_endless_file() -> None:
    done = run("/dev/zero")
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "/dev/zero: larger than 10 MiB, which is the limit"


def test_terminal_is_safe_from_the_peer(tmp_path: Path) -> None:
    name = b"a\x1b]0;x\x07\nstatus: accepted\xe2\x80\xae"
    attribute = b"\x06\x03\x55\x04\x03\x0c" + bytes((len(name),)) + name
    for tag in (0x30, 0x31, 0x30, 0xA4):
        attribute = bytes((tag, len(attribute))) + attribute
    header = b"\x02\x01\x02" + attribute + b"\xa4\x02\x30\x00"
    message = b"\x30" + bytes((len(header),)) + header + b"\xb3\x02\x05\x00"
    file = tmp_path / "evil.der"
    file.write_bytes(b"\x30" + bytes((len(message),)) + message)
    shown = ok(file)
    assert "sender: directoryName: CN=a\\x1b]0\\;x\\x07\\nstatus: accepted\\u202e\n" in shown
    assert all(line.isprintable() for line in shown.splitlines())
    (parsed,) = json.loads(ok("--json", file))
    sender = parsed["value"]["header"]["sender"]
    assert sender == {"directoryName": "CN=" + name.decode().replace(";", "\\;")}


def test_unreadable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    done = run(folder)
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == f"{folder}: can't be read: Permission denied"


def test_many_layers() -> None:
    """The deepest message that is allowed, through the command, recursion and all."""

    def tlv(tag: int, contents: bytes) -> bytes:
        length = len(contents).to_bytes(4, "big").lstrip(b"\0")
        head = length if len(contents) < 0x80 else bytes((0x80 | len(length),)) + length
        return bytes((tag,)) + head + contents

    message = (VECTORS / "ir-signature-1-rsp.der").read_bytes()
    for _ in range(28):
        message = tlv(
            0x30, b"\x30\x0b\x02\x01\x03" + b"\xa4\x02\x30\x00" * 2 + tlv(0xB4, tlv(0x30, message))
        )
    assert ok("-", stdin=message).count("nested:") == 28
    (parsed,) = json.loads(ok("--json", "-", stdin=message))
    assert parsed["encoding"] == "DER"
