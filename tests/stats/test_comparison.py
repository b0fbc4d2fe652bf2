import random
from typing import Any

import pytest

from bulkcmp.errors import InputError
from bulkcmp.stats.comparison import FIGURES, Change, Estimate, Gate, blocks, compare
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import End
from bulkcmp.stats.report import Report
from tests.stats.records import OK, REJECTED, RUN, transaction, trouble


def simulated(
    seed: int,
    *,
    slower: float = 1.0,
    failing: float = 0.02,
    seconds: int = 60,
    rate: int = 20,
    inert: float = 0.5,
    spread: float = 0.3,
) -> Figures:
    """A server whose speed drifts, so that latencies of one second are alike."""
    chance = random.Random(seed)
    figures = Figures()
    figures.begin(0)
    drift = 0.0
    for second in range(seconds):
        drift = inert * drift + chance.gauss(0, 0.1)
        for number in range(rate):
            at = second + number / rate
            took = chance.lognormvariate(-3 + drift, spread) * slower
            ending = REJECTED if chance.random() < failing else OK
            figures.add(transaction(at, at, at + took, ending))
    figures.add(End(float(seconds)))
    return figures


def changes(before: Figures, after: Figures) -> dict[str, Change]:
    return {change.what: change for change in compare(before, after)}


@pytest.mark.parametrize(
    "of",
    [
        {"rate": 10},
        # few transactions, of which none is beyond the 99th percentile
        {"rate": 1, "seconds": 20},
        {"rate": 3, "seconds": 20},
        {"rate": 10, "seconds": 20, "spread": 1.0},
        # a server that is slow for many seconds on end
        {"rate": 10, "inert": 0.85},
    ],
    ids=str,
)
def test_noise_is_not_called_a_change(of: dict[str, Any]) -> None:
    false = dict.fromkeys(FIGURES, 0)
    runs = 40
    for number in range(runs):
        before, after = (simulated(2 * number + turn, **of) for turn in (0, 1))
        for what, change in changes(before, after).items():
            false[what] += change.is_real
    # one in twenty would be perfect
    assert sum(false.values()) / len(false) < 0.10 * runs
    assert max(false.values()) <= 0.15 * runs


def test_a_real_change_is_found() -> None:
    found = changes(simulated(1), simulated(2, slower=1.25, failing=0.10))
    for what in ("p50(response)", "p95(service)", "mean(response)", "share(failed)"):
        assert found[what].is_real, what
    assert found["p50(response)"].change == pytest.approx(0.25, abs=0.08)
    assert found["share(failed)"].change == pytest.approx(0.08, abs=0.03)
    assert not changes(simulated(1), simulated(2))["p95(service)"].is_real


def test_the_bounds_hold_the_change() -> None:
    change = changes(simulated(1), simulated(2, slower=1.25))["mean(service)"]
    assert change.low is not None
    assert change.high is not None
    assert change.change is not None
    assert 0 < change.low < change.change < change.high
    assert change.low < 0.25 < change.high


def test_the_figures_are_those_of_the_report() -> None:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(trouble())
    report = Report.of([RUN], figures, [])
    found = changes(figures, figures)
    for metric in ("response", "service"):
        summary = report.total.latencies[metric]
        for name in ("p50", "p90", "p95", "p99"):
            assert found[f"{name}({metric})"].before.value == getattr(summary, name)
        assert found[f"mean({metric})"].before.value == pytest.approx(summary.mean)
    assert found["rate(ok)"].before.value == pytest.approx(report.total.ok_rate)
    assert found["share(failed)"].before.value == report.total.failed_share
    assert all(change.change == 0 and not change.is_real for change in found.values())


def test_blocks_are_all_of_a_run() -> None:
    figures = simulated(3, seconds=47)
    cut = blocks(figures)
    assert len(cut) == 15
    assert sum(block.seconds for block in cut) == pytest.approx(47)
    assert sum(block.ok + block.failed for block in cut) == 47 * 20
    assert sum(block.latencies["service"].count for block in cut) == sum(one.ok for one in cut)


