"""The instants of one HTTP exchange."""

from typing import Final, NamedTuple

TIMES_EXTENSION: Final = "bulkcmp.times"
"""Key of the `ExchangeTimes` in `httpx.Response.extensions`."""

REPEATED_EXTENSION: Final = "bulkcmp.repeated"
"""Key of the flag in `httpx.Response.extensions` that the request was sent twice."""


class ExchangeTimes(NamedTuple):
    """When what happened, in seconds of one monotonic clock.

    Attributes:
        started: the request was handed to the transport.
        reached: the connection made for it had come to the server, through a proxy's tunnel if
            need be, and TLS was to begin; None without TLS, and on a reused one.
        connected: the connection made for it was ready, TLS included; None on a reused one.
        sent: the last request byte was handed to the kernel.
        first_byte: the first byte of the answer was read.
        finished: the last byte of the answer was read, before anything was decoded.
        reused: the connection had carried an exchange before.
    """

    started: float
    connected: float | None
    sent: float
    first_byte: float
    finished: float
    reused: bool
    reached: float | None = None
