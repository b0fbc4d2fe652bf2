"""The benchmark runs; what it measures is not asserted."""

import runpy
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "transaction.py"


def test_the_benchmark_runs_at_toy_size() -> None:
    result = runpy.run_path(str(BENCHMARK))["measure"](3, 10)
    assert result.count == 3
    assert min(result.client_us, result.ca_us, result.floor_us) > 0
