"""The transactions of load tests one by one, for other tools: CSV and JSON Lines.

`COLUMNS` is what a table of them has, as CSV and as Parquet (`bulkcmp.outputs.parquet`).
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

import msgspec

from bulkcmp.outputs.results import cell
from bulkcmp.stats.record import Ending, Record, TransactionRecord, Window

Value: TypeAlias = int | float | bool | str


class Kind(Enum):
    """What the values of a column are."""

    WHOLE = auto()
    SECONDS = auto()
    TRUTH = auto()
    TEXT = auto()


class Place(NamedTuple):
    """Where a transaction was measured.

    Attributes:
        run: its number, from 1.
        window: of a search for the capacity, from 1; 0 in another load test.
    """

    run: int
    window: int


class Column(NamedTuple):
    """A column of a table of transactions.

    Attributes:
        what: says what stands in it.
        value: reads it off a transaction and its place.
    """

    name: str
    kind: Kind
    what: str
    value: Callable[[Place, TransactionRecord], Value]


def _telling(record: TransactionRecord) -> Ending:
    """Of the first request that failed, or of the first one."""
    return next((one for one in record.endings if not one.outcome.is_done), record.endings[0])


COLUMNS: Final = (
    Column("run", Kind.WHOLE, "number of the run, from 1", lambda place, _: place.run),
    Column("window", Kind.WHOLE, "of a search for the capacity, from 1; else 0",
           lambda place, _: place.window),
    Column("arrival", Kind.WHOLE, "number of its arrival, from 0", lambda _, one: one.arrival),
    Column("lifecycle", Kind.TEXT, "name in the mix", lambda _, one: one.lifecycle),
    Column("step", Kind.WHOLE, "place in the lifecycle, from 0", lambda _, one: one.step),
    Column("operation", Kind.TEXT, "ir, cr, p10cr, kur or rr", lambda _, one: one.operation.value),
    Column("server", Kind.TEXT, "its name, where there are several", lambda _, one: one.server),
    Column("warm_up", Kind.TRUTH, "planned for the warm-up", lambda _, one: one.warm_up),
    Column("planned_s", Kind.SECONDS, "it was to begin, since the run's or the window's beginning",
           lambda _, one: one.planned),
    Column("started_s", Kind.SECONDS, "it began, since the run's or the window's beginning",
           lambda _, one: one.started),
    Column("finished_s", Kind.SECONDS,
           "it had its outcome, since the run's or the window's beginning",
           lambda _, one: one.finished),
    Column("lag_s", Kind.SECONDS, "from the planned to the real beginning", lambda _, one: one.lag),
    Column("service_s", Kind.SECONDS, "from the real beginning to the end",
           lambda _, one: one.service),
    Column("response_s", Kind.SECONDS, "from the planned beginning to the end",
           lambda _, one: one.response),
    Column("crypto_s", Kind.SECONDS, "our own work on its messages", lambda _, one: one.crypto),
    Column("network_s", Kind.SECONDS, "its exchanges, summed", lambda _, one: one.network),
    Column("ok", Kind.TRUTH, "all requests reached what was asked for", lambda _, one: one.is_ok),
    Column("outcome", Kind.TEXT, "of the first request that failed, or of the first",
           lambda _, one: _telling(one).outcome.value),
    Column("reason", Kind.TEXT, "of that outcome", lambda _, one: _telling(one).reason),
    Column("fail_info", Kind.TEXT, "of that outcome, names joined by |",
           lambda _, one: "|".join(_telling(one).fail_info)),
    Column("requests", Kind.WHOLE, "in the transaction",
           lambda _, one: sum(ending.requests for ending in one.endings)),
    Column("certificates", Kind.WHOLE, "that the CA issued in it", lambda _, one: one.certificates),
    Column("attempts", Kind.WHOLE, "transactions started for it", lambda _, one: one.attempts),
    Column("exchanges", Kind.WHOLE, "messages sent in it", lambda _, one: len(one.exchanges)),
)  # fmt: skip


def samples_csv(runs: Iterable[Iterable[Record]]) -> Iterator[str]:
    """Lines of a CSV file (RFC 4180): a head, and one for each transaction.

    Seconds have six digits after the point. Texts are made harmless as in results.csv.
    """
    yield _line(column.name for column in COLUMNS)
    for place, record in transactions(runs):
        yield _line(_cell(column, column.value(place, record)) for column in COLUMNS)


def samples_jsonl(runs: Iterable[Iterable[Record]]) -> Iterator[str]:
    """A line for each transaction: its place, and all of its record, its exchanges included."""
    for place, record in transactions(runs):
        line = place._asdict() | msgspec.to_builtins(record)
        yield msgspec.json.encode(line).decode() + "\n"


def transactions(runs: Iterable[Iterable[Record]]) -> Iterator[tuple[Place, TransactionRecord]]:
    """Each with its place."""
    for number, records in enumerate(runs, 1):
        place = Place(number, 0)
        for record in records:
            if isinstance(record, Window):
                place = Place(number, place.window + 1)
            elif isinstance(record, TransactionRecord):
                yield place, record


def _cell(column: Column, value: Value) -> str:
    match column.kind:
        case Kind.WHOLE:
            return str(value)
        case Kind.SECONDS:
            return f"{value:.6f}"
        case Kind.TRUTH:
            return "true" if value else "false"
        case Kind.TEXT:
            return cell(str(value))


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, dialect="excel").writerow(cells)
    return text.getvalue()
