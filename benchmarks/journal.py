"""What durability costs: transactions/s with the journal and without it.

With it, everything is as it always is: keys sealed, a commit on the disk before what it permits.
Without it, what would be written is thrown away.
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import Ca
from benchmarks.enrollment import Steady, client_cpu, enroll_devices, in_turn, rates
from benchmarks.figure import Fact, Figure, Findings, at_least
from bulkcmp.journal.entry import Entry
from bulkcmp.journal.journal import Journal

_FULL: Final = 3000
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
    in_flight = scale.count(_IN_FLIGHT, 2)
    fsync: list[float] = []

    def enroll(
        kind: type[Journal], ca: Ca, folder: Path, keys: Sequence[bytes], stem: str
    ) -> Steady:
        fsync.append(fsync_time(folder, scale.count(200, 2)))
        return enroll_devices(
            ca, ca.options(), folder, keys,
            concurrency=in_flight, workers=2, journal_kind=kind, stem=stem,
        )  # fmt: skip

    ways = {"on": partial(enroll, Journal), "off": partial(enroll, NoJournal)}
    found, profile = in_turn(scale, _FULL, ways)
    on, off = found["on"], found["off"]
    figures = (
        Figure(
            "journal", "transactions/s, journal on (synchronous=FULL, keys sealed) / off",
            rates("journal on", on), rates("journal off", off), at_least(0.9),
        ),
        Figure(
            "journal-cpu", "client CPU per transaction, journal on / off",
            client_cpu("journal on", on), client_cpu("journal off", off),
        ),
    )  # fmt: skip
    facts = (Fact("fsync of a page", f"{1e6 * median(fsync):.0f} us"),)
    return Findings(figures, facts, (profile,))


BENCHMARK: Final = Benchmark("journal", "what durability costs", run)
