"""Where a run's keys come from: made when they are asked for, made on the way, or taken from
a key file."""

from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import anyio.to_thread

from bulkcmp.engine.frame import Member
from bulkcmp.errors import InputError, Where
from bulkcmp.io.keypool import KeyPool
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.model import EndEntity, KeySpec, Operation, TokenKey

_BATCH: Final = 256
"""Keys taken from a key file by one commit."""


class KeySource(Protocol):
    """Gives each row a key of its own."""

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        """A key (PKCS#8 DER), and its number in the key file where it has one."""
        ...

    @property
    def starved(self) -> float:
        """Seconds that takers have waited, summed."""
        ...


async def with_key(row: EndEntity, stored: bytes | None, keys: KeySource | None) -> Member:
    """A row with the key to certify for it.

    Args:
        stored: the key that an earlier session made for it, if one did.
        keys: gives it a key of its own; None where no row needs one.
    """
    if row.cmd is Operation.P10CR or not row.cmd.certifies or row.central_keygen:
        return Member(row)
    if row.new_key is not None:
        return Member(row, row.new_key)
    if stored is not None:
        return Member(row, stored)
    if row.new_key_spec is None:
        # kur with the key that the certificate has; one on a token certifies another
        return Member(row, None if isinstance(row.key, TokenKey) else row.key)
    assert keys is not None
    key, key_id = await keys.take(row.new_key_spec)
    return Member(row, key, key_id, key_is_new=True)


class FreshKeys:
    """A key is made when it is asked for."""

    starved = 0.0

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        (key,) = await anyio.to_thread.run_sync(make_keys, spec, 1)
        return key, None


class PooledKeys:
    """Keys made while the run goes on."""

    def __init__(self, pool: KeyPool) -> None:
        self._pool = pool
        self._stock: dict[KeySpec, deque[bytes]] = {}

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        stock = self._stock.setdefault(spec, deque())
        if not stock:
            stock.extend(await self._pool.take_many(spec, 64))
        return stock.popleft(), None

    @property
    def starved(self) -> float:
        return self._pool.starved_seconds


class FiledKeys:
    """Keys made earlier; each is marked as taken, durably, before it is handed out.

    Args:
        path: of the file, for messages.
        used: numbers of the keys that rows of this run have already; what the run had taken
            besides, before it was cut off, is used first.
        wanted: how many keys of each type the rows want, where that is known: no more are taken.
    """

    starved = 0.0

    def __init__(
        self,
        path: Path,
        file: KeyFile,
        run_id: str,
        used: frozenset[int],
        wanted: Mapping[KeySpec, int] | None = None,
    ) -> None:
        self._wanted = dict(wanted or {})
        self._path = path
        self._file = file
        self._run_id = run_id
        self._stock: dict[KeySpec, deque[tuple[int, bytes]]] = {}
        for key_id, spec in file.taken_by(run_id):
            if key_id not in used:
                key = file.get(key_id, run_id)
                self._stock.setdefault(spec, deque()).append((key_id, key))
            elif spec in self._wanted:
                self._wanted[spec] -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
        stock = self._stock.setdefault(spec, deque())
        if not stock:
            # a row that wants one more than was counted still gets it
            batch = max(1, min(_BATCH, self._wanted.get(spec, _BATCH)))
            take = partial(self._file.take, spec, batch, self._run_id)
            stock.extend(await anyio.to_thread.run_sync(take))
        if not stock:
            raise InputError(
                f"no {spec} key is left",
                where=Where(str(self._path)),
                hint="make more with bulkcmp keys generate, then bulkcmp resume",
            )
        key_id, key = stock.popleft()
        if spec in self._wanted:
            self._wanted[spec] -= 1
        return key, key_id
