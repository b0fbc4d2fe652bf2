"""Makes keys long before they are needed: from the key pool into a key file, batch by batch."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from bulkcmp.io.keypool import KeyPool, chunk_size
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.model import KeySpec

_BATCH_SECONDS: Final = 0.5
"""What a crash may cost: keys are committed at least that often."""
_BATCH_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Generated:
    """What came of it: keys made by this call, keys of that type in the file, ended by a signal."""

    made: int
    total: int
    interrupted: bool


async def generate_keys(
    key_file: KeyFile,
    spec: KeySpec,
    count: int,
    *,
    processes: int | None = None,
    on_stored: Callable[[int], None],
) -> Generated:
    """Fill `key_file` up to `count` keys of `spec`, taken ones included.

    SIGINT and SIGTERM end it in good order: what is in the file stays. Runs in the main thread.

    Args:
        processes: how many make keys; one for each core by default.
        on_stored: called after each commit with how many keys of `spec` the file now holds.

    Raises:
        KeyPoolError: such keys can't be made.
        KeyFileError: the file can't be written; what was committed before stays.
        InputError: the file is damaged.
    """
    makers = processes or os.cpu_count() or 1
    found = (await anyio.to_thread.run_sync(key_file.count, spec)).total
    total = found
    # a commit takes its time: each maker may go on with a few chunks meanwhile
    pool = KeyPool(ahead=4 * chunk_size(spec) * makers, processes=makers)
    async with _until_signal() as making, pool:
        pool.expect(spec, max(0, count - total))
        while total < count:
            keys = await _batch(pool, spec, min(_BATCH_KEYS, count - total))
            await anyio.to_thread.run_sync(key_file.append, spec, keys)
            total += len(keys)
            on_stored(total)
    return Generated(total - found, total, interrupted=making.cancelled_caught)


async def _batch(pool: KeyPool, spec: KeySpec, most: int) -> list[bytes]:
    keys = await pool.take_many(spec, most)
    with anyio.move_on_after(_BATCH_SECONDS):
        while len(keys) < most:
            keys += await pool.take_many(spec, most - len(keys))
    return keys


@asynccontextmanager
async def _until_signal() -> AsyncIterator[anyio.CancelScope]:
    """Cancel the body on SIGINT or SIGTERM; the scope tells whether that happened."""
    try:
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                await group.start(_cancel_on_signal, scope)
                yield scope
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        # the body's error, for callers to catch by its type
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


async def _cancel_on_signal(scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
