"""Losses in words that can be counted."""

import pytest

from bulkcmp.cmp.events import Lost
from bulkcmp.errors import Loss


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
