"""Records for tests."""

from bulkcmp.errors import Loss
from bulkcmp.model import Operation, OutcomeClass
from bulkcmp.stats.record import Ending, Exchange, TransactionRecord

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
    )
