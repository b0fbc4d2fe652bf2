"""All benchmarks, in the order of the report."""

from typing import Final

from benchmarks import transaction
from benchmarks.benchmark import Benchmark

SUITE: Final[tuple[Benchmark, ...]] = (transaction.BENCHMARK,)
