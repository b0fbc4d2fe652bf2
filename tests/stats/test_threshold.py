import pytest

from bulkcmp.cmp.messages import BodyType
from bulkcmp.errors import InputError
from bulkcmp.model import Operation
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import Drop, End
from bulkcmp.stats.threshold import Threshold, check_latency
from tests.stats.records import REJECTED, exchange, transaction


def figures() -> Figures:
    """100 ir of 0.1 s each after a lag of 1 s, 20 kur of 0.4 s, 5 failed ir of 30 s, in 50 s."""
    made = Figures()
    made.begin(warm_up=10)
    made.add(transaction(0, 0, 9, warm_up=True))
    for number in range(100):
        made.add(
            transaction(
                10, 11, 11.1, arrival=number, exchanges=(exchange("ir", "ip", 11, 11.0625),)
            )
        )
    for _ in range(20):
        made.add(transaction(12, 12, 12.4, operation=Operation.KUR, step=1))
    for _ in range(5):
        made.add(transaction(20, 20, 50, REJECTED, certificates=0))
    for _ in range(15):
        made.add(Drop(0, "life", 20, 20, False))
    made.add(End(60, abandoned=3))
    return made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("p50(ir.response) < 500ms", 1.1),
        ("p50(ir.service) < 500ms", 0.1),
        ("p99.9(response) < 1s", 1.1),
        ("min(service) > 90ms", 0.1),
        ("mean(kur.lag) < 1us", 0.0),
        ("max(failed.service) < 1m", 30.0),
        ("max(ir.failed.response) < 1h", 30.0),
        ("max(crypto) < 5ms", 0.002),
        ("max(ir.network) < 100ms", 0.0625),
        ("p95(ir/ip.total) < 100ms", 0.0625),
        ("p95(ir/ip.connect) < 100ms", 0.001),
        ("p95(ir/ip.tls) < 100ms", 0.002),
        ("p95(ir/ip.first_byte) < 100ms", 0.0575),
        ("rate(ok) > 200", 2.4),
        ("rate(kur.finished) >= 0.4/s", 0.4),
        ("rate(certificates) > 1", 2.4),
        ("share(failed) < 0.1%", 0.04),
        ("share(ir.failed) <= 5%", 5 / 105),
        ("share(certificates) > 90.%", 120 / 125),
        ("share(dropped) < 5%", 15 / 140),
        ("count(abandoned) < 5", 3),
        ("count(finished) >= 125", 125),
        ("count(ir.ok) > 99", 100),
        ("abort after 30s count(dropped) < 20", 15),
    ],
)
def test_value(text: str, value: float) -> None:
    found = Threshold.parse(text).value(figures())
    assert found == pytest.approx(value, rel=0.004, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("count(ok) < 120", False),
        ("count(ok) <= 120", True),
        ("count(ok) > 120", False),
        ("count(ok) >= 120", True),
        ("share(failed) < 4.1%", True),
        ("share(failed) < 3.9%", False),
        # nothing of it was measured: that is no proof
        ("p95(rr.response) < 1h", False),
        ("share(rr.failed) < 100%", False),
        ("p95(rr/rp.total) < 1h", False),
        ("count(rr.failed) <= 0", False),
        ("rate(rr.failed) < 1", False),
        ("count(rr.ok) >= 0", True),
        ("count(kur.failed) <= 0", True),
    ],
)
def test_verdict(text: str, held: bool) -> None:
    assert Threshold.parse(text).verdict(figures()).held is held


def test_a_rate_needs_time() -> None:
    empty = Figures()
    empty.begin(0)
    assert Threshold.parse("rate(ok) > 1").verdict(empty).value is None


