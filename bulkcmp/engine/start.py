"""How a run begins, and how it is taken up again."""

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx

from bulkcmp.engine.campaign import check_shared
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.precedence import Precedence
from bulkcmp.engine.server import connect
from bulkcmp.engine.session import hold
from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.recognition import absolute
from bulkcmp.io.proxy import proxy_for
from bulkcmp.journal.folder import holds_run
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.keyfile import KeyFile, take_inventory
from bulkcmp.outputs.files import make_private_folder
from bulkcmp.outputs.messages import make_message_folder
from bulkcmp.outputs.population import POPULATION_FILE, write_population

_AFTER: Final = "after"
"""Among the facts of a run: the folder of the run that goes before it, from its own."""


def begin(
    population: str,
    options: Options,
    folder: Path,
    environ: Mapping[str, str],
    *,
    shared: bool = False,
    after: Path | None = None,
) -> tuple[Plan, Journal]:
    """Check everything, then make the run folder and its journal.

    Args:
        shared: other machines are to work on the run, and not this process.
        after: the folder of another run; a row goes only once the row that its id names (see
            `precedence`) is done there.

    Raises:
        InputError: something can't be used; then there is no run folder.
    """
    refuse_used(folder)
    if options.journal is None and "journal_lease" in options.stated:
        raise _no_lease("give --journal too")
    lease = options.lease()
    plan = check(population, options, environ, shared=shared)
    if plan.setup.save_messages:
        make_message_folder(Path(plan.setup.save_messages))
    facts = {
        "population": absolute(population),
        "sha256": plan.population.digest(),
        "rules_sha256": options.rules_digest(),
        "options": options.facts(),
        "began_at": dt.datetime.now(dt.UTC).isoformat(),
    }
    if after is not None:
        plan = replace(plan, precedence=Precedence.of(after))
        facts[_AFTER] = os.path.relpath(after, folder)
    journal = Journal.create(folder, facts, plan.key_pass, url=options.journal)
    try:
        if not shared:
            journal.hold(term=lease)
    except BaseException:
        journal.close()
        raise
    return plan, journal


def check(
    population: str, options: Options, environ: Mapping[str, str], *, shared: bool = False
) -> Plan:
    """Make sure that a run could begin; nothing is written or sent.

    Args:
        shared: as of `begin`.

    Raises:
        InputError: something can't be used.
    """
    plan = options.plan(population, environ)
    if plan.census is not None and not plan.skip_bad_rows:
        plan.census.refuse_bad_rows(plan.population_file)
    if shared:
        check_shared(plan)
    _try(plan, environ)
    _count_filed_keys(plan)
    return plan


def begin_on(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, str]],
    options: Options,
    folder: Path,
    environ: Mapping[str, str],
    *,
    on_made: Callable[[], None] = lambda: None,
) -> tuple[Plan, Journal]:
    """Write a population into the folder of a run, and begin that.

    Args:
        columns, rows: of the population, as of `write_population`.
        on_made: called once the folder has the population, durably, and nothing else; may put into
            it what the rows name.

    Raises:
        InputError: something can't be used; then nothing of it is left.
        BulkcmpError: the file system refused.
    """
    refuse_used(folder)
    path = folder / POPULATION_FILE
    if path.exists():
        raise InputError(
            "is there already, and would be written over",
            where=Where(str(path)),
            hint="choose another --out, or remove it if a run that never began left it",
        )
    is_new = not folder.exists()
    make_private_folder(folder)
    try:
        write_population(path, columns, rows)
        on_made()
        return begin(str(path), options.of_own_population(), folder, environ)
    except BaseException:
        if not holds_run(folder):
            path.unlink(missing_ok=True)
            if is_new:
                shutil.rmtree(folder, ignore_errors=True)
        raise


