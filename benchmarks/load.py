"""`bulkcmp load` in real time: what it reports of a server whose delays are known, and how well it
keeps its plan at half of the rate that this machine can do.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from heapq import heapreplace
from itertools import count
from math import ceil
from pathlib import Path
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import ITERATIONS, REFERENCE, Ca, serving_ca
from benchmarks.delayer import Delays, delaying
from benchmarks.figure import Fact, Figure, Findings, Series, at_most
from bulkcmp.errors import EXIT_BOTTLENECK, EXIT_OK
from bulkcmp.load.folder import RECORDS
from bulkcmp.outputs.records import RecordFile, report_of
from bulkcmp.stats.figures import Figures, Latencies
from bulkcmp.stats.histogram import Histogram
from bulkcmp.testca.aliases import RA_HMAC

_FULL: Final = 1000
_RATE: Final = 50.0
_IN_FLIGHT: Final = 60
"""Of some 27 that the delays alone keep in flight: in the stall it is the bound."""
_STALL: Final = 2.0
_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)

_SCENARIO: Final = """
{limit}
drain = 30

[population]
columns = {{ id = "load-{{number:06}}-{{hex:8}}", subject = "/CN={{id}}/O=Acme/C=SE" }}

[[lifecycles]]
name = "enrollment"
steps = [{{ cmd = "ir" }}]

{shape}
"""

_SECONDS: Final = 10
_CLIENTS: Final = 64
_LAG: Final = 10.0
"""Milliseconds that starts may be late at half of the capacity, but for one of a hundred."""


def mixture(share: float) -> float:
    """The quantile function of the delays, seconds: 90 % are of 0.2 to 0.6 s, 9 % of 1 to 2 s, and
    1 % of 3 to 4 s, evenly; so long that what the client and the CA take is little beside it."""
    if share <= 0.9:
        return 0.2 + 0.4 * share / 0.9
    if share <= 0.99:
        return 1.0 + (share - 0.9) / 0.09
    return 3.0 + (share - 0.99) / 0.01


def run(scale: Scale) -> Findings:
    """Measure both, in turn."""
    transactions = scale.count(_FULL, 20)
    seconds = scale.count(_SECONDS)
    # 617 has no divisor in common with a number that is round
    ranks = ((place * 617 % transactions + 0.5) / transactions for place in range(transactions))
    delays = tuple(mixture(rank) for rank in ranks)
    service, response = _theory(delays)
    found: list[Latencies] = []
    capacities: list[float] = []
    lags: list[float] = []
    numbers = count()
    with serving_ca() as ca, tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        for _ in range(scale.repetitions):
            with delaying(Delays(str(ca.folder.path), delays, _stall_at(delays), _STALL)) as url:
                shape = f"[open]\nrate = {_RATE}\nin_flight = {_IN_FLIGHT}"
                limit = f"count = {transactions}"
                figures = _load(ca, url, folder / f"{next(numbers)}", limit, shape)
                found.append(_succeeded(figures))
            limit = f"duration = {seconds}"
            shape = f"[closed]\nclients = {_CLIENTS}"
            figures = _load(ca, ca.base, folder / f"{next(numbers)}", limit, shape)
            capacities.append(_succeeded(figures).service.count / figures.seconds)
            shape = f"[open]\nrate = {capacities[-1] / 2}\nin_flight = 1000"
            figures = _load(ca, ca.base, folder / f"{next(numbers)}", limit, shape)
            lags.append(1e3 * (_succeeded(figures).lag.percentile(99) or 0.0))
    return Findings(
        (
            *_compared("service", [one.service for one in found], service),
            *_compared("response", [one.response for one in found], response),
            Figure(
                "load-lag", "lag of starts at half of the capacity, p99 / what it may be",
                Series.of("bulkcmp load", "ms", lags),
                Series.of("limit", "ms", [_LAG] * len(lags)), at_most(1.0),
            ),
        ),
        (
            Fact(
                f"transactions/s of {_CLIENTS} clients in a closed loop, the CA on the same"
                " machine",
                ", ".join(f"{one:.0f}" for one in capacities),
            ),
        ),
    )  # fmt: skip


def _theory(delays: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """Service and response times that follow from the plan and the delays alone."""
    begins = _stall_at(delays)
    free = [0.0] * _IN_FLIGHT
    service, response = [], []
    for number, lasts in enumerate(delays):
        planned = number / _RATE
        started = max(planned, free[0])
        served = begins + _STALL if begins <= started < begins + _STALL else started
        heapreplace(free, served + lasts)
        service.append(served + lasts - started)
        response.append(served + lasts - planned)
    return service, response


def _stall_at(delays: tuple[float, ...]) -> float:
    return len(delays) / 2 / _RATE


def _compared(metric: str, reported: list[Histogram], true: list[float]) -> Iterator[Figure]:
    found = [one.percentiles(_PERCENTILES) for one in reported]
    for place, q in enumerate(_PERCENTILES):
        theory = 1e3 * sorted(true)[ceil(Fraction(str(q)) / 100 * len(true)) - 1]
        pairs = [(theory, 1e3 * (one[place] or 0.0)) for one in found]
        yield Figure(
            f"load-{metric}-p{q:g}",
            # too short is as wrong as too long
            f"{metric} time p{q:g} with a stall of {_STALL:g} s, as load reports it and in theory:"
            " the longer / the shorter",
            Series.of("longer", "ms", list(map(max, pairs))),
            Series.of("shorter", "ms", list(map(min, pairs))),
            at_most(1.01),
        )


def _load(ca: Ca, base: str, folder: Path, limit: str, shape: str) -> Figures:
    """Run `bulkcmp load` and read what it recorded."""
    folder.mkdir()
    scenario = folder / "scenario.toml"
    scenario.write_text(_SCENARIO.format(limit=limit, shape=shape))
    options = {
        "out": folder / "run",
        "server": f"{base}/.well-known/cmp/p/{RA_HMAC.name}",
        "ref": REFERENCE,
        "secret": f"pass:{ca.secret}",
        "trusted": ca.folder.ca_certificate,
        "pbm-iterations": ITERATIONS,
        "proxy": "",
    }
    done = subprocess.run(
        [
            sys.executable, "-m", "bulkcmp", "load", scenario, "--implicit-confirm",
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    # on a busy machine it says that it was the bottleneck, which the figures show too
    if done.returncode not in (EXIT_OK, EXIT_BOTTLENECK):
        raise RuntimeError(done.stdout + done.stderr)
    _, figures = report_of([RecordFile(folder / "run" / RECORDS)])
    failed = figures.measured.all_operations().failed.service.count
    if failed or figures.measured.dropped:
        raise RuntimeError(f"{failed} failed, {figures.measured.dropped} were dropped")
    return figures


def _succeeded(figures: Figures) -> Latencies:
    return figures.measured.all_operations().ok


BENCHMARK: Final = Benchmark(
    "load", "what a load test reports, against what theory says, and how it keeps its plan", run
)
