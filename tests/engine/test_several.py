"""Several rows in one message: each has its own outcome, whatever happens to the message."""

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest

from bulkcmp.cmp.messages import (
    BodyType,
    decode_cert_confirm_content,
    decode_cert_req_messages,
    decode_message,
    decode_rev_req_content,
)
from bulkcmp.errors import Loss
from bulkcmp.model import EndEntity, Operation, OutcomeClass, Secret

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Scene, Seen

ISSUED = OutcomeClass.ISSUED
UNKNOWN = OutcomeClass.UNKNOWN
UNCONFIRMED = OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN
WAITING = OutcomeClass.STILL_WAITING


def sizes(scene: "Scene") -> list[int]:
    """How many requests each ir had."""
    return [
        len(decode_cert_req_messages(decode_message(seen.message).body))
        for seen in scene.peer.sent(BodyType.IR)
    ]


def tally(scene: "Scene") -> Counter[OutcomeClass]:
    return Counter(scene.outcomes().values())


def test_rows_share_messages_and_their_certconf(scene: "Scene") -> None:
    scene.play(scene.rows(20), certs_per_message=8, workers=2)
    assert sorted(sizes(scene)) == [4, 8, 8]
    confirmed = [
        len(decode_cert_confirm_content(decode_message(seen.message).body))
        for seen in scene.peer.sent(BodyType.CERT_CONF)
    ]
    assert sorted(confirmed) == [4, 8, 8]
    assert tally(scene) == {ISSUED: 20}
    scene.check()
    results = scene.results()
    assert len({result.serial for result in results.values()}) == 20
    assert all(result.has_key for result in results.values())
    # latencies are those of transactions, progress is that of rows
    last = scene.snapshots[-1]
    assert (last.done, last.transactions, last.in_flight) == (20, 3, 0)
    assert last.success.service.count == 3


def test_rows_of_other_credentials_go_apart(scene: "Scene") -> None:
    rows = [*scene.rows(3), scene.row(4, secret=Secret(b"wrong")), scene.row(5), scene.row(6)]
    scene.play(rows, certs_per_message=10)
    assert sorted(sizes(scene)) == [1, 2, 3]
    assert tally(scene) == {ISSUED: 5, OutcomeClass.CREDENTIALS_REFUSED: 1}
    scene.check()


def test_what_waits_keeps_nobody_from_being_confirmed(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, poll_every=3, check_after=50)
    scene.play(scene.rows(9), certs_per_message=9)
    assert tally(scene) == {ISSUED: 9}
    scene.check()
    first, *_ = scene.peer.sent(BodyType.CERT_CONF)
    assert first.at < 1.0
    assert len(decode_cert_confirm_content(decode_message(first.message).body)) == 6


def test_rows_that_waited_go_on_together(scene: "Scene") -> None:
    scene.peer.behave(poll_count=2, poll_every=2, check_after=900)
    rows = scene.rows(6)
    scene.play(rows, certs_per_message=6)
    assert tally(scene) == {ISSUED: 3, WAITING: 3}
    scene.play(rows, certs_per_message=6, resumed=True)
    assert tally(scene) == {ISSUED: 6}
    assert sizes(scene) == [6]
    scene.check()


def test_a_lost_answer_is_unknown_for_all_of_them(scene: "Scene", lose: "Lose") -> None:
    rows = scene.rows(4)
    scene.peer.after = lose(Loss.CUT, BodyType.IR)
    scene.play(rows, certs_per_message=4)
    assert tally(scene) == {UNKNOWN: 4}
    scene.check()
    scene.peer.after = lose(Loss.CUT, times=0)
    scene.play(rows, certs_per_message=3, resumed=True, retry_unknown=True)
    assert tally(scene) == {ISSUED: 4}
    # four of them are surplus, and the journal knows of which transaction
    assert len(scene.peer.certificates()) == 8
    scene.check()


def test_a_lost_certconf_is_sent_again_for_all_of_them(scene: "Scene", lose: "Lose") -> None:
    rows = scene.rows(4)
    scene.tune(retries=0)
    scene.peer.before = lose(Loss.CUT, BodyType.CERT_CONF)
    scene.play(rows, certs_per_message=4)
    assert tally(scene) == {UNCONFIRMED: 4}
    scene.peer.before = lose(Loss.CUT, times=0)
    # a certConf that leaves one out would reject it
    scene.play(rows, certs_per_message=1, resumed=True)
    assert tally(scene) == {ISSUED: 4}
    assert sizes(scene) == [4]
    scene.check()


def test_without_one_of_its_rows_a_transaction_does_not_go_on(scene: "Scene", lose: "Lose") -> None:
    rows = scene.rows(3)
    scene.tune(retries=0)
    scene.peer.before = lose(Loss.CUT, BodyType.CERT_CONF)
    scene.play(rows, certs_per_message=3)
    scene.peer.before = lose(Loss.CUT, times=0)
    scene.play(rows[:2], resumed=True)
    assert tally(scene) == {UNCONFIRMED: 3}
    assert len(scene.peer.sent(BodyType.CERT_CONF)) == 1
    assert scene.snapshots[-1].done == 2


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (BodyType.IR, {UNKNOWN: 4}),
        # its certConf is sent again, what waited is polled for
        (BodyType.CERT_CONF, {ISSUED: 4}),
        (BodyType.POLL_REQ, {ISSUED: 4}),
    ],
)
def test_a_worker_that_dies_with_several_rows(
    scene: "Scene", step: BodyType, expected: dict[OutcomeClass, int]
) -> None:
    scene.peer.behave(poll_count=1, poll_every=2, check_after=1)

    async def kill(seen: "Seen") -> None:
        if seen.body_type is step and len(scene.workers_alive) == 1:
            scene.workers_alive[0].cancel()
            await anyio.sleep(1)

    scene.peer.before = kill
    scene.play(scene.rows(4), certs_per_message=4)
    assert len(scene.workers_alive) == 2
    assert tally(scene) == expected
    assert scene.snapshots[-1].in_flight == 0
    scene.check()


def test_some_are_tried_again(scene: "Scene") -> None:
    scene.peer.behave(reject="systemUnavail", reject_every=2)
    scene.tune(retry_fail_info=frozenset({"systemUnavail"}), retries=20)
    scene.play(scene.rows(8), certs_per_message=8)
    assert tally(scene) == {ISSUED: 8}
    assert sizes(scene)[0] == 8
    assert sizes(scene)[1] == 4
    attempts = Counter(result.attempts for result in scene.results().values())
    assert attempts[1] == 4
    scene.check()


def test_certificates_are_revoked_in_one_message(scene: "Scene") -> None:
    scene.play(scene.rows(5))
    asked = {"cmd": Operation.RR, "subject": None, "new_key_spec": None}
    rows: list[EndEntity] = []
    for number, one in scene.results().items():
        # by the certificate, or by issuer and serial number
        named = (
            {"old_cert": one.certificate}
            if number % 2
            else {"serial": one.serial, "issuer": scene.peer.root.name}
        )
        rows.append(scene.row(number + 10, **asked, **named))
    scene.play(rows, certs_per_message=5)
    (seen,) = scene.peer.sent(BodyType.RR)
    assert len(decode_rev_req_content(decode_message(seen.message).body)) == 5
    assert {scene.outcomes()[row.number] for row in rows} == {OutcomeClass.REVOKED}
    assert set(scene.peer.certificates().values()) == {"revoked"}
