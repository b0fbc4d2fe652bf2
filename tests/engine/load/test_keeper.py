"""What is kept and counted, in virtual time."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
import trio.testing

from bulkcmp.engine.frame import Report
from bulkcmp.engine.load.keeper import TICK, Keeper, SearchKeeper
from bulkcmp.engine.load.plan import KeyPlan, LoadPlan
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.load.capacity import Search
from bulkcmp.load.certified import Certified
from bulkcmp.load.folder import CERTIFICATES, RECORDS
from bulkcmp.load.scenario import KeyMode
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.outputs.certificates import read_certificates
from bulkcmp.outputs.records import RecordFile
from bulkcmp.stats.capacity import Conclusion, Judgement
from bulkcmp.stats.record import End, Fault, Record
from bulkcmp.stats.threshold import Threshold
from tests.disk import full
from tests.stats.records import REJECTED, transaction
from tests.stats.searches import run_of

SEARCH = Search(start=1, up_to=1, window=10, settle=0)
LIMIT = "abort share(failed) < 50%"
FAILURE = Report(records=(transaction(1.0, 1.0, 1.1, REJECTED),))
CERTIFIED = Certified(0, "dev", Operation.IR, 7, OutcomeClass.ISSUED, b"0\0")
SUCCESS = Report(records=(transaction(1.0, 1.0, 1.1),), certificates=(CERTIFIED,))
BEGAN = 1_800_000_000.0

_K = TypeVar("_K", bound=Keeper)


@dataclass
class Desk:
    """Keepers, and what they led to."""

    folder: Path
    notices: list[str] = field(default_factory=list)
    stops: int = 0

    def keeper(self, kind: type[_K]) -> _K:
        run = run_of(SEARCH, LIMIT)
        thresholds = (Threshold.parse(LIMIT),)
        plan = LoadPlan((), {}, None, 1, KeyPlan(KeyMode.UNIQUE), thresholds, {}, "", run)
        return kind(plan, self.folder, lambda *_: None, self.notices.append)

    def look(self, keeper: Keeper) -> None:
        """Let it look at the figures a few times."""

        def stop() -> None:
            self.stops += 1

        async def session() -> None:
            with anyio.move_on_after(TICK * 3.5):
                await keeper.watch(stop)

        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(session, backend="trio", backend_options={"clock": clock})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_test_is_stopped_once_where_a_threshold_says_so(desk: Desk) -> None:
    keeper = desk.keeper(Keeper)
    desk.look(keeper)
    keeper.begin(BEGAN)
    desk.look(keeper)
    assert (desk.stops, desk.notices) == (0, [])
    keeper.take(FAILURE)
    desk.look(keeper)
    assert (desk.stops, desk.notices) == (1, [f"stopping: {LIMIT} does not hold"])
    keeper.end()
    keeper.close()
    *_, end = RecordFile(desk.folder).records()
    assert isinstance(end, End)
    assert end.aborted


def test_the_figures_of_what_is_over_stop_nothing(desk: Desk) -> None:
    keeper = desk.keeper(SearchKeeper)
    keeper.begin_window(1.0, BEGAN)
    # the last that came, after the last look
    keeper.take(FAILURE)
    keeper.end()
    desk.look(keeper)
    assert (desk.stops, desk.notices) == (0, [])
    (trial,) = keeper.capacity.trials
    assert trial.judgement is Judgement.CROSSED
    keeper.begin_window(0.5, BEGAN + 60)
    desk.look(keeper)
    assert desk.stops == 0
    keeper.take(FAILURE)
    desk.look(keeper)
    assert desk.stops == 1


def test_what_never_began_is_kept_as_a_run_of_nothing(desk: Desk) -> None:
    keeper = desk.keeper(Keeper)
    keeper.end(interrupted=True)
    assert keeper.is_empty
    keeper.close()
    assert list(RecordFile(desk.folder).records()) == [End(0.0, 0, interrupted=True)]


def last(desk: Desk) -> Record:
    *_, record = RecordFile(desk.folder).records()
    return record


NO_ROOM = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize("name", [RECORDS, CERTIFICATES])
def test_a_full_disk_stops_a_test_whose_end_says_so(desk: Desk, name: str) -> None:
    keeper = desk.keeper(Keeper)
    keeper.begin(BEGAN)
    keeper.take(SUCCESS)
    with full(desk.folder / name):
        desk.look(keeper)
        told = f"{desk.folder / name}: can't be written: {NO_ROOM}"
        assert (desk.stops, desk.notices) == (1, [f"stopping: {told}"])
        # what is drained
        keeper.take(SUCCESS)
    keeper.end()
    keeper.close()
    # there was room again
    assert last(desk) == End(1.1, failed=Fault(told))
    assert list(read_certificates(desk.folder / CERTIFICATES)) == [CERTIFIED] * 2
    assert keeper.figures.measured.finished == 2
    assert keeper.figures.faults == (Fault(told),)
    assert str(keeper.failure) == told


def test_a_disk_that_is_full_at_the_very_end_is_told_all_the_same(desk: Desk) -> None:
    keeper = desk.keeper(Keeper)
    keeper.begin(BEGAN)
    keeper.take(SUCCESS)
    desk.look(keeper)
    with full(desk.folder / RECORDS):
        keeper.end()
        keeper.close()
    assert [type(one) for one in RecordFile(desk.folder).records()] == [type(SUCCESS.records[0])]
    (fault,) = keeper.figures.faults
    assert fault.what.endswith(NO_ROOM)
    # and what was kept of the certificates is whole
    assert list(read_certificates(desk.folder / CERTIFICATES)) == [CERTIFIED]


def test_what_ends_a_test_first_is_what_it_failed_by(desk: Desk) -> None:
    keeper = desk.keeper(Keeper)
    keeper.begin(BEGAN)
    keeper.fail(InputError("no key is left"))
    keeper.fail(BulkcmpError("and more"))
    keeper.end()
    keeper.close()
    assert last(desk) == End(0.0, failed=Fault("no key is left", 2))


def test_a_full_disk_ends_a_search(desk: Desk) -> None:
    keeper = desk.keeper(SearchKeeper)
    keeper.begin_window(1.0, BEGAN)
    keeper.take(SUCCESS)
    assert keeper.rate is not None
    with full(desk.folder / RECORDS):
        desk.look(keeper)
    assert desk.stops == 1
    keeper.end()
    keeper.close()
    assert keeper.rate is None
    assert keeper.capacity.conclusion is Conclusion.FAILED
    assert keeper.capacity.exit_code == 1
    assert [one.judgement for one in keeper.capacity.trials] == [Judgement.UNFINISHED]
