"""Records for tests."""

import datetime as dt
import random

from bulkcmp.errors import Loss
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import (
    Drop,
    End,
    Ending,
    Exchange,
    Level,
    Record,
    Run,
    TransactionRecord,
)

OK = Ending(OutcomeClass.ISSUED)
REJECTED = Ending(OutcomeClass.REJECTED, "badPOP", ("badPOP",), "no (badPOP)")


def exchange(request: str, answer: str, started: float, finished: float) -> Exchange:
    return Exchange(
        request,
        answer,
        started,
        finished,
        reached=started + 0.001,
        connected=started + 0.003,
        sent=started + 0.004,
        first_byte=finished - 0.001,
        octets_sent=700,
        octets_received=1200,
    )


def lost(request: str, started: float, finished: float) -> Exchange:
    return Exchange(request, "", started, finished, Loss.TIMEOUT, octets_sent=700)


def transaction(
    planned: float,
    started: float,
    finished: float,
    *endings: Ending,
    operation: Operation = Operation.IR,
    arrival: int = 0,
    step: int = 0,
    warm_up: bool = False,
    exchanges: tuple[Exchange, ...] = (),
    certificates: int = 1,
    server: str = "",
) -> TransactionRecord:
    return TransactionRecord(
        arrival,
        "life",
        step,
        operation,
        planned,
        started,
        finished,
        warm_up,
        endings or (OK,),
        certificates,
        exchanges,
        0.002,
        server=server,
    )


RUN = Run(
    "0.1.0",
    dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC),
    "mixed|day",
    "http://127.0.0.1:8829/cmp/ra",
    "10/s for 60 s",
    "a new ec:P-256 key each",
    warm_up=5.0,
    thresholds=("p95(ir.response) < 5s", "rate(ok) > 1000", "share(failed) < 50%"),
    settings=(("digest", "sha256"),),
    notes=("a check is off",),
    workers=2,
)


def trouble() -> list[Record]:
    """A run of a minute with two operations, polling, retries, losses, failures and drops."""
    chance = random.Random(5)
    records: list[Record] = []
    for number in range(600):
        planned = number / 10
        started = planned + chance.random() * 0.01
        took = chance.lognormvariate(-2, 0.5)
        enrolls = number % 3 < 2
        answers = ("ir", "ip") if enrolls else ("kur", "kup")
        exchanges = [exchange(*answers, started, started + took / 2)]
        ending, attempts = OK, 1
        if number % 20 == 1:
            took += 3
            exchanges.append(exchange("pollReq", "pollRep", started + 1, started + 1.1))
            exchanges.append(exchange("pollReq", answers[1], started + 3, started + 3.1))
        if number % 31 == 2:
            ending = REJECTED
            exchanges = [exchange(answers[0], "error", started, started + took)]
        elif number % 37 == 3:
            took = 20.0
            ending = Ending(OutcomeClass.UNKNOWN, "no answer in time", (), "20 s were over")
            exchanges = [lost(answers[0], started, started + took)]
        else:
            if number % 41 == 4:
                attempts = 2
                exchanges.insert(0, lost(answers[0], started, started + 0.001))
            exchanges.append(exchange("certConf", "pkiconf", started + took / 2, started + took))
        if number % 97 == 5:
            records.append(Drop(number, "enroll", planned, planned, planned < RUN.warm_up))
            continue
        records.append(
            TransactionRecord(
                number,
                "enroll" if enrolls else "renew",
                0,
                Operation.IR if enrolls else Operation.KUR,
                planned,
                started,
                started + took,
                planned < RUN.warm_up,
                (ending,),
                int(ending is OK),
                tuple(exchanges),
                0.002,
                attempts,
            )
        )
    records.sort(key=lambda one: one.finished if isinstance(one, TransactionRecord) else 0.0)
    records += [Pulse("worker 1", 10.0, 10.0, 4.0, 0.002, 0.0, 40, 1024)]
    return [*records, End(80.5, abandoned=1)]


RECORDED_RUN = Run(
    "1.2",
    dt.datetime(2026, 11, 27, 12, 0, tzinfo=dt.UTC),
    "smoke",
    "http://127.0.0.1:8829/cmp",
    "10/s for 60 s",
    "a new key each",
    warm_up=5.0,
    thresholds=("rate(ok) > 5",),
    settings=(("digest", "sha256"),),
)
RECORDED: list[Record] = [
    transaction(0, 0.25, 1.1, exchanges=(exchange("ir", "ip", 0.3, 0.7), lost("certConf", 0.8, 1))),
    transaction(1, 1, 1.0000000001, REJECTED, operation=Operation.RR, warm_up=True),
    Drop(3, "life", 2.0, 2.0, False),
    Pulse("worker 1", 1.0, 1.0, 0.5, 0.001, open_files=7, most_files=1024),
    Level("worker 1", 1.0, 12, 3),
    End(9.5, abandoned=1, aborted=True),
]
