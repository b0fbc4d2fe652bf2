"""Workers in processes of their own, which end in all the ways that processes end."""

import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import Process, TaskGroup

from bulkcmp.engine.channel import MemoryChannel, memory_channels
from bulkcmp.engine.colleague import Colleague, WorkerError
from bulkcmp.engine.frame import Member, Setup, Task, TlsFiles
from bulkcmp.engine.keys import PooledKeys
from bulkcmp.engine.run import Run, hire_process
from bulkcmp.io import loop
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keypool import KeyPool
from bulkcmp.io.keyworker import make_keys
from bulkcmp.io.limits import Limits
from bulkcmp.journal.journal import Journal
from bulkcmp.model import EndEntity, OutcomeClass, Profile
from bulkcmp.testca import server, state
from bulkcmp.testca.aliases import RA_HMAC, Behaviour, paths

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

ISSUED, UNKNOWN = OutcomeClass.ISSUED, OutcomeClass.UNKNOWN


@dataclass
class Site:
    """A CA that serves, and a run folder."""

    folder: Path
    ca: Path
    url: str
    setup: Setup
    rows: Callable[[int], list[EndEntity]]

    def journal(self) -> Journal:
        if self.folder.exists():
            journal = Journal.open(self.folder)
            journal.unlock(None)
            return journal
        return Journal.create(self.folder, {}, None)

    def outcomes(self) -> Counter[OutcomeClass]:
        with self.journal() as journal:
            return Counter(result.outcome.outcome for result, _ in journal.results())

    def check(self) -> None:
        """Every certificate of the CA is in the journal, a surplus one as unknown."""
        with self.journal() as journal:
            rows = {result.transaction_id for result, _ in journal.results()}
            found = journal._store.read("SELECT transaction_id, outcome FROM part")
            known = {transaction_id.hex(): outcome for transaction_id, outcome in found}
        books = state.open_books(self.ca)
        issued = {one.transaction_id.hex() for one in books.certificates() if one.transaction_id}
        books.close()
        assert issued <= known.keys()
        assert {known[surplus] for surplus in issued - rows} <= {UNKNOWN.value}


