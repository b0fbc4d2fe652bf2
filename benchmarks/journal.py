"""What durability costs: transactions/s with the journal and without it.

With it, everything is as it always is: keys sealed, a commit on the disk before what it permits.
Without it, what would be written is thrown away.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import serving_ca
from benchmarks.enrollment import P256, Steady, enroll_devices
from benchmarks.figure import Fact, Figure, Findings, Series, at_least
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.entry import Entry
from bulkcmp.journal.journal import Journal

_FULL: Final = 4000
_IN_FLIGHT: Final = 1000
_PAGE: Final = 4096


class NoJournal(Journal):
    """Takes everything for written."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Nothing is written."""


def fsync_time(folder: Path, times: int) -> float:
    """Median of the seconds in which a page that was appended to a file gets on the disk."""
    found = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(_PAGE))
            began = time.perf_counter()
            os.fsync(file.fileno())
            found.append(time.perf_counter() - began)
    return median(found)


def run(scale: Scale) -> Findings:
    """Measure both, in turn."""
    count = scale.count(_FULL, 3)
    in_flight = scale.count(_IN_FLIGHT, 2)
    keys = make_keys(P256, count)
    found: dict[type[Journal], list[Steady]] = {Journal: [], NoJournal: []}
    fsync: list[float] = []
    with serving_ca() as ca:
        for turn in range(scale.repetitions):
            for kind, runs in found.items():
                with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
                    folder = Path(name)
                    fsync.append(fsync_time(folder, scale.count(200, 2)))
                    steady = enroll_devices(
                        ca, ca.options(), folder, keys,
                        concurrency=in_flight, workers=2, journal_kind=kind,
                        stem=f"{kind.__name__}{turn}-",
                    )  # fmt: skip
                runs.append(steady)
    on, off = found[Journal], found[NoJournal]
    figures = (
        Figure(
            "journal", "transactions/s, journal on (synchronous=FULL, keys sealed) / off",
            Series.of("journal on", "transactions/s", [run.rate for run in on]),
            Series.of("journal off", "transactions/s", [run.rate for run in off]), at_least(0.9),
        ),
        Figure(
            "journal-cpu", "client CPU per transaction, journal on / off",
            Series.of("journal on", "us CPU", [run.client_cpu for run in on]),
            Series.of("journal off", "us CPU", [run.client_cpu for run in off]),
        ),
    )  # fmt: skip
    return Findings(figures, (Fact("fsync of a page", f"{1e6 * median(fsync):.0f} us"),))


BENCHMARK: Final = Benchmark("journal", "what durability costs", run)
