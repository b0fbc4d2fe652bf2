from typing import Any

import pytest

from bulkcmp.cmp.events import Checkpoint, Part, Phase
from bulkcmp.engine.frame import Member, Task
from bulkcmp.engine.gathering import Gathering, Reunion
from bulkcmp.journal.entry import RowState
from bulkcmp.model import EndEntity, Operation, OutcomeClass, Secret


def member(number: int, cmd: Operation = Operation.IR, **fields: Any) -> Member:
    return Member(EndEntity(number, number + 1, f"dev{number}", cmd, **fields), b"key")


def gathered(size: int, *members: Member) -> list[list[int]]:
    """The numbers of the rows of each message."""
    gathering = Gathering(size)
    groups = [group for one in members for group in gathering.add(one)]
    groups += gathering.rest()
    assert list(gathering.rest()) == []
    return [[one.entity.number for one in group] for group in groups]


def test_rows_are_gathered_up_to_the_size() -> None:
    rows = [member(number) for number in range(1, 8)]
    assert gathered(1, *rows) == [[1], [2], [3], [4], [5], [6], [7]]
    assert gathered(3, *rows) == [[1, 2, 3], [4, 5, 6], [7]]
    assert gathered(3) == []


def test_rows_that_can_not_share_a_message_are_kept_apart() -> None:
    ra: dict[str, Any] = {"secret": Secret(b"one"), "ref": "ra"}
    rows = [
        member(1, **ra),
        member(2, **ra),
        member(3, secret=Secret(b"another"), ref="ra"),
        member(4, **(ra | {"ref": "else"})),
        member(5, Operation.CR, **ra),
        member(6, Operation.CR, **ra, profile="tls"),
        member(7, Operation.CR, **ra, profile="vpn"),
        member(8, Operation.KUR, cert=(b"8",), key=b"8"),
        member(9, Operation.KUR, cert=(b"9",), key=b"9"),
    ]
    assert gathered(9, *rows) == [[1, 2], [3], [4], [5], [6, 7], [8], [9]]


@pytest.mark.parametrize("operation", [Operation.P10CR, Operation.GENM])
def test_a_csr_and_a_question_go_alone(operation: Operation) -> None:
    rows = [member(number, operation) for number in (1, 2)]
    assert gathered(9, *rows) == [[1], [2]]


def test_rows_go_on_in_the_order_of_their_requests() -> None:
    parts = tuple(Part(number, Phase.WAITING, place) for place, number in enumerate((7, 5, 6)))
    checkpoint = Checkpoint(b"id", b"nonce", b"nonce", b"theirs", b"", 0.0, parts)
    reunion = Reunion(checkpoint, frozenset((6, 7)))
    states = {
        number: RowState(number, OutcomeClass.STILL_WAITING, checkpoint, interrupted=number == 6)
        for number in (6, 7)
    }
    reunion.add(member(6), states[6])
    assert not reunion.is_complete
    reunion.add(member(7), states[7])
    assert reunion.is_complete
    assert reunion.task() == Task(
        (member(7), member(6)),
        Checkpoint(b"id", b"nonce", b"nonce", b"theirs", b"", 0.0, (parts[0], parts[2])),
        interrupted=True,
    )
