"""bulkcmp as a process that is cheap to start and to kill, with all that it talks to inside it.

A process is forked that has everything loaded, and runs a command line: the parent, its workers as
tasks of its loop, and the embedded CA, without a network between them. What it leaves on the disk
is what `kill -9` leaves of the same processes when they all die at once; a worker can die alone.
"""

import csv
import datetime as dt
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import anyio.from_thread
import anyio.lowlevel
import httpx
import typer.core
import typer.main

from bulkcmp.cli import main as cli
from bulkcmp.cmp import owf
from bulkcmp.engine import keygen, session
from bulkcmp.engine.channel import MemoryChannel
from bulkcmp.engine.colleague import hire_task
from bulkcmp.engine.run import Run
from bulkcmp.engine.worker import Worker
from bulkcmp.io.clock import SystemClock
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.folder import holds_run
from bulkcmp.model import KeySpec
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_HMAC, Behaviour
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.store import IssuedCertificate
from tests.aftermath import Aftermath
from tests.crash.failpoint import Failpoint

KILLED: Final = -signal.SIGKILL
_URL: Final = "http://ca.test/.well-known/cmp"
_SECONDS: Final = 100


def _warmed_up() -> typer.core.TyperGroup:
    """The program, after all that takes its time in each process and can be done before a fork."""
    owf.is_native()
    program = typer.main.get_group(cli.app)
    # which are imported as they are asked for
    for name in ("enroll", "resume", "renew", "revoke", "keys"):
        assert program.commands[name]
    return program


_PROGRAM: Final = _warmed_up()


@dataclass(frozen=True)
class _Scene:
    """What one process does.

    Attributes:
        arguments: of `bulkcmp`.
        failpoint: where it is struck; None for nowhere.
        is_worker: its worker is struck, alone.
    """

    arguments: Sequence[str]
    environ: Mapping[str, str]
    folder: Path
    ca: Path
    behaviour: Behaviour
    failpoint: Failpoint | None
    is_worker: bool


class _HomeMade:
    """Keys, without processes that make them."""

    starved_seconds = 0.0

    async def __aenter__(self) -> "_HomeMade":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def expect(self, spec: KeySpec, count: int) -> None:
        pass

    async def take_many(self, spec: KeySpec, most: int) -> list[bytes]:
        await anyio.lowlevel.checkpoint()
        return make_keys(spec, most)


