"""Losses in words that can be counted; where the rows of a transaction stand."""

from dataclasses import replace

import pytest

from bulkcmp.cmp.events import Checkpoint, Lost, Part, Phase
from bulkcmp.errors import Loss
from bulkcmp.model import Outcome, OutcomeClass


@pytest.mark.parametrize(
    ("loss", "status", "reason"),
    [
        (Loss.HTTP_STATUS, 404, "HTTP 404"),
        (Loss.HTTP_STATUS, None, "HTTP error"),
        (Loss.BUSY, 503, "server busy"),
        (Loss.CUT, None, "connection lost"),
    ],
)
def test_an_http_error_is_told_by_its_status(loss: Loss, status: int | None, reason: str) -> None:
    assert Lost(0.0, loss, "why", status=status).reason == reason


def test_the_parts_of_a_checkpoint() -> None:
    asked = Part(7, Phase.REQUESTED, 0)
    waits = Part(5, Phase.WAITING, 1)
    issued = Part(6, Phase.GRANTED, 2, certificate=b"der", confirm=True)
    checkpoint = Checkpoint(b"id", b"nonce", b"nonce", None, b"", 0.0, (asked, waits, issued))
    assert checkpoint.part(5) is waits
    assert checkpoint.is_answered
    assert not replace(checkpoint, parts=(asked, asked)).is_answered
    assert [part.waits for part in checkpoint.parts] == [False, True, False]
    assert [part.is_unconfirmed for part in checkpoint.parts] == [False, False, True]
    over = Outcome(OutcomeClass.REJECTED)
    assert not replace(waits, outcome=over).waits
    assert not replace(issued, outcome=over).is_unconfirmed
