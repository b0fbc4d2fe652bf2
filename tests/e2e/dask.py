"""A Dask cluster: a scheduler, and three workers with an address each."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import wait_until
from tests.processes import descendants

PATIENCE = 90
"""Seconds that a busy machine may take to start what a test needs."""

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@dataclass
class Cluster:
    """A scheduler and its workers, each a process.

    Attributes:
        folder: their logs and all.
        tls: folder of a PKI; None without TLS.
    """

    folder: Path
    tls: Path | None = None
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        file = self.folder / "scheduler.json"
        scheme = "tcp" if self.tls is None else "tls"
        self._start("scheduler", "--scheduler-file", file, "--host", f"{scheme}://127.0.0.1:0")

        def is_there() -> bool:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                return bool(json.loads(file.read_text()))
            return False

        wait_until(is_there, PATIENCE)
        for host in HOSTS:
            self._start(
                "worker", self.url, "--host", host, "--no-nanny", "--nthreads", "1", name=host
            )
        wait_until(lambda: all("Registered to" in self.log(host) for host in HOSTS), PATIENCE)

    @property
    def url(self) -> str:
        found: str = json.loads((self.folder / "scheduler.json").read_text())["address"]
        return found

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def logs(self) -> str:
        return "".join(map(self.log, self._processes))

    def kill(self, host: str) -> None:
        """A machine is gone."""
        self.signal(host, signal.SIGKILL)

    def signal(self, host: str, number: signal.Signals) -> None:
        """Send a signal to everything on a machine."""
        for one in self.pids(host):
            with suppress(ProcessLookupError):
                os.kill(one, number)

    def pids(self, host: str) -> list[int]:
        """All that runs on a machine, parents first."""
        pid = self._processes[host].pid
        return [pid, *descendants(pid)]

    def workers(self) -> list[str]:
        """Our own processes on all of its machines."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                command = path.with_name("cmdline").read_text()
            except OSError:
                continue
            ours = any(parent == process.pid for process in self._processes.values())
            if ours and "bulkcmp.engine." in command:
                found.append(command)
        return found

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def _start(self, kind: str, *arguments: object, name: str = "scheduler") -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, arguments)]
        command += ["--no-dashboard"]
        if self.tls is not None:
            pem = str(self.tls / "server.pem")
            command += ["--tls-ca-file", str(self.tls / "ca.pem")]
            command += ["--tls-cert", pem, "--tls-key", pem]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
