import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bulkcmp.cmp.asn1 import wrap
from bulkcmp.cmp.general import CA_CERTS
from bulkcmp.cmp.messages import BodyType
from bulkcmp.engine.colleague import WorkerError
from bulkcmp.engine.run import Run
from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.failure import JournalError
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.sqlite import SqliteStore
from bulkcmp.model import BadRow, EndEntity, Itav, KeySpec, Operation, OutcomeClass

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Scene, Seen

ISSUED = OutcomeClass.ISSUED
TO_DO = OutcomeClass.TO_DO
UNKNOWN = OutcomeClass.UNKNOWN
WAITING = OutcomeClass.STILL_WAITING
UNCONFIRMED = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN


def most_in_a_second(times: Sequence[float]) -> int:
    """The most starts in any closed window of one second."""
    most = first = 0
    for last, end in enumerate(times):
        while end - times[first] > 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def tally(scene: "Scene") -> Counter[OutcomeClass]:
    return Counter(scene.outcomes().values())


# --- the main job ---------------------------------------------------------------------------------


def test_a_population_is_enrolled(scene: "Scene") -> None:
    run = scene.play(scene.rows(60), workers=3)
    results = scene.results()
    assert {result.outcome.outcome for result in results.values()} == {ISSUED}
    assert list(results) == list(range(1, 61))
    assert len({result.serial for result in results.values()}) == 60
    assert all(
        result.has_key and result.attempts == result.sends == 1 for result in results.values()
    )
    assert set(scene.peer.certificates().values()) == {"confirmed"}
    scene.check()
    assert not run.interrupted
    assert run.unreachable is None
    assert run.operations == {Operation.IR}
    last = scene.snapshots[-1]
    assert (last.done, last.in_flight, last.failed, last.total) == (60, 0, 0, 60)
    assert last.finished


@pytest.mark.parametrize(("concurrency", "workers"), [(1, 4), (5, 4), (10, 3), (8, 8)])
def test_concurrency_is_a_ceiling_over_all_workers(
    scene: "Scene", concurrency: int, workers: int
) -> None:
    under_way = most = 0

    async def enter(_: "Seen") -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)

    async def leave(_: "Seen") -> None:
        nonlocal under_way
        under_way -= 1

    scene.peer.before, scene.peer.after = enter, leave
    scene.peer.behave(implicit_confirm=True)
    scene.tune(implicit_confirm=True)
    scene.play(scene.rows(40), concurrency=concurrency, workers=workers)
    assert most == concurrency
    assert tally(scene) == {ISSUED: 40}


def test_an_empty_population_ends_at_once(scene: "Scene") -> None:
    scene.play([])
    assert scene.outcomes() == {}
    assert scene.snapshots[-1].total == 0


# --- the rate -------------------------------------------------------------------------------------


def test_the_rate_is_a_ceiling_over_all_workers_repetitions_included(scene: "Scene") -> None:
    async def sometimes_busy(seen: "Seen") -> httpx.Response | None:
        if seen.count == 0 and seen.transaction_id[0] % 4 == 0:
            return httpx.Response(503)
        return None

    scene.peer.before = sometimes_busy
    scene.tune(implicit_confirm=True)
    scene.play(scene.rows(400), workers=3, concurrency=60, rate=37.5)
    assert tally(scene) == {ISSUED: 400}
    starts = [seen.at for seen in scene.peer.opened()]
    assert len(starts) > 430
    assert most_in_a_second(starts) <= 38.5
    # threads are busy after the first one, while virtual time goes on, and repetitions come last
    assert 398 / (starts[399] - starts[1]) > 0.95 * 37.5


def test_nothing_is_caught_up_after_a_stall(scene: "Scene") -> None:
    async def stall(seen: "Seen") -> None:
        await anyio.sleep(max(0.0, 30.0 - seen.at) if seen.at > 5.0 else 0.0)

    scene.peer.before = stall
    scene.tune(implicit_confirm=True)
    scene.play(scene.rows(400), concurrency=20, rate=20.0)
    assert tally(scene) == {ISSUED: 400}
    starts = [seen.at for seen in scene.peer.opened()]
    assert not [at for at in starts if 8.0 < at < 30.0]
    assert most_in_a_second(starts) <= 21


# --- polling and time limits ----------------------------------------------------------------------


def test_polling_goes_on_for_as_long_as_the_server_asks(scene: "Scene") -> None:
    scene.peer.behave(poll_count=3, check_after=900)
    scene.tune(total_timeout=0.0)
    scene.play(scene.rows(20), concurrency=20)
    assert tally(scene) == {ISSUED: 20}
    scene.check()
    polls: dict[bytes, list[float]] = {}
    for seen in scene.peer.sent(BodyType.POLL_REQ):
        polls.setdefault(seen.transaction_id, []).append(seen.at)
    assert len(polls) == 20
    for times in polls.values():
        gaps = [later - earlier for earlier, later in pairwise(times)]
        # the ip that says waiting gives no time, each pollRep gives 900 s
        assert all(899.999 < gap < 901.0 for gap in gaps)
        assert len(gaps) == 2
    for result in scene.results().values():
        assert result.timings.polling == pytest.approx(1800, abs=1)
        assert result.sends == 1


def test_past_the_time_limit_a_row_still_waits_and_resume_polls_on(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, check_after=900)
    scene.tune(total_timeout=600.0)
    rows = scene.rows(3)
    scene.play(rows)
    assert tally(scene) == {WAITING: 3}
    assert scene.results()[1].outcome.reason == "time limit"
    assert scene.ended_at < 10.0
    before = scene.transactions()

    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 3}
    assert {tx.transaction_id for tx in scene.transactions()} == {
        tx.transaction_id for tx in before
    }
    assert len(scene.peer.opened()) == 3
    scene.check()


