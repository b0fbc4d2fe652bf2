import datetime as dt
import errno
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.load.folder import RECORDS
from bulkcmp.outputs.records import (
    SCHEMA,
    RecordFile,
    RecordWriter,
    record_files,
    report_of,
)
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import End, Record
from tests.disk import full
from tests.stats.records import RECORDED, RECORDED_RUN, exchange, transaction


def write(path: Path, records: list[Record] = RECORDED) -> Path:
    with RecordWriter(path, RECORDED_RUN) as writer:
        writer.write(records)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / RECORDS)
    file = RecordFile(tmp_path)
    assert file.run == RECORDED_RUN
    assert list(file.records()) == RECORDED
    # and once more
    assert list(file.records()) == RECORDED


def test_it_is_json_lines_under_gzip_for_the_user_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "records")
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert lines[0]["schema"] == SCHEMA
    assert [next(iter(line)) for line in lines[1:]] == [
        "transaction", "transaction", "drop", "pulse", "level", "end",
    ]  # fmt: skip
    assert lines[1]["transaction"]["exchanges"][1]["loss"] == "no answer in time"
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_flushed_is_read_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "records"
    writer = RecordWriter(path, RECORDED_RUN)
    writer.write(RECORDED[:3])
    writer.flush()
    writer.write(RECORDED[3:])
    assert list(RecordFile(path).records()) == RECORDED[:3]
    writer.close()


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.99])
def test_a_file_that_was_cut_off_gives_its_first_records(tmp_path: Path, share: float) -> None:
    records: list[Record] = [transaction(at, at, at + at / 7) for at in range(2000)]
    path = write(tmp_path / "records", records)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    found = list(RecordFile(path).records())
    assert 100 < len(found) < len(records)
    assert found == records[: len(found)]


def test_what_stands_there_is_not_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "records")
    with pytest.raises(BulkcmpError, match="can't be written: File exists"):
        RecordWriter(path, RECORDED_RUN)
    assert list(RecordFile(path).records()) == RECORDED


def test_a_disk_that_is_full_for_a_while_makes_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "records"
    records: list[Record] = [transaction(at, at, at + at / 7) for at in range(100)]
    writer = RecordWriter(path, RECORDED_RUN)
    writer.write(RECORDED)
    writer.flush()
    with full(path):
        writer.write(records)
        with pytest.raises(BulkcmpError, match=f"{path}: .*{os.strerror(errno.ENOSPC)}"):
            writer.flush()
        assert list(RecordFile(path).records()) == RECORDED
    writer.write(records)
    writer.close()
    assert list(RecordFile(path).records()) == [*RECORDED, *records, *records]


def test_a_disk_that_stays_full_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "records"
    writer = RecordWriter(path, RECORDED_RUN)
    writer.write(RECORDED)
    writer.flush()
    with full(path):
        writer.write(RECORDED)
        with pytest.raises(BulkcmpError, match=os.strerror(errno.ENOSPC)):
            writer.close()
    assert list(RecordFile(path).records()) == RECORDED


def compressed(*lines: object) -> bytes:
    return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines), mtime=0)


FIRST: dict[str, Any] = {
    "schema": SCHEMA,
    "run": {
        "tool_version": "1",
        "began_at": "2026-11-27T12:00:00Z",
        "scenario": "s",
        "server": "u",
        "shape": "x",
        "keys": "k",
    },
}


RUN_OF_NO_ZONE = FIRST["run"] | {"began_at": "2026-11-27T12:00:00"}
EMPTY = {
    "arrival": 0, "lifecycle": "life", "step": 0, "operation": "ir", "planned": 0, "started": 0,
    "finished": 1, "warm_up": False, "endings": [],
}  # fmt: skip
"""A transaction that ended in no way."""


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "no schema in its first line"),
        (b"id,cmd\n", "its compression is damaged"),
        (compressed(), "no schema in its first line"),
        (compressed({"drop": None}), "no schema in its first line"),
        (compressed({"schema": "bulkcmp/records/9"}), "'bulkcmp/records/9', not"),
        (compressed({"schema": "bulkcmp/records/9", "run": 1, "n": 2}), "'bulkcmp/records/9', not"),
        (compressed({"schema": SCHEMA}), "does not say what the run was"),
        (compressed({"schema": SCHEMA, "run": {}}), "it is no record: Object missing required"),
        (compressed(FIRST | {"run": RUN_OF_NO_ZONE}), "does not say in which time zone"),
        (compressed(FIRST, {"transaction": EMPTY}), "it has no outcome"),
        (compressed(["schema"]), "it is no record: Expected `object`"),
        (compressed(FIRST, {}), "there is no record"),
        (compressed(FIRST, {"other": 1}), "unknown field"),
        (compressed(FIRST, {"drop": {"arrival": "one"}}), "it is no record"),
        (gzip.compress(b"\xff\xfe\n", mtime=0), "it is no record"),
        (compressed(FIRST)[:-8] + b"12345678", "its checksum is another"),
        (gzip.compress(bytes(1 << 25), mtime=0), "the line has no end"),
    ],
    ids=range(17),
)
def test_what_is_no_file_of_records_is_told(tmp_path: Path, octets: bytes, told: str) -> None:
    path = tmp_path / "records"
    path.write_bytes(octets)
    with pytest.raises(InputError) as caught:
        list(RecordFile(path).records())
    assert told in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.file == str(path)


