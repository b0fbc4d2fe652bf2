"""Key generation: what the key pool delivers of what the cores could make by themselves.

One core's own rate is that of a bare loop in one process: generate, encode as PKCS#8 DER. The
pool's is that of keys as they arrive in the parent, once all its processes are at work.
"""

import os
import time
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.figure import Figure, Findings, Series, at_least
from bulkcmp.io import loop
from bulkcmp.io.keypool import KeyPool
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec

_CORES: Final = os.cpu_count() or 1

_KINDS: Final = (("rsa:2048", 80, 0.95), ("ec:P-256", 40_000, 0.8))
"""Key type, how many one core makes in a full run, the share that is wanted."""


def run(scale: Scale) -> Findings:
    """Measure each type, one core and the pool in turn."""
    return Findings(tuple(_figure(scale, *kind) for kind in _KINDS))


def _figure(scale: Scale, name: str, full: int, wanted: float) -> Figure:
    spec = KeySpec.parse(name)
    count = scale.count(full, 2)
    pool: list[float] = []
    bare: list[float] = []
    for _ in range(scale.repetitions):
        bare.append(_CORES * _own_rate(spec, count))
        pool.append(loop.run(_pool_rate, spec, _CORES * count))
    return Figure(
        f"keys-{spec.family.value}", f"key generation by the pool / {_CORES} x one core's, {name}",
        Series.of(f"pool, {name}", "keys/s", pool),
        Series.of(f"{_CORES} x one core, {name}", "keys/s", bare), at_least(wanted),
    )  # fmt: skip


def _own_rate(spec: KeySpec, count: int) -> float:
    began = time.perf_counter()
    make_keys(spec, count)
    return count / (time.perf_counter() - began)


async def _pool_rate(spec: KeySpec, count: int) -> float:
    pool = KeyPool(ahead=1024, processes=_CORES)
    taken = 0
    async with pool:
        # nothing is made ahead that is not taken
        pool.expect(spec, count + 1)
        await pool.take(spec)
        began = time.perf_counter()
        while taken < count:
            taken += len(await pool.take_many(spec, 64))
        ended = time.perf_counter()
    return taken / (ended - began)


BENCHMARK: Final = Benchmark("keys", "key generation by the pool over the cores' own", run)
