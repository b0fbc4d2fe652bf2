"""All benchmarks, in the order of the report."""

from typing import Final

from benchmarks import (
    client,
    derivation,
    journal,
    keys,
    load,
    openssl,
    population,
    saturation,
    transaction,
    transport,
    workers,
)
from benchmarks.benchmark import Benchmark

SUITE: Final[tuple[Benchmark, ...]] = (
    client.BENCHMARK,
    transaction.BENCHMARK,
    derivation.BENCHMARK,
    transport.BENCHMARK,
    openssl.BENCHMARK,
    saturation.BENCHMARK,
    journal.BENCHMARK,
    workers.BENCHMARK,
    keys.BENCHMARK,
    population.BENCHMARK,
    load.BENCHMARK,
)
