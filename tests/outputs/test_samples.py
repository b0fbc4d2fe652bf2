import csv
import json
from dataclasses import replace

from bulkcmp.outputs.samples import COLUMNS, samples_csv, samples_jsonl
from bulkcmp.stats.record import End, Record
from tests.stats.records import OK, REJECTED, exchange, transaction

RUNS: list[list[Record]] = [
    [transaction(1, 1.5, 2, exchanges=(exchange("ir", "ip", 1.5, 1.75),), server="ra"), End(3)],
    [transaction(0, 0, 1, OK, replace(REJECTED, reason="=cmd()"), warm_up=True)],
]


def test_csv_has_a_line_for_each_transaction() -> None:
    first, second = csv.DictReader(samples_csv(RUNS))
    assert tuple(first) == tuple(column.name for column in COLUMNS)
    assert (first["lag_s"], first["service_s"], first["response_s"]) == (
        "0.500000", "0.500000", "1.000000",
    )  # fmt: skip
    assert (first["run"], first["ok"], first["outcome"], first["network_s"]) == (
        "1", "true", "issued", "0.250000",
    )  # fmt: skip
    # the request that failed is the one to know of
    assert (second["run"], second["ok"], second["outcome"], second["fail_info"]) == (
        "2", "false", "rejected", "badPOP",
    )  # fmt: skip
    assert (second["requests"], second["warm_up"]) == ("2", "true")
    assert (first["server"], second["server"]) == ("ra", "")


def test_no_cell_is_a_formula() -> None:
    _, second = csv.DictReader(samples_csv(RUNS))
    assert second["reason"] == "'=cmd()"


def test_jsonl_has_all_of_a_record() -> None:
    first, second = (json.loads(line) for line in samples_jsonl(RUNS))
    assert (first["run"], second["run"]) == (1, 2)
    assert first["exchanges"][0]["request"] == "ir"
    assert second["endings"][1]["fail_info"] == ["badPOP"]