def test_of_a_short_run_nothing_is_known_about_chance() -> None:
    found = changes(simulated(1, seconds=8), simulated(2, seconds=60))
    assert not any(change.is_known for change in found.values())
    assert found["p50(response)"].change is not None


def test_a_percentile_that_few_values_lie_beyond_has_no_bounds() -> None:
    few, many = (simulated(1, rate=rate, seconds=30) for rate in (3, 30))
    found = changes(few, many)
    assert found["p50(response)"].is_known
    assert not found["p99(response)"].is_known
    assert changes(many, many)["p99(response)"].is_known


def test_runs_that_change_their_nature_have_no_bounds() -> None:
    def lopsided() -> Figures:
        figures = Figures()
        figures.begin(0)
        for number in range(2000):
            # all that is fast comes first, and what is slow is told from it by 30 seconds
            slow = number >= 1960
            at = float(number % 30) if slow else 0.0
            figures.add(transaction(at, at, at + (10 + number / 10 if slow else 0.1)))
        return figures

    change = changes(lopsided(), lopsided())["p99(response)"]
    assert change.before.value == pytest.approx(10 + 197.9, rel=0.004)
    assert not change.is_known


def test_of_nothing_nothing_is_known() -> None:
    empty = Figures()
    empty.begin(0)
    for change in compare(empty, simulated(1)):
        assert change.change is None
        assert not change.is_real


def test_no_failure_at_all_is_no_proof_that_there_are_none() -> None:
    few = simulated(1, seconds=12, rate=2, failing=0.0)
    change = changes(few, few)["share(failed)"]
    assert change.before.value == 0
    assert change.high is not None
    assert change.high > 0.05


def known(change: float, low: float, high: float, what: str = "p95(response)") -> Change:
    return Change(what, Estimate(1.0), Estimate(1.0 + change), change, low, high)


@pytest.mark.parametrize(
    ("text", "change", "fails"),
    [
        ("p95 +10%", known(0.2, 0.1, 0.3), True),
        ("p95 +10%", known(0.09, 0.05, 0.3), False),
        # it may be chance
        ("p95 +10%", known(0.2, -0.01, 0.4), False),
        ("p95 +10%", known(-0.2, -0.3, -0.1), False),
        ("rate -5%", known(-0.2, -0.3, -0.1), True),
        ("rate -5%", known(0.2, 0.1, 0.3), False),
        ("rate(ok) -5%", known(-0.04, -0.05, -0.03), False),
        ("p95 +0%", known(0.001, 0.0005, 0.002), True),
        ("p95 +10%", Change("p95(response)", Estimate(1), Estimate(2), 1.0, None, None), False),
    ],
)
def test_gate(text: str, change: Change, fails: bool) -> None:
    assert Gate.parse(text).fails(change) is fails


@pytest.mark.parametrize(
    ("text", "what", "limit"),
    [
        ("p95 +10%", "p95(response)", 0.1),
        (" p99 ( service )+2.5 % ", "p99(service)", 0.025),
        ("mean(service) - 3%", "mean(service)", -0.03),
        ("rate -5%", "rate(ok)", -0.05),
        ("share(failed) +0.1%", "share(failed)", 0.001),
    ],
)
def test_a_gate_is_read(text: str, what: str, limit: float) -> None:
    gate = Gate.parse(text)
    assert (gate.text, gate.what) == (text.strip(), what)
    assert gate.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text",
    ["", "p95", "p95 10%", "p95 +10", "p42 +1%", "p95(lag) +1%", "rate(failed) +1%", "max +1%"],
)
def test_what_is_no_gate_is_told(text: str) -> None:
    with pytest.raises(InputError, match="not a change") as caught:
        Gate.parse(text)
    assert caught.value.hint
