"""What a run is to do, with every file read and every option checked."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from bulkcmp.engine.frame import Setup
from bulkcmp.engine.precedence import Later, Precedence
from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.population import Population
from bulkcmp.model import BadRow, EndEntity, KeySpec, Operation, Secret
from bulkcmp.outputs.credentials import (
    OutChain,
    OutFormat,
    check_formats,
    check_password,
)
from bulkcmp.outputs.recipient import Recipients
from bulkcmp.waves.breaker import BreakerRules
from bulkcmp.waves.canary import Canary
from bulkcmp.waves.window import Windows

_SHOWN: Final = 20
"""Problems of a population that an error lists; `bulkcmp check` lists all."""


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """How what a row gets is written.

    Attributes:
        formats: at least one, each once.
        chain: which certificates stand beside that of the row.
        password: opens the key files of rows that have none of their own; None where `key_pass`
            does.
        recipients: whom the passwords of rows are encrypted to.
        label: of the batch; operator: who runs it: for manifest and summary.
    """

    formats: tuple[OutFormat, ...] = (OutFormat.PEM,)
    chain: OutChain = OutChain.FULL
    password: Secret | None = field(default=None, repr=False)
    recipients: Recipients | None = None
    label: str | None = None
    operator: str | None = None


class Rows:
    """The rows of a population, judged by the output too; can be streamed several times."""

    def __init__(self, population: Population, file: str, output: OutputPlan) -> None:
        self.population = population
        self.output = output
        self._file = file

    def __iter__(self) -> Iterator[EndEntity | BadRow]:
        for row in self.population.rows():
            if isinstance(row, BadRow) or not row.cmd.certifies:
                yield row
            else:
                yield self._judged(row)

    def _judged(self, row: EndEntity) -> EndEntity | BadRow:
        column = "out_pass"
        try:
            if row.out_pass is not None:
                check_password(self.output.formats, row.out_pass)
            column = "newkey" if row.new_key_spec is not None or row.central_keygen else "cmd"
            # a key that a file gave stays where it is
            check_formats(self.output.formats, row.new_key_spec, central_keygen=row.central_keygen)
        except InputError as error:
            where = Where(self._file, row.line, column, row.number)
            problem = InputError(error.what, where=where, hint=error.hint)
            return BadRow(row.number, row.line, row.id, (problem,))
        return row


@dataclass(frozen=True, slots=True)
class Census:
    """What one pass over a population told.

    Attributes:
        rows: all of them; bad: those that can't be used.
        operations: of the good ones.
        keys: how many keys of which type the rows want; those that the CA makes do not count.
        central: rows whose keys the CA makes.
        priorities: the distinct ones, first to last; rows without one, and bad rows, are None.
        usable: good rows of each priority.
    """

    rows: int
    bad: int
    operations: frozenset[Operation]
    keys: dict[KeySpec, int]
    central: int
    priorities: tuple[int | None, ...]
    problems: tuple[InputError, ...] = ()
    usable: Mapping[int | None, int] = field(default_factory=dict)

    @property
    def stores_keys(self) -> bool:
        """Whether there will be private keys to keep."""
        return bool(self.keys or self.central)

    @classmethod
    def take(cls, rows: Rows) -> Self:
        """Read every row."""
        count = bad = central = 0
        operations: set[Operation] = set()
        keys: Counter[KeySpec] = Counter()
        priorities: set[int | None] = set()
        usable: Counter[int | None] = Counter()
        problems: list[InputError] = []
        for row in rows:
            count += 1
            if isinstance(row, BadRow):
                bad += 1
                priorities.add(None)
                if len(problems) < _SHOWN:
                    problems.extend(row.problems)
                continue
            operations.add(row.cmd)
            priorities.add(row.priority)
            usable[row.priority] += 1
            central += row.central_keygen
            if row.new_key_spec is not None and not row.central_keygen:
                keys[row.new_key_spec] += 1
        known = sorted(priority for priority in priorities if priority is not None)
        order = (*known, *((None,) if None in priorities else ()))
        return cls(
            rows=count,
            bad=bad,
            operations=frozenset(operations),
            keys=dict(keys),
            central=central,
            priorities=order,
            problems=tuple(problems[:_SHOWN]),
            usable=dict(usable),
        )

    def refuse_bad_rows(self, file: str) -> None:
        """
        Raises:
            InputErrors: there are bad rows.
        """
        if not self.bad:
            return
        error = InputErrors(f"{file}: {self.bad} of {self.rows} rows can't be used", self.problems)
        error.hint = (
            f"bulkcmp check {file}, with the same options for rows, lists every problem;"
            " --skip-bad-rows goes on without these rows"
        )
        raise error


@dataclass(frozen=True, slots=True)
class LintPlan:
    """Which certificates are linted, by what, and whether a finding is a failure.

    Attributes:
        profile: that `bulkcmp.lint.linter.check_profile` takes.
        every: each N-th certificate.
    """

    profile: str
    every: int
    fail: bool


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """Whom finished end entities are delivered to, and how.

    Attributes:
        target: as the user gave it.
        command: a program and its arguments, or
        url: what is posted to.
        environ: the variables that the command gets besides what it is told.
        bearer: the token that posts carry.
        concurrency: attempts at the same time, at most.
        timeout: seconds for one attempt.
        attempts: of a row in one session.
    """

    target: str
    command: tuple[str, ...] = ()
    url: str = ""
    environ: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    bearer: Secret | None = field(default=None, repr=False)
    concurrency: int = 4
    timeout: float = 60.0
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, ready to begin.

    Attributes:
        population_file: as the user gave it.
        census: None where the rows are checked as they stream.
        setup: what each worker is told; `concurrency` is that of all workers together.
        workers: processes.
        key_file: keys made earlier; None: keys are made on the way.
        key_pass: seals and encrypts private keys; None with plain_keys.
        stores_keys: there may be private keys to keep.
        retry_unknown: begin anew where the outcome is unknown.
        retry_failed: begin anew where no certificate was issued.
        lint: None where certificates are not linted.
        breaker: when to send nothing to a CA that fails all; None for never.
        canary: what goes first, and decides on the rest; None for nothing.
        windows: outside of which nothing begins; None for none.
        delivery: None where they are not delivered.
        precedence: of the run that goes before; None where there is none.
        notes: what every report of the run shall say.
        is_partial: the rows are not all that was asked for: the exit code is no 0.
    """

    rows: Rows
    population: Population
    population_file: str
    census: Census | None
    setup: Setup
    workers: int
    output: OutputPlan
    key_file: Path | None = None
    key_file_pass: Secret | None = field(default=None, repr=False)
    key_pass: Secret | None = field(default=None, repr=False)
    plain_keys: bool = False
    stores_keys: bool = True
    skip_bad_rows: bool = False
    retry_unknown: bool = False
    retry_failed: bool = False
    lint: LintPlan | None = None
    breaker: BreakerRules | None = None
    delivery: DeliveryPlan | None = None
    precedence: Precedence | None = None
    canary: Canary | None = None
    windows: Windows | None = None
    notes: tuple[str, ...] = ()
    is_partial: bool = False

    @property
    def admitted(self) -> Iterable[EndEntity | BadRow]:
        """The rows that may go in this session; can be streamed several times."""
        return self.rows if self.precedence is None else Later(self.rows, self.precedence)

    @property
    def count(self) -> int | None:
        """How many that are, if they were counted."""
        return None if self.census is None or self.precedence is not None else self.census.rows
