"""Large populations: memory, the time to the first request, and what checking a row costs."""

import csv
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from cryptography import x509

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import ITERATIONS, REFERENCE, Ca, serving_ca
from benchmarks.enrollment import write_population
from benchmarks.figure import Fact, Figure, Findings, Series, at_most
from benchmarks.meter import pss, tree
from benchmarks.profile import profiled
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Census
from bulkcmp.errors import EXIT_INTERRUPTED, EXIT_OK
from bulkcmp.journal.folder import FILE_NAME

_ROWS: Final = 1_000_000
_FEW: Final = 1000
_SOME: Final = 10_000
_CHECKED: Final = 100_000
_LIMIT: Final = 600.0
"""MB."""
_SECONDS: Final = 8.0
"""A run goes on before it is stopped."""
_APART: Final = 0.25
_PATIENCE: Final = 300.0
"""Seconds that a run, or its first request, may take on a busy machine."""


def _command(ca: Ca, population: Path, out: Path, server: str) -> tuple[str, ...]:
    return (
        sys.executable, "-m", "bulkcmp", "enroll", str(population), "--server", server,
        "--ref", REFERENCE, "--secret", f"pass:{ca.secret}", "--proxy", "",
        "--trusted", str(ca.folder.ca_certificate), "--pbm-iterations", str(ITERATIONS),
        "--key-pass", "pass:a passphrase", "--out", str(out), "--quiet", "--skip-bad-rows",
    )  # fmt: skip


def _first_request(ca: Ca, population: Path, out: Path) -> float:
    """Seconds from the start of `bulkcmp enroll` to the first octet of its first request."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(_PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        began = time.perf_counter()
        process = stack.enter_context(
            subprocess.Popen(
                _command(ca, population, out, url),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        # its workers end with it
        stack.callback(process.kill)
        connection = stack.enter_context(listener.accept()[0])
        connection.settimeout(_PATIENCE)
        if not connection.recv(1):
            raise RuntimeError("the first connection brought no request")
        return time.perf_counter() - began


def _peak_memory(ca: Ca, population: Path, out: Path, seconds: float) -> float:
    """MB of all processes of a run together, at their peak: from the start to the end, the writing
    of results.csv included.

    Args:
        seconds: after which the run is asked to stop.
    """
    begun: float | None = None
    asked = False

    def stop(process: subprocess.Popen[bytes]) -> None:
        nonlocal begun, asked
        if begun is None:
            begun = time.monotonic() if (out / FILE_NAME).exists() else None
        elif not asked and time.monotonic() - begun >= seconds:
            asked = True
            process.send_signal(signal.SIGINT)

    # the last: it was about to end by itself
    ends = (EXIT_OK, EXIT_INTERRUPTED, -signal.SIGINT)
    return _peak(_command(ca, population, out, ca.url()), ends, stop)


def _peak_of_check(population: Path) -> float:
    """MB of `bulkcmp check`, which reads a population to its end, at its peak."""
    command = (sys.executable, "-m", "bulkcmp", "check", str(population))
    return _peak(command, (EXIT_OK,), lambda _: None)


def _peak(
    command: Sequence[str], ends: Container[int], watch: Callable[[subprocess.Popen[bytes]], None]
) -> float:
    peak = 0.0
    limit = time.monotonic() + _PATIENCE
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(ProcessLookupError):
                peak = max(peak, pss(tree(process.pid)))
            watch(process)
            if time.monotonic() > limit:
                # its workers end with it
                process.kill()
            time.sleep(_APART)
    if process.returncode not in ends:
        raise RuntimeError(f"bulkcmp {command[3]} ended with {process.returncode}")
    return peak


def _full_check(population: Path) -> float:
    """CPU seconds of checking every row as a run does before it begins."""
    options = Options(server="http://ca.invalid/", ref=REFERENCE, secret="pass:x")
    began = time.process_time()
    census = Census.take(options.rows(str(population), os.environ))
    ended = time.process_time()
    if census.bad:
        raise RuntimeError(f"{census.bad} bad rows: {census.problems}")
    return ended - began


def _bare_parse(population: Path) -> float:
    """CPU seconds of reading the same rows by csv, and their subjects by cryptography."""
    began = time.process_time()
    with population.open(newline="") as file:
        for row in csv.DictReader(file):
            x509.Name.from_rfc4514_string(row["subject"]).public_bytes()
    return time.process_time() - began


def run(scale: Scale) -> Findings:
    """Measure at many rows and at few, in turn; memory twice."""
    rows = scale.count(_ROWS, 100)
    few = scale.count(_FEW, 50)
    some = scale.count(_SOME, 60)
    checked = scale.count(_CHECKED, 20)
    seconds = _SECONDS * min(1.0, max(0.1, scale.factor))
    full: list[float] = []
    bare: list[float] = []
    first: dict[int, list[float]] = {rows: [], few: []}
    memory: dict[int, list[float]] = {rows: [], some: []}
    read: dict[int, list[float]] = {rows: [], some: []}
    with serving_ca() as ca, tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        files = {count: folder / f"{count}.csv" for count in (rows, few, some, checked)}
        for count, path in files.items():
            write_population(path, count, f"of{count}-")
        for turn in range(scale.repetitions):
            full.append(1e6 * _full_check(files[checked]) / checked)
            bare.append(1e6 * _bare_parse(files[checked]) / checked)
            for count, found in first.items():
                found.append(_first_request(ca, files[count], folder / f"first{count}-{turn}"))
        for turn in range(2):
            for count, found in memory.items():
                out = folder / f"memory{count}-{turn}"
                found.append(_peak_memory(ca, files[count], out, seconds))
                read[count].append(_peak_of_check(files[count]))
        profile = profiled(
            "full check of a population", lambda _: _full_check(files[checked]), checked
        )
    figures = (
        Figure(
            "memory", f"peak PSS of all processes, {rows:,} rows / {_LIMIT:.0f} MB",
            Series.of(f"{rows:,} rows", "MB", memory[rows]),
            Series.of("limit", "MB", [_LIMIT] * 2), at_most(1.0),
        ),
        Figure(
            "memory-growth", f"peak PSS of all processes, {rows:,} rows / {some:,}",
            Series.of(f"{rows:,} rows", "MB", memory[rows]),
            Series.of(f"{some:,} rows", "MB", memory[some]), at_most(1.1),
        ),
        Figure(
            "memory-read", f"peak PSS of `bulkcmp check`, which reads to the end, {rows:,} rows /"
            f" {some:,}", Series.of(f"{rows:,} rows", "MB", read[rows]),
            Series.of(f"{some:,} rows", "MB", read[some]), at_most(1.1),
        ),
        Figure(
            "first-request", f"start to first request with --skip-bad-rows, {rows:,} rows /"
            f" {few:,}", Series.of(f"{rows:,} rows", "s", first[rows]),
            Series.of(f"{few:,} rows", "s", first[few]), at_most(1.5),
        ),
        Figure(
            "full-check", "full check of a population, CPU per row / bare csv and DN parse",
            Series.of("full check", "us CPU", full),
            Series.of("csv and Name.from_rfc4514_string", "us CPU", bare), at_most(1.5),
        ),
    )  # fmt: skip
    facts = (Fact("a run for memory is stopped after", f"{seconds:g} s, then writes its outputs"),)
    return Findings(figures, facts, (profile,))


BENCHMARK: Final = Benchmark("population", "what large populations cost", run)
