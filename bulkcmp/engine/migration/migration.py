"""A migration in its folder: what was made of the users, and the two runs over that.

    RUN/migration.json     what the migration is; without it, nothing of it was begun
    RUN/input/             what the assessment made: the populations of both runs, and the users
    RUN/enrollment/        the run at the new CA
    RUN/revocation/        the run at the old one, after the first

Both runs are ordinary ones, each with its own journal, which decides what `resume` does.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from bulkcmp.engine.migration.assessment import Assessment
from bulkcmp.engine.migration.input import ENROLLMENT, REVOCATION, InputFolder
from bulkcmp.engine.migration.oldcert import OldCa
from bulkcmp.engine.migration.rules import Rules
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.precedence import must_deliver
from bulkcmp.engine.start import begin, check, go_on, open_run, refuse_used
from bulkcmp.errors import InputError, InputErrors, Where
from bulkcmp.inputs.recognition import absolute, open_source
from bulkcmp.journal.folder import HeldFolder, holds_run
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Operation
from bulkcmp.outputs.files import replacing

_VERSION: Final = 1
_MARK: Final = "migration.json"
_INPUT: Final = "input"

_DELIVERY: Final = ("on_issued", "on_issued_url")

_OF_ENROLLMENT: Final = (
    "subject", "csr", "oldcert", "serial", "newkey", "newkeypass", "keys", "keys_pass", "key_pass",
    "plain_keys", "regtoken", "authenticator", "lint", "lint_profile", "lint_every", "lint_fail",
    *_DELIVERY, "on_issued_bearer", "on_issued_env",
)  # fmt: skip
"""Settings that would be in the way of a revocation: of rows, and of what it has none of."""


@dataclass(frozen=True, slots=True)
class Sides:
    """How both CAs are talked to.

    Attributes:
        old: for rows that revoke.
        new: for rows that ask for certificates.
    """

    old: Options
    new: Options

    @classmethod
    def of(cls, old: Options, new: Options, rules: Rules) -> Self:
        """
        Args:
            old, new: as the user says it of each CA.

        Raises:
            InputError: a secret could not be asked for again by `resume`.
        """
        if new.lint_fail and not must_deliver(asdict(new)):
            raise InputError(
                "lint_fail of the new CA withholds certificates from delivery, and there is none",
                hint="give --on-issued too, or leave it away",
            )
        empty = Options()
        of_new = {name: getattr(empty, name) for name in _OF_ENROLLMENT}
        reason = rules.reason.name.lower()
        revoking = replace(
            old,
            **of_new,
            cmd=Operation.RR.value,
            revreason=reason,
            # the report tells what was revoked before from what the migration revoked
            accept_revoked=False,
        )
        sides = cls(revoking.of_own_population(), new)
        for name, options in (("old", sides.old), ("new", replace(new, key_pass=None))):
            try:
                Options.resumed(options.facts(), {})
            except InputError as error:
                raise InputError(
                    f"{name} CA: {error.what}", hint="say where it stands, by env: or file:"
                ) from None
        return sides


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration that was begun.

    Attributes:
        folder: of it.
        facts: what its file says.
    """

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        """Whether a folder has a migration."""
        return (folder / _MARK).exists()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """
        Raises:
            InputError: it can't be read, or is none of this version.
        """
        path = folder / _MARK
        where = Where(str(path))
        try:
            facts = json.loads(path.read_bytes())
        except OSError as error:
            raise InputError(f"can't be read: {error.strerror}", where=where) from None
        except ValueError as error:
            raise InputError(f"not JSON: {error}", where=where) from None
        if not isinstance(facts, dict) or facts.get("version") != _VERSION:
            raise InputError("not a migration of this version of bulkcmp", where=where)
        return cls(folder, facts)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Have the migration alone while the block runs.

        Raises:
            InputError: another process has it.
        """
        held = HeldFolder(self.folder)
        try:
            yield
        finally:
            held.close()

    @property
    def input(self) -> InputFolder:
        return InputFolder(self.folder / _INPUT)

    @property
    def revokes(self) -> bool:
        """Whether there are old certificates to revoke."""
        return bool(self.facts["revocations"])

    def enrollment(self, given: Mapping[str, Any], session: "Session") -> tuple[Plan, Journal]:
        """The run at the new CA, for a session.

        Args:
            given: options that take the place of those which the migration began with.

        Raises:
            InputError: something can't be used, or certificates are to be delivered all at once.
        """
        if not must_deliver(self.facts["new"]) and any(map(given.get, _DELIVERY)):
            raise InputError(
                "--on-issued: the migration began without delivery, and revokes without it",
                where=Where(str(self.folder)),
                hint=f"bulkcmp resume {self.folder / ENROLLMENT} --on-issued CMD delivers, and"
                " nothing waits for it",
            )
        return self._run(ENROLLMENT, self.input.enrollment, "new", given, session)

    def revocation(self, given: Mapping[str, Any], session: "Session") -> tuple[Plan, Journal]:
        """The run at the old CA, of what the other one is through with.

        What is not known to be revoked is asked for again: twice comes to the same as once.

        Raises:
            InputError: something can't be used.
        """
        session = replace(session, retry_unknown=True)
        after = self.folder / ENROLLMENT
        return self._run(REVOCATION, self.input.revocation, "old", given, session, after)

    def notes(self) -> tuple[str, ...]:
        """What every report shall say of the two CAs' options."""
        return tuple(
            f"{side} CA: {note}"
            for side in ("old", "new")
            for note in Options.merge(self.facts[side]).notes()
        )

    def _run(
        self,
        name: str,
        population: Path,
        side: str,
        given: Mapping[str, Any],
        session: "Session",
        after: Path | None = None,
    ) -> tuple[Plan, Journal]:
        folder = self.folder / name
        if holds_run(folder):
            return go_on(
                open_run(folder, None, None),
                given,
                session.environ,
                population=str(population),
                retry_unknown=session.retry_unknown,
                retry_failed=session.retry_failed,
                on_notice=session.on_notice,
            )
        if open_source(population).digest() != self.facts["sha256"][name]:
            raise InputError("has changed since the migration began", where=Where(str(population)))
        options = Options.resumed(self.facts[side], given)
        return begin(str(population), options, folder, session.environ, after=after)


