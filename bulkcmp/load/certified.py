"""The certificates of a load test: what the CA issued, and what of it was revoked."""

from collections.abc import Iterable
from dataclasses import dataclass

from bulkcmp.model import Operation, OutcomeClass


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate that the CA issued, or was asked to revoke.

    Attributes:
        arrival: number of its lifecycle.
        id: of the end entity.
        outcome: of the transaction.
        issuer: DER of its issuer's Name, of which OCSP takes the hash (RFC 6960, 4.1.1).
        subject: DER of its own Name; empty where only its number is known.
        server: that was asked, by its name; empty where there is one.
    """

    arrival: int
    id: str
    cmd: Operation
    serial: int
    outcome: OutcomeClass
    issuer: bytes
    subject: bytes = b""
    server: str = ""


def left_over(lines: Iterable[Certified]) -> list[Certified]:
    """The certificates that were issued and not revoked, confirmed or not, in their order.

    Args:
        lines: all that became of the certificates of a run, in the order in which it happened.
    """
    left: dict[tuple[bytes, int], Certified] = {}
    for one in lines:
        if one.cmd is not Operation.RR:
            left.setdefault((one.issuer, one.serial), one)
        elif one.outcome is OutcomeClass.REVOKED:
            left.pop((one.issuer, one.serial), None)
    return list(left.values())
