"""One session of a run: from a plan and a journal to outputs and a summary."""

import datetime as dt
import hashlib
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Final

import anyio
import anyio.to_thread

from bulkcmp.cmp.trust import load_certificate
from bulkcmp.engine import log
from bulkcmp.engine.campaign import Campaign, Machines
from bulkcmp.engine.courier import courier_for
from bulkcmp.engine.delivery import Deliveries
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.harvest import (
    CREDENTIALS_FOLDER,
    INFORMATION_FOLDER,
    RESULTS_FILE,
    SUMMARY_FILE,
    write_files,
    write_manifest_files,
    write_password_file,
    write_table,
)
from bulkcmp.engine.interruption import Interruption
from bulkcmp.engine.keys import FiledKeys, KeySource, PooledKeys
from bulkcmp.engine.linting import Linting
from bulkcmp.engine.pause import Pause, heed_signals
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.run import Run
from bulkcmp.engine.server import pace_file
from bulkcmp.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keypool import KeyPool
from bulkcmp.journal.entry import Ended
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.outputs.manifest import MANIFEST_FILE, set_aside
from bulkcmp.outputs.summary import (
    LintSummary,
    PopulationFacts,
    RunSummary,
    public_url,
    write_summary,
)
from bulkcmp.outputs.text import utc, visible
from bulkcmp.stats.progress import Snapshot
from bulkcmp.stats.tally import Tally
from bulkcmp.waves.admission import Hold

_AHEAD: Final = 1024
"""Keys of a type that are made ahead of the network, at most."""

_MANY: Final = 5000
"""Rows whose credentials take some seconds to write."""


async def session(
    command: str,
    plan: Plan,
    journal: Journal,
    *,
    resumed: bool,
    on_snapshot: Callable[[Snapshot], None],
    on_notice: Callable[[str], None],
    machines: Machines | None = None,
    interruption: Interruption | None = None,
) -> RunSummary:
    """Work through a population, then write results.csv, the credentials and summary.json.

    The first SIGINT or SIGTERM begins nothing more and ends what is under way; the second leaves at
    once, without the credentials. results.csv and the summary are written in either case.

    Args:
        command: for the summary.
        journal: unlocked.
        resumed: it has rows of an earlier session.
        on_snapshot: told how the run stands, several times a second.
        on_notice: told, in plain English, what a signal led to, what takes its time, and what holds
            new transactions back.
        machines: that do it; None for this one, which has the journal's rows already.
        interruption: by which others than signals may end it; None where signals alone do.

    Raises:
        BulkcmpError: something of this machine failed; what was durable stays.
    """
    on_notice = log.noticed(on_notice)
    asking = interruption or Interruption(on_notice, "bulkcmp resume goes on")
    told: Hold | None = None

    def show(snapshot: Snapshot) -> None:
        nonlocal told
        held = snapshot.held
        # in the end nothing is held back, and nothing begins
        if not snapshot.finished and (None if held is None else held.hold) is not told:
            told = None if held is None else held.hold
            on_notice("transactions begin again" if held is None else f"nothing begins: {held}")
        on_snapshot(snapshot)

    log.say(
        "runBegins",
        command=command,
        version=version("bulkcmp"),
        run=str(journal.folder),
        server=public_url(plan.setup.url),
    )
    try:
        async with anyio.create_task_group() as group:
            await group.start(asking.watch)
            await group.start(heed_signals, Pause(journal.folder), on_notice)
            summary = await _session(
                command,
                plan,
                journal,
                asking,
                resumed=resumed,
                on_snapshot=show,
                on_notice=on_notice,
                machines=machines,
            )
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    log.say("runEnds", run=summary.run_folder, rows=summary.population.rows, done=summary.done)
    return summary


async def _session(
    command: str,
    plan: Plan,
    journal: Journal,
    interruption: Interruption,
    *,
    resumed: bool,
    on_snapshot: Callable[[Snapshot], None],
    on_notice: Callable[[str], None],
    machines: Machines | None,
) -> RunSummary:
    began = dt.datetime.now(dt.UTC)
    set_aside(journal.folder)
    async with _delivering(plan, journal, interruption, on_notice) as deliveries:
        run: Run | Campaign
        if machines is None:
            run = await _work_here(plan, journal, interruption, resumed, on_snapshot, deliveries)
        else:
            run = await _have_worked(plan, journal, machines, interruption, on_snapshot, on_notice)
        # what an abort left open gets its outcome
        journal.settle()
        linting = await _lint(plan, journal, interruption, on_notice)
        flaws = {} if linting is None else linting.failures
        if deliveries is not None:
            if plan.lint is not None and plan.lint.fail and not (linting and linting.is_complete):
                # what was not looked at may be what is to be withheld
                deliveries.stop()
            await deliveries.complete(withheld=flaws)
    tally = await anyio.to_thread.run_sync(write_table, plan, journal, flaws)
    with interruption.part() as writing:
        if tally.total >= _MANY:
            on_notice(f"writing {CREDENTIALS_FOLDER}/")
        # before the files that they open, but for those that were written to be delivered
        await anyio.to_thread.run_sync(write_password_file, plan, journal)
        await write_files(plan, journal)
    summary = _summary(
        command,
        plan,
        journal,
        run,
        tally,
        began,
        interrupted=interruption.asked,
        written=not writing.cancel_called,
    )
    if linting is not None:
        summary = with_lint(summary, linting.summary())
    if deliveries is not None:
        delivered = await anyio.to_thread.run_sync(deliveries.summary)
        code = summary.exit_code or (EXIT_OK if delivered.is_done else EXIT_SOME_FAILED)
        summary = replace(summary, delivery=delivered, exit_code=code)
    write_summary(journal.folder / SUMMARY_FILE, summary)
    if not writing.cancel_called:
        await _write_manifest(plan, journal, summary, interruption, on_notice)
    return summary