@dataclass(frozen=True, slots=True)
class Session:
    """What both runs are told when they begin or go on.

    Attributes:
        retry_unknown, retry_failed: as of a plan.
        on_notice: told, in plain English, what takes its time.
    """

    environ: Mapping[str, str]
    on_notice: Callable[[str], None] = lambda _: None
    retry_unknown: bool = False
    retry_failed: bool = False


def runs_in(folder: Path) -> tuple[Path, ...]:
    """The runs that are begun in the folder of a migration; another folder is one itself."""
    if not Migration.is_in(folder):
        return (folder,)
    first, second = folder / ENROLLMENT, folder / REVOCATION
    return (first, second) if holds_run(second) else (first,)


def refuse_migration(folder: Path) -> None:
    """Make sure that a folder is not a migration's, where one run is meant.

    Raises:
        InputError: it is.
    """
    if Migration.is_in(folder):
        raise InputError(
            "holds a migration, which has two runs",
            where=Where(str(folder)),
            hint=f"give {folder / ENROLLMENT} or {folder / REVOCATION}",
        )


def assess(
    population: str,
    sides: Sides,
    rules: Rules,
    environ: Mapping[str, str],
    now: dt.datetime,
) -> Assessment:
    """What is to be done with the users of a population; nothing is written or sent.

    Raises:
        InputError: something can't be used, whatever the users are.
    """
    for options in (sides.old, sides.new):
        options.refuse_two_readers()
        options.setup(environ)
    ca = OldCa.of(sides.old)
    return Assessment(sides.new.source(population), sides.new, ca, rules, environ, now)


def begin_migration(
    population: str,
    sides: Sides,
    rules: Rules,
    folder: Path,
    environ: Mapping[str, str],
    now: dt.datetime,
    *,
    skip_bad_rows: bool,
) -> Migration:
    """Assess the users, and have the folder ready for both runs.

    Args:
        skip_bad_rows: go on without the users that can't be migrated.

    Raises:
        InputErrors: users can't be migrated, and are not to be skipped.
        InputError: something can't be used. In either case there is no migration.
    """
    refuse_used(folder)
    with _made(folder):
        if Migration.is_in(folder):
            raise InputError(
                "holds a migration already",
                where=Where(str(folder)),
                hint=f"go on with it by bulkcmp resume {folder}, or choose another --out",
            )
        for one in (folder / ENROLLMENT, folder / REVOCATION):
            refuse_used(one)
        assessment = assess(population, sides, rules, environ, now)
        made = InputFolder(folder / _INPUT)
        try:
            problems = made.write(assessment)
            _check(assessment, problems, population, skip_bad_rows=skip_bad_rows)
            sides = replace(sides, new=assessment.options)
            check(str(made.enrollment), sides.new, environ)
            if assessment.cases.revocations:
                check(str(made.revocation), sides.old, environ)
        except BaseException:
            # nothing of it was begun
            made.discard()
            raise
        facts = {
            "version": _VERSION,
            "population": absolute(population),
            "population_sha256": assessment.digest(),
            "began": now.isoformat(),
            "users": assessment.cases.users,
            "rejected": assessment.cases.rejected,
            "revocations": assessment.cases.revocations,
            "cases": assessment.cases.document(rules),
            "old": sides.old.facts(),
            "new": sides.new.facts(),
            "sha256": made.digests(),
        }
        with replacing(folder / _MARK, 0o600, durable=True) as file:
            file.write((json.dumps(facts, indent=2) + "\n").encode())
        return Migration(folder, facts)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Have a folder alone while the block runs; one that was made for it goes again where the block
    fails, if nothing is in it.

    Raises:
        InputError: another process has it.
    """
    held = HeldFolder.make(folder)
    try:
        yield
    except BaseException:
        held.discard()
        raise
    finally:
        held.close()


def _check(
    assessment: Assessment,
    problems: Sequence[InputError],
    population: str,
    *,
    skip_bad_rows: bool,
) -> None:
    """Make sure that there is somebody to migrate, and nobody too many is left out.

    Raises:
        InputErrors: they are not.
    """
    cases = assessment.cases
    if not cases.rejected or (skip_bad_rows and cases.rejected < cases.users):
        return
    error = InputErrors(
        f"{population}: {cases.rejected} of {cases.users} users can't be migrated", tuple(problems)
    )
    error.hint = "--plan counts them by their reasons; --skip-bad-rows goes on without them"
    raise error
