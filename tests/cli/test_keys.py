import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from typer.testing import CliRunner

from bulkcmp.cli.keys import app
from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, BulkcmpError, InputError
from bulkcmp.journal.keyfile import KeyFile, Stock, take_inventory
from bulkcmp.model import KeySpec, Secret

PASSPHRASE = "an open sesame"
SOURCE = "env:KEY_PASS"
ENVIRON = {"KEY_PASS": PASSPHRASE}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


def ok(*arguments: str | Path, environ: dict[str, str] | None = None) -> tuple[str, str]:
    """Run the command; its stdout and stderr."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={**ENVIRON, **(environ or {})})
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def refused(*arguments: str | Path) -> BulkcmpError:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=ENVIRON)
    assert isinstance(done.exception, BulkcmpError), done.output
    assert PASSPHRASE not in f"{done.output}{done.exception}{done.exception.hint}"
    return done.exception


def load_all(path: Path, spec: str) -> set[bytes]:
    """Every key of a type that is still free, each loaded to prove that it is whole."""
    with KeyFile.open(path, Secret(PASSPHRASE.encode())) as key_file:
        keys = {key for _, key in key_file.take(KeySpec.parse(spec), 10**6, "test")}
    for key in keys:
        load_der_private_key(key, None)
    return keys


def test_generate_then_show(path: Path) -> None:
    common = ("--newkey", "ec:p-256", "--out", path, "--key-pass", SOURCE, "--processes", "2")
    out, err = ok("generate", "--count", "30", *common)
    assert out == f"30 ec:P-256 keys in {path}, 30 of them made now\n"
    assert err == ""
    out, _ = ok("generate", "--count", "50", *common)
    assert out == f"50 ec:P-256 keys in {path}, 20 of them made now\n"
    ok("generate", "--count", "3", "--newkey", "ed25519", "--out", path, "--key-pass", SOURCE)
    assert len(load_all(path, "ec:P-256")) == 50
    out, _ = ok("show", path)
    assert out.splitlines() == [
        f"{path}: keys are encrypted",
        "ec:P-256: 0 free, 50 taken",
        "ed25519: 3 free, 0 taken",
    ]


def test_plain_keys(path: Path) -> None:
    out, _ = ok(
        "generate", "--count", "2", "--newkey", "ed25519", "--out", path, "--plain-keys", "--quiet"
    )
    assert out == ""
    out, _ = ok("show", path)
    assert out.splitlines() == [f"{path}: keys are not encrypted", "ed25519: 2 free, 0 taken"]


def test_show_of_a_file_without_keys(path: Path) -> None:
    KeyFile.open_or_create(path, None).close()
    out, _ = ok("show", path)
    assert out.splitlines() == [f"{path}: keys are not encrypted", "no keys"]


def test_neither_passphrase_nor_plain_keys_names_both(path: Path) -> None:
    error = refused("generate", "--count", "1", "--newkey", "ed25519", "--out", path)
    assert error.exit_code == EXIT_BAD_INPUT
    assert error.hint is not None
    assert "--key-pass" in error.hint
    assert "--plain-keys" in error.hint
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--newkey", "rsa:1024", "--plain-keys"], "'rsa:1024' is not a key spec"),
        (["--newkey", "ed25519", "--plain-keys", "--key-pass", SOURCE], "exclude each other"),
        (["--newkey", "ed25519", "--key-pass", "env:NO_SUCH"], "NO_SUCH"),
        (["--newkey", "ed25519", "--key-pass", PASSPHRASE], "not a source of a secret"),
    ],
)
def test_bad_usage_makes_no_file(path: Path, arguments: list[str], what: str) -> None:
    error = refused("generate", "--count", "1", "--out", path, *arguments)
    assert isinstance(error, InputError)
    assert what in str(error)
    assert not path.exists()


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--count", "1", "--processes", "0"]])
def test_numbers_out_of_range(path: Path, arguments: list[str]) -> None:
    options = [*arguments, "--newkey", "ed25519", "--out", str(path), "--plain-keys"]
    done = CliRunner().invoke(app, ["generate", *options])
    assert done.exit_code == EXIT_BAD_INPUT
    assert not path.exists()


def test_a_wrong_passphrase_is_found_before_any_work(path: Path) -> None:
    KeyFile.open_or_create(path, Secret(b"another")).close()
    error = refused(
        "generate", "--count", "1", "--newkey", "ed25519", "--out", path, "--key-pass", SOURCE
    )
    assert str(error) == f"{path}: wrong passphrase"
    assert take_inventory(path).stocks == {}


def test_progress_on_a_terminal(path: Path) -> None:
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}
    out, err = ok(
        *("generate", "--count", "20", "--newkey", "ed25519", "--out", path, "--plain-keys"),
        environ=terminal,
    )
    assert out == f"20 ed25519 keys in {path}, 20 of them made now\n"
    assert "20/20" in err


def start(path: Path, count: int) -> "subprocess.Popen[str]":
    """The command in a process group of its own, as a terminal's job is."""
    command = "from bulkcmp.cli.keys import app; app()"
    options = ["--newkey", "rsa:2048", "--out", str(path), "--key-pass", SOURCE]
    return subprocess.Popen(
        [sys.executable, "-c", command, "generate", "--count", str(count), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **ENVIRON, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def wait_for_keys(path: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if take_inventory(path).stocks:
                return
        except InputError:
            # not made yet, or still empty
            pass
        time.sleep(0.05)
    pytest.fail("no key was stored in time")


def test_kill_9_loses_nothing_stored_and_the_command_goes_on(path: Path) -> None:
    with start(path, 5000) as killed:
        wait_for_keys(path)
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
    stock = take_inventory(path).stocks[KeySpec.parse("rsa:2048")]
    assert 0 < stock.free < 5000
    count = stock.free + 2
    options = ("--newkey", "rsa:2048", "--out", path, "--key-pass", SOURCE)
    out, _ = ok("generate", "--count", str(count), *options)
    assert out == f"{count} rsa:2048 keys in {path}, 2 of them made now\n"
    assert len(load_all(path, "rsa:2048")) == count


def test_ctrl_c_keeps_what_was_written_and_says_how_many(path: Path) -> None:
    with start(path, 5000) as interrupted:
        wait_for_keys(path)
        os.killpg(interrupted.pid, signal.SIGINT)
        out, err = interrupted.communicate(timeout=30)
    assert interrupted.returncode == EXIT_INTERRUPTED
    stock = take_inventory(path).stocks[KeySpec.parse("rsa:2048")]
    total = stock.total
    assert stock == Stock(free=total, taken=0)
    assert out == f"interrupted: {total} rsa:2048 keys in {path}, {total} of them made now\n"
    assert err == ""