async def _write_manifest(
    plan: Plan,
    journal: Journal,
    summary: RunSummary,
    interruption: Interruption,
    on_notice: Callable[[str], None],
) -> None:
    """Last of all, since it lists what the session wrote; there is none where that is not all."""
    facts = {
        "tool": {"name": "bulkcmp", "version": summary.tool_version},
        "population": {"file": summary.population.file, "sha256": summary.population.sha256},
        "rows": summary.population.rows,
        "rows_done": summary.done,
        "started_at": utc(summary.started_at, "milliseconds"),
        "ended_at": utc(summary.ended_at, "milliseconds"),
    }
    leaving = interruption.part()
    is_written = await anyio.to_thread.run_sync(
        write_manifest_files, plan, journal, facts, lambda: leaving.cancel_called
    )
    if not is_written:
        on_notice(f"{MANIFEST_FILE} is not written: bulkcmp resume writes it")


@asynccontextmanager
async def _delivering(
    plan: Plan,
    journal: Journal,
    interruption: Interruption,
    on_notice: Callable[[str], None],
) -> AsyncIterator[Deliveries | None]:
    """Have the run's certificates delivered, where that is wanted, until all of them are."""
    if plan.delivery is None:
        yield None
        return
    async with courier_for(plan.delivery) as courier:
        deliveries = Deliveries(plan, journal, courier, clock=SystemClock(), on_notice=on_notice)
        interruption.attend(deliveries)
        async with deliveries.under_way():
            yield deliveries


async def _work_here(
    plan: Plan,
    journal: Journal,
    interruption: Interruption,
    resumed: bool,
    on_snapshot: Callable[[Snapshot], None],
    deliveries: Deliveries | None,
) -> Run:
    journal.settle()
    on_ended: Callable[[Sequence[Ended]], None] | None = None
    # what linting may withhold is delivered after it
    if deliveries is not None and (plan.lint is None or not plan.lint.fail):
        on_ended = deliveries.ended
        if resumed:
            await deliveries.recall()
    pause = Pause(journal.folder)
    async with _keys(plan, journal) as keys, pace_file(plan.setup) as setup:
        run = Run(
            plan.admitted,
            journal,
            keys,
            setup,
            workers=plan.workers,
            clock=SystemClock(),
            on_snapshot=on_snapshot,
            total=plan.count,
            priorities=() if plan.census is None else plan.census.priorities,
            resumed=resumed,
            retry_unknown=plan.retry_unknown,
            retry_failed=plan.retry_failed,
            breaker=plan.breaker,
            on_ended=on_ended,
            windows=plan.windows,
            canary=plan.canary,
            usable={} if plan.census is None else plan.census.usable,
            is_paused=lambda: pause.is_on,
        )
        interruption.attend(run)
        await run.execute()
    return run


async def _have_worked(
    plan: Plan,
    journal: Journal,
    machines: Machines,
    interruption: Interruption,
    on_snapshot: Callable[[Snapshot], None],
    on_notice: Callable[[str], None],
) -> Campaign:
    """Have machines of a cluster work, and take the run for this process afterwards."""
    pause = Pause(journal.folder)
    async with machines.join(on_notice) as crew:
        campaign = Campaign(
            plan.rows,
            machines,
            crew,
            journal.run_id,
            plan.key_pass,
            plan.setup,
            breaker=plan.breaker,
            windows=plan.windows,
            is_paused=lambda: pause.is_on,
            clock=SystemClock(),
            on_snapshot=on_snapshot,
            on_notice=on_notice,
            total=None if plan.census is None else plan.census.rows,
        )
        interruption.attend(campaign)
        await campaign.execute()
    await anyio.to_thread.run_sync(partial(hold, journal, machines.term, on_notice))
    return campaign


def hold(journal: Journal, term: float, on_notice: Callable[[str], None]) -> None:
    """Take a run for this process; says so where it waits for whoever had it.

    Raises:
        LeaseHeld: another process is at work on it.
    """
    journal.hold(
        term=term,
        on_wait=lambda holder, left: on_notice(
            f"waiting for {holder}, whose lease of the run ends in {left:.0f} s if it is gone"
        ),
    )


