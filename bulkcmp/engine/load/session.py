"""A load test from its plan to its records and figures."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup

from bulkcmp.engine import log
from bulkcmp.engine.colleague import Crew
from bulkcmp.engine.failure import first_error
from bulkcmp.engine.interruption import Interruption
from bulkcmp.engine.keys import FiledKeys, KeySource, PooledKeys
from bulkcmp.engine.load.capacity import CapacityRun
from bulkcmp.engine.load.cleanup import Kept, keep_settings
from bulkcmp.engine.load.keeper import Keeper, SearchKeeper
from bulkcmp.engine.load.plan import KeyPlan, LoadPlan
from bulkcmp.engine.load.provision import OneKey, Provision
from bulkcmp.engine.load.run import PROCESSES, LoadRun
from bulkcmp.errors import BulkcmpError
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keypool import KeyPool
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.load.chance import Chance
from bulkcmp.load.folder import CERTIFICATES, RECORDS, SETTINGS
from bulkcmp.load.scenario import KeyMode
from bulkcmp.stats.capacity import Capacity
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import Run

_AHEAD: Final = 4096
"""Keys of a type that are made ahead of the network, at most."""


Join = Callable[[], AbstractAsyncContextManager[Crew]]
"""Gathers workers, for as long as they are wanted."""


def at_home() -> AbstractAsyncContextManager[Crew]:
    """Workers in processes of this machine."""
    return nullcontext(PROCESSES)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a load test ended.

    Attributes:
        run: what stands before the records.
        figures: all of them; of a search for the capacity those of the highest rate that held.
        capacity: what a search came to; None where there is none.
        failure: what the test could not go on after; None where nothing kept it.
    """

    run: Run
    figures: Figures
    capacity: Capacity | None
    failure: BulkcmpError | None


async def session(
    plan: LoadPlan,
    folder: Path,
    *,
    on_figures: Callable[[Figures, Capacity | None], None],
    on_notice: Callable[[str], None],
    join: Join = at_home,
    interruption: Interruption | None = None,
) -> Ended:
    """Run a load test, or a search for the capacity, and keep its records and a list of its
    certificates in a folder.

    The first SIGINT or SIGTERM begins nothing more and drains; the second leaves at once.

    Args:
        folder: exists, and has nothing yet that a load test keeps.
        on_figures: shown how the test stands, and what a search has come to, several times a
            second.
        on_notice: told, in plain English, what a signal led to, and of workers that were lost.
        join: gathers the workers; by default processes of this machine.
        interruption: by which others than signals may end it; None where signals alone do.

    Raises:
        BulkcmpError: something of this machine failed, or the server was never reached, before
            anything was measured; the folder is as it was.
    """
    on_notice = log.noticed(on_notice)
    asking = interruption or Interruption(on_notice, "what was measured until now is kept")
    log.say("runBegins", command="load", version=version("bulkcmp"), run=str(folder))
    keeper: Keeper | None = None
    try:
        async with anyio.create_task_group() as group:
            await group.start(asking.watch)
            kind = Keeper if plan.run.search is None else SearchKeeper
            keeper = kind(plan, folder, on_figures, on_notice)
            try:
                keep_settings(folder, Kept(plan.facts, plan.revoke_at))
                async with _keys(plan.keys) as keys, join() as crew:
                    source = _source(plan, keys)
                    if isinstance(keeper, SearchKeeper):
                        await _search(plan, source, crew, keeper, asking, group)
                    else:
                        await _test(plan, source, crew, keeper, asking, group)
            finally:
                keeper.close()
            if keeper.failure is not None and keeper.is_empty:
                raise keeper.failure
            if keeper.unconfirmed:
                on_notice(
                    f"{keeper.unconfirmed:,} certificates were issued and are not confirmed;"
                    f" {folder / CERTIFICATES} has their serial numbers"
                )
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        error = first_error(errors)
        if isinstance(error, BulkcmpError) and keeper is not None and keeper.is_empty:
            # the folder may be named again, with a better server
            for name in (RECORDS, CERTIFICATES, SETTINGS):
                (folder / name).unlink(missing_ok=True)
        raise error from errors
    assert keeper is not None, "nothing went wrong"
    log.say("runEnds", run=str(folder))
    return Ended(keeper.run, keeper.chosen, keeper.capacity, keeper.failure)


async def _test(
    plan: LoadPlan,
    source: Provision,
    crew: Crew,
    keeper: Keeper,
    interruption: Interruption,
    group: TaskGroup,
) -> None:
    run = LoadRun(
        plan.assignments,
        source,
        SystemClock(),
        keeper.begin,
        keeper.take,
        keeper.on_notice,
        crew=crew,
    )
    interruption.attend(run)
    group.start_soon(keeper.watch, run.stop)
    try:
        await run.execute()
    except BulkcmpError as error:
        if keeper.is_empty:
            raise
        keeper.fail(error)
    keeper.end(run.abandoned, interrupted=interruption.asked)


async def _search(
    plan: LoadPlan,
    source: Provision,
    crew: Crew,
    keeper: SearchKeeper,
    interruption: Interruption,
    group: TaskGroup,
) -> None:
    assert plan.run.search is not None, "whose keeper is of a search"
    search = CapacityRun(
        plan.run.search,
        plan.assignments,
        source,
        SystemClock(),
        keeper,
        keeper.on_notice,
        crew=crew,
    )
    interruption.attend(search)
    group.start_soon(keeper.watch, search.end_window)
    try:
        await search.execute()
    except BulkcmpError as error:
        if keeper.is_empty:
            raise
        keeper.fail(error)
    if keeper.failure is not None and not keeper.capacity.faults:
        keeper.end(search.abandoned, interrupted=interruption.asked)


def _source(plan: LoadPlan, keys: KeySource) -> Provision:
    assignment = plan.assignments[0]
    return Provision(
        plan.rows,
        assignment.lifecycles,
        Chance(assignment.seed),
        keys,
        count=plan.count,
        certs_per_message=plan.certs_per_message,
    )


@asynccontextmanager
async def _keys(plan: KeyPlan) -> AsyncIterator[KeySource]:
    if plan.file is not None:
        file = KeyFile.open(plan.file, plan.passphrase)
        with FiledKeys(plan.file, file, uuid4().hex, frozenset()) as source:
            yield source
        return
    one = plan.mode is KeyMode.ONE
    async with KeyPool(ahead=1 if one else _AHEAD) as pool:
        if plan.expected is not None:
            pool.expect(*plan.expected)
        yield OneKey(PooledKeys(pool)) if one else PooledKeys(pool)
