"""Values are compared with what is counted here from the records, not with the figures."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil
from typing import Final, TypeAlias

import pytest

from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.histogram import RELATIVE_ERROR
from bulkcmp.stats.metrics import BOUNDS, METRICS, Kind, Spread, Value, metrics
from bulkcmp.stats.record import Drop, End, Ending, Fault, Level, Record, TransactionRecord
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import RUN, transaction, trouble

THRESHOLDS: Final = [Threshold.parse(text) for text in RUN.thresholds]
RECORDS: Final = trouble()
Found: TypeAlias = dict[str, Mapping[tuple[str, ...], Value]]

DONE: Final = [one for one in RECORDS if isinstance(one, TransactionRecord)]


def read(records: Iterable[Record], thresholds: Iterable[Threshold] = ()) -> Found:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(records)
    return {
        family.metric.name: family.samples for family in metrics(RUN, figures, list(thresholds))
    }


@pytest.fixture(scope="module")
def found() -> Found:
    return read(RECORDS, THRESHOLDS)


def phase(record: TransactionRecord | Drop) -> str:
    return "warmup" if record.warm_up else "measured"


def outcome(record: TransactionRecord) -> str:
    return "ok" if record.is_ok else "failed"


def present(samples: Mapping[tuple[str, ...], Value]) -> dict[tuple[str, ...], Value]:
    """Without the zeros, which a count of what there was does not have."""
    return {labels: value for labels, value in samples.items() if value}


def test_every_value_has_the_labels_of_its_metric(
    found: Found,
) -> None:
    assert list(found) == list(METRICS)
    for name, samples in found.items():
        metric = METRICS[name]
        assert len(metric.labels) == len(set(metric.labels))
        for labels, value in samples.items():
            assert len(labels) == len(metric.labels)
            assert isinstance(value, Spread) == (metric.kind is Kind.HISTOGRAM)


def test_counts_are_those_of_the_records(
    found: Found,
) -> None:
    transactions: Counter[tuple[str, ...]] = Counter()
    attempts: Counter[tuple[str, ...]] = Counter()
    certificates: Counter[tuple[str, ...]] = Counter()
    requests: Counter[tuple[str, ...]] = Counter()
    fail_info: Counter[tuple[str, ...]] = Counter()
    lifecycles: Counter[tuple[str, ...]] = Counter()
    exchanges: Counter[tuple[str, ...]] = Counter()
    sent: Counter[tuple[str, ...]] = Counter()
    received: Counter[tuple[str, ...]] = Counter()
    for one in DONE:
        transactions[one.operation, outcome(one), phase(one)] += 1
        attempts[one.operation, phase(one)] += one.attempts
        certificates[one.operation, phase(one)] += one.certificates
        lifecycles[one.lifecycle, phase(one)] += 1
        for ending in one.endings:
            requests[one.operation, ending.outcome, phase(one)] += ending.requests
            for bit in ending.fail_info:
                fail_info[one.operation, bit, phase(one)] += ending.requests
        for each in one.exchanges:
            name = f"{each.request}/{each.answer}"
            if each.loss is not None:
                name = f"{each.request}: {each.loss}"
            exchanges[name, "true" if each.loss is None else "false", phase(one)] += 1
            sent[name, phase(one)] += each.octets_sent
            received[name, phase(one)] += each.octets_received
    # the run has what the metrics are to tell apart
    assert {labels[1] for labels in transactions} == {"ok", "failed"}
    assert {labels[0] for labels in transactions} == {"ir", "kur"}
    assert attempts.total() > len(DONE)
    assert exchanges["pollReq/pollRep", "true", "measured"]
    assert exchanges["ir: no answer in time", "false", "measured"]
    assert present(found["transactions"]) == transactions
    assert found["attempts"] == attempts
    assert found["certificates"] == certificates
    assert found["lifecycles"] == lifecycles
    assert found["requests"] == requests
    assert found["fail_info"] == fail_info
    assert found["exchanges"] == exchanges
    assert found["sent"] == sent
    assert present(found["received"]) == +received
    drops = Counter((phase(one),) for one in RECORDS if isinstance(one, Drop))
    assert present(found["dropped"]) == drops
    assert found["abandoned"] == {(): 1}


def test_histograms_and_percentiles_are_those_of_the_records(
    found: Found,
) -> None:
    for name in ("response", "service", "lag", "crypto", "network"):
        for labels, spread in found[name].items():
            assert isinstance(spread, Spread)
            true = sorted(
                getattr(one, name)
                for one in DONE
                if (one.operation, outcome(one), phase(one)) == labels
            )
            check_spread(spread, true)
            check_percentiles(found[f"{name}_percentile"], labels, true)
        for at in ("ok", "failed"):
            true = sorted(
                getattr(one, name) for one in DONE if (outcome(one), phase(one)) == (at, "measured")
            )
            check_percentiles(found[f"{name}_percentile"], ("all", at, "measured"), true)
    true = sorted(
        each.finished - each.started
        for one in DONE
        for each in one.exchanges
        if (each.request, each.answer) == ("ir", "ip") and not one.warm_up
    )
    spread = found["exchange"]["ir/ip", "measured"]
    assert isinstance(spread, Spread)
    check_spread(spread, true)
    check_percentiles(found["exchange_percentile"], ("ir/ip", "measured"), true)
    for name, seconds in (("exchange_connect", 0.001), ("exchange_tls", 0.002)):
        of_all = found[name]["kur/kup", "measured"]
        assert isinstance(of_all, Spread)
        assert of_all.total / of_all.count == pytest.approx(seconds, rel=1e-6)


def check_spread(spread: Spread, true: list[float]) -> None:
    assert spread.below == tuple(sum(one < bound for one in true) for bound in BOUNDS)
    assert spread.count == len(true)
    assert spread.total == pytest.approx(sum(true), abs=1e-9 * len(true))
    assert (spread.min, spread.max) == (true[0], true[-1])


def check_percentiles(
    samples: Mapping[tuple[str, ...], Value], labels: tuple[str, ...], true: list[float]
) -> None:
    assert samples[*labels, "min"] == true[0]
    assert samples[*labels, "max"] == true[-1]
    for q in (50, 90, 95, 99, 99.9):
        nearest = true[ceil(round(q / 100 * len(true), 9)) - 1]
        assert samples[*labels, f"p{q}"] == pytest.approx(nearest, rel=RELATIVE_ERROR, abs=1e-6)


def test_rates_are_of_the_time_that_was_measured(
    found: Found,
) -> None:
    seconds = 80.5 - RUN.warm_up
    assert found["phase"] == {("warmup",): RUN.warm_up, ("measured",): seconds}
    assert found["elapsed"] == {(): 80.5}
    measured = [one for one in DONE if not one.warm_up]
    for name in ("all", "ir", "kur"):
        mine = [one for one in measured if name in ("all", one.operation)]
        ok = sum(one.is_ok for one in mine)
        rates = found["throughput"]
        assert rates[name, "ok", "measured"] == pytest.approx(ok / seconds)
        assert rates[name, "finished", "measured"] == pytest.approx(len(mine) / seconds)
        issued = sum(one.certificates for one in mine)
        assert rates[name, "certificates", "measured"] == pytest.approx(issued / seconds)
        assert found["failed"][name, "measured"] == pytest.approx(1 - ok / len(mine))


def test_thresholds_have_their_figure_and_verdict(
    found: Found,
) -> None:
    latency, rate, share = ("p95(ir.response) < 5s", "rate(ok) > 1000", "share(failed) < 50%")
    assert found["threshold_held"] == {(latency, "s"): 1, (rate, "/s"): 0, (share, "share"): 1}
    assert found["threshold_limit"][latency, "s"] == 5.0
    assert found["threshold_limit"][share, "share"] == 0.5
    assert (
        found["threshold_value"][latency, "s"]
        == found["response_percentile"]["ir", "ok", "measured", "p95"]
    )
    assert found["threshold_value"][rate, "/s"] == found["throughput"]["all", "ok", "measured"]
    assert found["threshold_value"][share, "share"] == found["failed"]["all", "measured"]


def test_what_was_not_measured_has_no_value() -> None:
    found = read([], THRESHOLDS)
    assert found["threshold_held"][RUN.thresholds[0], "s"] == 0
    assert not found["threshold_value"]
    assert not found["transactions"]
    assert not found["throughput"]
    assert found["transactions_in_flight"] == {(): 0}


def test_a_threshold_that_is_given_twice_is_one() -> None:
    assert len(read(RECORDS, [*THRESHOLDS, *THRESHOLDS])["threshold_held"]) == len(THRESHOLDS)


def test_what_is_under_way_is_told_while_a_run_goes_on() -> None:
    records: list[Record] = [
        transaction(1.0, 1.0, 2.0, warm_up=True),
        transaction(6.0, 6.0, 7.0),
        Drop(2, "life", 7.0, 7.0, warm_up=False),
        Level("worker 1", 8.0, in_flight=3, waiting=2),
        Level("worker 2", 8.0, in_flight=4),
    ]
    found = read(records)
    assert found["transactions_in_flight"] == {(): 7}
    assert found["arrivals_waiting"] == {(): 2}
    assert found["transactions_started"] == {(): 9}
    assert found["transactions_planned"] == {(): 12}
    assert found["run_ended"] == {(): 0}
    found = read([*records, End(9.0, interrupted=True)])
    assert (found["run_ended"], found["run_interrupted"]) == ({(): 1}, {(): 1})
    assert found["transactions_started"] == {(): 2}
    assert found["transactions_planned"] == {(): 3}
    assert found["run_failed"] == {(): 0}
    found = read([*records, End(9.0, failed=Fault("no key is left"))])
    assert (found["run_ended"], found["run_failed"]) == ({(): 1}, {(): 1})


def test_the_generator_tells_of_itself() -> None:
    found = read([
        Pulse("worker 1", 1.0, 1.0, 0.95, 0.1, 0.25, 40, 1024),
        Pulse("worker 1", 2.0, 1.0, 0.35, 0.002, 0.5, 30, 1024),
        Pulse("parent", 2.0, 1.0, 0.1, 0.001),
    ])  # fmt: skip
    worker = ("worker 1",)
    assert found["process_cpu"][worker] == pytest.approx(1.3)
    assert found["process_cpu_mean"][worker] == pytest.approx(0.65)
    assert found["process_cpu_max"][worker] == pytest.approx(0.95)
    assert found["process_intervals"] == {worker: 2, ("parent",): 1}
    assert found["process_saturated_intervals"][worker] == 1
    assert found["process_delayed_intervals"][worker] == 1
    assert found["process_loop_delay"]["worker 1", "max"] == 0.1
    assert found["process_loop_delay"]["worker 1", "p99"] == 0.1
    assert found["process_key_starvation"][worker] == pytest.approx(0.75)
    assert found["process_open_files"] == {worker: 40}
    assert found["process_open_files_limit"] == {worker: 1024}
    # it waited for keys for more than a hundredth of the time
    assert found["bottlenecks"] == {(): 1}


def test_no_counter_and_no_histogram_ever_falls() -> None:
    figures = Figures()
    figures.begin(RUN.warm_up)
    before: dict[tuple[str, tuple[str, ...]], tuple[float, ...]] = {}
    for place, record in enumerate(RECORDS):
        figures.add(record)
        if place % 7 and place < len(RECORDS) - 3:
            continue
        for family in metrics(RUN, figures, ()):
            if family.metric.kind is Kind.GAUGE:
                continue
            for labels, value in family.samples.items():
                now: tuple[float, ...]
                if isinstance(value, Spread):
                    now = (*value.below, value.count, value.total)
                else:
                    now = (value,)
                last = before.get((family.metric.name, labels), (0.0,) * len(now))
                assert all(a >= b for a, b in zip(now, last, strict=True))
                before[family.metric.name, labels] = now
    assert len(before) > 50


def test_a_peer_can_not_make_more_series() -> None:
    bits = tuple(f"bit {number}" for number in range(27, 1000))
    ending = Ending(OutcomeClass.REJECTED, "never seen before", ("badPOP", *bits), "\n{}", 1)
    records = [
        transaction(6.0, 6.0, 7.0, ending),
        transaction(6.0, 6.0, 7.0, replace(ending, reason="nor this"), operation=Operation.KUR),
    ]
    found = read(records)
    assert {labels[:2] for labels in found["fail_info"]} == {
        ("ir", "badPOP"), ("ir", "other"), ("kur", "badPOP"), ("kur", "other"),
    }  # fmt: skip
    assert found["fail_info"]["ir", "other", "measured"] == len(bits)
    assert found["requests"] == {
        ("ir", "rejected", "measured"): 1,
        ("kur", "rejected", "measured"): 1,
    }


def test_names_are_as_prometheus_wants_them() -> None:
    names = {metric.prometheus for metric in METRICS.values()}
    assert len(names) == len(METRICS)
    assert {
        "bulkcmp_transactions_total",
        "bulkcmp_response_seconds",
        "bulkcmp_sent_bytes_total",
        "bulkcmp_failed_ratio",
        "bulkcmp_throughput_per_second",
        "bulkcmp_process_cpu_seconds_total",
    } <= names
    for metric in METRICS.values():
        assert metric.prometheus.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.meaning.endswith(".")
        # what takes OTLP in for Prometheus adds unit and kind, but no word that is there already
        words = {"seconds", "bytes", "ratio", "per", "second", "total"}
        assert not words & set(metric.name.split("_"))