def test_back_off_ends_with_the_time_limit(scene: "Scene", lose: "Lose") -> None:
    scene.tune(retries=1000, total_timeout=60.0)
    scene.peer.before = lose(Loss.BUSY)
    scene.play(scene.rows(1))
    assert tally(scene) == {OutcomeClass.NOT_SENT: 1}
    assert 50.0 < scene.ended_at < 70.0


# --- losses and repetitions -----------------------------------------------------------------------


@pytest.mark.parametrize("loss", list(Loss))
def test_each_loss_of_a_request_has_its_outcome(scene: "Scene", lose: "Lose", loss: Loss) -> None:
    # one row gets through before, or not to connect would end the run
    first = scene.play(scene.rows(1))
    assert first.unreachable is None
    scene.peer.seen.clear()
    scene.peer.before = lose(loss)

    async def reached(seen: "Seen") -> httpx.Response | None:
        if len(scene.peer.opened()) == 1:
            return httpx.Response(429, headers={"Retry-After": "0"})
        return await lose(loss)(seen)

    scene.peer.before = reached
    scene.play([scene.row(7)])
    result = scene.results()[7]
    repeated = loss in (Loss.CONNECT, Loss.TLS, Loss.NOT_SENT, Loss.NO_LAYER, Loss.BUSY)
    expected = {
        Loss.HTTP_STATUS: OutcomeClass.HTTP_ERROR,
        Loss.NOT_CMP: OutcomeClass.NOT_CMP,
    }.get(loss, OutcomeClass.NOT_SENT if repeated else UNKNOWN)
    assert result.outcome.outcome is expected
    assert result.outcome.reason == loss.value
    sent = scene.peer.opened()
    # after the 429, and then again as often as the profile allows
    assert len(sent) == result.sends == (4 if repeated else 2)
    assert len({seen.message for seen in sent}) == 1
    scene.check()


@pytest.mark.parametrize("loss", list(Loss))
def test_a_certconf_is_sent_again_unchanged(scene: "Scene", lose: "Lose", loss: Loss) -> None:
    scene.peer.after = lose(loss, BodyType.CERT_CONF, times=2)
    scene.play(scene.rows(1))
    assert tally(scene) == {ISSUED: 1}
    sent = scene.peer.sent(BodyType.CERT_CONF)
    assert len(sent) == 3
    assert len({seen.message for seen in sent}) == 1
    scene.check()


@pytest.mark.parametrize("arrives", [True, False])
def test_a_certconf_that_stays_unanswered_is_confirmed_by_resume(
    scene: "Scene", lose: "Lose", arrives: bool
) -> None:
    spoil = lose(Loss.TIMEOUT, BodyType.CERT_CONF)
    if arrives:
        scene.peer.after = spoil
    else:
        scene.peer.before = spoil
    rows = scene.rows(4)
    scene.play(rows)
    assert tally(scene) == {UNCONFIRMED: 4}
    scene.check()
    issued = scene.peer.certificates()

    scene.peer.after = scene.peer.before = lose(Loss.CUT, times=0)
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 4}
    assert scene.peer.certificates().keys() == issued.keys()
    assert len(scene.peer.opened()) == 4
    scene.check()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss.CONNECT, WAITING),
        (Loss.BUSY, WAITING),
        (Loss.NOT_SENT, WAITING),
        (Loss.TIMEOUT, UNKNOWN),
        (Loss.CUT, UNKNOWN),
        (Loss.GATEWAY, UNKNOWN),
        (Loss.HTTP_STATUS, UNKNOWN),
    ],
)
def test_a_poll_that_is_lost(
    scene: "Scene", lose: "Lose", loss: Loss, expected: OutcomeClass
) -> None:
    scene.peer.behave(poll_count=2, check_after=5)
    scene.peer.before = lose(loss, BodyType.POLL_REQ)
    rows = scene.rows(2)
    scene.play(rows)
    assert tally(scene) == {expected: 2}
    scene.check()

    # it did not arrive: the transaction is polled on
    scene.peer.before = lose(loss, times=0)
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 2}
    assert len(scene.transactions()) == 2
    scene.check()


def test_a_certificate_lost_on_the_way_of_a_poll_is_never_silently_doubled(
    scene: "Scene", lose: "Lose"
) -> None:
    scene.peer.behave(poll_count=1, check_after=5)
    scene.peer.after = lose(Loss.CUT, BodyType.POLL_REQ)
    rows = scene.rows(3)
    scene.play(rows)
    assert tally(scene) == {UNKNOWN: 3}
    assert len(scene.peer.certificates()) == 3

    # the CA knows of nothing more to poll: its refusal does not say that nothing was issued
    scene.peer.after = lose(Loss.CUT, times=0)
    for retry_failed in (False, True):
        scene.play(rows, resumed=True, retry_failed=retry_failed)
        assert tally(scene) == {UNKNOWN: 3}
        assert len(scene.peer.certificates()) == 3
        assert scene.results()[1].outcome.reason == "refused after an interruption"
        scene.check()

    scene.play(rows, resumed=True, retry_unknown=True)
    assert tally(scene) == {ISSUED: 3}
    assert len(scene.peer.certificates()) == 6
    scene.check()