@pytest.mark.parametrize(
    ("text", "aborts"),
    [
        ("abort share(failed) < 1%", True),
        ("abort share(failed) < 10%", False),
        ("abort after 50s share(failed) < 1%", True),
        ("abort after 51s share(failed) < 1%", False),
        ("share(failed) < 1%", False),
        ("abort p95(rr.response) < 1s", False),
        ("abort count(rr.failed) <= 0", False),
        ("abort rate(rr.ok) > 1", True),
    ],
)
def test_abort(text: str, aborts: bool) -> None:
    assert Threshold.parse(text).aborts(figures()) is aborts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a threshold"),
        ("p95 < 1s", "is not a threshold"),
        ("p95(response) = 1s", "is not a threshold"),
        ("p95(response) < fast", "is not a threshold"),
        ("p95(response) < 1s < 2s", "is not a threshold"),
        ("after 3s p95(response) < 1s", "is not a threshold"),
        ("p(response) < 1s", "no function 'p'"),
        ("rate5(ok) < 1", "no function 'rate5'"),
        ("median(response) < 1s", "no function 'median'"),
        ("p100.1(response) < 1s", "between 0 and 100"),
        ("p95(response) < 5", "'no unit' is no unit of p"),
        ("p95(response) < 5%", "'%' is no unit of p"),
        ("rate(ok) > 5ms", "'ms' is no unit of rate"),
        # ten percent, or a tenth of one?
        ("share(failed) < 0.1", "'no unit' is no unit of share"),
        pytest.param(f"max(response) < {'9' * 400}s", "no such number", id="infinite"),
        pytest.param(f"abort after {'9' * 400}s rate(ok) > 1", "no such number", id="for ever"),
        ("p95(ok) < 5s", "p has no 'ok'"),
        ("p95(krr.response) < 5s", "p has no 'krr.response'"),
        ("p95(kur) < 5s", "p has no 'kur'"),
        ("p95(failed.ir.response) < 5s", "p has no"),
        ("p95(ir/ip.response) < 5s", "p has no"),
        ("p95(ir/ip.failed.total) < 5s", "p has no"),
        ("p95(ir/pi.total) < 5s", "p has no 'ir/pi.total'"),
        ("p95(certconf/pkiconf.total) < 5s", "p has no"),
        ("p95(ir/ip/ir.total) < 5s", "p has no"),
        ("rate(response) > 5", "rate has no 'response'"),
        ("rate(ir.dropped) > 5", "rate has no 'ir.dropped'"),
        ("rate(ir.kur.ok) > 5", "rate has no 'ir.kur.ok'"),
        ("rate(ok@ra) > 5", "rate has no 'ok@ra'"),
        ("p95(@ra.response) < 5s", "p has no '@ra.response'"),
        ("p95(ir@.response) < 5s", "p has no 'ir@.response'"),
        ("p95(ir@r/a.response) < 5s", "p has no 'ir@r/a.response'"),
        ("p95(ir@ra@ra.response) < 5s", "p has no 'ir@ra@ra.response'"),
    ],
)
def test_what_is_no_threshold_is_told(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Threshold.parse(text)
    assert told in str(caught.value)
    assert caught.value.hint


def test_a_threshold_keeps_its_text() -> None:
    threshold = Threshold.parse("  abort after 1.5m  p95( ir.response ) <= 250 ms ")
    assert threshold.text == "abort after 1.5m  p95( ir.response ) <= 250 ms"
    assert (threshold.after, threshold.limit, threshold.q) == (90.0, 0.25, 95.0)


def test_all_messages_may_be_named() -> None:
    for message in BodyType:
        Threshold.parse(f"p95({message.label}/error.total) < 1s")


@pytest.mark.parametrize(
    "text", ["p95(kur.response) < 1s", "share(kur.failed) < 1%", "p95(kur/kup.total) < 1s"]
)
def test_what_will_not_happen_can_not_be_judged(text: str) -> None:
    threshold = Threshold.parse(text)
    threshold.check_against({(Operation.IR, ""), (Operation.KUR, "")})
    with pytest.raises(InputError, match="no lifecycle has kur") as caught:
        threshold.check_against({(Operation.RR, ""), (Operation.IR, "")})
    assert caught.value.hint == "they have ir, rr"
    Threshold.parse("p95(certConf/pkiconf.total) < 1s").check_against({(Operation.IR, "")})
    Threshold.parse("share(failed) < 1%").check_against({(Operation.IR, "")})


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("p95(kur@ra.response) < 1s", "no lifecycle has kur@ra", "they have ir@ra, kur@client"),
        ("count(kur@ra.ok) > 1", "no lifecycle has kur@ra", "they have ir@ra, kur@client"),
        ("p95(kur/kup@ra.total) < 1s", "no lifecycle has kur@ra", "they have ir@ra, kur@client"),
        ("p95(ir@raa.response) < 1s", "asked of a server raa", "servers are client, ra"),
    ],
)
def test_what_no_server_is_asked_can_not_be_judged(text: str, told: str, hint: str) -> None:
    works = {(Operation.IR, "ra"), (Operation.KUR, "client")}
    with pytest.raises(InputError, match=told) as caught:
        Threshold.parse(text).check_against(works)
    assert caught.value.hint == hint
    for good in (
        "p95(ir.response) < 1s",
        "p95(kur@client.response) < 1s",
        "p95(certConf/pkiconf@client.total) < 1s",
    ):
        Threshold.parse(good).check_against(works)
    with pytest.raises(InputError, match="a server ra") as caught:
        Threshold.parse("p95(ir@ra.response) < 1s").check_against({(Operation.IR, "")})
    assert caught.value.hint == "leave @ra away"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max(ir.response) < 10s", 9),
        ("max(ir@ra.response) < 10s", 1),
        ("max(ir@client.response) < 10s", 9),
        ("max(response) < 10s", 9),
        ("count(ir.ok) > 0", 2),
        ("count(ir@ra.ok) > 0", 1),
        ("share(ir@client.failed) < 90%", 0.5),
        ("max(ir/ip.total) < 10s", 9),
        ("max(ir/ip@ra.total) < 10s", 1),
        ("max(kur@ra.response) < 1s", None),
    ],
)
def test_a_server_is_judged_alone_or_with_the_others(text: str, value: float | None) -> None:
    figures = Figures()
    figures.begin(0)
    figures.feed(
        [
            transaction(0, 0, 1, server="ra", exchanges=(exchange("ir", "ip", 0, 1),)),
            transaction(0, 0, 9, server="client", exchanges=(exchange("ir", "ip", 0, 9),)),
            transaction(0, 0, 9, REJECTED, server="client"),
        ]
    )
    assert Threshold.parse(text).value(figures) == value


@pytest.mark.parametrize("text", ["response", "kur.service", "certConf/pkiconf.total"])
def test_latencies(text: str) -> None:
    check_latency(text)


@pytest.mark.parametrize("text", ["ok", "kur", "service time"])
def test_what_is_no_latency_is_told(text: str) -> None:
    with pytest.raises(InputError, match=f"'{text}' is no latency"):
        check_latency(text)
