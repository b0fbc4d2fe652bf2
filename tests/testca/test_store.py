import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.model import Secret
from bulkcmp.testca import store as books
from bulkcmp.testca.state import Folder
from bulkcmp.testca.store import SCHEMA_VERSION, EndEntityStatus, Registration, Store

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

NAME = b"\x30\x00"


def entry(user: str, secret: bytes = b"pw") -> Registration:
    return Registration(user, "client-hmac", NAME, Secret(secret))


def test_the_books_are_their_owners_alone(ca: "Ca") -> None:
    for path in ca.folder.glob("ca.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(ca.folder.stat().st_mode) == 0o700


def test_all_are_registered_or_none(ca: "Ca") -> None:
    assert ca.store.register([entry("a"), entry("b")]) == 2
    with pytest.raises(InputError, match="'b' is registered already; none was added"):
        ca.store.register([entry("c"), entry("b")])
    assert ca.store.registration("c") is None


def test_replacing_makes_new(ca: "Ca") -> None:
    ca.store.register([entry("a")])
    ca.store.set_status("a", EndEntityStatus.GENERATED)
    ca.store.register([entry("a", b"other")], replace=True)
    assert ca.store.registration("a") == entry("a", b"other")


def test_what_fails_half_way_leaves_nothing(ca: "Ca") -> None:
    def fail_half_way() -> None:
        with ca.store.writing():
            ca.store.record_enrolled("a", "ra-hmac", NAME)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert ca.store.registration("a") is None
    with ca.store.writing():
        ca.store.record_enrolled("a", "ra-hmac", NAME)
    assert ca.store.registration("a") is not None


def test_what_is_committed_survives_a_killed_process(ca: "Ca") -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from bulkcmp.testca.state import open_books\n"
        "from bulkcmp.testca.store import Registration\n"
        "store = open_books(pathlib.Path(sys.argv[1]))\n"
        "store.register([Registration('killed', 'client-hmac', b'0\\0')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ca.folder)], check=False)
    assert done.returncode == -9
    # and what another process entered is seen at once
    assert ca.store.registration("killed") is not None


def test_a_lock_that_nobody_gives_back(ca: "Ca", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "_BUSY_SECONDS", 0.05)
    path = Folder(ca.folder).books
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    mine = Store(path)
    try:
        with pytest.raises(BulkcmpError, match="can't be written: database is locked"):
            mine.register([entry("a")])
    finally:
        other.close()
        mine.close()


def test_what_is_no_state_of_a_ca(ca: "Ca", tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no CA in this folder"):
        Store(tmp_path / "nowhere" / "ca.db")
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="not the books of a CA"):
        Store(junk)
    with closing(sqlite3.connect(Folder(ca.folder).books)) as db, db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match=f"version 99, this bulkcmp reads {SCHEMA_VERSION}"):
        Store(Folder(ca.folder).books)


def test_books_that_can_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(BulkcmpError, match="can't be made"):
        Store(tmp_path / "nowhere" / "ca.db", create=True)


def test_secrets_show_nowhere(ca: "Ca") -> None:
    one = entry("a", b"very-secret")
    ca.store.register([one])
    assert "very-secret" not in repr(ca.store.registration("a"))


def test_counts(ca: "Ca") -> None:
    assert ca.store.certificate_counts() == {
        "pending confirmation": 0,
        "confirmed": 0,
        "rejected": 0,
        "revoked": 0,
    }
    ca.ra_hmac().enroll()
    ca.ra_hmac().enroll(implicit=True)
    assert ca.store.certificate_counts()["pending confirmation"] == 1
    assert ca.store.certificate_counts()["confirmed"] == 1
    assert ca.store.end_entity_counts() == {"GENERATED": 1}
    assert ca.store.open_transactions() == 1
