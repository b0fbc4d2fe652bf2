"""How a run begins, and how it is taken up again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bulkcmp.engine import worker
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.errors import InputError, Where
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.keyfile import KeyFile


def begin(
    population: str, options: Options, folder: Path, environ: Mapping[str, str]
) -> tuple[Plan, Journal]:
    """Check everything, then make the run folder and its journal.

    Raises:
        InputError: something can't be used; then there is no run folder.
    """
    plan = options.plan(population, environ)
    _try(plan)
    facts = {
        "population": str(Path(population).absolute()),
        "sha256": plan.population.digest(),
        "options": options.facts(),
    }
    return plan, Journal.create(folder, facts, plan.key_pass)


def go_on(
    folder: Path,
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    retry_unknown: bool,
    retry_failed: bool,
) -> tuple[Plan, Journal]:
    """Open the journal of a run, and plan what is left to do.

    Args:
        given: options that take the place of those which the run began with.

    Raises:
        InputError: the population is another, a secret is missing or wrong, or something else
            can't be used.
    """
    journal = Journal.open(folder)
    try:
        facts = journal.facts
        if journal.is_plain:
            # a run that made no keys, or --plain-keys: no passphrase is needed, none is checked
            given = {**given, "key_pass": None}
        options = Options.resumed(facts["options"], given)
        # first of all, for it costs nothing that a wrong one could spoil
        plan = options.plan(
            facts["population"], environ, retry_unknown=retry_unknown, retry_failed=retry_failed
        )
        if plan.population.digest() != facts["sha256"]:
            raise InputError(
                "the population has changed since the run began",
                where=Where(facts["population"]),
                hint="restore the file, or begin a new run",
            )
        journal.unlock(plan.key_pass)
        _try(plan)
    except BaseException:
        journal.close()
        raise
    return plan, journal


def _try(plan: Plan) -> None:
    """What only fails when it is used is used once, before anything is written or sent."""
    if plan.census is not None and not plan.skip_bad_rows:
        plan.census.refuse_bad_rows(plan.population_file)
    worker.connect(plan.setup)
    if plan.key_file is not None:
        KeyFile.open(plan.key_file, plan.key_file_pass).close()
