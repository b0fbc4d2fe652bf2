import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_SOME_FAILED, InputError
from bulkcmp.journal import keyfile as keyfile_module
from bulkcmp.journal.keyfile import KeyFile, KeyFileError, Stock, take_inventory
from bulkcmp.model import KeySpec, Secret

ED25519 = KeySpec.parse("ed25519")
P256 = KeySpec.parse("ec:P-256")
PASSPHRASE = Secret(b"sesame")


def make_keys(count: int) -> list[bytes]:
    return [
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        for _ in range(count)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def plain(path: Path) -> Iterator[KeyFile]:
    with KeyFile.open_or_create(path, None) as key_file:
        yield key_file


def test_keys_come_back_as_they_were_and_in_order(path: Path) -> None:
    keys = make_keys(5)
    with KeyFile.open_or_create(path, PASSPHRASE) as key_file:
        key_file.append(ED25519, keys[:2])
        key_file.append(ED25519, keys[2:])
    with KeyFile.open(path, PASSPHRASE) as key_file:
        assert key_file.count(ED25519) == Stock(free=5, taken=0)
        first = key_file.take(ED25519, 3, "run-1")
        rest = key_file.take(ED25519, 3, "run-2")
        assert [key for _, key in first + rest] == keys
        assert len({key_id for key_id, _ in first + rest}) == 5
        assert key_file.take(ED25519, 1, "run-3") == []
        assert key_file.count(ED25519) == Stock(free=0, taken=5)


def test_types_are_kept_apart(plain: KeyFile, path: Path) -> None:
    plain.append(ED25519, [b"a", b"b"])
    plain.append(P256, [b"c"])
    assert [key for _, key in plain.take(P256, 9, "run")] == [b"c"]
    assert plain.count(ED25519) == Stock(free=2, taken=0)
    assert plain.count(KeySpec.parse("rsa:2048")) == Stock(free=0, taken=0)
    inventory = take_inventory(path)
    assert inventory.plain
    assert inventory.stocks == {ED25519: Stock(2, 0), P256: Stock(0, 1)}
    assert inventory.stocks[P256].total == 1


def test_a_resumed_run_finds_its_keys_again(path: Path) -> None:
    with KeyFile.open_or_create(path, PASSPHRASE) as key_file:
        key_file.append(P256, [b"p"])
        key_file.append(ED25519, [b"x", b"y", b"z"])
        key_file.take(ED25519, 2, "run-1")
        key_file.take(ED25519, 1, "run-2")
        key_file.take(P256, 1, "run-1")
    with KeyFile.open(path, PASSPHRASE) as key_file:
        taken = key_file.taken_by("run-1")
        assert [spec for _, spec in taken] == [P256, ED25519, ED25519]
        assert [key_file.get(key_id, "run-1") for key_id, _ in taken] == [b"p", b"x", b"y"]
        assert key_file.taken_by("run-9") == []
        ((other, _),) = key_file.taken_by("run-2")
        with pytest.raises(InputError, match=f"key {other} was not taken by run run-1"):
            key_file.get(other, "run-1")


def test_a_taken_key_is_marked_before_it_is_given_out(path: Path) -> None:
    """What another process sees, and what is left if this one is killed now."""
    with KeyFile.open_or_create(path, None) as key_file:
        key_file.append(ED25519, [b"a", b"b"])
        key_file.take(ED25519, 1, "run")
        assert take_inventory(path).stocks[ED25519] == Stock(free=1, taken=1)


def test_the_file_shows_no_private_value(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    value = key.private_numbers().private_value.to_bytes(32, "big")
    assert value in der
    with KeyFile.open_or_create(path, PASSPHRASE) as key_file:
        key_file.append(P256, [der])
        files = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert value not in files
        assert PASSPHRASE.reveal() not in files
        assert key_file.take(P256, 1, "run")[0][1] == der
    # the control: what is looked for is found where it is not hidden
    bare = path.with_name("plain.db")
    with KeyFile.open_or_create(bare, None) as key_file:
        key_file.append(P256, [der])
    assert value in bare.read_bytes()


def test_mode_0600_whatever_the_umask(path: Path) -> None:
    umask = os.umask(0)
    try:
        with KeyFile.open_or_create(path, None) as key_file:
            key_file.append(ED25519, make_keys(1))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


def test_its_folder_is_synced_when_it_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    KeyFile.open_or_create(path, None).close()
    assert synced == [path.parent]


def test_an_empty_file_becomes_a_key_file_that_others_cannot_read(path: Path) -> None:
    """As after a kill between making the file and its first commit; or after `touch`."""
    path.touch(mode=0o644)
    with pytest.raises(InputError, match="is empty"):
        KeyFile.open(path, None)
    KeyFile.open_or_create(path, None).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    KeyFile.open(path, None).close()


def test_appended_to_with_the_right_passphrase_only(path: Path) -> None:
    KeyFile.open_or_create(path, PASSPHRASE).close()
    before = path.read_bytes()
    for passphrase in (Secret(b"guess"), None):
        with pytest.raises(InputError, match="passphrase"):
            KeyFile.open_or_create(path, passphrase)
    assert path.read_bytes() == before
    with KeyFile.open_or_create(path, PASSPHRASE) as key_file:
        key_file.append(ED25519, [b"a"])
        assert key_file.count(ED25519).total == 1


def test_an_empty_passphrase_leaves_no_file(path: Path) -> None:
    with pytest.raises(InputError, match="passphrase for the keys is empty"):
        KeyFile.open_or_create(path, Secret(b""))
    assert not path.exists()


@pytest.mark.parametrize("opener", [KeyFile.open, KeyFile.open_or_create])
def test_not_a_key_file(opener: Callable[[Path, Secret | None], KeyFile], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but longer than the header of one: " + "x" * 200)
    database = tmp_path / "other.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (x)")
    for path, what in ((text, "is not a key file"), (database, "no key file"), (tmp_path, "not")):
        with pytest.raises(InputError, match=what) as caught:
            opener(path, None)
        assert caught.value.exit_code == EXIT_BAD_INPUT
        assert str(path) in str(caught.value)


def test_missing(path: Path) -> None:
    with pytest.raises(InputError, match="No such file") as caught:
        KeyFile.open(path, None)
    assert caught.value.hint == "key files are made with bulkcmp keys generate"
    assert not path.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be made: No such file or directory"):
        KeyFile.open_or_create(tmp_path / "nowhere" / "keys.db", None)


def altered(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("PRAGMA user_version = 2", "key file of format 2, this is bulkcmp for format 1"),
        ("DELETE FROM meta", "no header"),
        ("UPDATE meta SET header = 'x'", "header of the sealed keys is damaged"),
        ("UPDATE meta SET header = CAST(x'ff' AS TEXT)", "damaged: Could not decode to UTF-8"),
        ("DROP TABLE meta", "no such table"),
    ],
)
def test_damaged_as_a_whole(path: Path, statement: str, what: str) -> None:
    KeyFile.open_or_create(path, None).close()
    altered(path, statement)
    with pytest.raises(InputError, match=what):
        KeyFile.open(path, None)


def test_damage_that_sqlite_can_not_tell_of(path: Path) -> None:
    KeyFile.open_or_create(path, None).close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE key", b"CREATE TABL\xff key"))
    with pytest.raises(InputError, match="the key file is damaged"):
        KeyFile.open(path, None)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE key SET sealed = zeroblob(length(sealed)) WHERE id = 2",
        "UPDATE key SET sealed = (SELECT sealed FROM key WHERE id = 1) WHERE id = 2",
        "UPDATE key SET spec = 'ed25519' WHERE spec = 'ec:P-256'",
    ],
    ids=["overwritten", "copied from another row", "under another type"],
)
def test_a_damaged_key_is_not_given_out(
    path: Path, passphrase: Secret | None, statement: str
) -> None:
    with KeyFile.open_or_create(path, passphrase) as key_file:
        key_file.append(ED25519, make_keys(2))
        key_file.append(P256, make_keys(1))
        altered(path, statement)
        with pytest.raises(InputError, match=r"keys\.db: a stored key is damaged"):
            key_file.take(ED25519, 3, "run")
        assert key_file.count(ED25519).taken == 0


