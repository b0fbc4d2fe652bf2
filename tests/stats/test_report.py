from collections.abc import Sequence

import pytest

from bulkcmp.errors import (
    EXIT_BOTTLENECK,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_THRESHOLD,
)
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import Drop, End, Fault, Record
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import REJECTED, RUN, transaction, trouble

FULL = [Pulse("worker 1", 1.0, 1.0, 1.0, 0.0)] * 3


def report_of(records: Sequence[Record], *thresholds: str, warm_up: float = 0.0) -> Report:
    figures = Figures()
    figures.begin(warm_up)
    figures.feed(records)
    return Report.of([RUN], figures, [Threshold.parse(text) for text in thresholds])


def test_counts_of_operations_add_up_to_those_of_all() -> None:
    report = report_of(trouble(), warm_up=RUN.warm_up)
    assert [one.name for one in report.operations] == ["ir", "kur"]
    for name in ("ok", "failed", "finished", "requests", "certificates", "attempts"):
        parts = [getattr(one, name) for one in report.operations]
        assert getattr(report.total, name) == sum(parts)
        assert all(parts)
    assert report.total.ok_rate == pytest.approx(report.total.ok / 75.5)
    assert report.total.failed_share == report.total.failed / report.total.finished


def test_every_planned_lifecycle_was_begun_or_dropped() -> None:
    report = report_of(trouble(), warm_up=RUN.warm_up)
    assert report.begun + report.dropped == 550
    assert sum(one.planned for one in report.intervals) == 600
    assert report.begun == sum(count for _, count in report.lifecycles) == report.total.finished


def test_the_commonest_failure_comes_first() -> None:
    report = report_of(trouble())
    counts = [one.count for one in report.total.failures]
    assert counts == sorted(counts, reverse=True)
    assert report.total.failures[0].detail == "no (badPOP)"


@pytest.mark.parametrize(
    ("records", "thresholds", "code"),
    [
        ([transaction(0, 0, 1), End(2)], ["count(ok) > 0"], EXIT_OK),
        ([transaction(0, 0, 1, REJECTED), End(2)], [], EXIT_SOME_FAILED),
        ([transaction(0, 0, 1), Drop(1, "life", 0, 0, False), End(2)], [], EXIT_SOME_FAILED),
        ([transaction(0, 0, 1), End(2, abandoned=1)], [], EXIT_SOME_FAILED),
        # killed
        ([transaction(0, 0, 1)], [], EXIT_SOME_FAILED),
        # nothing but the warm-up
        ([transaction(0, 0, 1, warm_up=True), End(2)], [], EXIT_SOME_FAILED),
        ([End(2)], [], EXIT_SOME_FAILED),
        ([End(2)], ["share(failed) < 1%"], EXIT_THRESHOLD),
        ([End(2)], ["count(failed) <= 0"], EXIT_THRESHOLD),
        ([transaction(0, 0, 1), End(2)], ["count(ok) > 1"], EXIT_THRESHOLD),
        ([transaction(0, 0, 1), End(2, aborted=True)], [], EXIT_THRESHOLD),
        ([transaction(0, 0, 1, REJECTED), End(2)], ["count(ok) > 1"], EXIT_THRESHOLD),
        ([transaction(0, 0, 1), *FULL, End(2)], ["count(ok) > 1"], EXIT_BOTTLENECK),
        ([transaction(0, 0, 1), *FULL, End(2, interrupted=True)], [], EXIT_INTERRUPTED),
    ],
)
def test_the_gravest_reason_gives_the_exit_code(
    records: list[Record], thresholds: list[str], code: int
) -> None:
    assert report_of(records, *thresholds).exit_code == code


def test_of_less_than_a_microsecond_there_are_no_rates() -> None:
    report = report_of([transaction(0, 0, 1e-7), End(1e-7)])
    assert report.total.ok == 1
    assert report.total.ok_rate is None


def test_without_time_there_are_no_rates() -> None:
    report = report_of([])
    assert (report.total.ok_rate, report.total.failed_share) == (None, None)
    assert not report.ended


def test_what_a_run_could_not_go_on_after_comes_before_an_interruption() -> None:
    fault = Fault("worker 1 died", EXIT_SOME_FAILED)
    report = report_of([transaction(0, 0, 1), End(2, interrupted=True, failed=fault)])
    assert report.exit_code == EXIT_SOME_FAILED


def test_the_limits_of_a_test_without_a_search_are_its_bottlenecks() -> None:
    report = report_of([transaction(0, 0, 1), *FULL, End(2)])
    assert report.limits == report.bottlenecks != ()
