"""The result of a benchmark as a file: its findings, and what they were found with."""

import datetime as dt
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.figure import Findings
from benchmarks.machine import commit, machine, versions


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one benchmark.

    Attributes:
        scale: see `Scale`.
        seconds: it took.
        load: of the machine as it began: processes that wanted a core, averaged over a minute.
    """

    benchmark: str
    title: str
    date: dt.datetime
    commit: str
    scale: float
    seconds: float
    load: float
    machine: dict[str, str]
    versions: dict[str, str]
    findings: Findings


def measure(benchmark: Benchmark, scale: Scale) -> Result:
    """Run a benchmark."""
    load, _, _ = os.getloadavg()
    date = dt.datetime.now(dt.UTC).replace(microsecond=0)
    began = time.monotonic()
    findings = benchmark.run(scale)
    return Result(
        benchmark.name,
        benchmark.title,
        date,
        commit(),
        scale.factor,
        round(time.monotonic() - began, 1),
        round(load, 2),
        machine(),
        versions(),
        findings,
    )


def write_result(folder: Path, result: Result) -> None:
    """Write it to `folder`, in the place of an older one of the same benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.benchmark}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def read_results(folder: Path) -> dict[str, Result]:
    """All results of a folder, by benchmark."""
    results = (
        msgspec.json.decode(path.read_bytes(), type=Result) for path in folder.glob("*.json")
    )
    return {result.benchmark: result for result in results}