def test_a_poll_of_a_resumed_run_that_is_cut_off_is_uncertain(scene: "Scene") -> None:
    """The row was stopped in good order; what counts is what happened since."""
    rows = scene.rows(1)
    scene.peer.behave(poll_count=2, check_after=500)
    scene.play(rows, conduct=stop_at(100.0))
    assert tally(scene) == {WAITING: 1}
    # now the poll is answered by the certificate, which never arrives
    scene.peer.behave()
    scene.peer.latency = 20.0
    scene.play(rows, conduct=stop_at(515.0, 516.0), resumed=True)
    assert len(scene.peer.certificates()) == 1
    assert tally(scene) == {WAITING: 1}
    scene.peer.latency = 0.01
    scene.play(rows, resumed=True, retry_failed=True)
    assert tally(scene) == {UNKNOWN: 1}
    scene.check()


def test_a_poll_that_is_refused_in_quiet_is_rejected(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, check_after=900)
    scene.tune(total_timeout=60.0)
    rows = scene.rows(1)
    scene.play(rows)
    assert tally(scene) == {WAITING: 1}
    # the CA forgot, but no answer was lost
    scene.peer.books._db.execute("DELETE FROM pki_transaction")
    scene.play(rows, resumed=True)
    assert tally(scene) == {OutcomeClass.REJECTED: 1}


def test_back_off_grows_and_is_spread(scene: "Scene", lose: "Lose") -> None:
    scene.tune(retries=5, backoff_first=1.0, backoff_max=4.0)
    scene.peer.before = lose(Loss.NOT_SENT, BodyType.IR, times=5)
    scene.play(scene.rows(30), concurrency=30)
    assert tally(scene) == {ISSUED: 30}
    times: dict[bytes, list[float]] = {}
    for seen in scene.peer.opened():
        times.setdefault(seen.transaction_id, []).append(seen.at)
    firsts = set()
    for at in times.values():
        gaps = [later - earlier for earlier, later in pairwise(at)]
        for gap, most in zip(gaps, (1.0, 2.0, 4.0, 4.0, 4.0), strict=True):
            assert most / 2 - 0.001 <= gap <= most + 0.001
        firsts.add(round(gaps[0], 4))
    assert len(firsts) > 20


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(scene: "Scene", status: int) -> None:
    async def busy(seen: "Seen") -> httpx.Response | None:
        busy_once = seen.count == 0 and seen.body_type in (BodyType.IR, BodyType.CERT_CONF)
        return httpx.Response(status, headers={"Retry-After": "90"}) if busy_once else None

    scene.peer.before = busy
    scene.play(scene.rows(1))
    assert tally(scene) == {ISSUED: 1}
    at = {(seen.body_type, seen.count): seen.at for seen in scene.peer.seen}
    for body_type in (BodyType.IR, BodyType.CERT_CONF):
        assert 89.999 < at[body_type, 1] - at[body_type, 0] < 91.0
    assert scene.results()[1].sends == 2


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(500), OutcomeClass.HTTP_ERROR),
        (httpx.Response(404), OutcomeClass.HTTP_ERROR),
        (httpx.Response(502), UNKNOWN),
        (httpx.Response(504), UNKNOWN),
        (httpx.Response(200, html="<h1>Welcome</h1>"), OutcomeClass.NOT_CMP),
        (
            httpx.Response(
                200, headers={"Content-Type": "application/pkixcmp"}, content=b"\x30\x03"
            ),
            OutcomeClass.BAD_RESPONSE,
        ),
    ],
)
def test_what_no_cmp_server_says(
    scene: "Scene", response: httpx.Response, expected: OutcomeClass
) -> None:
    async def say(_: "Seen") -> httpx.Response:
        return httpx.Response(
            response.status_code, headers=response.headers, content=response.content
        )

    scene.peer.before = say
    scene.play(scene.rows(2))
    assert tally(scene) == {expected: 2}
    assert len(scene.peer.seen) == 2


# --- a CA that says no ----------------------------------------------------------------------------


def test_a_refusal_is_asked_again_only_where_the_profile_names_it(scene: "Scene") -> None:
    scene.peer.behave(reject="systemUnavail")
    scene.play([scene.row(1)])
    assert len(scene.transactions()) == 1

    scene.tune(retry_fail_info=frozenset({"systemUnavail"}), retries=2)
    scene.play([scene.row(2)])
    assert tally(scene) == {OutcomeClass.REJECTED: 2}
    result = scene.results()[2]
    # each time with a new transactionID
    assert (result.attempts, result.sends) == (3, 3)
    assert [tx.outcome for tx in scene.transactions() if tx.number == 2] == ["rejected"] * 3
    starts = [seen.at for seen in scene.peer.opened()[1:]]
    assert 0.5 <= starts[1] - starts[0] < 1.1
    assert 1.0 <= starts[2] - starts[1] < 2.1
    scene.check()


def test_a_refused_row_gets_its_certificate_at_the_next_attempt(scene: "Scene") -> None:
    scene.peer.behave(reject="systemUnavail", reject_every=2)
    scene.tune(retry_fail_info=frozenset({"systemUnavail"}), retries=8)
    scene.play(scene.rows(20))
    assert tally(scene) == {ISSUED: 20}
    results = scene.results().values()
    assert sum(result.attempts for result in results) == len(scene.transactions()) > 20
    assert sum(result.sends for result in results) == len(scene.peer.opened())
    scene.check()


