"""Lints what a run has issued, once it is over: in processes aside, never while it goes on."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import anyio
import anyio.to_process
import anyio.to_thread

from bulkcmp.engine.plan import LintPlan
from bulkcmp.journal.journal import Journal
from bulkcmp.lint.linter import Finding, lint
from bulkcmp.outputs.summary import LintCount, LintSummary

_CHUNK: Final = 64
"""Certificates that a process gets at once: some 0.3 s of work."""


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    id: str
    certificate: bytes


class Linting:
    """Linting of a run's certificates, and what it has found so far.

    Attributes:
        failures: the rule that a row's certificate breaks, by the row's number, where the plan
            makes that a failure.
        is_complete: it was not cut off.
    """

    def __init__(self, plan: LintPlan) -> None:
        self._plan = plan
        self._certificates = 0
        self._flawed = 0
        self._counts: dict[Finding, int] = {}
        self._first: dict[Finding, _Row] = {}
        self.is_complete = self._is_broken = False
        self.failures: dict[int, str] = {}

    async def run(self, journal: Journal) -> None:
        """Lint each N-th certificate of a run; may be cancelled."""
        rows = islice(self._issued(journal), 0, None, self._plan.every)
        limiter = anyio.CapacityLimiter(os.cpu_count() or 1)
        room = anyio.Semaphore(2 * int(limiter.total_tokens))
        async with anyio.create_task_group() as group:
            while chunk := await anyio.to_thread.run_sync(lambda: list(islice(rows, _CHUNK))):
                # no more is read than can be worked on
                await room.acquire()
                group.start_soon(self._lint, chunk, limiter, room)
        self.is_complete = not self._is_broken

    @staticmethod
    def _issued(journal: Journal) -> Iterator[_Row]:
        for result, _ in journal.results():
            if result.certificate is not None:
                yield _Row(result.number, result.id, result.certificate)

    async def _lint(
        self, rows: Sequence[_Row], limiter: anyio.CapacityLimiter, room: anyio.Semaphore
    ) -> None:
        try:
            found = await anyio.to_process.run_sync(
                _lint_aside,
                self._plan.profile,
                [row.certificate for row in rows],
                cancellable=True,
                limiter=limiter,
            )
        except anyio.BrokenWorkerProcess:
            # a signal to the whole process group, or no memory: said by `complete`
            self._is_broken = True
            return
        finally:
            room.release()
        for row, findings in zip(rows, found, strict=True):
            self._count(row, findings)

    def _count(self, row: _Row, findings: tuple[Finding, ...]) -> None:
        self._certificates += 1
        self._flawed += bool(findings)
        for finding in findings:
            self._counts[finding] = self._counts.get(finding, 0) + 1
            first = self._first.get(finding)
            if first is None or row.number < first.number:
                self._first[finding] = row
        broken = [finding.rule for finding in findings if finding.severity.breaks]
        if broken and self._plan.fail:
            self.failures[row.number] = broken[0]

    def summary(self) -> LintSummary:
        return LintSummary(
            self._plan.profile,
            self._plan.every,
            self._certificates,
            self._flawed,
            tuple(
                LintCount(finding.rule, finding.severity, count, self._first[finding].id)
                for finding, count in sorted(
                    self._counts.items(), key=lambda item: (-item[1], item[0])
                )
            ),
            complete=self.is_complete,
        )


def _lint_aside(profile: str, certificates: list[bytes]) -> list[tuple[Finding, ...]]:
    # the terminal's Ctrl-C is the parent's to heed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return lint(profile, certificates)
