"""summary.json."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.summary import (
    EXIT_MEANINGS,
    DeliverySummary,
    LintCount,
    LintSummary,
    PopulationFacts,
    ReasonCount,
    RunSummary,
    public_url,
    summary_json,
    write_summary,
)
from bulkcmp.stats.histogram import LatencySummary
from bulkcmp.stats.progress import HoldCount, Latencies
from bulkcmp.stats.tally import OutcomeCount
from bulkcmp.waves.admission import Hold

SUMMARY = RunSummary(
    tool_version="0.1.0",
    command="enroll",
    started_at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    ended_at=dt.datetime(2026, 1, 2, 3, 4, 9, 500_000, tzinfo=dt.UTC),
    elapsed=4.5,
    server="https://ra:hunter2@ca.example:8443/cmp?x=1",
    operations=(Operation.IR, Operation.KUR),
    key_mode="new ec:P-256 key per row",
    population=PopulationFacts("devices.csv", "ab" * 32, 12),
    counts=(
        OutcomeCount(OutcomeClass.ISSUED, "", 6),
        OutcomeCount(OutcomeClass.REJECTED, "badPOP", 2),
        OutcomeCount(OutcomeClass.REJECTED, "badRequest", 1),
        OutcomeCount(OutcomeClass.REJECTED, "", 1),
        OutcomeCount(OutcomeClass.TO_DO, "", 2),
    ),
    transactions=9,
    success=Latencies(service=LatencySummary(6, 0.1, 0.25, 0.2, 0.3, 0.3, 0.4, 0.4, 0.4)),
    failure=Latencies(),
    holds=(HoldCount(Hold.CIRCUIT, 2, 12.34567),),
    interrupted=True,
    exit_code=130,
    run_folder="runs/b17",
    results_file="runs/b17/results.csv",
    credentials_folder="runs/b17/certs",
    information_folder="runs/b17/info",
    lint=LintSummary("rfc5280", 2, 5, 1, (LintCount("pkix.a_rule", "error", 1, "dev3"),)),
    delivery=DeliverySummary("hand-over", 3, 2, 1, reasons=(ReasonCount("exit code 3", 2),)),
    notes=("the anchor ends in 3 days — soon",),
    label="B-17",
    operator="line 3",
)


def document() -> Any:
    return json.loads(summary_json(SUMMARY))


def test_the_document_is_versioned_and_complete() -> None:
    data = document()
    latency = data.pop("latency_s")
    assert data == {
        "schema": "bulkcmp/summary/1",
        "tool": {"name": "bulkcmp", "version": "0.1.0"},
        "command": "enroll",
        "label": "B-17",
        "operator": "line 3",
        "started_at": "2026-01-02T03:04:05.000Z",
        "ended_at": "2026-01-02T03:04:09.500Z",
        "elapsed_s": 4.5,
        "interrupted": True,
        "canary_failed": False,
        "exit_code": 130,
        "server": "https://ca.example:8443/cmp?x=1",
        "operations": ["ir", "kur"],
        "key_mode": "new ec:P-256 key per row",
        "population": {"file": "devices.csv", "sha256": "ab" * 32, "rows": 12},
        "rows_done": 6,
        "outcomes": {
            "issued": {"rows": 6, "reasons": {}},
            "rejected": {"rows": 4, "reasons": {"badPOP": 2, "badRequest": 1}},
            "to do": {"rows": 2, "reasons": {}},
        },
        "transactions": 9,
        "transactions_per_s": 2.0,
        "holds": [{"hold": "circuit open", "times": 2, "seconds": 12.346}],
        "lint": {
            "profile": "rfc5280",
            "every": 2,
            "certificates": 5,
            "flawed": 1,
            "findings": [
                {
                    "rule": "pkix.a_rule",
                    "severity": "error",
                    "certificates": 1,
                    "example": "dev3",
                }
            ],
            "complete": True,
        },
        "delivery": {
            "to": "hand-over",
            "delivered": 3,
            "failed": 2,
            "to_do": 1,
            "withheld": 0,
            "reasons": [{"reason": "exit code 3", "rows": 2}],
            "given_up": False,
        },
        "run_folder": "runs/b17",
        "results_file": "runs/b17/results.csv",
        "credentials_folder": "runs/b17/certs",
        "information_folder": "runs/b17/info",
        "notes": ["the anchor ends in 3 days — soon"],
    }
    assert set(latency) == {"success", "failure"}
    for steps in latency.values():
        assert set(steps) == {"service", "request", "polling", "confirm"}


def test_latencies_are_seconds_and_null_where_there_are_none() -> None:
    latency = document()["latency_s"]
    assert latency["success"]["service"] == {
        "count": 6,
        "min": 0.1,
        "mean": 0.25,
        "p50": 0.2,
        "p90": 0.3,
        "p95": 0.3,
        "p99": 0.4,
        "p999": 0.4,
        "max": 0.4,
    }
    nothing = latency["failure"]["polling"]
    assert nothing.pop("count") == 0
    assert set(nothing.values()) == {None}


def test_no_password_of_the_url_is_written() -> None:
    assert "hunter2" not in summary_json(SUMMARY)
    assert public_url("http://ca.example/a@b") == "http://ca.example/a@b"
    assert public_url("http://u:p@[::1]:8829/cmp") == "http://[::1]:8829/cmp"


def test_the_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("old")
    write_summary(path, SUMMARY)
    assert path.read_text(encoding="ascii") == summary_json(SUMMARY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_session_without_duration_has_no_rate() -> None:
    assert dataclasses.replace(SUMMARY, elapsed=0.0).rate == 0.0


@pytest.mark.parametrize("code", [EXIT_OK, EXIT_SOME_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED])
def test_every_exit_code_has_a_meaning(code: int) -> None:
    assert EXIT_MEANINGS[code]
