"""summary.json: one run in figures, with a schema version; the text summary has the same source."""

import dataclasses
import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from bulkcmp.model import Operation
from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.text import utc
from bulkcmp.stats.progress import HoldCount, Latencies
from bulkcmp.stats.tally import OutcomeCount

SCHEMA: Final = "bulkcmp/summary/1"

EXIT_MEANINGS: Final = {
    EXIT_OK: "all rows are done",
    EXIT_SOME_FAILED: "some rows are not done",
    EXIT_BAD_INPUT: "bad input or usage",
    EXIT_INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class PopulationFacts:
    """The file that the rows came from: its name as given, SHA-256 (hex) and number of rows."""

    file: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class LintCount:
    """How many certificates do not keep a rule; `example` is the id of the first of these rows."""

    rule: str
    severity: str
    certificates: int
    example: str


@dataclass(frozen=True, slots=True)
class LintSummary:
    """What linting found.

    Attributes:
        certificates: that were linted; flawed: those of them that have findings.
        findings: commonest first.
        complete: it was not cut off.
    """

    profile: str
    every: int
    certificates: int
    flawed: int
    findings: tuple[LintCount, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many rows have which reason."""

    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """How the certificates of the run that were to be delivered stand.

    Attributes:
        to: the command, or the URL.
        delivered, failed, to_do: rows of the run with a good certificate, by their last attempt.
        withheld: more of them, which break a lint rule under --lint-fail.
        reasons: of those that failed, commonest first.
        given_up: attempts ended early, since too many rows in a row had failed.
    """

    to: str
    delivered: int
    failed: int
    to_do: int
    withheld: int = 0
    reasons: tuple[ReasonCount, ...] = ()
    given_up: bool = False

    @property
    def is_done(self) -> bool:
        return not self.failed and not self.to_do


@dataclass(frozen=True, slots=True)
class RunSummary:
    """All that summary.json and the final text say of one session of a run.

    Attributes:
        tool_version: bulkcmp's.
        command: `enroll`, `resume` or `demo`.
        started_at, ended_at: wall clock of this session, UTC.
        elapsed: seconds of this session, monotonic clock.
        server: URL of the CMP server; a user and password in it are not shown.
        operations: the CMP operations of the run's rows.
        key_mode: where the rows' keys come from, in words.
        counts: every row of the population, rows `to do` included.
        transactions: transactions that this session finished.
        success, failure: latencies of this session's transactions that did or did not reach what
            the user asked for.
        holds: what held new transactions back in this session.
        interrupted: the run was stopped before its end.
        canary_failed: it ended before its end, since too many of its first rows failed.
        exit_code: that the command ends with.
        run_folder, results_file, credentials_folder, information_folder: where the output is; empty
            where there is none.
        lint: None where certificates were not linted.
        delivery: None where the run delivers none.
        notes: what the user should know besides: warnings, settings that weaken a check.
        label: of the batch; operator: who ran this session; None where they were not told.
    """

    tool_version: str
    command: str
    started_at: dt.datetime
    ended_at: dt.datetime
    elapsed: float
    server: str
    operations: tuple[Operation, ...]
    key_mode: str
    population: PopulationFacts
    counts: tuple[OutcomeCount, ...]
    transactions: int
    success: Latencies
    failure: Latencies
    interrupted: bool
    exit_code: int
    canary_failed: bool = False
    holds: tuple[HoldCount, ...] = ()
    run_folder: str = ""
    results_file: str = ""
    credentials_folder: str = ""
    information_folder: str = ""
    lint: LintSummary | None = None
    delivery: DeliverySummary | None = None
    notes: tuple[str, ...] = ()
    label: str | None = None
    operator: str | None = None

    @property
    def done(self) -> int:
        """Rows that reached what the user asked for."""
        return sum(count.count for count in self.counts if count.outcome.is_done)

    @property
    def rate(self) -> float:
        """Transactions finished per second of this session."""
        return self.transactions / self.elapsed if self.elapsed > 0 else 0.0


def write_summary(path: Path, summary: RunSummary) -> None:
    """Write summary.json (mode 0600), replacing an old one whole and durably.

    Raises:
        BulkcmpError: the file system refused.
    """
    with replacing(path, 0o600, durable=True) as file:
        file.write(summary_json(summary).encode())


def summary_json(summary: RunSummary) -> str:
    """The text of summary.json, pure ASCII, ending with a line feed."""
    return json.dumps(_document(summary), indent=2) + "\n"


def public_url(url: str) -> str:
    """`url` without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _document(summary: RunSummary) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "tool": {"name": "bulkcmp", "version": summary.tool_version},
        "command": summary.command,
        "label": summary.label,
        "operator": summary.operator,
        "started_at": utc(summary.started_at, "milliseconds"),
        "ended_at": utc(summary.ended_at, "milliseconds"),
        "elapsed_s": round(summary.elapsed, 6),
        "interrupted": summary.interrupted,
        "canary_failed": summary.canary_failed,
        "exit_code": summary.exit_code,
        "server": public_url(summary.server),
        "operations": [operation.value for operation in summary.operations],
        "key_mode": summary.key_mode,
        "population": dataclasses.asdict(summary.population),
        "rows_done": summary.done,
        "outcomes": _outcomes(summary.counts),
        "transactions": summary.transactions,
        "transactions_per_s": round(summary.rate, 3),
        "latency_s": {
            "success": _latencies(summary.success),
            "failure": _latencies(summary.failure),
        },
        "holds": [
            {"hold": one.hold.value, "times": one.times, "seconds": round(one.seconds, 3)}
            for one in summary.holds
        ],
        "lint": None if summary.lint is None else dataclasses.asdict(summary.lint),
        "delivery": None if summary.delivery is None else dataclasses.asdict(summary.delivery),
        "run_folder": summary.run_folder,
        "results_file": summary.results_file,
        "credentials_folder": summary.credentials_folder,
        "information_folder": summary.information_folder,
        "notes": list(summary.notes),
    }


def _outcomes(counts: tuple[OutcomeCount, ...]) -> dict[str, Any]:
    """`{class: {rows, reasons: {reason: rows}}}`; rows without a reason are in `rows` only."""
    outcomes: dict[str, Any] = {}
    for one in counts:
        entry = outcomes.setdefault(one.outcome.value, {"rows": 0, "reasons": {}})
        entry["rows"] += one.count
        if one.reason:
            entry["reasons"][one.reason] = one.count
    return outcomes


def _latencies(latencies: Latencies) -> dict[str, dict[str, float | None]]:
    return {
        step: {name: figure and round(figure, 9) for name, figure in figures.items()}
        for step, figures in dataclasses.asdict(latencies).items()
    }