def test_cut_short(path: Path) -> None:
    with KeyFile.open_or_create(path, None) as key_file:
        key_file.append(ED25519, make_keys(500))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InputError, match="damaged"):
        take_inventory(path)


def test_a_full_disk_loses_nothing_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with KeyFile.open_or_create(path, None) as key_file:
        key_file.append(ED25519, make_keys(10))
        with pytest.raises(KeyFileError, match="the disk is full") as caught:
            key_file.append(ED25519, make_keys(2000))
        assert caught.value.exit_code == EXIT_SOME_FAILED
        assert key_file.count(ED25519) == Stock(free=10, taken=0)
        key_file.append(ED25519, make_keys(1))
        assert key_file.count(ED25519) == Stock(free=11, taken=0)


def test_a_file_that_another_process_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile_module, "_BUSY_SECONDS", 0)
    with KeyFile.open_or_create(path, None) as key_file:
        key_file.append(ED25519, [b"a"])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(KeyFileError, match="another process held the key file"):
                key_file.take(ED25519, 1, "run")
            other.execute("ROLLBACK")
        assert len(key_file.take(ED25519, 1, "run")) == 1


def test_misuse_is_not_called_damage(plain: KeyFile) -> None:
    plain.close()
    with pytest.raises(sqlite3.ProgrammingError):
        plain.count(ED25519)


