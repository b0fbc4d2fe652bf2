"""Linting after a run: each N-th certificate, counted by rule, cut off or not."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import cast

import anyio
import anyio.to_process
import pytest

from bulkcmp.engine.linting import Linting
from bulkcmp.engine.plan import LintPlan
from bulkcmp.engine.session import with_lint
from bulkcmp.journal.journal import Journal
from bulkcmp.lint.linter import UNREADABLE, Finding, Severity
from bulkcmp.model import Operation, Outcome, OutcomeClass, RowResult
from bulkcmp.outputs.summary import LintCount, PopulationFacts, RunSummary
from bulkcmp.stats.progress import Latencies

WARNING = Finding("a.warning", Severity.WARNING)
ERROR = Finding("an.error", Severity.ERROR)


RUN = RunSummary(
    tool_version="1",
    command="enroll",
    started_at=dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
    ended_at=dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
    elapsed=1.0,
    server="",
    operations=(),
    key_mode="",
    population=PopulationFacts("", "", 2),
    counts=(),
    transactions=2,
    success=Latencies(),
    failure=Latencies(),
    interrupted=False,
    exit_code=0,
)


class Kept:
    """A journal's results."""

    def __init__(self, *certificates: bytes | None) -> None:
        self.certificates = certificates

    def results(self) -> Iterator[tuple[RowResult, None]]:
        for number, der in enumerate(self.certificates, 1):
            outcome = Outcome(OutcomeClass.ISSUED)
            row = RowResult(
                number, number + 1, f"id{number}", Operation.IR, outcome, certificate=der
            )
            yield row, None


def lint(plan: LintPlan, *certificates: bytes | None) -> Linting:
    linting = Linting(plan)
    anyio.run(linting.run, cast(Journal, Kept(*certificates)))
    return linting


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linter of our own in the place of processes: `w` and `e` stand for what is wrong."""

    async def run_sync(_: object, profile: str, ders: list[bytes], **__: object) -> object:
        assert profile == "rfc5280"
        if b"broken" in ders:
            raise anyio.BrokenWorkerProcess
        rules = {b"w": (WARNING,), b"e": (ERROR,), b"we": (WARNING, ERROR)}
        return [rules.get(der, ()) for der in ders]

    monkeypatch.setattr(anyio.to_process, "run_sync", run_sync)


@pytest.mark.usefixtures("inline")
def test_findings_are_counted_by_rule_with_their_first_row() -> None:
    linting = lint(LintPlan("rfc5280", 1, fail=True), b"", None, b"w", b"we", b"e")
    summary = linting.summary()
    assert (summary.certificates, summary.flawed, summary.complete) == (4, 3, True)
    assert summary.findings == (
        LintCount("a.warning", "warning", 2, "id3"),
        LintCount("an.error", "error", 2, "id4"),
    )
    assert linting.failures == {4: "an.error", 5: "an.error"}


@pytest.mark.usefixtures("inline")
def test_nothing_fails_unasked() -> None:
    assert lint(LintPlan("rfc5280", 1, fail=False), b"e").failures == {}


@pytest.mark.usefixtures("inline")
def test_each_nth_of_those_issued() -> None:
    linting = lint(LintPlan("rfc5280", 2, fail=False), b"e", None, b"w", b"e", *[b""] * 500)
    summary = linting.summary()
    assert summary.certificates == 252
    assert summary.findings == (LintCount("an.error", "error", 2, "id1"),)


@pytest.mark.usefixtures("inline")
def test_a_process_that_dies_leaves_it_incomplete() -> None:
    summary = lint(LintPlan("rfc5280", 1, fail=False), b"e", b"broken").summary()
    assert (summary.certificates, summary.complete) == (0, False)
    ended = with_lint(RUN, summary)
    assert ended.exit_code == 1
    assert with_lint(dataclasses.replace(RUN, exit_code=130), summary).exit_code == 130
    assert ended.notes == ("linting is not complete: bulkcmp resume lints again",)


def test_what_is_not_begun_is_not_complete() -> None:
    assert not Linting(LintPlan("rfc5280", 1, fail=False)).summary().complete


def test_real_processes() -> None:
    summary = lint(LintPlan("rfc5280", 1, fail=False), b"no certificate").summary()
    assert summary.findings == (LintCount(UNREADABLE, "fatal", 1, "id1"),)
