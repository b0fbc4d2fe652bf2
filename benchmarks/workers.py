"""What a second worker process costs: CPU of the client per transaction, with two and with one."""

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import serving_ca
from benchmarks.enrollment import P256, Steady, enroll_devices
from benchmarks.figure import Figure, Findings, Series, at_most
from bulkcmp.io.keyworker import make_keys

_FULL: Final = 4000
_IN_FLIGHT: Final = 1000


def run(scale: Scale) -> Findings:
    """Measure one worker and two, in turn."""
    count = scale.count(_FULL, 3)
    in_flight = scale.count(_IN_FLIGHT, 2)
    keys = make_keys(P256, count)
    found: dict[int, list[Steady]] = {1: [], 2: []}
    with serving_ca() as ca:
        for turn in range(scale.repetitions):
            for workers, runs in found.items():
                with tempfile.TemporaryDirectory(prefix="bulkcmp-") as folder:
                    steady = enroll_devices(
                        ca, ca.options(), Path(folder), keys,
                        concurrency=in_flight, workers=workers, stem=f"dev{workers}-{turn}-",
                    )  # fmt: skip
                runs.append(steady)
    one, two = found[1], found[2]
    figures = (
        Figure(
            "second-worker", "client CPU per transaction, two workers / one",
            Series.of("two workers", "us CPU", [run.client_cpu for run in two]),
            Series.of("one worker", "us CPU", [run.client_cpu for run in one]), at_most(1.1),
        ),
        Figure(
            "second-worker-rate", "transactions/s, two workers / one, CA on the same cores",
            Series.of("two workers", "transactions/s", [run.rate for run in two]),
            Series.of("one worker", "transactions/s", [run.rate for run in one]),
        ),
    )  # fmt: skip
    return Findings(figures)


BENCHMARK: Final = Benchmark("workers", "what a second worker process costs", run)
