"""CSV files as a source of records; what populations make of them is in test_population.py."""

from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.source import Place, Record

if TYPE_CHECKING:
    from tests.inputs.conftest import WriteCsv


def test_records(write_csv: "WriteCsv") -> None:
    path = write_csv('ID;Ref;secret\n\na;;" x "\nb;"u\nv";\n')
    source = CsvSource(path)
    assert (source.name, source.folder) == (str(path), path.parent)
    assert source.attributes == ("id", "ref", "secret")
    assert list(source.records()) == [
        Record(Place(str(path), 3, 1), {"id": ("a",), "secret": (" x ",)}),
        Record(Place(str(path), 4, 2), {"id": ("b",), "ref": ("u\nv",)}),
    ]


def test_a_record_with_problems_keeps_what_can_be_read(write_csv: "WriteCsv") -> None:
    (record,) = CsvSource(write_csv("id,ref\na\n")).records()
    assert record.values == {"id": ("a",)}
    (problem,) = record.problems
    assert str(problem).endswith("devices.csv:2 (row 1): 1 cells, and the header has 2")


def test_a_file_that_fails_while_it_is_read(
    write_csv: "WriteCsv", monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = MagicMock()
    failing.__enter__.return_value.readline.side_effect = OSError(5, "Input/output error")
    failing.__exit__.return_value = False
    source = CsvSource(write_csv("id\na\n"))
    assert source.attributes == ("id",)
    monkeypatch.setattr(source, "_open", lambda: failing)
    with pytest.raises(InputError, match="can't be read: Input/output error"):
        list(source.records())
