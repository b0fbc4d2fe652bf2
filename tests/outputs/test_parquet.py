import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from bulkcmp.errors import InputError
from bulkcmp.outputs.parquet import samples_parquet
from bulkcmp.outputs.samples import COLUMNS, Kind, samples_csv
from bulkcmp.stats.record import Record
from tests.stats.records import OK, REJECTED, RUN, transaction, trouble


def written(*runs: list[Record]) -> parquet.ParquetFile:
    file = io.BytesIO()
    samples_parquet([RUN] * len(runs), runs, file)
    file.seek(0)
    return parquet.ParquetFile(file)


def as_csv(kind: Kind, value: Any) -> str:
    match kind:
        case Kind.SECONDS:
            return f"{value:.6f}"
        case Kind.TRUTH:
            return str(value).lower()
        case _:
            return str(value)


def test_the_values_are_those_of_the_csv() -> None:
    other: list[Record] = [transaction(0, 0, 1 / 3, OK, REJECTED, warm_up=True)]
    runs = [trouble(), other]
    rows = written(*runs).read().to_pylist()
    lines = list(csv.DictReader(samples_csv(runs)))
    assert len(rows) == len(lines) > 500
    kinds = {column.name: column.kind for column in COLUMNS}
    told = [{name: as_csv(kinds[name], value) for name, value in row.items()} for row in rows]
    assert told == lines


def test_columns_have_types_and_units() -> None:
    schema = written(trouble()).schema_arrow
    types = {
        Kind.WHOLE: pa.int64(),
        Kind.SECONDS: pa.float64(),
        Kind.TRUTH: pa.bool_(),
        Kind.TEXT: pa.string(),
    }
    for column in COLUMNS:
        field = schema.field(column.name)
        assert (field.type, field.nullable) == (types[column.kind], False)
        assert field.metadata[b"description"] == column.what.encode()
        assert (field.metadata.get(b"unit") == b"s") == column.name.endswith("_s")


def test_the_metadata_say_what_the_runs_were() -> None:
    metadata = written(trouble(), []).schema_arrow.metadata
    assert metadata[b"bulkcmp.schema"] == b"bulkcmp/samples/1"
    runs = json.loads(metadata[b"bulkcmp.runs"])
    assert [run["began_at"] for run in runs] == ["2026-11-27T12:00:00Z"] * 2


def test_seconds_are_whole_microseconds() -> None:
    (row,) = written([transaction(0.1, 0.3, 0.7)]).read().to_pylist()
    assert (row["lag_s"], row["service_s"], row["response_s"]) == (0.2, 0.4, 0.6)


def test_texts_are_made_visible_and_stay_data() -> None:
    record = transaction(0, 0, 1, replace(REJECTED, reason="=1\n\x1b"))
    (row,) = written([record]).read().to_pylist()
    assert row["reason"] == r"=1\n\x1b"


def test_a_long_run_is_written_by_row_groups() -> None:
    file = io.BytesIO()
    sizes = set()

    def records() -> Iterator[Record]:
        for number in range(50_000):
            sizes.add(file.tell())
            yield transaction(number, number, number + 1, arrival=number)

    samples_parquet([RUN], [records()], file)
    file.seek(0)
    whole = parquet.ParquetFile(file).metadata
    assert whole.num_rows == 50_000
    groups = [whole.row_group(place).num_rows for place in range(whole.num_row_groups)]
    assert max(groups) <= 16_384
    # what had come was in the file, not in memory, before more came
    assert len(sizes) == len(groups) == 4


def test_no_records_make_a_file_without_rows() -> None:
    assert written([]).read().num_rows == 0


def test_a_number_that_no_column_holds_is_told() -> None:
    with pytest.raises(InputError, match="can't be"):
        written([replace(transaction(0, 0, 1), arrival=2**70)])


def test_a_full_disk_is_an_error_of_the_system() -> None:
    class Full(io.BytesIO):
        def write(self, _octets: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        samples_parquet([RUN], [trouble()], Full())


def test_without_pyarrow_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pyarrow") as caught:
        written([])
    assert "bulkcmp[parquet]" in str(caught.value.hint)
