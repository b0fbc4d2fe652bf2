"""The delivery of finished end entities: their files are written, and a command or a URL of the
user's is told, beside the run and behind it.

A row is due once its certificate is confirmed and durable. What came of each attempt is durable
before the next one begins, so that a session which is cut off repeats one attempt of a row at most:
delivery is at least once, and `DeliveryNote.token` tells repetitions apart. Nothing here can lose a
certificate, or hold one up that is still to be asked for.
"""

import datetime as dt
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from bulkcmp.engine.courier import Courier
from bulkcmp.engine.harvest import files_of, write_rows
from bulkcmp.engine.plan import DeliveryPlan, Plan
from bulkcmp.errors import BulkcmpError
from bulkcmp.io.clock import Clock
from bulkcmp.journal.entry import Attempted, Ended
from bulkcmp.journal.journal import Journal
from bulkcmp.model import DeliveryState
from bulkcmp.outputs.delivery import DeliveryLogs, DeliveryNote
from bulkcmp.outputs.summary import DeliverySummary, ReasonCount

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts of a row, doubled from one to the next."""

_HOPELESS: Final = 20
"""Rows that fail for good, one after another, before the rest is left for another session."""

_TICK: Final = 10.0
"""Seconds between two notices of what is left, once the run waits for nothing else."""

_PAGE: Final = 256


@dataclass(frozen=True, slots=True, order=True)
class _Retry:
    at: float
    number: int
    tried: int


class Deliveries:
    """Those of one session.

    Args:
        plan: of a run that delivers.
        courier: makes the attempts.
        clock: of what the journal keeps.
        on_notice: told, in plain English, what is left when the run is over, and why nothing more
            is delivered.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        courier: Courier,
        *,
        clock: Clock,
        on_notice: Callable[[str], None],
    ) -> None:
        assert plan.delivery is not None, "it delivers"
        self._plan = plan
        self._ways: DeliveryPlan = plan.delivery
        self._journal = journal
        self._run_id = journal.run_id
        self._folder = Path.cwd() / journal.folder
        self._logs = DeliveryLogs(journal.folder)
        self._courier = courier
        self._clock = clock
        self._on_notice = on_notice
        self._known: set[int] = set()
        self._due: deque[int] = deque()
        self._again: list[_Retry] = []
        self._in_hand = 0
        self._failed = 0
        self._failed_in_a_row = 0
        self._withheld: Collection[int] = ()
        self._is_complete = False
        self._stopping = False
        self._failure: BulkcmpError | None = None
        self._scope = anyio.CancelScope()
        self._news = anyio.Event()
        self.is_hopeless = False

    # --- what is due ----------------------------------------------------------------------------

    def ended(self, rows: Iterable[Ended]) -> None:
        """Rows are over, and that is durable."""
        self._add(row.number for row in rows if row.outcome.outcome.is_deliverable)

    async def recall(self) -> None:
        """Add what the journal says is due.

        Raises:
            JournalError: the machine failed.
        """
        numbers = self._journal.undelivered()
        while page := await anyio.to_thread.run_sync(lambda: list(islice(numbers, _PAGE))):
            self._add(page)

    async def complete(self, withheld: Collection[int] = ()) -> None:
        """Add the rest: nothing becomes due any more.

        Args:
            withheld: numbers of rows that are not to be delivered, whatever they got.

        Raises:
            JournalError: the machine failed.
        """
        self._withheld = withheld
        if not self._stopping:
            await self.recall()
        self._is_complete = True
        self._happen()

    def _add(self, numbers: Iterable[int]) -> None:
        new = [one for one in numbers if one not in self._known and one not in self._withheld]
        self._known.update(new)
        self._due.extend(new)
        self._happen()

    def stop(self) -> None:
        """Begin nothing more, and end what is under way."""
        self._stopping = True
        self._happen()

    def abort(self) -> None:
        """Leave at once; what was under way is done again some day."""
        self._stopping = True
        self._scope.cancel()

    def summary(self) -> DeliverySummary:
        """How all rows of the run stand.

        Raises:
            JournalError: the machine failed.
        """
        found = self._journal.deliveries()
        counts = dict.fromkeys(DeliveryState, 0)
        for state, _, count in found:
            counts[state] += count
        withheld = 0
        if self._withheld:
            withheld = sum(number in self._withheld for number in self._journal.undelivered())
        reasons = sorted(
            (ReasonCount(reason, count) for _, reason, count in found if reason),
            key=lambda one: (-one.rows, one.reason),
        )
        return DeliverySummary(
            to=self._ways.target,
            delivered=counts[DeliveryState.DELIVERED],
            failed=counts[DeliveryState.FAILED],
            to_do=counts[DeliveryState.TO_DO] - withheld,
            withheld=withheld,
            reasons=tuple(reasons),
            given_up=self.is_hopeless,
        )

    # --- work -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        """Deliver what is due while the block runs, and the rest after it.

        Raises:
            BulkcmpError: the file system or the journal failed; what was durable stays.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._work)
            yield
        if self._failure is not None:
            raise self._failure

    async def _work(self) -> None:
        with self._scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._tell)
                async with anyio.create_task_group() as hands:
                    for _ in range(self._ways.concurrency):
                        hands.start_soon(self._deliver_all)
                group.cancel_scope.cancel()

    async def _deliver_all(self) -> None:
        while (retry := await self._next()) is not None:
            self._in_hand += 1
            try:
                await self._deliver(retry.number, retry.tried + 1)
            except BulkcmpError as error:
                # the CA may be about to issue: the run itself goes on
                self._failure = self._failure or error
                self._end(f"{error}")
            finally:
                self._in_hand -= 1
                self._happen()

    async def _next(self) -> _Retry | None:
        """What is to be tried next; None when nothing is left, or the run stops."""
        while not self._stopping:
            now = anyio.current_time()
            if self._again and self._again[0].at <= now:
                return heappop(self._again)
            if self._due:
                return _Retry(now, self._due.popleft(), 0)
            if self._is_complete and not self._again and not self._in_hand:
                break
            with anyio.CancelScope() as pause:
                if self._again:
                    pause.deadline = self._again[0].at
                await self._news.wait()
        return None

    def _happen(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _deliver(self, number: int, tried: int) -> None:
        """Make one attempt, the n-th of this session."""
        result, key = await anyio.to_thread.run_sync(self._journal.result, number)
        folder = self._journal.folder
        await anyio.to_thread.run_sync(write_rows, self._plan, folder, [(result, key)])
        files = files_of(self._plan.output, result)
        attempt = result.delivery.attempts + 1
        note = DeliveryNote(self._run_id, self._folder, result, files, attempt)
        problem, output = await self._courier(note)
        if problem:
            await anyio.to_thread.run_sync(self._logs.write, result.id, output)
        else:
            await anyio.to_thread.run_sync(self._logs.remove, result.id)
        state = DeliveryState.FAILED if problem else DeliveryState.DELIVERED
        at = dt.datetime.fromtimestamp(self._clock.now(), dt.UTC)
        entry = Attempted(number, state, problem, at)
        await anyio.to_thread.run_sync(self._journal.write, [entry])
        if not problem:
            self._failed_in_a_row = 0
        elif tried < self._ways.attempts:
            pause = min(_FIRST_PAUSE * 2 ** (tried - 1), _LONGEST_PAUSE)
            heappush(self._again, _Retry(anyio.current_time() + pause, number, tried))
        else:
            self._give_up()

    def _give_up(self) -> None:
        """A row has failed for good."""
        self._failed += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _HOPELESS and not self._stopping:
            # whoever is told is not there: each row more would cost all its attempts
            self.is_hopeless = True
            self._end(f"{self._failed_in_a_row} failed one after another")

    def _end(self, why: str) -> None:
        if not self._stopping:
            self._on_notice(f"nothing more is delivered: {why}")
        self.stop()

    async def _tell(self) -> None:
        while True:
            await anyio.sleep(_TICK)
            left = len(self._due) + len(self._again) + self._in_hand
            if self._is_complete and left:
                self._on_notice(f"delivering: {left:,} left, {self._failed:,} failed")