def test_threads_of_one_process_share_an_open_file(plain: KeyFile) -> None:
    plain.append(ED25519, make_keys(200))
    taken: list[int] = []

    def work(run_id: str) -> None:
        while got := plain.take(ED25519, 3, run_id):
            taken.extend(key_id for key_id, _ in got)

    threads = [threading.Thread(target=work, args=(f"run-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 201))


TAKER = """
import sys
from pathlib import Path
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.model import KeySpec
path, run_id = Path(sys.argv[1]), sys.argv[2]
with KeyFile.open(path, None) as key_file:
    print("ready", flush=True)
    sys.stdin.readline()
    while got := key_file.take(KeySpec.parse("ed25519"), 5, run_id):
        for key_id, key in got:
            print(key_id, key.hex())
"""


def test_two_processes_never_take_the_same_key(path: Path) -> None:
    keys = make_keys(150)
    with KeyFile.open_or_create(path, None) as key_file:
        key_file.append(ED25519, keys)
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, str(path), run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for run_id in ("run-1", "run-2")
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    outputs = []
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    for taker in takers:
        outputs.append(taker.communicate(timeout=60)[0].splitlines())
        assert taker.returncode == 0
    taken = [line.split()[1] for output in outputs for line in output]
    assert sorted(taken) == sorted(key.hex() for key in keys)
    with KeyFile.open(path, None) as key_file:
        for run_id, output in zip(("run-1", "run-2"), outputs, strict=True):
            assert [key_id for key_id, _ in key_file.taken_by(run_id)] == [
                int(line.split()[0]) for line in output
            ]


def test_two_that_make_the_same_file_at_once(path: Path) -> None:
    barrier = threading.Barrier(2)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            barrier.wait()
            with KeyFile.open_or_create(path, PASSPHRASE) as key_file:
                key_file.append(ED25519, make_keys(3))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with KeyFile.open(path, PASSPHRASE) as key_file:
        for _, key in key_file.take(ED25519, 6, "run"):
            load_der_private_key(key, None)
        assert key_file.count(ED25519) == Stock(free=0, taken=6)


def test_half_a_commit_is_taken_back(path: Path) -> None:
    """A process killed while it writes leaves a hot journal; SQLite's own guarantee, relied on."""
    script = """
import os, sys
from pathlib import Path
from bulkcmp.journal import keyfile
from bulkcmp.model import KeySpec
with keyfile.KeyFile.open_or_create(Path(sys.argv[1]), None) as key_file:
    key_file.append(KeySpec.parse("ed25519"), [b"whole"])
    connection = key_file._connection
    connection.execute("PRAGMA cache_size = 1")
    def keys():
        for number in range(3000):
            yield b"half" * 50
        os.kill(os.getpid(), 9)
    class Endless(list):
        def __iter__(self):
            return keys()
    key_file.append(KeySpec.parse("ed25519"), Endless())
"""
    killed = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert killed.returncode == -9
    assert path.with_name("keys.db-journal").stat().st_size > 0
    with KeyFile.open(path, None) as key_file:
        assert [key for _, key in key_file.take(ED25519, 9, "run")] == [b"whole"]
