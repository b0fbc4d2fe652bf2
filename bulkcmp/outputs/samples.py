"""The transactions of load tests one by one, for other tools: CSV and JSON Lines."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from bulkcmp.outputs.results import cell
from bulkcmp.stats.record import Record, TransactionRecord

COLUMNS: Final = (
    "run",
    "arrival",
    "lifecycle",
    "step",
    "operation",
    "warm_up",
    "planned_s",
    "started_s",
    "finished_s",
    "lag_s",
    "service_s",
    "response_s",
    "crypto_s",
    "network_s",
    "ok",
    "outcome",
    "reason",
    "fail_info",
    "requests",
    "certificates",
    "attempts",
    "exchanges",
)


def samples_csv(runs: Iterable[Iterable[Record]]) -> Iterator[str]:
    """Lines of a CSV file (RFC 4180), a head and one for each transaction.

    `run` counts from 1; seconds count from the run's beginning; `outcome`, `reason` and
    `fail_info` are those of the first request that failed, or of the first one; several names of
    `fail_info` are joined by `|`. Texts are made harmless as in results.csv.
    """
    yield _line(COLUMNS)
    for number, record in _transactions(runs):
        ending = next((one for one in record.endings if not one.outcome.is_done), record.endings[0])
        yield _line(
            (
                str(number),
                str(record.arrival),
                cell(record.lifecycle),
                str(record.step),
                record.operation.value,
                _truth(record.warm_up),
                *(
                    f"{seconds:.6f}"
                    for seconds in (
                        record.planned,
                        record.started,
                        record.finished,
                        record.lag,
                        record.service,
                        record.response,
                        record.crypto,
                        record.network,
                    )
                ),
                _truth(record.is_ok),
                cell(ending.outcome.value),
                cell(ending.reason),
                cell("|".join(ending.fail_info)),
                str(sum(one.requests for one in record.endings)),
                str(record.certificates),
                str(record.attempts),
                str(len(record.exchanges)),
            )
        )


def samples_jsonl(runs: Iterable[Iterable[Record]]) -> Iterator[str]:
    """A line for each transaction: all of its record, its exchanges included, and `run`."""
    for number, record in _transactions(runs):
        yield msgspec.json.encode({"run": number, **msgspec.to_builtins(record)}).decode() + "\n"


def _transactions(runs: Iterable[Iterable[Record]]) -> Iterator[tuple[int, TransactionRecord]]:
    for number, records in enumerate(runs, 1):
        for record in records:
            if isinstance(record, TransactionRecord):
                yield number, record


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, dialect="excel").writerow(cells)
    return text.getvalue()
