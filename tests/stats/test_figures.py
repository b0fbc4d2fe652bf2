import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcmp.errors import Loss
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.stats.figures import Figures, pair_name, work_name
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.histogram import RELATIVE_ERROR
from bulkcmp.stats.record import Drop, End, Ending, Level, Record, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.tally import MOST_KINDS
from tests.stats.records import OK, REJECTED, RUN, exchange, lost, transaction


def figures_of(*records: Record, warm_up: float = 0.0) -> Figures:
    figures = Figures()
    figures.begin(warm_up)
    figures.feed(records)
    return figures


def test_operations_stand_apart_and_together() -> None:
    figures = figures_of(
        transaction(0, 0, 1),
        transaction(1, 1, 3, operation=Operation.KUR, step=1),
        transaction(1, 1, 2, REJECTED, certificates=0),
    )
    measured = figures.measured
    assert set(measured.operations) == {(Operation.IR, ""), (Operation.KUR, "")}
    assert measured.operations[Operation.IR, ""].finished == 2
    together = measured.all_operations()
    assert (together.ok.service.count, together.failed.service.count) == (2, 1)
    assert (together.certificates, together.requests, together.attempts) == (2, 3, 3)
    # a second step is no further lifecycle
    assert measured.lifecycles == {"life": 2}


def test_servers_stand_apart_and_together() -> None:
    figures = figures_of(
        transaction(0, 0, 1, server="ra", exchanges=(exchange("ir", "ip", 0, 1),)),
        transaction(0, 0, 9, server="client", exchanges=(exchange("ir", "ip", 0, 9),)),
        transaction(0, 0, 9, server="client", exchanges=(lost("ir", 0, 9),)),
    )
    measured = figures.measured
    names = {work_name(work): one.ok.response.max for work, one in measured.operations.items()}
    assert names == {"ir@ra": 1, "ir@client": 9}
    pairs = {pair_name(pair): kind.total.max for pair, kind in measured.pairs.items()}
    assert pairs == {"ir/ip@ra": 1, "ir/ip@client": 9, f"ir@client: {Loss.TIMEOUT.value}": 9}
    assert measured.all_operations().finished == 3


def test_successes_are_apart_from_failures() -> None:
    figures = figures_of(transaction(0, 0, 1), transaction(0, 0, 60, REJECTED))
    operation = figures.measured.all_operations()
    assert operation.ok.response.max == 1
    assert operation.failed.response.min == 60


def test_response_counts_from_the_plan() -> None:
    latencies = figures_of(transaction(1, 4, 6)).measured.all_operations().ok
    assert (latencies.lag.max, latencies.service.max, latencies.response.max) == (3, 2, 5)


def test_a_transaction_of_which_a_request_failed_is_not_ok() -> None:
    operation = figures_of(
        transaction(0, 0, 1, replace(OK, requests=9), REJECTED, certificates=9)
    ).measured.all_operations()
    assert operation.failed.service.count == 1
    assert operation.outcomes.count(OutcomeClass.ISSUED, "") == 9
    assert operation.outcomes.count(OutcomeClass.REJECTED, "badPOP") == 1
    assert operation.fail_info == {"badPOP": 1}
    assert operation.details == {(OutcomeClass.REJECTED, "badPOP"): "no (badPOP)"}


def test_the_first_detail_of_a_kind_stays() -> None:
    figures = figures_of(
        transaction(0, 0, 1, replace(REJECTED, detail="first")),
        transaction(0, 0, 1, replace(REJECTED, detail="second"), operation=Operation.CR),
        transaction(0, 0, 1, replace(REJECTED, detail="third")),
    )
    assert list(figures.measured.all_operations().details.values()) == ["first"]


