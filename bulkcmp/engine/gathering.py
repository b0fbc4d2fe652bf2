"""Which rows go in one message, and which of an earlier session's go on together."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from bulkcmp.cmp.events import Checkpoint
from bulkcmp.engine.frame import Member, Task
from bulkcmp.journal.entry import RowState
from bulkcmp.model import Operation

_ALONE: Final = (Operation.P10CR, Operation.GENM)


class Gathering:
    """Gathers rows that follow each other and can go in one message.

    These have the same operation and credential; a p10cr goes alone, since its body is one PKCS#10
    request, and a genm, whose answer is one for the whole message.

    Args:
        size: requests in a message, at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._members: list[Member] = []

    def add(self, member: Member) -> Iterator[tuple[Member, ...]]:
        """Take one more row; gives the messages' rows that are complete by that."""
        if self._members and _message_key(member) != _message_key(self._members[0]):
            yield from self.rest()
        self._members.append(member)
        if len(self._members) >= self._size or member.entity.cmd in _ALONE:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[Member, ...]]:
        """The rows that wait for others, if there are any."""
        members, self._members = tuple(self._members), []
        if members:
            yield members


def _message_key(member: Member) -> tuple[object, ...]:
    """What the requests of one message have in common.

    Header and protection are one for all of them; a certProfile is there for each or for none (RFC
    9810, 5.1.1.4).
    """
    entity = member.entity
    return (
        entity.cmd,
        entity.ref,
        entity.secret,
        entity.cert,
        entity.key,
        entity.profile is None,
    )


@dataclass(slots=True)
class Reunion:
    """The rows of one transaction that go on with it.

    A certConf that leaves out a certificate rejects it (RFC 9810, 5.3.18), so that they go on
    together.

    Attributes:
        expected: their numbers; empty where nobody waits for them to be complete.
    """

    checkpoint: Checkpoint
    expected: frozenset[int] = frozenset()
    members: dict[int, Member] = field(default_factory=dict)
    states: list[RowState] = field(default_factory=list)

    def add(self, member: Member, state: RowState) -> None:
        self.members[member.entity.number] = member
        self.states.append(state)

    @property
    def is_complete(self) -> bool:
        return self.expected <= self.members.keys()

    def task(self) -> Task:
        parts = tuple(part for part in self.checkpoint.parts if part.number in self.members)
        return Task(
            tuple(self.members[part.number] for part in parts),
            checkpoint=replace(self.checkpoint, parts=parts),
            interrupted=any(state.is_uncertain for state in self.states),
        )
