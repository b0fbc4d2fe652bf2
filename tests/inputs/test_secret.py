import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.secret import describe_source, read_secret


def test_pass_and_env() -> None:
    assert read_secret("pass:a:b ", {}).reveal() == b"a:b "
    assert read_secret("pass:å", {}).reveal() == "å".encode()
    assert read_secret("env:X", {"X": "s\udcff"}).reveal() == b"s\xff"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", b"s3cret"),
        (b"s3cret\nmore\n", b"s3cret"),
        (b"a b \r\n", b"a b "),
        (b"\xff\n", b"\xff"),
    ],
)
def test_file_gives_its_first_line(tmp_path: Path, content: bytes, secret: bytes) -> None:
    (tmp_path / "pw").write_bytes(content)
    assert read_secret(f"file:{tmp_path}/pw", {}).reveal() == secret
    assert read_secret("file:pw", {}, tmp_path).reveal() == secret


def test_stdin_gives_one_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(b"one\ntwo\r\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read_secret("stdin", {}).reveal() == b"one"
    assert read_secret("stdin", {}).reveal() == b"one"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\ntwo\n")))
    with pytest.raises(InputError, match="stdin gives an empty secret"):
        read_secret("stdin", {})
    with pytest.raises(InputError, match="not a source of a secret"):
        read_secret("stdin", {}, stdin=False)


@pytest.mark.parametrize("source", ["hunter2", "hunter2:x", "PASS:hunter2", "pass", "", "fd:3"])
def test_a_text_without_prefix_is_not_shown(source: str) -> None:
    with pytest.raises(InputError) as caught:
        read_secret(source, {})
    error = caught.value
    assert "hunter2" not in f"{error} {error!r} {error.hint} {error.__dict__}"
    assert "env:NAME" in (error.hint or "")


def test_a_secret_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no variable 'NO'"):
        read_secret("env:NO", {})
    with pytest.raises(InputError, match="env:X gives an empty secret"):
        read_secret("env:X", {"X": ""})
    with pytest.raises(InputError, match="pass: gives an empty secret"):
        read_secret("pass:", {})
    with pytest.raises(InputError, match="no such file"):
        read_secret(f"file:{tmp_path}/nope", {})
    (tmp_path / "empty").write_bytes(b"\nsecond\n")
    with pytest.raises(InputError, match="gives an empty secret"):
        read_secret(f"file:{tmp_path}/empty", {})
    (tmp_path / "big").write_bytes(bytes(70_000))
    with pytest.raises(InputError, match="first line is longer than 65536 octets"):
        read_secret(f"file:{tmp_path}/big", {})


@pytest.mark.parametrize(
    ("source", "described"),
    [
        ("pass:hunter2", "pass:***"),
        ("env:X", "env:X"),
        ("file:a/b", "file:a/b"),
        ("stdin", "stdin"),
        ("hunter2", "***"),
        ("hunter2:x", "***"),
        ("env", "***"),
    ],
)
def test_what_the_journal_may_keep(source: str, described: str) -> None:
    assert describe_source(source) == described