def test_exchanges_are_counted_by_what_was_sent_and_what_came() -> None:
    figures = figures_of(
        transaction(
            0, 0, 5, exchanges=(exchange("ir", "ip", 0, 0.5), exchange("certConf", "pkiconf", 1, 2))
        ),
        transaction(0, 0, 5, exchanges=(lost("ir", 0, 3), exchange("ir", "ip", 3, 5))),
    )
    pairs = {pair_name(pair): kind for pair, kind in figures.measured.pairs.items()}
    assert {name: kind.total.count for name, kind in pairs.items()} == {
        "ir/ip": 2,
        "certConf/pkiconf": 1,
        f"ir: {Loss.TIMEOUT.value}": 1,
    }
    asked = pairs["ir/ip"]
    assert asked.connect.max == pytest.approx(0.001)
    assert asked.tls.max == pytest.approx(0.002)
    assert asked.first_byte.min == pytest.approx(0.495)
    assert (asked.octets_sent, asked.octets_received) == (1400, 2400)
    network = figures.measured.all_operations().ok.network
    assert (network.min, network.max) == (1.5, 5)


def test_a_plain_connection_has_no_tls_phase_and_a_reused_one_no_connect_phase() -> None:
    plain = replace(exchange("ir", "ip", 0, 1), reached=None)
    reused = replace(plain, connected=None)
    figures = figures_of(transaction(0, 0, 1, exchanges=(plain, reused)))
    (kind,) = figures.measured.pairs.values()
    assert (kind.connect.count, kind.tls.count, kind.total.count) == (1, 0, 2)
    assert kind.connect.max == pytest.approx(0.003)


def test_the_warm_up_counts_for_nothing_else() -> None:
    figures = figures_of(
        transaction(0, 0, 9, warm_up=True),
        transaction(6, 6, 7),
        Drop(2, "life", 1, 1, True),
        Drop(3, "life", 8, 8, False),
        End(15),
        warm_up=5,
    )
    assert figures.measured.all_operations().ok.service.max == 1
    assert figures.warm_up.all_operations().ok.service.max == 9
    assert (figures.warm_up.dropped, figures.measured.dropped) == (1, 1)
    assert (figures.warm_up_seconds, figures.seconds, figures.elapsed) == (5, 10, 15)
    assert [one.at for one in figures.timeline()] == list(range(15))


def test_runs_side_by_side_count_their_time_once() -> None:
    figures = Figures()
    for offset in (0.0, 5.0, 100.0):
        figures.begin(2.0, offset)
        figures.feed([transaction(3, 3, 4), End(10)])
    assert figures.measured.all_operations().finished == 3
    # 2 to 15, and 102 to 110
    assert figures.seconds == 13 + 8
    assert [one.at for one in figures.timeline() if one.ok] == [4, 9, 104]


def test_a_run_is_over_when_it_says_so() -> None:
    figures = figures_of(transaction(0, 0, 1))
    assert not figures.ended
    figures.add(End(4, abandoned=2, interrupted=True))
    assert (figures.ended, figures.abandoned, figures.interrupted, figures.aborted) == (
        True, 2, True, False,
    )  # fmt: skip


def test_workers_tell_how_much_is_under_way() -> None:
    figures = figures_of(
        Level("worker 1", 1, 5, 1), Level("worker 2", 1, 7), Level("worker 1", 2, 4)
    )
    assert (figures.in_flight, figures.waiting) == (11, 0)
    figures.add(End(3))
    assert figures.in_flight == 0


def test_the_generator_is_looked_after() -> None:
    figures = figures_of(Pulse("worker 1", 1.0, 1.0, 0.95, 0.0))
    (process,) = figures.health.processes()
    assert process.saturated == 1


@settings(deadline=None)
@given(st.permutations(range(30)))
def test_the_order_of_records_does_not_matter(order: list[int]) -> None:
    records = [
        transaction(at, at + 0.1, at * 1.1 + 0.2, OK if at % 7 else REJECTED) for at in range(30)
    ]
    shuffled = figures_of(*(records[place] for place in order))
    straight = figures_of(*records)
    assert shuffled.timeline() == straight.timeline()
    assert (
        shuffled.measured.all_operations().ok.response
        == straight.measured.all_operations().ok.response
    )


def test_percentiles_of_several_operations_are_those_of_all_their_values() -> None:
    # the mean of the operations' medians would be 5.05
    quick = [transaction(0, 0, 0.1) for _ in range(900)]
    slow = [transaction(0, 0, 10, operation=Operation.RR) for _ in range(100)]
    response = figures_of(*quick, *slow).measured.all_operations().ok.response
    assert response.percentile(50) == pytest.approx(0.1, rel=RELATIVE_ERROR)
    assert response.percentile(95) == 10


