"""What is kept and counted, in virtual time."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
import trio.testing

from bulkcmp.engine.frame import Report
from bulkcmp.engine.load.keeper import TICK, Keeper, SearchKeeper
from bulkcmp.engine.load.plan import KeyPlan, LoadPlan
from bulkcmp.load.capacity import Search
from bulkcmp.load.scenario import KeyMode
from bulkcmp.outputs.certificates import CertificateTable
from bulkcmp.outputs.records import RecordFile
from bulkcmp.stats.capacity import Judgement
from bulkcmp.stats.record import End
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import REJECTED, transaction
from tests.stats.searches import run_of

SEARCH = Search(start=1, up_to=1, window=10, settle=0)
LIMIT = "abort share(failed) < 50%"
FAILURE = Report(records=(transaction(1.0, 1.0, 1.1, REJECTED),))
BEGAN = 1_800_000_000.0

_K = TypeVar("_K", bound=Keeper)


@dataclass
class Desk:
    """Keepers, and what they led to."""

    folder: Path
    files: ExitStack
    notices: list[str] = field(default_factory=list)
    stops: int = 0

    def keeper(self, kind: type[_K]) -> _K:
        run = run_of(SEARCH, LIMIT)
        thresholds = (Threshold.parse(LIMIT),)
        plan = LoadPlan((), (), None, KeyPlan(KeyMode.UNIQUE), thresholds, {}, run)
        table = self.files.enter_context(CertificateTable(self.folder / "certificates.csv"))
        return kind(plan, self.folder, self.files, table, lambda *_: None, self.notices.append)

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
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as files:
        yield Desk(tmp_path, files)


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
    desk.files.close()
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
    desk.files.close()
    assert list(RecordFile(desk.folder).records()) == [End(0.0, 0, interrupted=True)]
