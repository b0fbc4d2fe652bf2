"""When what was lost is sent again: later each time, and spread."""

from collections.abc import Iterator

from bulkcmp.model import Profile


class Backoff:
    """
    Args:
        jitter: gives numbers of [0, 1) by which the delays are spread.
    """

    def __init__(self, profile: Profile, jitter: Iterator[float]) -> None:
        self._profile = profile
        self._jitter = jitter
        self._losses = 0

    def reset(self) -> None:
        """Something was answered."""
        self._losses = 0

    @property
    def is_spent(self) -> bool:
        """Whether it was sent as often as it may be."""
        return self._losses >= self._profile.retries

    def delay(self, retry_after: float | None) -> float:
        """Seconds until it is sent again.

        Args:
            retry_after: seconds that the server asked for.
        """
        profile = self._profile
        delay = min(profile.backoff_max, profile.backoff_first * 2.0 ** min(self._losses, 64))
        self._losses += 1
        # half fixed, half random: spread, and never at once
        delay *= 0.5 + 0.5 * next(self._jitter)
        return max(delay, retry_after or 0.0)
