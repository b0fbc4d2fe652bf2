"""Key generation: what the key pool delivers of what the cores could make by themselves.

One core's own rate is that of a bare loop in one process: generate, encode as PKCS#8 DER. The
pool's is that of keys as they arrive in the parent, once all its processes are at work.
"""

import os
import time
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Final

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.figure import Figure, Findings, Profile, Series, at_least
from benchmarks.profile import profiled
from bulkcmp.io import loop
from bulkcmp.io.keypool import KeyPool, chunk_size
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import KeySpec

_CORES: Final = os.cpu_count() or 1

_KINDS: Final = (("rsa:2048", 160, 0.95), ("ec:P-256", 40_000, 0.8))
"""Key type, how many one core makes in a full run, the share that is wanted."""


def run(scale: Scale) -> Findings:
    """Measure each type: one core, all of them without a pool, and the pool, in turn."""
    figures: list[Figure] = []
    profiles: list[Profile] = []
    for name, full, wanted in _KINDS:
        spec = KeySpec.parse(name)
        count = scale.count(full, 2)
        figures += _figures(scale, spec, count, wanted)
        profiles.append(_profile(spec, count))
    return Findings(tuple(figures), profiles=tuple(profiles))


def _figures(scale: Scale, spec: KeySpec, count: int, wanted: float) -> Iterator[Figure]:
    pool: list[float] = []
    own: list[float] = []
    together: list[float] = []
    for _ in range(scale.repetitions):
        own.append(_CORES * _own_rate(spec, count))
        together.append(_rate_together(spec, count))
        pool.append(loop.run(_pool_rate, spec, _CORES * count))
    base = Series.of(f"{_CORES} x one core, {spec}", "keys/s", own)
    yield Figure(
        f"keys-{spec.family.value}", f"key generation by the pool / {_CORES} x one core's, {spec}",
        Series.of(f"pool, {spec}", "keys/s", pool), base, at_least(wanted),
    )  # fmt: skip
    yield Figure(
        f"keys-{spec.family.value}-together",
        f"bare loops on all cores at once / {_CORES} x one core's alone, {spec}",
        Series.of(f"bare loops, {_CORES} at once, {spec}", "keys/s", together), base,
    )  # fmt: skip


def _own_rate(spec: KeySpec, count: int) -> float:
    began = time.perf_counter()
    make_keys(spec, count)
    return count / (time.perf_counter() - began)


def _rate_together(spec: KeySpec, count: int) -> float:
    """What as many bare loops as there are cores make, each in a process of its own: cores share
    more than their name says."""
    with get_context("spawn").Pool(_CORES) as processes:
        # they have started, and loaded what they need
        processes.starmap(make_keys, [(spec, 1)] * _CORES, chunksize=1)
        rates = processes.starmap(_own_rate, [(spec, count)] * _CORES, chunksize=1)
    return sum(rates)


async def _pool_rate(spec: KeySpec, count: int) -> float:
    taken = 0
    # as in a campaign that goes on: none of its processes stops before the clock
    async with KeyPool(ahead=1024, processes=_CORES) as pool:
        while taken < _CORES * chunk_size(spec):
            taken += len(await pool.take_many(spec, 64))
        began = time.perf_counter()
        end = taken + count
        while taken < end:
            taken += len(await pool.take_many(spec, min(64, end - taken)))
        seconds = time.perf_counter() - began
    return count / seconds


def _profile(spec: KeySpec, count: int) -> Profile:
    return profiled(
        f"the pool's side of the hand-over, {spec}",
        lambda _: loop.run(_pool_rate, spec, count),
        count,
    )


BENCHMARK: Final = Benchmark("keys", "key generation by the pool over the cores' own", run)