@pytest.fixture
def site(tmp_path: Path, scene: "Scene", monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # real time, real threads
    monkeypatch.undo()
    settings = server.ServerSettings(
        state=tmp_path / "ca", port=0, behaviour=Behaviour(delay=0.02, time_tolerance=None)
    )
    with server.serving(settings) as process:
        url = process.url + paths(RA_HMAC)[0]
        setup = scene.setup(
            url=url,
            profile=Profile(pbm_iterations=100),
            limits=Limits(connect=2.0, connections=16),
            proxy="",
            concurrency=16,
        )
        yield Site(tmp_path / "run", tmp_path / "ca", url, setup, scene.rows)


def work(site: Site, count: int, **options: Any) -> list[Colleague]:
    """A session with worker processes; returns all that were hired."""
    colleagues: list[Colleague] = []
    conduct = options.pop("conduct", None)
    setup = options.pop("setup", site.setup)
    hire = options.pop("hire", hire_process)

    async def hire_and_tell(group: TaskGroup) -> Colleague:
        colleague: Colleague = await hire(group)
        colleagues.append(colleague)
        return colleague

    async def main(journal: Journal) -> None:
        journal.settle()
        with anyio.fail_after(30):
            async with KeyPool(ahead=64, processes=1) as pool, anyio.create_task_group() as group:
                run = Run(
                    site.rows(count),
                    journal,
                    PooledKeys(pool),
                    setup,
                    workers=options.pop("workers", 2),
                    clock=SystemClock(),
                    on_snapshot=lambda _: None,
                    hire=hire_and_tell,
                    **options,
                )
                if conduct is not None:
                    group.start_soon(conduct, run, colleagues)
                try:
                    await run.execute()
                finally:
                    group.cancel_scope.cancel()
        journal.settle()

    with site.journal() as journal:
        try:
            loop.run(main, journal)
        except BaseExceptionGroup as errors:
            (error,) = errors.exceptions
            raise error from None
    assert all(gone(colleague) for colleague in colleagues)
    return colleagues


def gone(colleague: Colleague) -> bool:
    assert colleague.process is not None
    return colleague.process.returncode is not None


async def until(run: Run, done: int) -> None:
    while run.snapshot().done < done:  # noqa: ASYNC110  # it tells nobody
        await anyio.sleep(0.005)


def test_worker_processes_share_the_work_and_end(site: Site, capfd: Any) -> None:
    colleagues = work(site, 100)
    assert site.outcomes() == {ISSUED: 100}
    assert [one.process.returncode for one in colleagues if one.process] == [0, 0]
    site.check()
    assert capfd.readouterr().err == ""


def test_a_worker_is_killed_in_mid_run(site: Site) -> None:
    async def kill(run: Run, colleagues: list[Colleague]) -> None:
        await until(run, 60)
        victim = colleagues[0].process
        assert victim is not None
        victim.kill()

    colleagues = work(site, 200, conduct=kill)
    counts = site.outcomes()
    assert len(colleagues) == 3
    assert counts.total() == 200
    assert set(counts) <= {ISSUED, UNKNOWN}
    # it had no more than its share in flight
    assert counts[UNKNOWN] <= 8
    site.check()

    work(site, 200, resumed=True, retry_unknown=True)
    assert site.outcomes() == {ISSUED: 200}
    site.check()


def test_signals_for_all_are_for_the_parent(site: Site) -> None:
    """As when a terminal or a service manager signals every process that there is."""

    async def stop_all(_run: Run, colleagues: list[Colleague]) -> None:
        # one that is still starting would end, and another take its place
        begun: set[int] = set()
        while len(begun) < 2:
            begun |= {number for number, one in enumerate(colleagues) if one.started}
            await anyio.sleep(0.005)
        for colleague in colleagues:
            assert colleague.process is not None
            colleague.process.send_signal(signal.SIGINT)
            colleague.process.send_signal(signal.SIGTERM)

    assert len(work(site, 100, conduct=stop_all)) == 2
    assert site.outcomes() == {ISSUED: 100}


def test_workers_that_are_killed_again_and_again(site: Site) -> None:
    async def hire_to_death(group: TaskGroup) -> Colleague:
        colleague = await hire_process(group)
        assert colleague.process is not None
        colleague.process.kill()
        return colleague

    with pytest.raises(WorkerError, match="die again and again"):
        work(site, 50, hire=hire_to_death, workers=1)
    assert site.outcomes().total() == 0


def test_an_abort_leaves_no_process_behind(site: Site) -> None:
    async def abort(run: Run, _: list[Colleague]) -> None:
        await until(run, 20)
        run.stop()
        run.abort()

    work(site, 500, conduct=abort)
    counts = site.outcomes()
    assert counts[ISSUED] >= 20
    assert set(counts) <= {ISSUED, UNKNOWN, OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN}
    site.check()


def test_a_stop_drains_worker_processes(site: Site) -> None:
    async def stop(run: Run, _: list[Colleague]) -> None:
        await until(run, 20)
        run.stop()

    colleagues = work(site, 500, conduct=stop)
    assert [one.process.returncode for one in colleagues if one.process] == [0, 0]
    counts = site.outcomes()
    assert 20 <= counts[ISSUED] < 500
    assert set(counts) <= {ISSUED, OutcomeClass.TO_DO}
    site.check()


def test_a_worker_says_what_it_cannot_use(site: Site, tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text("no certificate")
    tls = TlsFiles(trusted=(str(tmp_path / "tls.pem"),))
    setup = replace(site.setup, url="https://127.0.0.1:1/", tls=tls)
    with pytest.raises(WorkerError, match=r"tls\.pem") as caught:
        work(site, 5, setup=setup)
    assert caught.value.exit_code == 2


def test_no_process_can_be_started(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(anyio, "open_process", refuse)
    monkeypatch.setattr("bulkcmp.io.keypool.KeyPool.expect", lambda *_: None)
    with pytest.raises(WorkerError, match="can't be started: Resource temporarily unavailable"):
        work(site, 5)


def test_a_server_that_is_down_ends_the_run_within_the_connect_limit(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    runs: list[Run] = []

    async def keep(run: Run, _: list[Colleague]) -> None:
        runs.append(run)

    setup = replace(site.setup, url=f"http://127.0.0.1:{port}/")
    began = time.monotonic()
    work(site, 50, setup=setup, conduct=keep)
    # five retries with their pauses, row by row, take longer
    assert time.monotonic() - began < 20
    assert runs[0].unreachable is not None
    assert set(site.outcomes()) <= {OutcomeClass.TO_DO}


async def sleeper() -> Process:
    return await anyio.open_process([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_process_that_hangs_up_but_does_not_end_is_killed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkcmp.engine.colleague.PATIENCE", 0.1)
    hired = 0

    async def hire(group: TaskGroup) -> Colleague:
        nonlocal hired
        hired += 1
        if hired > 1:
            return await hire_process(group)
        ours, theirs = memory_channels()
        theirs.close()
        return Colleague(ours, await sleeper())

    colleagues = work(site, 10, hire=hire, workers=1)
    zombie = colleagues[0].process
    assert zombie is not None
    assert zombie.returncode == -9
    assert len(colleagues) == 2
    assert site.outcomes() == {ISSUED: 10}


def test_a_worker_that_does_not_end_is_killed_when_all_is_done(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkcmp.engine.run.PATIENCE", 0.1)
    deaf: list[MemoryChannel] = []

    async def hire(_: TaskGroup) -> Colleague:
        ours, theirs = memory_channels()
        deaf.append(theirs)
        return Colleague(ours, await sleeper())

    (colleague,) = work(site, 0, hire=hire, workers=1)
    deaf[0].close()
    assert colleague.process is not None
    assert colleague.process.returncode == -9


# --- a parent that is killed ----------------------------------------------------------------------

PARENT = """
import sys
from pathlib import Path
import anyio
from bulkcmp.engine.frame import Task
from bulkcmp.engine.run import hire_process
from bulkcmp.io import loop
import pickle

async def main():
    setup, task = pickle.loads(Path(sys.argv[1]).read_bytes())
    async with anyio.create_task_group() as group:
        for frames in ([], [setup], [setup, task]):
            colleague = await hire_process(group)
            if frames:
                await colleague.channel.send(frames)
            print(colleague.process.pid, flush=True)
        # the last one's request is recorded, and sent
        (record,) = await receive(colleague, 1)
        from bulkcmp.engine.frame import Recorded
        await colleague.channel.send([Recorded(record.number)])
        await anyio.sleep_forever()

async def receive(colleague, count):
    frames = []
    while len(frames) < count:
        frames += await colleague.channel.receive()
    return frames

loop.run(main)
"""


def test_workers_end_by_themselves_when_the_parent_is_killed(site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"http://127.0.0.1:{black_hole.getsockname()[1]}/"
        row = site.rows(1)[0]
        assert row.new_key_spec is not None
        task = Task((Member(row, make_keys(row.new_key_spec, 1)[0], key_is_new=True),))
        (tmp_path / "frames").write_bytes(pickle.dumps((replace(site.setup, url=url), task)))
        with subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path / "frames")],
            stdout=subprocess.PIPE,
            text=True,
        ) as parent:
            assert parent.stdout is not None
            workers = [int(parent.stdout.readline()) for _ in range(3)]
            connection, _ = black_hole.accept()
            with connection:
                assert connection.recv(4) == b"POST"
                parent.kill()
                deadline = time.monotonic() + 5.0
                while alive := [pid for pid in workers if is_alive(pid)]:
                    assert time.monotonic() < deadline, alive
                    time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        # a zombie has ended: nobody is there to be told
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


SESSION = """
import pickle, sys
from pathlib import Path
import anyio
from bulkcmp.engine.keys import PooledKeys
from bulkcmp.engine.run import Run
from bulkcmp.io import loop
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.keypool import KeyPool
from bulkcmp.journal.journal import Journal

async def main():
    folder, rows, setup = pickle.loads(Path(sys.argv[1]).read_bytes())
    with Journal.open(folder) as journal:
        journal.unlock(None)
        journal.settle()
        async with KeyPool(ahead=64, processes=1) as pool:
            run = Run(rows, journal, PooledKeys(pool), setup, workers=2, clock=SystemClock(),
                      on_snapshot=lambda _: None, resumed=True)
            print("begins", flush=True)
            await run.execute()

loop.run(main)
"""


def test_a_run_that_is_killed_again_and_again_goes_on(site: Site, tmp_path: Path) -> None:
    chance = random.Random(1)
    rows = site.rows(250)
    site.journal().close()
    (tmp_path / "frames").write_bytes(pickle.dumps((site.folder, rows, site.setup)))
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", SESSION, str(tmp_path / "frames")],
            stdout=subprocess.PIPE,
            text=True,
        ) as session:
            assert session.stdout is not None
            assert session.stdout.readline() == "begins\n"
            time.sleep(chance.uniform(0.4, 0.9))
            session.kill()
        with site.journal() as journal:
            journal.settle()
        site.check()
    work(site, 250, resumed=True)
    counts = site.outcomes()
    assert set(counts) <= {ISSUED, UNKNOWN}
    assert counts.total() == 250
    site.check()
    work(site, 250, resumed=True, retry_unknown=True)
    assert site.outcomes() == {ISSUED: 250}
    site.check()