def test_resume_tries_refused_rows_again_only_when_asked(scene: "Scene") -> None:
    scene.peer.behave(reject="badRequest")
    rows = scene.rows(3)
    scene.play(rows)
    scene.peer.behave()
    scene.play(rows, resumed=True)
    assert tally(scene) == {OutcomeClass.REJECTED: 3}
    assert scene.snapshots[-1].already_done == 3
    keys = {number: result.has_key for number, result in scene.results().items()}
    assert all(keys.values())
    scene.play(rows, resumed=True, retry_failed=True)
    assert tally(scene) == {ISSUED: 3}
    assert {result.attempts for result in scene.results().values()} == {2}
    scene.check()


# --- the first transaction ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Loss.CONNECT, Loss.TLS])
def test_a_server_that_cannot_be_reached_ends_the_run(
    scene: "Scene", lose: "Lose", loss: Loss
) -> None:
    scene.peer.before = lose(loss)
    rows = scene.rows(50)
    run = scene.play(rows, workers=2)
    assert isinstance(run.unreachable, TransportError)
    assert run.unreachable.loss is loss
    assert not run.interrupted
    assert len(scene.peer.seen) == 1
    assert set(scene.outcomes().values()) <= {TO_DO}
    assert scene.ended_at < 1.0
    assert scene.snapshots[-1].in_flight == 0

    scene.peer.before = lose(loss, times=0)
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 50}
    scene.check()


def test_a_row_that_was_issued_stays_so_when_resume_cannot_reach_the_server(
    scene: "Scene", lose: "Lose"
) -> None:
    scene.peer.after = lose(Loss.CUT, BodyType.CERT_CONF)
    rows = scene.rows(1)
    scene.play(rows)
    scene.peer.before = lose(Loss.CONNECT)
    run = scene.play(rows, resumed=True)
    assert run.unreachable is not None
    assert tally(scene) == {UNCONFIRMED: 1}

    scene.peer.before = scene.peer.after = lose(Loss.CUT, times=0)
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 1}
    assert len(scene.peer.certificates()) == 1
    scene.check()


def test_a_row_that_waits_stays_so_when_resume_cannot_reach_the_server(
    scene: "Scene", lose: "Lose"
) -> None:
    scene.peer.behave(poll_count=2, check_after=900)
    scene.tune(total_timeout=60.0)
    rows = scene.rows(20)
    scene.play(rows)
    scene.peer.before = lose(Loss.CONNECT)
    sent = len(scene.peer.seen)
    assert scene.play(rows, resumed=True).unreachable is not None
    assert tally(scene) == {WAITING: 20}
    assert len(scene.peer.seen) == sent + 1
    scene.peer.before = lose(Loss.CUT, times=0)
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 20}
    assert len(scene.transactions()) == 20


@pytest.mark.parametrize("loss", [Loss.CONNECT, Loss.BUSY, None])
def test_a_row_of_unknown_outcome_stays_so_when_it_is_not_asked_again(
    scene: "Scene", lose: "Lose", loss: Loss | None
) -> None:
    """Neither "to do" nor "not sent" is true of it: the CA may have issued."""
    scene.peer.after = lose(Loss.CUT)
    rows = scene.rows(3)
    scene.play(rows)
    assert tally(scene) == {UNKNOWN: 3}
    scene.peer.after = lose(Loss.CUT, times=0)
    if loss is None:
        scene.play(rows, resumed=True, retry_unknown=True, conduct=stop_at(0.0))
    else:
        scene.peer.before = lose(loss)
        scene.play(rows, resumed=True, retry_unknown=True)
    assert tally(scene) == {UNKNOWN: 3}
    scene.peer.before = lose(Loss.CUT, times=0)
    # nothing is asked twice without the user saying so each time
    scene.play(rows, resumed=True)
    assert tally(scene) == {UNKNOWN: 3}
    scene.play(rows, resumed=True, retry_unknown=True)
    assert tally(scene) == {ISSUED: 3}
    scene.check()


def test_a_server_that_was_heard_of_is_waited_for(scene: "Scene") -> None:
    async def starts_up(seen: "Seen") -> httpx.Response | None:
        if seen.count == 0:
            return httpx.Response(503)
        if seen.count == 1:
            raise TransportError(Loss.CONNECT, "refused")
        return None

    scene.peer.before = starts_up
    run = scene.play(scene.rows(1))
    assert run.unreachable is None
    assert tally(scene) == {ISSUED: 1}


def test_a_refusal_was_heard_of_the_server_too(scene: "Scene") -> None:
    async def goes_down(_: "Seen") -> None:
        if len(scene.peer.opened()) == 2:
            raise TransportError(Loss.CONNECT, "refused")

    scene.peer.behave(reject="systemUnavail", reject_every=1)
    scene.tune(retry_fail_info=frozenset({"systemUnavail"}), retries=1)
    scene.peer.before = goes_down
    assert scene.play(scene.rows(1)).unreachable is None
    assert tally(scene) == {OutcomeClass.REJECTED: 1}


def test_rows_that_fail_before_they_are_sent_tell_nothing_of_the_server(
    scene: "Scene", lose: "Lose"
) -> None:
    scene.peer.before = lose(Loss.CONNECT)
    broken = scene.rows(3, new_key=b"no key", new_key_spec=None)
    run = scene.play([*broken, *[scene.row(number) for number in range(4, 10)]])
    assert run.unreachable is not None
    assert tally(scene) == {OutcomeClass.LOCAL_ERROR: 3, TO_DO: 1}
    assert len(scene.peer.seen) == 1


