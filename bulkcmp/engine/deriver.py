"""MAC keys: derived once where they repeat, off the event loop where they are dear."""

import os
from collections import OrderedDict
from typing import Final

import anyio
import anyio.to_thread

from bulkcmp.cmp import protection
from bulkcmp.cmp.protection import Derivation

_KEPT: Final = 4096

_DEAR: Final = 20_000
"""Hashes or HMACs above which a derivation would hold the event loop for some 2 to 6 ms."""


class Deriver:
    """Derives MAC keys, and remembers the latest."""

    def __init__(self) -> None:
        self._keys: OrderedDict[Derivation, bytes] = OrderedDict()
        self._under_way: dict[Derivation, anyio.Event] = {}
        # not among the threads that write files, which a server's dear parameters must not hold up
        self._threads = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def __call__(self, derivation: Derivation) -> bytes:
        # all transactions of a run that share a secret begin with the same one
        while derivation in self._under_way:
            await self._under_way[derivation].wait()
        key = self._keys.get(derivation)
        if key is not None:
            self._keys.move_to_end(derivation)
            return key
        if derivation.cost > _DEAR:
            key = await self._derive_aside(derivation)
        else:
            key = protection.derive(derivation)
        self._keys[derivation] = key
        if len(self._keys) > _KEPT:
            self._keys.popitem(last=False)
        return key

    async def _derive_aside(self, derivation: Derivation) -> bytes:
        done = self._under_way[derivation] = anyio.Event()
        try:
            # OpenSSL does both kinds, and leaves the interpreter to the others meanwhile; where
            # PBM's is a loop in Python, it takes turns with them
            return await anyio.to_thread.run_sync(
                protection.derive, derivation, abandon_on_cancel=True, limiter=self._threads
            )
        finally:
            del self._under_way[derivation]
            done.set()