def _play(scene: _Scene) -> None:
    """Run the command line, which ends the process."""
    log = os.open(scene.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ.clear()
    os.environ.update(scene.environ)
    os.chdir(scene.folder)
    alive: list[anyio.CancelScope] = []

    async def work(channel: MemoryChannel) -> None:
        with anyio.CancelScope() as scope:
            alive.append(scope)
            network = httpx.MockTransport(answer)
            worker = Worker(
                channel, SystemClock(), make_client=lambda _: CmpHttpClient(_URL, network)
            )
            await worker.run()

    def strike() -> None:
        if not scene.is_worker:
            os.kill(os.getpid(), signal.SIGKILL)
        (scene.folder / "struck").touch()
        try:
            anyio.from_thread.run_sync(alive[0].cancel)
        except RuntimeError:
            # this is the loop's own thread
            alive[0].cancel()

    with closing(state.open_books(scene.ca)) as books:
        authority = Authority(books, state.load_identity(scene.ca), scene.behaviour)

        async def answer(request: httpx.Request) -> httpx.Response:
            await anyio.lowlevel.checkpoint()
            octets = authority.handle(RA_HMAC, request.content, dt.datetime.now(dt.UTC))
            kind = {"Content-Type": "application/pkixcmp"}
            return httpx.Response(200, headers=kind, content=octets)

        defaults = Run.__init__.__kwdefaults__
        assert defaults is not None
        defaults["hire"] = hire_task(work)
        for module in (session, keygen):
            vars(module)["KeyPool"] = lambda **_: _HomeMade()
        if scene.failpoint is not None:
            scene.failpoint.arm(strike)
        vars(cli)["app"] = _PROGRAM
        sys.argv = ["bulkcmp", *scene.arguments]
        cli.main()


class Troupe:
    """Starts processes, and has a CA to copy, which issued three certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # it forks from a process of one thread; this one has others
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self.ca = folder / "ca"
        state.create(self.ca, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
        with closing(state.open_books(self.ca)) as books:
            secret = books.alias_secret(RA_HMAC.name)
        assert secret is not None
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environ = {**kept, "RA_SECRET": secret.reveal().decode(), "BULKCMP_DEBUG": "1"}
        seeds = Stage(self, folder, self.ca)
        assert seeds.begin(seeds.population(3), out="seeds") == 0
        self.seeds = folder / "seeds"

    def stage(self, folder: Path) -> "Stage":
        """A CA and a folder of one's own."""
        ca = folder / "ca"
        shutil.copytree(self.ca, ca)
        return Stage(self, folder, ca)

    def run(self, scene: _Scene) -> int:
        """Have a process do something; returns its exit code."""
        process = self._context.Process(target=_play, args=(scene,))
        process.start()
        process.join(_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise AssertionError(f"no end of {scene.arguments} within {_SECONDS} s")
        code = process.exitcode
        process.close()
        assert code is not None
        return code


@dataclass
class Stage:
    """A folder for a run, and its CA.

    Attributes:
        out: the run.
        behaviour: of the CA.
    """

    troupe: Troupe
    folder: Path
    ca: Path
    behaviour: Behaviour = field(default_factory=Behaviour)

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def population(self, rows: int, **columns: str) -> str:
        """Write a CSV of plain rows, all with the same in further columns."""
        names = ["id", "subject", *columns]
        lines = (
            [f"dev{n:06}", f"/CN=dev{n:06}/O=Acme", *columns.values()] for n in range(1, rows + 1)
        )
        return self.write(names, *lines)

    def write(self, *lines: Sequence[str]) -> str:
        with (self.folder / "devices.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        return "devices.csv"

    def __call__(
        self, *arguments: str, failpoint: Failpoint | None = None, is_worker: bool = False
    ) -> int:
        """Run `bulkcmp`; returns its exit code."""
        (self.folder / "struck").unlink(missing_ok=True)
        scene = _Scene(
            arguments,
            self.troupe.environ,
            self.folder,
            self.ca,
            self.behaviour,
            failpoint,
            is_worker,
        )
        code = self.troupe.run(scene)
        if failpoint is not None:
            # a place that is never come to would make a test of nothing
            assert code == KILLED or (is_worker and self._is_struck()), (failpoint, self.log())
        return code

    def _is_struck(self) -> bool:
        return (self.folder / "struck").exists()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def begin(
        self,
        population: str,
        *options: str,
        out: str = "run",
        failpoint: Failpoint | None = None,
        is_worker: bool = False,
    ) -> int:
        """Enroll, one row after another."""
        arguments = ("enroll", population, *self.options, *options, "--plain-keys", "--out", out)
        return self(*arguments, failpoint=failpoint, is_worker=is_worker)

    @property
    def options(self) -> tuple[str, ...]:
        """The CA, and the pace."""
        return (
            "--server", _URL, "--ref", "ra1", "--secret", "env:RA_SECRET", "--trusted",
            str(self.ca / "ca.pem"), "--workers", "1", "--concurrency", "1",
        )  # fmt: skip

    @property
    def holds_run(self) -> bool:
        return self.out.is_dir() and holds_run(self.out)

    def results(self) -> list[dict[str, str]]:
        with (self.out / "results.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.results()]

    def issued(self) -> list[IssuedCertificate]:
        """What the CA issued besides that which it had issued before."""
        before = {one.serial for one in _issued_by(self.troupe.ca)}
        return [one for one in _issued_by(self.ca) if one.serial not in before]

    def all_issued(self) -> list[IssuedCertificate]:
        return _issued_by(self.ca)

    def aftermath(self) -> Aftermath:
        return Aftermath.read(self.out, self.issued(), None)


def _issued_by(ca: Path) -> list[IssuedCertificate]:
    """What it issued to end entities."""
    with closing(state.open_books(ca)) as books:
        return [one for one in books.certificates() if not one.is_ra]