def with_lint(summary: RunSummary, lint: LintSummary) -> RunSummary:
    """A summary with what linting found."""
    if lint.complete:
        return replace(summary, lint=lint)
    # what was not looked at must not pass for good
    return replace(
        summary,
        lint=lint,
        notes=(*summary.notes, "linting is not complete: bulkcmp resume lints again"),
        exit_code=summary.exit_code or EXIT_SOME_FAILED,
    )


async def _lint(
    plan: Plan, journal: Journal, interruption: Interruption, on_notice: Callable[[str], None]
) -> Linting | None:
    if plan.lint is None:
        return None
    linting = Linting(plan.lint)
    with interruption.part():
        on_notice(f"linting certificates by {plan.lint.profile}")
        await linting.run(journal)
    return linting


@asynccontextmanager
async def _keys(plan: Plan, journal: Journal) -> AsyncIterator[KeySource]:
    if plan.key_file is not None:
        file = KeyFile.open(plan.key_file, plan.key_file_pass)
        used = frozenset(journal.key_ids())
        wanted = None if plan.census is None else plan.census.keys
        with FiledKeys(plan.key_file, file, journal.run_id, used, wanted) as source:
            yield source
        return
    async with KeyPool(ahead=_AHEAD) as pool:
        if plan.census is not None:
            # rows that were taken up before have their keys
            left = plan.census.rows - journal.count()
            for spec, count in plan.census.keys.items():
                pool.expect(spec, min(count, left))
        yield PooledKeys(pool)


def _summary(
    command: str,
    plan: Plan,
    journal: Journal,
    run: Run | Campaign,
    tally: Tally,
    began: dt.datetime,
    *,
    interrupted: bool,
    written: bool,
) -> RunSummary:
    snapshot = run.snapshot()
    exit_code = EXIT_SOME_FAILED if tally.failed or plan.is_partial else EXIT_OK
    notes = list(plan.notes)
    if (pointer := journal.pointer) is not None:
        url = shlex.quote(pointer.url)
        notes.append(f"the journal is elsewhere: --journal {url} --run {pointer.run}")
    if not plan.setup.anchors:
        notes.append(_pinned(journal.anchor))
    if run.unreachable is not None:
        notes.append(
            f"{run.unreachable.loss.value}: {run.unreachable.what}; nothing was sent:"
            " check --server, the network and the proxy"
        )
    if run.given_up:
        notes.append(f"nothing more was begun: {run.given_up}")
    if run.unsaved:
        notes.append(f"not all messages were saved (--save-messages): {run.unsaved}")
    if snapshot.keys_waiting > 1.0:
        notes.append(f"rows waited {snapshot.keys_waiting:.1f} s for keys to be made")
    if not written:
        notes.append(f"{CREDENTIALS_FOLDER}/ is not complete: bulkcmp resume writes the rest")
    certs, infos = journal.folder / CREDENTIALS_FOLDER, journal.folder / INFORMATION_FOLDER
    return RunSummary(
        tool_version=version("bulkcmp"),
        command=command,
        started_at=began,
        ended_at=dt.datetime.now(dt.UTC),
        elapsed=snapshot.elapsed,
        server=public_url(plan.setup.url),
        operations=tuple(sorted(run.operations)),
        key_mode=_key_mode(plan),
        population=PopulationFacts(plan.population_file, plan.population.digest(), tally.total),
        counts=tally.counts(),
        transactions=snapshot.transactions,
        success=snapshot.success,
        failure=snapshot.failure,
        holds=snapshot.holds,
        interrupted=interrupted,
        canary_failed=isinstance(run, Run) and run.canary_failed,
        exit_code=EXIT_INTERRUPTED if interrupted else exit_code,
        run_folder=str(journal.folder),
        results_file=str(journal.folder / RESULTS_FILE),
        credentials_folder=str(certs) if certs.is_dir() else "",
        information_folder=str(infos) if infos.is_dir() else "",
        notes=tuple(notes),
        label=plan.output.label,
        operator=plan.output.operator,
    )


def _pinned(anchor: bytes | None) -> str:
    """What the summary says of a trust anchor that nobody gave."""
    if anchor is None:
        return "--trust-first-ca-cert: no trust anchor was found yet"
    subject = load_certificate(anchor).subject.rfc4514_string()
    return (
        "--trust-first-ca-cert: the root that the first ip brought is trusted, unproven:"
        f" {visible(subject)}, SHA-256 {hashlib.sha256(anchor).hexdigest()}"
    )


def _key_mode(plan: Plan) -> str:
    if plan.key_file is not None:
        return f"unique keys, made earlier ({plan.key_file})"
    if plan.census is not None and not plan.census.keys:
        return "keys made at the CA" if plan.census.central else "no keys made"
    return "unique keys, made on the way" if plan.stores_keys else "no keys made"
