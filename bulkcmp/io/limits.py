"""The limits of an HTTP exchange: seconds, bytes, connections."""

import math
from dataclasses import dataclass

from bulkcmp.errors import InputError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may take and how many may run; every value is finite and above zero.

    Attributes:
        connect: seconds for DNS, TCP, the proxy's CONNECT and the TLS handshake together.
        read: seconds from the last request byte to the complete answer; an answer that trickles
            in does not extend it.
        total: seconds for the whole exchange, waiting for a free connection included.
        idle: seconds after which an unused connection is not used again. Common servers close
            theirs after five (Apache httpd, uvicorn); a request that crosses such a close is lost
            with its outcome unknown.
        response: bytes of one answer on the wire, head and framing included.
        headers: bytes of an answer's header fields.
        connections: connections open at the same time, idle ones included.

    Raises:
        InputError: a value is not a finite number above zero.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 120.0
    idle: float = 4.0
    response: int = 1 << 20
    headers: int = 1 << 16
    connections: int = 100

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"the {name} limit is {value}; it must be a number above zero")