def test_until_the_server_was_heard_of_one_row_is_under_way(scene: "Scene", lose: "Lose") -> None:
    scene.peer.latency = 30.0
    scene.play(scene.rows(5))
    starts = [seen.at for seen in scene.peer.opened()]
    assert starts[1] - starts[0] > 29.999
    assert starts[4] - starts[1] < 1.0


# --- order and kinds of rows ----------------------------------------------------------------------


def test_rows_go_by_priority(scene: "Scene") -> None:
    wanted = {1: None, 2: 5, 3: 1, 4: 5, 5: 1, 6: None, 7: 3}
    rows = [scene.row(number, priority=priority) for number, priority in wanted.items()]
    scene.play(rows, concurrency=1, priorities=(1, 3, 5, None))
    by_id = {tx.transaction_id: tx.number for tx in scene.transactions()}
    order = [by_id[seen.transaction_id] for seen in scene.peer.opened()]
    assert order == [3, 5, 7, 2, 4, 1, 6]


def bad_row(number: int) -> BadRow:
    return BadRow(number, number + 1, f"dev{number}", (InputError("not a DN"),))


def test_bad_rows_are_recorded_and_skipped(scene: "Scene") -> None:
    rows: list[EndEntity | BadRow]
    rows = [bad_row(1), scene.row(2), bad_row(3), scene.row(4), *map(bad_row, range(5, 200))]
    scene.play(rows)
    assert tally(scene) == {ISSUED: 2, OutcomeClass.BAD_ROW: 197}
    assert scene.results()[1].outcome.detail == "not a DN"
    assert scene.snapshots[-1].failed == 197
    scene.play(rows, resumed=True, retry_failed=True)
    assert scene.snapshots[-1].already_done == 199
    scene.check()


def test_rows_of_every_operation(scene: "Scene") -> None:
    """Which of them wants a key made, and which key a key update is about."""
    scene.play([scene.row(1)])
    issued = scene.results()[1].certificate
    assert issued is not None
    signer = ed25519.Ed25519PrivateKey.generate()
    pkcs8 = signer.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev2")]))
        .sign(signer, None)
        .public_bytes(Encoding.DER)
    )
    spec = KeySpec.parse("ed25519")
    no_key: dict[str, Any] = {"new_key_spec": None}
    run = scene.play(
        [
            scene.row(2, cmd=Operation.P10CR, csr=csr, subject=None, **no_key),
            scene.row(3, cmd=Operation.CR, new_key_spec=spec),
            scene.row(4, cmd=Operation.RR, old_cert=issued, **no_key),
            # the key is not that of the certificate, but the row comes as far as the CA
            scene.row(5, cmd=Operation.KUR, cert=(issued,), key=pkcs8, old_cert=issued, **no_key),
        ]
    )
    results = scene.results()
    assert {number: one.outcome.outcome for number, one in results.items()} == {
        1: ISSUED,
        2: ISSUED,
        3: ISSUED,
        4: OutcomeClass.REVOKED,
        5: OutcomeClass.CREDENTIALS_REFUSED,
    }
    assert {number: one.has_key for number, one in results.items()} == {
        1: True,
        2: False,
        3: True,
        4: False,
        5: False,
    }
    assert run.operations == {Operation.P10CR, Operation.CR, Operation.RR, Operation.KUR}
    (kur,) = scene.peer.sent(BodyType.KUR)
    public = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert public in kur.message


def ask(scene: "Scene", number: int, oid: str) -> EndEntity:
    """A row with a question."""
    return scene.row(
        number, cmd=Operation.GENM, new_key_spec=None, subject=None, infos=(Itav(oid),)
    )


def test_questions_among_other_rows(scene: "Scene") -> None:
    rows = [ask(scene, 1, CA_CERTS), ask(scene, 2, "1.2.3"), scene.row(3)]
    run = scene.play(rows, certs_per_message=3)
    found = scene.results()
    assert {number: one.outcome.outcome for number, one in found.items()} == {
        1: OutcomeClass.ANSWERED,
        2: OutcomeClass.REJECTED,
        3: ISSUED,
    }
    assert found[1].infos == (Itav(CA_CERTS, wrap(0x30, scene.peer.root.der)),)
    assert not found[1].has_key
    assert run.operations == {Operation.GENM, Operation.IR}
    assert len(scene.peer.sent(BodyType.GENM)) == 2, "an answer is for one of them"


def test_a_question_without_an_answer_is_asked_again(scene: "Scene", lose: "Lose") -> None:
    rows = [ask(scene, 1, CA_CERTS), ask(scene, 2, CA_CERTS)]
    scene.peer.after = lose(Loss.CUT, BodyType.GENM)
    scene.play(rows)
    assert tally(scene) == {OutcomeClass.UNANSWERED: 2}
    scene.peer.after = lose(Loss.CUT, BodyType.IR)
    scene.play(rows, resumed=True)
    assert tally(scene) == {OutcomeClass.ANSWERED: 2}
    assert [one.attempts for one in scene.results().values()] == [2, 2]
    # a new question, not the old one again
    assert len({seen.transaction_id for seen in scene.peer.sent(BodyType.GENM)}) == 4


def test_a_question_that_waits_goes_on(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, poll_whole=True, check_after=60)

    async def interrupt(run: Run) -> None:
        await anyio.sleep(30)
        run.stop()

    scene.play([ask(scene, 1, CA_CERTS)], conduct=interrupt)
    assert tally(scene) == {WAITING: 1}
    scene.play([ask(scene, 1, CA_CERTS)], resumed=True)
    assert tally(scene) == {OutcomeClass.ANSWERED: 1}
    assert len(scene.peer.sent(BodyType.GENM)) == 1


