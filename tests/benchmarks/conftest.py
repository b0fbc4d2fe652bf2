"""Results as benchmarks have them."""

import datetime as dt

from benchmarks.figure import Fact, Figure, Findings, Line, Profile, Series, Target
from benchmarks.result import Result


def make_figure(
    target: Target | None, above: tuple[float, ...] = (3.0, 9.0), name: str = "cpu"
) -> Figure:
    ours, theirs = Series("ours", "us", above), Series("theirs", "us", (1.0,) * len(above))
    return Figure(name, f"{name} of ours over theirs", ours, theirs, target)


def make_result(*figures: Figure, benchmark: str = "transaction") -> Result:
    profile = Profile("a loop", (Line("bulkcmp/cmp/x.py:7 spin", 0.75, 12.0),))
    return Result(
        benchmark,
        "what it measures",
        dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC),
        "0123456789ab",
        1.0,
        60.0,
        0.25,
        {"cores": "2"},
        {"python": "3.11"},
        Findings(figures, (Fact("fsync", "1.5 ms"),), (profile,)),
    )
