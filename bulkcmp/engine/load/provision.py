"""End entities and keys for the lifecycles of a load test."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, TypeAlias

import anyio
import anyio.to_thread

from bulkcmp.engine.frame import Member, Supply
from bulkcmp.engine.keys import KeySource, with_key
from bulkcmp.errors import InputErrors
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import Lifecycle, Step
from bulkcmp.load.schedule import Numbers, choose
from bulkcmp.model import BadRow, EndEntity, KeySpec, Operation, TokenKey

_CHUNK: Final = 64
"""Rows read by one visit to the reading thread."""

_Row: TypeAlias = Mapping[str, EndEntity | BadRow]
"""A row of the population, as each server wants it."""

MAKES_NO_KEY: Final = frozenset({Operation.P10CR, Operation.RR, Operation.GENM})
"""Operations that certify no key of ours."""


class Provision:
    """Takes rows in their order, and gives them keys for each step that certifies one.

    Args:
        rows: of the population, as the first step of their lifecycle asks for them: as each server
            wants them, by its name.
        keys: gives each request its key.
        count: lifecycles at most; None for as many as there are rows for.
        certs_per_message: rows of one lifecycle.
    """

    def __init__(
        self,
        rows: Mapping[str, Iterable[EndEntity | BadRow]],
        lifecycles: tuple[Lifecycle, ...],
        chance: Chance,
        keys: KeySource,
        *,
        count: int | None = None,
        certs_per_message: int = 1,
    ) -> None:
        self._rows = {server: iter(those) for server, those in rows.items()}
        self._lifecycles = lifecycles
        self._chance = chance
        self._keys = keys
        self._count = count
        self._together = certs_per_message
        self._read: deque[_Row] = deque()
        self._unused: deque[Supply] = deque()
        self._number = 0

    @property
    def numbers(self) -> Numbers:
        """Of the lifecycles that are still to be given."""
        return Numbers(tuple(one.number for one in self._unused), self._number)

    def take_back(self, unused: Sequence[Supply]) -> None:
        """Give these again before all others.

        Args:
            unused: what nobody used of what was given, by their numbers.
        """
        self._unused.extendleft(reversed(unused))

    async def next(self) -> Supply | None:
        """Those of the next lifecycle; None where there are no more.

        Raises:
            InputErrors: a row can't be used.
            BulkcmpError: a key can't be had.
        """
        if self._unused:
            return self._unused.popleft()
        number = self._number
        if number == self._count:
            return None
        while len(self._read) < self._together:
            with anyio.CancelScope(shield=True):
                chunk = await anyio.to_thread.run_sync(_take, self._rows)
            if not chunk:
                break
            self._read.extend(chunk)
        taken = list(islice(self._read, self._together))
        if not taken:
            return None
        first, *further = self._lifecycles[choose(self._lifecycles, self._chance, number)].steps
        elsewhere = {
            server: tuple(_good(row[server]) for row in taken)
            for server in dict.fromkeys(step.server for step in further)
            if server != first.server
        }
        rows = [_good(row[first.server]) for row in taken]
        assert all(row.cmd is first.cmd for row in rows), "rows are read for their lifecycle"
        if first.cmd is Operation.RR:
            rows = [_with_reason(row, first) for row in rows]
        members = [await with_key(row, None, self._keys) for row in rows]
        keys = []
        for step in further:
            entities = elsewhere.get(step.server, rows)
            asked = zip(entities, members, strict=True)
            keys.append(tuple([await self._further(step.cmd, *one) for one in asked]))
        # who was cancelled before this has taken nothing
        for _ in rows:
            self._read.popleft()
        self._number += 1
        return Supply(number, tuple(members), tuple(keys), elsewhere)

    async def _further(
        self, cmd: Operation, entity: EndEntity, member: Member
    ) -> bytes | TokenKey | None:
        """The key to certify in a further step.

        Args:
            entity: as the server of that step wants it; member: as the first step has it.
        """
        if cmd in MAKES_NO_KEY or entity.central_keygen:
            return None
        if entity.new_key_spec is None:
            # the row brings its key
            return member.key
        key, _ = await self._keys.take(entity.new_key_spec)
        return key


class OneKey:
    """The same key for all who ask for one of a type.

    Args:
        keys: where the first comes from.
    """

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys
        self._made: dict[KeySpec, bytes] = {}

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        if spec not in self._made:
            self._made[spec], _ = await self._keys.take(spec)
        return self._made[spec], None

    @property
    def starved(self) -> float:
        return self._keys.starved


def _with_reason(row: EndEntity, step: Step) -> EndEntity:
    """A row whose certificate is to be revoked; the reason that it gives itself goes first."""
    given = row.revocation_reason
    return replace(row, revocation_reason=step.reason if given is None else given)


def _take(rows: Mapping[str, Iterator[EndEntity | BadRow]]) -> list[_Row]:
    chunks = zip(*(islice(those, _CHUNK) for those in rows.values()), strict=True)
    return [dict(zip(rows, row, strict=True)) for row in chunks]


def _good(row: EndEntity | BadRow) -> EndEntity:
    if isinstance(row, BadRow):
        raise InputErrors(f"row {row.number} can't be used", row.problems)
    return row