def test_an_answer_that_may_have_been_lost(scene: "Scene", lose: "Lose") -> None:
    """The CA that has answered a poll knows of nothing more: then the question is asked anew."""
    scene.peer.behave(poll_count=1, poll_whole=True)
    scene.peer.after = lose(Loss.CUT, BodyType.POLL_REQ)
    row = ask(scene, 1, CA_CERTS)
    scene.play([row])
    assert tally(scene) == {OutcomeClass.UNANSWERED: 1}
    scene.peer.after = lose(Loss.CUT, BodyType.IR)
    scene.play([row], resumed=True)
    assert tally(scene) == {OutcomeClass.ANSWERED: 1}
    assert len(scene.peer.sent(BodyType.GENM)) == 2


def test_a_row_with_a_key_of_its_own_uses_it(scene: "Scene") -> None:
    key = make_keys(KeySpec.parse("ed25519"), 1)[0]
    scene.play([scene.row(1, new_key=key, new_key_spec=None)])
    result = scene.results()[1]
    assert result.outcome.outcome is ISSUED
    assert not result.has_key


# --- stopping -------------------------------------------------------------------------------------


def stop_at(*times: float) -> Any:
    """Ctrl-C at these virtual seconds: the first stops, the second aborts."""

    async def conduct(run: Run) -> None:
        began = anyio.current_time()
        await anyio.sleep_until(began + times[0])
        run.stop()
        for time in times[1:]:
            await anyio.sleep_until(began + time)
            run.abort()

    return conduct


def test_a_stop_drains(scene: "Scene") -> None:
    scene.peer.latency = 2.0
    rows = scene.rows(100)
    # the first row is done at 4 s, the others begin at 2 s; their answers come at 4 s
    run = scene.play(rows, conduct=stop_at(3.0), workers=2)
    assert run.interrupted
    assert not run.aborted
    counts = tally(scene)
    assert counts[ISSUED] == len(scene.peer.opened()) == 10
    assert set(counts) <= {ISSUED, TO_DO}
    assert set(scene.peer.certificates().values()) == {"confirmed"}
    assert scene.ended_at == pytest.approx(6.0, abs=0.1)
    assert scene.snapshots[-1].in_flight == 0

    scene.peer.latency = 0.01
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 100}
    scene.check()


def test_a_stop_gives_up_what_waits(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, check_after=500)
    scene.tune(total_timeout=0.0)
    rows = scene.rows(30)
    scene.play(rows, conduct=stop_at(100.0))
    counts = tally(scene)
    assert counts[WAITING] == 10
    assert set(counts) <= {WAITING, TO_DO}
    assert scene.results()[1].outcome.reason == "stopped"
    assert scene.ended_at < 101.0
    scene.play(rows, resumed=True, concurrency=30)
    assert tally(scene) == {ISSUED: 30}
    assert len(scene.peer.opened()) == 30
    scene.check()


def test_a_stop_gives_up_what_backs_off(scene: "Scene", lose: "Lose") -> None:
    scene.tune(backoff_first=1000.0, backoff_max=1000.0, total_timeout=0.0)
    scene.peer.before = lose(Loss.BUSY, BodyType.IR)
    rows = scene.rows(1)
    scene.play(rows, conduct=stop_at(5.0))
    assert tally(scene) == {OutcomeClass.NOT_SENT: 1}
    assert scene.ended_at < 6.0
    scene.peer.before = lose(Loss.BUSY, times=0)
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 1}
    assert scene.results()[1].attempts == 2


def test_a_stop_sends_a_certconf_that_backs_off_once_more(scene: "Scene", lose: "Lose") -> None:
    scene.tune(backoff_first=1000.0, backoff_max=1000.0, total_timeout=0.0)
    scene.peer.before = lose(Loss.BUSY, BodyType.CERT_CONF, times=1)
    scene.play(scene.rows(1), conduct=stop_at(5.0))
    assert tally(scene) == {ISSUED: 1}
    assert scene.ended_at < 6.0


def test_a_stop_between_two_attempts_leaves_the_refusal(scene: "Scene") -> None:
    scene.peer.behave(reject="systemUnavail")
    scene.tune(
        retry_fail_info=frozenset({"systemUnavail"}), backoff_first=1000.0, backoff_max=1000.0
    )
    scene.play(scene.rows(1), conduct=stop_at(5.0))
    result = scene.results()[1]
    assert result.outcome.outcome is OutcomeClass.REJECTED
    assert (result.attempts, result.sends) == (1, 1)
    assert scene.ended_at < 6.0


def test_a_stop_under_a_rate_begins_nothing_more(scene: "Scene") -> None:
    rows = scene.rows(50)
    scene.play(rows, conduct=stop_at(10.2), rate=1.0)
    counts = tally(scene)
    assert counts[ISSUED] == len(scene.peer.opened()) == 11
    assert set(counts) <= {ISSUED, TO_DO}
    # those that waited for their turn were recorded, and are begun anew
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 50}
    scene.check()


def test_a_stop_in_the_middle_of_recording_sends_nothing(scene: "Scene") -> None:
    journal = scene.open()
    written = journal.write
    runs: list[Run] = []

    def write(entries: Any) -> None:
        runs[0].stop()
        written(entries)

    async def conduct(run: Run) -> None:
        runs.append(run)

    journal.write = write  # type: ignore[method-assign]  # a double in its place
    scene.play(scene.rows(3), conduct=conduct, journal=journal)
    assert scene.peer.seen == []
    assert set(scene.outcomes().values()) <= {TO_DO}


