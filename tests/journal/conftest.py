"""A run's journal, in its folder or in PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.journal.folder import Pointer
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.lease import WHOLE
from bulkcmp.journal.sqlite import SqliteStore
from bulkcmp.journal.store import Store
from bulkcmp.model import Secret


@dataclass(frozen=True)
class Place:
    """Where the journal of a run is, or will be; None: in the folder."""

    folder: Path
    url: str | None

    def create(
        self, meta: dict[str, Any] | None = None, passphrase: Secret | None = None
    ) -> Journal:
        journal = Journal.create(self.folder, meta or {}, passphrase, url=self.url)
        journal.hold()
        return journal

    def open(self) -> Journal:
        journal = Journal.open(self.folder)
        # nobody else is there
        journal.hold()
        return journal

    def read(self, query: str) -> list[Any]:
        """What is in the database; `query` has the marks of `bulkcmp.journal.store`."""
        with closing(self._store()) as store:
            return store.read(query)

    def change(self, statement: str) -> None:
        """Change what is in the database."""
        with closing(self._store()) as store:
            store.hold(WHOLE, 30.0, lambda *_: None)
            store.write([(statement, ())])

    def octets(self) -> bytes:
        """All that a stranger sees who gets hold of the database."""
        if self.url is None:
            return b"".join(one.read_bytes() for one in self.folder.iterdir())
        names = ("meta", "issuer", "row", "tx", "part")
        tables = [self.read(f"SELECT * FROM {name} WHERE {{where}}TRUE") for name in names]
        return b"\n".join(
            value if isinstance(value, bytes) else str(value).encode()
            for rows in tables
            for row in rows
            for value in row
        )

    def _store(self) -> Store:
        if self.url is None:
            return SqliteStore(self.folder)
        from bulkcmp.journal.postgresql import PostgresqlStore

        pointer = Pointer.read(self.folder)
        assert pointer is not None
        return PostgresqlStore.open(pointer.url, pointer.run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(params=["in the folder", pytest.param("on PostgreSQL", marks=pytest.mark.peer)])
def place(request: pytest.FixtureRequest, folder: Path) -> Place:
    in_folder = request.param == "in the folder"
    return Place(folder, None if in_folder else request.getfixturevalue("database"))


@pytest.fixture
def journal(place: Place) -> Iterator[Journal]:
    with place.create() as opened:
        yield opened
