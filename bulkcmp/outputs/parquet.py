"""The transactions of load tests one by one, as Apache Parquet, which the extra
`bulkcmp[parquet]` brings."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any, Final

import msgspec

from bulkcmp.errors import InputError
from bulkcmp.outputs.samples import COLUMNS, Column, Kind, Place, Value, transactions
from bulkcmp.outputs.text import visible
from bulkcmp.stats.record import Record, Run, TransactionRecord, to_microsecond

SCHEMA: Final = "bulkcmp/samples/1"

_GROUP: Final = 16384
"""Rows of a row group; so many are in memory at a time."""


def samples_parquet(
    runs: Sequence[Run], records: Iterable[Iterable[Record]], file: IO[bytes]
) -> None:
    """Write a row for each transaction, with the columns of the CSV.

    Seconds are doubles, rounded to the microsecond; whole numbers are int64. The metadata of the
    schema have its name under `bulkcmp.schema`, and the runs as JSON, as in their records, under
    `bulkcmp.runs`; those of a column have a `description`, and of seconds the `unit`.

    Args:
        records: of each run.

    Raises:
        InputError: pyarrow is not there; or what stands in a file is no record.
        OSError: `file` can't be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "Parquet is written by pyarrow, which is not installed",
            hint="pip install 'bulkcmp[parquet]'; CSV and JSON Lines do without it",
        ) from None
    types = {
        Kind.WHOLE: pa.int64(),
        Kind.SECONDS: pa.float64(),
        Kind.TRUTH: pa.bool_(),
        Kind.TEXT: pa.string(),
    }
    schema = pa.schema(
        [
            pa.field(one.name, types[one.kind], nullable=False, metadata=_metadata(one))
            for one in COLUMNS
        ],
        metadata={"bulkcmp.schema": SCHEMA, "bulkcmp.runs": msgspec.json.encode(list(runs))},
    )
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for columns in _groups(transactions(records)):
            try:
                batch = pa.record_batch(columns, schema=schema)
            except (pa.ArrowException, OverflowError) as error:
                raise InputError(f"a figure in the records can't be: {error}") from error
            writer.write_batch(batch)


def _metadata(column: Column) -> dict[str, str]:
    unit = {"unit": "s"} if column.kind is Kind.SECONDS else {}
    return {"description": column.what, **unit}


def _groups(rows: Iterator[tuple[Place, TransactionRecord]]) -> Iterator[list[list[Any]]]:
    """The values of each column, of so many rows at a time."""
    while group := list(islice(rows, _GROUP)):
        yield [[_value(column.value(*row)) for row in group] for column in COLUMNS]


def _value(value: Value) -> Value:
    match value:
        case float():
            return to_microsecond(value)
        case str():
            return visible(value)
        case _:
            return value