def free_folder(beside: Path, word: str) -> Path:
    """A folder for a run on what another, or a file, has, and that is not there yet:
    `RUN-renewed-1`."""
    name = beside.stem if beside.is_file() else beside.absolute().name
    for number in count(1):
        folder = beside.parent / f"{name}-{word}-{number}"
        if not folder.exists():
            return folder
    raise AssertionError("numbers do not end")


def refuse_used(folder: Path) -> None:
    """Make sure that a run may begin in `folder`, as far as a look at it tells.

    Raises:
        InputError: it holds a run already, or is a file.
    """
    where = Where(str(folder))
    if holds_run(folder):
        raise InputError(
            "holds a run already",
            where=where,
            hint=f"go on with it by bulkcmp resume {folder}, or choose another --out",
        )
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, not a folder", where=where, hint="choose another --out")


def open_run(folder: Path, url: str | None, run: str | None) -> Journal:
    """Open the journal of a run.

    Args:
        url: of the database that has it, if the folder does not know, or it has moved.
        run: its id there; None for that which the folder knows.

    Raises:
        InputError: there is none, or it can't be used.
    """
    if url is not None:
        return Journal.attach(folder, url, run)
    if run is not None:
        raise InputError("--run without --journal", hint="give --journal with the database's URL")
    return Journal.open(folder)


def go_on(
    journal: Journal,
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    population: str | None = None,
    retry_unknown: bool,
    retry_failed: bool,
    on_notice: Callable[[str], None] = lambda _: None,
) -> tuple[Plan, Journal]:
    """Plan what is left to do in a run, and take it for this process.

    Args:
        journal: closed again where an error is raised.
        given: options that take the place of those which the run began with.
        population: where the file stands now; None for where it stood.
        on_notice: told, in plain English, what takes its time.

    Raises:
        InputError: the population is another, a secret is missing or wrong, another process is at
            work on the run, or something else can't be used.
    """
    try:
        facts = journal.facts
        if journal.is_plain:
            # a run that made no keys, or --plain-keys: no passphrase is needed, none is checked
            given = {**given, "key_pass": None}
        population = population or str(facts["population"])
        moved = {"map": given.get("map")}
        Options.merge(facts["options"], moved).refuse_changed(population, facts)
        if given.get("journal_lease") is not None and journal.pointer is None:
            raise _no_lease("leave it away")
        options = Options.resumed(facts["options"], given)
        plan = options.plan(
            population,
            environ,
            unlock=journal.unlock,
            retry_unknown=retry_unknown,
            retry_failed=retry_failed,
        )
        if plan.census is not None and not plan.skip_bad_rows:
            plan.census.refuse_bad_rows(plan.population_file)
        _try(plan, environ)
        if _AFTER in facts:
            plan = replace(plan, precedence=Precedence.of(journal.folder / facts[_AFTER]))
        hold(journal, options.lease(), on_notice)
    except BaseException:
        journal.close()
        raise
    return plan, journal


def _no_lease(hint: str) -> InputError:
    return InputError(
        "--journal-lease is for a journal in a database; in a folder, no other process has it",
        hint=hint,
    )


def _count_filed_keys(plan: Plan) -> None:
    """Make sure that a key file has a key for every row that will want one."""
    if plan.key_file is None or plan.census is None:
        return
    stocks = take_inventory(plan.key_file).stocks
    for spec, wanted in plan.census.keys.items():
        free = stocks[spec].free if spec in stocks else 0
        if free < wanted:
            raise InputError(
                f"{wanted} {spec} keys are wanted, and {free} are free",
                where=Where(str(plan.key_file)),
                hint="make more with bulkcmp keys generate",
            )


def _try(plan: Plan, environ: Mapping[str, str]) -> None:
    """What only fails when it is used is used once, before anything is written or sent."""
    connect(plan.setup)
    proxy_for(httpx.URL(plan.setup.url), environ, plan.setup.proxy)
    if plan.key_file is not None:
        KeyFile.open(plan.key_file, plan.key_file_pass).close()
