import datetime as dt
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs import archive
from bulkcmp.inputs.excel import ExcelSource

openpyxl = pytest.importorskip("openpyxl")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*sheets: list[list[Any]]) -> Path:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for number, rows in enumerate(sheets, start=1):
            sheet = book.create_sheet(f"S{number}")
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "a.xlsx")
        return tmp_path / "a.xlsx"

    return write


def test_records(write: Write) -> None:
    # Excel knows no zones
    when = dt.datetime.fromisoformat("2027-01-31T12:30:00")
    path = write(
        [
            [],
            ["ID", " Name ", None, "Until", "On"],
            [7.0, "Ann", "note", dt.date(2027, 1, 31), True],
            [None, None, None, None, None],
            ["007", 1.5, None, when, False],
        ]
    )
    source = ExcelSource(path)
    assert source.attributes == ("id", "name", "until", "on")
    first, second = source.records()
    assert first.values == {
        "id": ("7",),
        "name": ("Ann",),
        "until": ("2027-01-31",),
        "on": ("true",),
    }
    assert second.values["until"] == ("2027-01-31T12:30:00",)
    assert (second.values["id"], second.values["name"]) == (("007",), ("1.5",))
    assert (first.place, second.place) == ((str(path), 3, 1), (str(path), 5, 2))


def test_sheets(write: Write) -> None:
    path = write([["id"], ["a"]], [["id"], ["b"]])
    (record,) = ExcelSource(path, "S2").records()
    assert record.values == {"id": ("b",)}
    for sheet in (None, "S3"):
        with pytest.raises(InputError, match="sheet") as caught:
            list(ExcelSource(path, sheet).records())
        assert caught.value.hint == "give --sheet NAME; there are 'S1', 'S2'"


def test_cells_that_cannot_be_used(write: Write) -> None:
    path = write([["id", "ref"], ["a", "#N/A"], ["b", "u", "beyond"]])
    error, beyond = (record.problems[0] for record in ExcelSource(path).records())
    assert (error.what, error.where and error.where.column) == ("the cell says #N/A", "ref")
    assert beyond.what == "a cell beyond the last column"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "the sheet is empty"),
        ([["id"]], "the sheet has a header, but no rows"),
        ([["id", "ID"], ["a", "b"]], "column 'id' stands twice"),
    ],
)
def test_sheets_that_cannot_be_used(write: Write, rows: list[list[str]], why: str) -> None:
    with pytest.raises(InputError) as caught:
        _ = ExcelSource(write(rows)).attributes
    assert why in str(caught.value)


def test_damaged_files(write: Write, tmp_path: Path) -> None:
    path = write([["id"], *([f"dev{number}"] for number in range(50))])
    whole = path.read_bytes()
    for cut in (0, 4, 100, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="can't be read as an Excel workbook"):
            list(ExcelSource(path).records())
    with pytest.raises(InputError, match="no such file"):
        list(ExcelSource(tmp_path / "b.xlsx").records())


def test_without_the_library(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write([["id"], ["a"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match="openpyxl") as caught:
        list(ExcelSource(path).records())
    assert "bulkcmp[excel]" in (caught.value.hint or "")


def test_a_row_that_is_none_of_a_sheet_is_no_end_in_sight(write: Write, tmp_path: Path) -> None:
    path = rewritten(write([["id"], ["a"]]), tmp_path, "sheet1.xml", b'r="2"', b'r="9999999999"')
    with pytest.raises(InputError, match="can't be read as an Excel workbook"):
        list(ExcelSource(path).records())


def test_a_workbook_that_becomes_too_large(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_GROWTH_FREE", 1 << 16)
    path = rewritten(write([["id"], ["a"]]), tmp_path, "styles.xml", b"<", b" " * 10_000_000 + b"<")
    with pytest.raises(InputError, match="times as large as it is"):
        list(ExcelSource(path).records())


def rewritten(book: Path, folder: Path, part: str, old: bytes, new: bytes) -> Path:
    """The same workbook, but for one of its parts."""
    path = folder / "other.xlsx"
    with (
        zipfile.ZipFile(book) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith(part):
                assert old in data
                data = data.replace(old, new, 1)
            target.writestr(info.filename, data)
    return path
