"""The pause of a run: a mark in its folder, which the run heeds as long as it is there.

Any process that may write to the folder may set it. It outlives the run: one that is resumed stays
paused.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskStatus

from bulkcmp.engine.interruption import hears_signals
from bulkcmp.errors import InputError, Where
from bulkcmp.journal.folder import holds_run, no_run, sync

MARK: Final = "paused"
"""The file's name."""


class Pause:
    """The pause of the run in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = folder / MARK

    @property
    def is_on(self) -> bool:
        return self._mark.exists()

    def begin(self) -> None:
        """Have the run begin nothing more; durable when this returns.

        Raises:
            InputError: there is no run in the folder, or it can't be written to.
        """
        self._check()
        try:
            self._mark.touch(0o600)
            sync(self.folder)
        except OSError as error:
            raise self._refused(error) from None

    def end(self) -> None:
        """Have the run go on.

        Raises:
            InputError: as above.
        """
        self._check()
        try:
            self._mark.unlink(missing_ok=True)
            sync(self.folder)
        except OSError as error:
            raise self._refused(error) from None

    def _check(self) -> None:
        if not holds_run(self.folder):
            raise no_run(Where(str(self.folder)))

    def _refused(self, error: OSError) -> InputError:
        return InputError(f"can't be written: {error.strerror}", where=Where(str(self._mark)))


async def heed_signals(
    pause: Pause, on_notice: Callable[[str], None], *, task_status: TaskStatus[None]
) -> None:
    """Pause at SIGUSR1, and go on at SIGUSR2.

    Args:
        on_notice: told, in plain English, what a signal led to.
    """
    if not hears_signals():
        task_status.started()
        return
    with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
        task_status.started()
        async for number in signals:
            begins = number == signal.SIGUSR1
            try:
                (pause.begin if begins else pause.end)()
            except InputError as error:
                on_notice(str(error))
                continue
            on_notice(
                f"paused: bulkcmp pause {pause.folder} --continue, or SIGUSR2, goes on"
                if begins
                else "going on"
            )