MANY: list[Record] = [transaction(at, at, at + at / 7) for at in range(2000)]


def damaged(path: Path, octets: bytes) -> RecordFile:
    """Records that are not read as a whole, and may be in part."""
    path.write_bytes(octets)
    with pytest.raises(InputError) as caught:
        list(RecordFile(path).records())
    assert caught.value.hint == "bulkcmp report --partial reports on what stands before it"
    return RecordFile(path, partial=True)


def test_what_precedes_damaged_compression_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "records", [*MANY, End(9.0)])
    whole = path.read_bytes()
    place = len(whole) // 2
    # a block of a kind that there is not, after a flush
    file = damaged(path, whole[:place] + b"\xff" * 64 + whole[place + 64 :])
    *found, end = file.records()
    assert 100 < len(found) < len(MANY)
    assert found == MANY[: len(found)]
    assert isinstance(end, End)
    assert end.failed is not None
    assert f"{path}:{len(found) + 2}: " in end.failed.what
    assert end.failed.what.endswith("nothing more is counted")
    assert file.damage is not None
    report, figures = report_of([file])
    assert figures.measured.finished + figures.warm_up.finished == len(found)
    assert report.faults == (end.failed,)
    assert report.exit_code == 1


def test_what_precedes_a_line_that_is_no_record_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "records", MANY)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    lines[1000] = lines[1000].replace(b'"arrival"', b'"arrived"')
    file = damaged(path, gzip.compress(b"".join(lines)))
    *found, end = file.records()
    assert found == MANY[:999]
    assert isinstance(end, End)
    assert end.failed is not None
    assert end.failed.what.startswith(f"{path}:1001: it is no record: Object missing required")


def test_a_figure_that_can_not_be_is_told_with_its_line(tmp_path: Path) -> None:
    nothing = Pulse("worker 1", 1.0, 0.0, 0.5, 0.001)
    path = write(tmp_path / "records", [*MANY[:10], nothing, *MANY[10:]])
    with pytest.raises(InputError, match=f"{path}:12: a figure in it can't be"):
        report_of([RecordFile(path)])
    # which no damage to the file makes
    with pytest.raises(InputError, match=f"{path}:12: "):
        report_of([RecordFile(path, partial=True)])


def test_a_changed_figure_is_known_by_the_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "records", MANY)
    whole = path.read_bytes()
    file = damaged(path, whole[:-8] + bytes((whole[-8] ^ 1, *whole[-7:])))
    *found, end = file.records()
    assert found == MANY
    assert isinstance(end, End)
    assert end.failed is not None
    assert "something that stands before was changed" in end.failed.what


def test_sound_records_are_the_same_in_part(tmp_path: Path) -> None:
    file = RecordFile(write(tmp_path / "records"), partial=True)
    assert list(file.records()) == RECORDED
    assert file.damage is None


def test_what_another_version_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(compressed({"schema": "bulkcmp/records/9"}))
    with pytest.raises(InputError) as caught:
        RecordFile(path)
    assert "another version of bulkcmp" in str(caught.value.hint)


def test_a_run_is_reported_on_once(tmp_path: Path) -> None:
    first = write(tmp_path / "first")
    copy = tmp_path / "copy"
    copy.write_bytes(first.read_bytes())
    for twice in (first, copy):
        with pytest.raises(InputError, match="would count twice"):
            record_files([first, twice])
    later = replace(RECORDED_RUN, began_at=RECORDED_RUN.began_at + dt.timedelta(microseconds=1))
    with RecordWriter(tmp_path / "second", later) as writer:
        writer.write(RECORDED)
    assert len(record_files([first, tmp_path / "second"])) == 2


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: No such file") as caught:
        RecordFile(tmp_path)
    assert caught.value.hint


def test_a_record_takes_little_space(tmp_path: Path) -> None:
    records: list[Record] = [
        transaction(at / 100, at / 100, at / 100 + 0.25, exchanges=(exchange("ir", "ip", 0.5, 1),))
        for at in range(1000)
    ]
    assert write(tmp_path / "records", records).stat().st_size < 100 * len(records)


@pytest.mark.parametrize(
    "record",
    [
        {"pulse": {"process": "p", "at": 1, "seconds": 0, "cpu": 1, "late": 0}},
        {"pulse": {"process": "p", "at": 1, "seconds": 1e-320, "cpu": 1, "late": 0}},
        {"pulse": {"process": "p", "at": 1, "seconds": 1, "cpu": 1, "late": -1}},
    ],
    ids=range(3),
)
def test_a_figure_that_can_not_be_is_told(tmp_path: Path, record: object) -> None:
    path = tmp_path / "records"
    path.write_bytes(compressed(FIRST, record))
    with pytest.raises(InputError) as caught:
        report_of([RecordFile(path)])
    assert caught.value.where is not None


def test_an_instant_of_another_age_is_no_end_of_us(tmp_path: Path) -> None:
    path = tmp_path / "records"
    drop = {"arrival": 0, "lifecycle": "l", "planned": -1e300, "at": 1e300, "warm_up": False}
    path.write_bytes(compressed(FIRST, {"drop": drop}))
    report, _ = report_of([RecordFile(path)])
    assert sum(one.dropped for one in report.intervals) == 1
