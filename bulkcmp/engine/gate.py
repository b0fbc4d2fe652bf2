"""What lets new transactions of a worker pass or holds them back, as its parent says."""

import anyio


class Gate:
    """One gate, open at first."""

    def __init__(self) -> None:
        self._closing = anyio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    @property
    def closing(self) -> anyio.Event:
        """Set as long as the gate is closed."""
        return self._closing

    def close(self) -> None:
        self._closing.set()

    def open(self) -> None:
        if self.is_closed:
            self._closing = anyio.Event()
