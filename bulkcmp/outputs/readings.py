"""Figures that one thread goes on changing, read by others."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeAlias

from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import Family

Reading: TypeAlias = tuple[Family, ...]


class Readings:
    """What other threads learn of a run's figures.

    They never touch the figures themselves: whoever asks waits until the figures' own thread comes
    by, which reads them only when somebody asked.

    Args:
        read: of the figures, in their thread.
        figures: as they stand before the run.
    """

    def __init__(self, read: Callable[[Figures], Reading], figures: Figures) -> None:
        self._read = read
        self._figures = figures
        self._lock: Final = threading.Lock()
        self._asked: Future[Reading] | None = None

    def update(self, figures: Figures) -> None:
        """Come by with the figures, in their thread."""
        self._figures = figures
        with self._lock:
            asked, self._asked = self._asked, None
        if asked is not None:
            asked.set_result(self._read(figures))

    def close(self) -> None:
        """The figures change no more, nobody comes by again: the last ones are for all who ask."""
        with self._lock:
            asked = self._asked = self._asked or Future()
        asked.set_result(self._read(self._figures))

    def get(self) -> Reading:
        """A reading that is made after the call, or the last one; in any other thread."""
        with self._lock:
            asked = self._asked = self._asked or Future()
        return asked.result()