def test_a_stop_before_the_run_begins(scene: "Scene") -> None:
    async def conduct(run: Run) -> None:
        run.stop()

    run = scene.play(scene.rows(5), conduct=conduct)
    assert run.interrupted
    scene.check()


def test_an_abort_leaves_at_once(scene: "Scene") -> None:
    scene.peer.latency = 50.0
    rows = scene.rows(30)
    run = scene.play(rows, conduct=stop_at(60.0, 61.0))
    assert run.aborted
    assert scene.ended_at == pytest.approx(61.0)
    counts = tally(scene)
    # the first row's certConf was under way, nine requests were
    assert counts[UNCONFIRMED] == 1
    assert counts[UNKNOWN] == 9
    scene.check()

    scene.peer.latency = 0.01
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 21, UNKNOWN: 9}
    scene.check()
    scene.play(rows, resumed=True, retry_unknown=True)
    assert tally(scene) == {ISSUED: 30}
    scene.check()


def test_an_abort_while_the_first_request_is_out(scene: "Scene") -> None:
    scene.peer.latency = 50.0
    run = scene.play(scene.rows(5), conduct=stop_at(1.0, 2.0))
    assert run.aborted
    assert tally(scene) == {UNKNOWN: 1}


# --- workers that die -----------------------------------------------------------------------------


def kill_at(scene: "Scene", *times: float) -> Any:
    """Kill the worker that was hired last, at these virtual seconds."""

    async def conduct(_: Run) -> None:
        for time in times:
            await anyio.sleep_until(time)
            scene.workers_alive[-1].cancel()

    return conduct


def test_a_worker_that_dies_is_replaced_and_its_rows_are_taken_over(scene: "Scene") -> None:
    scene.peer.latency = 1.0
    run = scene.play(scene.rows(60), conduct=kill_at(scene, 3.7), workers=2)
    counts = tally(scene)
    assert counts.total() == 60
    # its requests were out: whether they were answered nobody knows
    assert 1 <= counts[UNKNOWN] <= 5
    assert counts[ISSUED] == 60 - counts[UNKNOWN]
    assert len(scene.workers_alive) == 3
    assert not run.interrupted
    assert scene.snapshots[-1].in_flight == 0
    assert scene.snapshots[-1].done == 60
    scene.check()


def test_the_only_worker_dies_with_the_first_row_in_hand(scene: "Scene") -> None:
    scene.peer.latency = 10.0
    scene.play(scene.rows(5), conduct=kill_at(scene, 5.0))
    assert tally(scene) == {UNKNOWN: 1, ISSUED: 4}
    scene.check()


def test_a_worker_dies_while_its_rows_poll(scene: "Scene") -> None:
    scene.peer.behave(poll_count=3, check_after=100)
    scene.play(scene.rows(10), conduct=kill_at(scene, 150.0))
    # no poll was under way: all of them go on, in the same transactions
    assert tally(scene) == {ISSUED: 10}
    assert len(scene.transactions()) == 10
    scene.check()


def test_a_worker_dies_with_certconfs_under_way(scene: "Scene") -> None:
    async def slow(seen: "Seen") -> None:
        await anyio.sleep(100.0 if seen.body_type is BodyType.CERT_CONF and seen.at < 50 else 0)

    scene.peer.after = slow
    scene.play(scene.rows(10), conduct=kill_at(scene, 50.0))
    assert tally(scene) == {ISSUED: 10}
    assert len(scene.transactions()) == 10
    scene.check()


def test_with_retry_unknown_the_rows_of_a_dead_worker_begin_anew(scene: "Scene") -> None:
    scene.peer.latency = 1.0
    rows = scene.rows(20)
    scene.play(rows[:1])
    scene.play(rows, conduct=kill_at(scene, 3.7), resumed=True, retry_unknown=True)
    assert tally(scene) == {ISSUED: 20}
    assert len(scene.peer.certificates()) > 20
    scene.check()


def test_workers_that_die_again_and_again_end_the_run(scene: "Scene") -> None:
    scene.peer.latency = 1.0

    async def killer(run: Run) -> None:
        while True:
            await anyio.sleep(1.5)
            scene.workers_alive[-1].cancel()

    rows = scene.rows(200)
    with pytest.raises(WorkerError, match="again and again"):
        scene.play(rows, conduct=killer)
    scene.check()
    scene.play(rows, resumed=True, limit=100_000.0)
    counts = tally(scene)
    assert set(counts) == {ISSUED, UNKNOWN}
    assert counts.total() == 200
    scene.check()


def test_workers_that_cannot_work_say_why(scene: "Scene") -> None:
    def refuse() -> Any:
        raise InputError("the proxy is no URL", hint="mend --proxy")

    scene.peer.client = refuse  # type: ignore[method-assign]  # a double in its place
    with pytest.raises(WorkerError, match="the proxy is no URL") as caught:
        scene.play(scene.rows(5), workers=2)
    assert caught.value.exit_code == 2
    assert caught.value.hint == "mend --proxy"
    assert scene.outcomes() == {}


def test_an_input_error_out_of_the_transport_says_why_too(scene: "Scene") -> None:
    async def refuse(_: "Seen") -> None:
        raise InputError("HTTP_PROXY can't be used")

    scene.peer.before = refuse
    with pytest.raises(WorkerError, match="HTTP_PROXY can't be used") as caught:
        scene.play(scene.rows(5))
    assert caught.value.exit_code == 2


