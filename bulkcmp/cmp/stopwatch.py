"""How long the steps of a transaction took."""

from bulkcmp.model import Timings


class Stopwatch:
    """Notes when its exchanges began and ended; all in Unix time, seconds."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._request: tuple[float, float] | None = None
        self._confirmation: tuple[float, float] | None = None
        self._polling_since: float | None = None
        self._polled_until: float | None = None

    def exchange(self, sent: float) -> None:
        """Anything was answered; the first of these begins the transaction."""
        if self._started is None:
            self._started = sent

    def request(self, sent: float, answered: float) -> None:
        """The request was answered."""
        self._request = sent, answered

    def confirmation(self, sent: float, answered: float) -> None:
        """A certConf was answered; the last one counts."""
        self._confirmation = sent, answered

    def confirmation_polled(self, answered: float) -> None:
        """What the certConf led to was polled for."""
        sent, _ = self._confirmation or (answered, answered)
        self._confirmation = sent, answered

    def polling(self, now: float, *, waits: bool) -> None:
        """Whether anything waits at the CA."""
        if self._polling_since is None:
            self._polling_since = now if waits else None
        elif not waits and self._polled_until is None:
            self._polled_until = now

    def timings(self, now: float) -> Timings:
        """All of them, at the end of the transaction."""
        if self._started is None:
            return Timings()
        _, answered = self._request or (None, None)
        _, confirmed = self._confirmation or (None, None)
        ends = (confirmed, self._polled_until, answered)
        last = max((end for end in ends if end is not None), default=now)
        polling = None
        if self._polling_since is not None and self._polled_until is not None:
            polling = self._polled_until - self._polling_since
        return Timings(
            service=last - self._started,
            request=_length(self._request),
            polling=polling,
            confirm=_length(self._confirmation),
        )


def _length(span: tuple[float, float] | None) -> float | None:
    return None if span is None else span[1] - span[0]
