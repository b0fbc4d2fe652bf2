"""A disk that is full or read-only, under each output that is written whole."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.model import BadRow, Outcome, OutcomeClass, RowResult, Secret
from bulkcmp.outputs.delivery import DeliveryLogs
from bulkcmp.outputs.information import write_information
from bulkcmp.outputs.listing import write_listing
from bulkcmp.outputs.manifest import Listed, write_manifest
from bulkcmp.outputs.passwords import RowPassword, write_passwords
from bulkcmp.outputs.population import write_population
from bulkcmp.outputs.rejected import rejecting
from bulkcmp.outputs.results import write_results
from bulkcmp.outputs.summary import PopulationFacts, RunSummary, write_summary
from bulkcmp.stats.progress import Latencies

if TYPE_CHECKING:
    from tests.conftest import MakeDisk

LONG = 30_000
"""Octets of which there is no room for two."""
NOW = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)

Write = Callable[[Path, str], object]


def reject(folder: Path, text: str) -> None:
    with rejecting(folder / "rejected.csv") as say:
        say(BadRow(1, 2, "a", (InputError(text, where=Where("a.csv", 2)),)))


def summarise(folder: Path, text: str) -> None:
    summary = RunSummary(
        tool_version="1", command="enroll", started_at=NOW, ended_at=NOW, elapsed=1.0, server="",
        operations=(), key_mode="", population=PopulationFacts("a.csv", "", 1), counts=(),
        transactions=0, success=Latencies(), failure=Latencies(), interrupted=False, exit_code=0,
        notes=(text,),
    )  # fmt: skip
    write_summary(folder / "summary.json", summary)


def result(text: str) -> RowResult:
    return RowResult(1, 2, "a", None, Outcome(OutcomeClass.REJECTED, detail=text))


WRITERS: dict[str, Write] = {
    "results": lambda at, text: write_results(at / "results.csv", [result(text)]),
    "summary": summarise,
    "rejected": reject,
    "passwords": lambda at, text: write_passwords(
        at, [RowPassword("a", 1, "a.pem", Secret(text.encode()))], None
    ),
    "manifest": lambda at, text: write_manifest(at, {"batch": text}, [Listed("old", {})]),
    "population": lambda at, text: write_population(at / "p.csv", ["id"], [{"id": text}]),
    "listing": lambda at, text: write_listing(at / "due.csv", [("id",), (text,)]),
    "log of a delivery": lambda at, text: DeliveryLogs(at).write("a", text.encode()),
    "information": lambda at, text: write_information(at / "info", "a", (), text),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_there_stays_whole(tmp_path: Path, make_disk: "MakeDisk", name: str) -> None:
    disk = make_disk(tmp_path / "disk", 64)
    (disk.path / "old").write_bytes(b"listed")
    write = WRITERS[name]
    write(disk.path, "first " * (LONG // 6))
    before = contents(disk.path)
    disk.fill()
    with pytest.raises(BulkcmpError, match="can't be written: No space left on device") as raised:
        write(disk.path, "second" * (LONG // 6))
    assert raised.value.hint == "check the folder's permissions and free space"
    disk.make_room()
    assert contents(disk.path) == before
    disk.set_read_only(True)
    with pytest.raises(BulkcmpError, match="can't be written: Read-only file system"):
        write(disk.path, "second" * (LONG // 6))
    disk.set_read_only(False)
    write(disk.path, "third")
    assert contents(disk.path) != before