def test_a_worker_that_cannot_be_replaced_leaves_the_others_in_order(scene: "Scene") -> None:
    scene.peer.latency = 1.0
    hire = scene.hire(0.0)
    hired = 0

    async def hire_two(group: Any) -> Any:
        nonlocal hired
        hired += 1
        if hired > 2:
            raise WorkerError("no more processes")
        return await hire(group)

    with pytest.raises(WorkerError, match="no more processes"):
        scene.play(scene.rows(40), conduct=kill_at(scene, 2.5), workers=2, hire=hire_two)
    counts = tally(scene)
    # the healthy one ended what it had begun
    assert counts[ISSUED] >= 5
    assert counts[UNKNOWN] <= 5
    scene.check()


def test_a_stop_is_no_death(scene: "Scene") -> None:
    """Workers that end after a stop, before their last words are committed, did not die."""
    journal = scene.open()
    written = journal.write

    async def conduct(run: Run) -> None:
        await anyio.sleep(2.5)
        run.stop()

    async def slow_thread(function: Any, *arguments: Any, **_: Any) -> Any:
        if function == journal.write:
            await anyio.sleep(0.5)
        await anyio.lowlevel.checkpoint()
        return function(*arguments)

    scene.peer.latency = 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio.to_thread, "run_sync", slow_thread)
        run = scene.play(
            scene.rows(50), conduct=conduct, journal=journal, workers=8, concurrency=16
        )
    assert written == journal.write
    assert run.interrupted
    assert set(scene.outcomes().values()) <= {ISSUED, TO_DO}
    scene.check()


# --- failures of this machine ---------------------------------------------------------------------


def test_a_journal_that_fails_ends_the_run(scene: "Scene") -> None:
    journal = scene.open()
    written = journal.write
    calls = 0

    def write(entries: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise JournalError("the disk is full")
        written(entries)

    journal.write = write  # type: ignore[method-assign]  # a double in its place
    rows = scene.rows(100)
    with pytest.raises(JournalError, match="the disk is full"):
        scene.play(rows, journal=journal, workers=2)
    assert scene.snapshots[-1].finished
    scene.check_sent()

    scene.play(rows, resumed=True)
    counts = tally(scene)
    assert set(counts) <= {ISSUED, UNKNOWN}
    assert counts.total() == 100
    scene.check()


def test_a_full_disk_ends_the_run_and_resume_goes_on(scene: "Scene") -> None:
    journal = scene.open()
    assert isinstance(journal._store, SqliteStore)
    journal._store._connection.execute("PRAGMA max_page_count = 60")
    rows = scene.rows(300)
    with pytest.raises(JournalError, match="the disk is full"):
        scene.play(rows, journal=journal)
    scene.play(rows, resumed=True)
    counts = tally(scene)
    assert set(counts) <= {ISSUED, UNKNOWN}
    assert counts.total() == 300
    scene.check()


class NoMoreKeys:
    starved = 0.0

    def __init__(self, keys: Any, count: int) -> None:
        self._keys = keys
        self._left = count

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        if not self._left:
            raise InputError(f"no {spec} key is left")
        self._left -= 1
        taken: tuple[bytes, int | None] = await self._keys.take(spec)
        return taken


def test_keys_that_run_out_leave_nothing_unknown(scene: "Scene") -> None:
    scene.peer.latency = 1.0
    rows = scene.rows(50)
    with pytest.raises(InputError, match="no ec:P-256 key is left"):
        scene.play(rows, keys=NoMoreKeys(scene.fresh_keys, 25), concurrency=8)
    # every row that got a key got its certificate
    assert tally(scene) == {ISSUED: 25}
    scene.play(rows, resumed=True)
    assert tally(scene) == {ISSUED: 50}
    scene.check()


def test_a_population_that_cannot_be_read_any_more_leaves_nothing_unknown(
    scene: "Scene",
) -> None:
    class Torn(list[Any]):
        def __iter__(self) -> Any:
            yield from scene.rows(70)
            raise InputError("the file is gone")

    scene.peer.latency = 1.0
    with pytest.raises(InputError, match="the file is gone"):
        scene.play(Torn())
    assert set(scene.outcomes().values()) == {ISSUED}
    scene.check()


def test_a_request_is_recorded_before_it_leaves(scene: "Scene") -> None:
    """With its key, its transactionID and its nonce; and a certificate before its certConf."""
    known: list[tuple[Any, ...]] = []

    async def look(seen: "Seen") -> None:
        with sqlite3.connect(scene.folder / FILE_NAME) as connection:
            (found,) = connection.execute(
                "SELECT row.key, phase, certificate, request_nonce FROM tx JOIN part"
                " USING (transaction_id) JOIN row USING (number, transaction_id)"
                " WHERE transaction_id = ?",
                (seen.transaction_id,),
            )
        connection.close()
        known.append((seen.body_type, *found))

    scene.peer.before = look
    scene.play(scene.rows(5))
    assert len(known) == 10
    for body_type, key, phase, certificate, nonce in known:
        assert key is not None
        assert len(nonce) == 16
        if body_type is BodyType.IR:
            assert (phase, certificate) == ("requested", None)
        else:
            assert phase == "granted"
            assert certificate


def test_the_journal_of_a_run_can_be_opened_again_at_once(scene: "Scene") -> None:
    scene.play(scene.rows(2))
    with Journal.open(scene.folder) as journal:
        assert journal.count() == 2