def test_an_ending_of_two_bits_counts_for_both() -> None:
    both = Ending(OutcomeClass.REJECTED, "badAlg, badPOP", ("badAlg", "badPOP"))
    operation = figures_of(transaction(0, 0, 1, both)).measured.all_operations()
    assert operation.fail_info == {"badAlg": 1, "badPOP": 1}


def test_the_newest_intervals_are_the_last_of_all() -> None:
    figures = figures_of(
        *(transaction(at, at, at + 2.5, warm_up=at < 20) for at in range(60)), warm_up=20
    )
    assert figures.timeline(5) == figures.timeline()[-5:]
    assert figures.timeline(500) == figures.timeline()


def test_intervals_go_on_where_nothing_happens() -> None:
    figures = figures_of(transaction(0, 0, 1), Level("worker 1", 6.5, 3))
    assert [(one.at, one.ok) for one in figures.timeline(3)] == [(4, 0), (5, 0), (6, 0)]
    assert [one.at for one in figures_of(End(2)).timeline()] == [1]


def test_what_the_generator_tells_of_itself_later_is_no_time_of_the_run() -> None:
    pulse = Pulse("parent", 12.0, 1.0, 0.1, 0.0)
    figures = figures_of(transaction(0, 0, 1), pulse)
    assert (figures.seconds, figures.elapsed) == (12, 12)
    figures.add(End(10))
    assert (figures.seconds, figures.elapsed) == (10, 10)


def quantile(share: float) -> float:
    """Of 90 % quick transactions, 9 % that poll, and 1 % that meet a busy database; seconds."""
    if share < 0.90:
        return 0.020 + 0.030 * share / 0.90
    if share < 0.99:
        return 0.2 + 0.2 * (share - 0.90) / 0.09
    return 1.0 + (share - 0.99) / 0.01


def test_percentiles_are_those_of_the_true_distribution() -> None:
    # each value stands for an equal share of the distribution, so that chance plays no part
    count = 100_000
    figures = Figures()
    figures.begin(0)
    for number in range(count):
        # in an order that has nothing to do with the values
        took = quantile((number * 48_271 % count + 0.5) / count)
        at = number / 1000
        figures.add(transaction(at, at + 0.003, at + 0.003 + took))
    latencies = figures.measured.all_operations().ok
    for q in (50, 75, 90, 95, 99, 99.9):
        true = quantile(q / 100 - 0.5 / count)
        assert latencies.service.percentile(q) == pytest.approx(true, rel=0.01)
        assert latencies.response.percentile(q) == pytest.approx(true + 0.003, rel=0.01)


def test_a_soak_of_hours_keeps_memory_flat() -> None:
    figures = Figures()
    figures.begin(60)

    def replay(hours: range) -> int:
        """Octets in use after it."""
        for second in range(hours.start * 3600, hours.stop * 3600):
            took = 0.01 * (1 + second * 37 % 7)
            ending = REJECTED if second % 50 == 7 else OK
            figures.add(transaction(second, second, second + took, ending))
            figures.add(Level("worker 1", second + 1, 1))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        after_two = replay(range(2))
        after_six = replay(range(2, 6))
    finally:
        tracemalloc.stop()
    assert after_six < 1.25 * after_two
    assert figures.measured.all_operations().finished == 6 * 3600


def test_hostile_reasons_take_no_memory_without_end() -> None:
    figures = Figures()
    figures.begin(0)
    for number in range(1000):
        for operation in (Operation.IR, Operation.KUR):
            reason = f"{operation} bit {number}"
            ending = Ending(OutcomeClass.REJECTED, reason, (), f"the CA said {reason}")
            figures.add(transaction(0, 0, 1, ending, operation=operation))
    report = Report.of([RUN], figures, [])
    assert report.total.failed == sum(one.count for one in report.total.failures) == 2000
    for one in (report.total, *report.operations):
        assert len(one.failures) <= MOST_KINDS + 1
        assert all(failure.detail for failure in one.failures)


def test_that_a_window_begins_is_no_figure() -> None:
    figures = Figures()
    figures.begin(0)
    figures.feed([Window(10.0, 0.0), transaction(0, 0, 1)])
    assert figures.measured.all_operations().finished == 1
