"""Leases of shards: who may write rows of a run that several machines share.

A shard is a range of rows. Who works on it holds a lease, which ends by the database's clock
unless it is renewed; every write renews it. Each lease of a run has a fencing number of its own,
higher than those before. Leases that overlap exclude each other: another one is given out only
when the former has run out, and takes its place in the table.

Every write of a journal goes with its lease, in one transaction: it finds the lease in the table
and locks it, or it changes nothing and raises `LeaseLost`. So whoever was stopped past its lease
and goes on can neither write nor, as a request is recorded before it leaves, send anything more,
once another took the shard over. A lease that ran out and that nobody wanted goes on to hold.

How a worker of a cluster uses it:

    with Journal.join(url, run_id) as journal:
        # waits for an earlier holder that is gone, raises LeaseHeld for one that is alive
        journal.hold(Shard(first, beyond), term=30.0)
        journal.unlock(passphrase)
        journal.settle()  # rows of the shard that its former holder left under way
        ...  # a Run with resumed=True over these rows, which obeys the rules of `resume`

Closing the journal gives the lease back. `Run` ends with `LeaseLost` when a write did.
"""

import os
import socket
from dataclasses import dataclass
from typing import Final

TERM: Final = 30.0
"""Seconds for which a lease holds after the last sign of life, by default."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows with numbers from `first` on, and below `beyond`."""

    first: int
    beyond: int


WHOLE: Final = Shard(0, (1 << 31) - 1)
"""All rows of a run."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard that is ours until another took it over.

    Attributes:
        fence: the lease's number; higher than that of every earlier lease of the run.
        term: seconds from each sign of life.
    """

    shard: Shard
    fence: int
    term: float


def holder_name() -> str:
    """This process, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"
