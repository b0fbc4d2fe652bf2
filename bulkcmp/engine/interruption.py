"""What SIGINT and SIGTERM lead to: the first ends a run in good order, the second at once."""

import signal
import threading
from collections.abc import Callable
from typing import Protocol

import anyio
from anyio.abc import TaskStatus


class Stoppable(Protocol):
    """A run."""

    def stop(self) -> None:
        """Begin nothing more, and end what is under way."""
        ...

    def abort(self) -> None:
        """Leave at once."""
        ...


class Interruption:
    """What signals lead to, from the beginning of a session to its end.

    Args:
        on_notice: told, in plain English, what a signal led to.
        afterwards: what is said of a session that is left at once.

    Attributes:
        asked: there was a signal.
    """

    def __init__(self, on_notice: Callable[[str], None], afterwards: str) -> None:
        self._on_notice = on_notice
        self._afterwards = afterwards
        self._attended: list[Stoppable] = []
        self._parts: list[anyio.CancelScope] = []
        self._leaving = False
        self.asked = False

    def attend(self, run: Stoppable) -> None:
        """Let signals act on `run` too, those included that came already."""
        self._attended.append(run)
        if self._leaving:
            run.abort()
        elif self.asked:
            run.stop()

    def part(self) -> anyio.CancelScope:
        """A part of the session that is left undone when the session is left at once."""
        part = anyio.CancelScope()
        if self._leaving:
            part.cancel()
        self._parts.append(part)
        return part

    async def watch(self, *, task_status: TaskStatus[None]) -> None:
        """Heed the first two signals; later ones do what they do without us."""
        if not hears_signals():
            task_status.started()
            return
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self.ask()
                if self._leaving:
                    break

    def ask(self) -> None:
        """Do what a signal does."""
        if not self.asked:
            self.asked = True
            self._on_notice("stopping: ending what is under way (again: leave at once)")
            for one in self._attended:
                one.stop()
            return
        self._leaving = True
        self._on_notice(f"leaving at once: {self._afterwards}")
        for part in self._parts:
            part.cancel()
        for one in self._attended:
            one.abort()


def hears_signals() -> bool:
    """Whether this thread may heed signals: Python has its main thread alone do so."""
    return threading.current_thread() is threading.main_thread()
