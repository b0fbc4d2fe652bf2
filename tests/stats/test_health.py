import re
from dataclasses import replace
from typing import Any

import pytest

from bulkcmp.stats.health import Health, ProcessHealth, Pulse, bottlenecks

CALM = Pulse("worker 1", 1.0, 1.0, cpu=0.3, late=0.001, open_files=50, most_files=1024)
WELL = ProcessHealth(
    "worker 1",
    seconds=10.0,
    cpu=0.5,
    cpu_max=0.9,
    cpu_seconds=25.0,
    intervals=50,
    saturated=5,
    delayed=5,
    late_p99=0.05,
    late_max=0.4,
    held_up=1.0,
    starved=0.1,
    open_files=900,
    most_files=1024,
)


def test_pulses_come_to_the_health_of_each_process() -> None:
    health = Health()
    health.add(replace(CALM, process="parent", cpu=0.05))
    for number in range(9):
        health.add(replace(CALM, at=1.0 + number))
    health.add(
        Pulse("worker 1", 12.0, 2.0, cpu=1.9, late=0.2, starved=0.5, open_files=80, most_files=1024)
    )
    parent, worker = health.processes()
    assert (parent.process, worker.process) == ("parent", "worker 1")
    assert worker.cpu == pytest.approx((9 * 0.3 + 1.9) / 11)
    assert worker.cpu_max == pytest.approx(0.95)
    assert worker.cpu_seconds == pytest.approx(9 * 0.3 + 1.9)
    assert (worker.intervals, worker.saturated, worker.delayed) == (10, 1, 1)
    assert worker.late_p99 == worker.late_max == worker.held_up == 0.2
    assert worker.starved == 0.5
    assert (worker.open_files, worker.most_files) == (80, 1024)
    assert worker.clock_error == 0.0


def test_processes_of_several_runs_stay_apart() -> None:
    health = Health()
    health.begin()
    for number in range(10):
        health.add(replace(CALM, at=1.0 + number, cpu=0.3 if number else 0.2))
    health.begin()
    for number in range(90):
        health.add(replace(CALM, at=1.0 + number, cpu=1.0 if number < 10 else 0.3, starved=0.005))
    first, second = health.processes()
    assert (first.process, second.process) == ("run 1 worker 1", "run 2 worker 1")
    assert (first.seconds, second.seconds) == (10.0, 90.0)
    assert bottlenecks([first]) == ()
    # one in nine of its own run, one in ten of both together
    (line,) = bottlenecks([first, second])
    assert line.startswith("run 2 worker 1 ")


def test_the_clock_of_another_machine_is_as_wrong_as_it_ever_was() -> None:
    health = Health()
    for error in (0.001, 0.004, 0.002):
        health.add(replace(CALM, clock_error=error))
    (worker,) = health.processes()
    assert worker.clock_error == 0.004


def test_where_open_files_are_not_known() -> None:
    health = Health()
    health.add(replace(CALM, open_files=None))
    (worker,) = health.processes()
    assert worker.open_files is None
    assert bottlenecks([worker]) == ()


def test_who_keeps_up_is_no_bottleneck_at_the_very_bounds() -> None:
    assert bottlenecks([WELL]) == ()
    assert bottlenecks([]) == ()


@pytest.mark.parametrize(
    ("worse", "says"),
    [
        ({"saturated": 6, "cpu": 0.62}, "used 62% of a core, and was full in 6 of 50 intervals"),
        ({"delayed": 6}, "more than 50 ms late in 6 of 50 intervals, at worst 400 ms"),
        ({"held_up": 1.1}, r"stood still for 1\.1 s of 10\.0 s"),
        ({"starved": 0.11}, "waited 0.1 s for keys"),
        ({"open_files": 922}, "922 of 1,024 files open"),
    ],
)
def test_each_shortage_is_told(worse: dict[str, Any], says: str) -> None:
    (line,) = bottlenecks([replace(WELL, **worse), WELL])
    assert line.startswith("worker 1 ")
    assert re.search(says, line)


def test_a_process_that_was_stopped_once_for_long_is_a_bottleneck() -> None:
    health = Health()
    for at in (1.0, 2.0, 3.0):
        health.add(replace(CALM, at=at))
    health.add(replace(CALM, at=9.0, seconds=6.0, late=5.0))
    (line,) = bottlenecks(health.processes())
    assert "stood still for 5.0 s of 9.0 s" in line


def test_a_stop_that_is_short_beside_the_run_is_none() -> None:
    assert bottlenecks([replace(WELL, seconds=60.0, held_up=5.0)]) == ()


def test_a_hiccup_of_a_short_run_is_no_shortage() -> None:
    short = replace(WELL, intervals=4, saturated=2, delayed=2)
    assert bottlenecks([short]) == ()
    assert len(bottlenecks([replace(short, saturated=3, delayed=3)])) == 2


@pytest.mark.parametrize("cpu", [float("nan"), float("inf")])
def test_a_pulse_of_no_share_is_refused(cpu: float) -> None:
    with pytest.raises(ValueError, match="says nothing"):
        Health().add(replace(CALM, cpu=cpu))
