"""The derivation of a MAC key, the largest single cost of a transaction with MACs: ours over the
loop over `hashlib` that the crypto floor has, at the iteration counts that servers ask for.
"""

import time
from collections.abc import Callable
from typing import Final

from benchmarks import floor
from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import ITERATIONS
from benchmarks.figure import Figure, Findings, Series
from bulkcmp.cmp.protection import Derivation, derive
from bulkcmp.model import Secret

_COUNTS: Final = (ITERATIONS, 1024, 10_240)
"""OpenSSL's, EJBCA's, XiPKI's."""

_FULL: Final = 1_000_000
"""Iterations of a measurement."""

_SALT: Final = bytes(16)


def run(scale: Scale) -> Findings:
    """Measure both at each count, in turn."""
    return Findings(tuple(_figure(scale, iterations) for iterations in _COUNTS))


def _figure(scale: Scale, iterations: int) -> Figure:
    times = scale.count(_FULL // iterations)
    secret = bytes(range(16))
    derivation = Derivation(Secret(secret), _SALT, "sha256", iterations)
    if derive(derivation) != floor.pbm_key(secret, _SALT, iterations):
        raise RuntimeError("the keys are not the same")
    ours: list[float] = []
    loop: list[float] = []
    for _ in range(scale.repetitions):
        ours.append(_cpu(lambda: derive(derivation), times))
        loop.append(_cpu(lambda: floor.pbm_key(secret, _SALT, iterations), times))
    return Figure(
        f"derivation-{iterations}", f"derivation of a MAC key, {iterations:,} iterations, ours / a"
        " loop over hashlib", Series.of(f"ours, {iterations:,}", "us CPU", ours),
        Series.of(f"loop over hashlib, {iterations:,}", "us CPU", loop),
    )  # fmt: skip


def _cpu(work: Callable[[], bytes], times: int) -> float:
    """Microseconds of CPU."""
    began = time.process_time()
    for _ in range(times):
        work()
    return 1e6 * (time.process_time() - began) / times


BENCHMARK: Final = Benchmark("derivation", "the derivation of MAC keys over a loop of hashlib", run)
