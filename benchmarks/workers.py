"""What a second worker process costs: CPU of the client per transaction, with two and with one."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import Ca
from benchmarks.enrollment import Steady, client_cpu, enroll_devices, in_turn, rates
from benchmarks.figure import Figure, Findings, at_most

_FULL: Final = 3000
_IN_FLIGHT: Final = 1000


def run(scale: Scale) -> Findings:
    """Measure one worker and two, in turn."""
    in_flight = scale.count(_IN_FLIGHT, 2)

    def enroll(workers: int, ca: Ca, folder: Path, keys: Sequence[bytes], stem: str) -> Steady:
        return enroll_devices(
            ca, ca.options(), folder, keys, concurrency=in_flight, workers=workers, stem=stem
        )

    ways = {"one": partial(enroll, 1), "two": partial(enroll, 2)}
    found, profile = in_turn(scale, _FULL, ways)
    one, two = found["one"], found["two"]
    figures = (
        Figure(
            "second-worker", "client CPU per transaction, two workers / one",
            client_cpu("two workers", two), client_cpu("one worker", one), at_most(1.1),
        ),
        Figure(
            "second-worker-rate", "transactions/s, two workers / one, CA on the same cores",
            rates("two workers", two), rates("one worker", one),
        ),
    )  # fmt: skip
    return Findings(figures, profiles=(profile,))


BENCHMARK: Final = Benchmark("workers", "what a second worker process costs", run)
