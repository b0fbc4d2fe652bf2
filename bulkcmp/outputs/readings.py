"""Figures that one thread goes on changing, read by others."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeAlias

from bulkcmp.stats.figures import Figures
from bulkcmp.stats.metrics import Family

Families: TypeAlias = tuple[Family, ...]


class Reading(NamedTuple):
    """All metrics at an instant.

    Attributes:
        began_at: Unix time in seconds since which they count.
    """

    families: Families
    began_at: float


class Readings:
    """What other threads learn of a run's figures.

    They never touch the figures themselves: whoever asks waits until the figures' own thread comes
    by, which reads them only when somebody asked.

    Args:
        read: of the figures, in their thread.
        figures: as they stand before the run.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        read: Callable[[Figures], Families],
        figures: Figures,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._read = read
        self._clock = clock
        self._figures = figures
        self._began_at = clock()
        self._lock: Final = threading.Lock()
        self._asked: Future[Reading] | None = None

    def update(self, figures: Figures) -> None:
        """Come by with the figures, in their thread.

        Others than before begin anew, as those of each window of a search do.
        """
        if figures is not self._figures:
            self._figures = figures
            self._began_at = self._clock() - figures.elapsed
        with self._lock:
            asked, self._asked = self._asked, None
        if asked is not None:
            self._answer(asked)

    def close(self) -> None:
        """The figures change no more, nobody comes by again: the last ones are for all who ask."""
        with self._lock:
            asked = self._asked = self._asked or Future()
        self._answer(asked)

    def get(self) -> Reading:
        """A reading that is made after the call, or the last one; in any other thread.

        Raises:
            Exception: what came of trying to read them.
        """
        with self._lock:
            asked = self._asked = self._asked or Future()
        return asked.result()

    def _answer(self, asked: Future[Reading]) -> None:
        try:
            asked.set_result(Reading(self._read(self._figures), self._began_at))
        except Exception as error:
            # it is for who asked, and no reason to end what goes on
            asked.set_exception(error)
