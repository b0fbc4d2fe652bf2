"""How a journal fails."""

from bulkcmp.errors import EXIT_SOME_FAILED, BulkcmpError, InputError, Where


class JournalError(BulkcmpError):
    """What keeps the journal failed: disk full, an I/O error, a lock, a lost connection."""

    exit_code = EXIT_SOME_FAILED


class JournalUnreachable(JournalError):  # noqa: N818  # what happened, as its siblings
    """The connection to the journal's database was lost, and could not be made again."""


class LeaseHeld(InputError):  # noqa: N818  # a state, not a mistake
    """Another process is at work on these rows."""

    def __init__(self, holder: str, where: Where) -> None:
        super().__init__(
            f"another bulkcmp is at work on this run: {holder}",
            where=where,
            hint="wait for it to end, or stop it",
        )


class LeaseLost(JournalError):  # noqa: N818  # the same
    """Another process took our rows over, for we gave no sign of life; nothing was written."""

    def __init__(self, where: Where) -> None:
        super().__init__(
            "another bulkcmp has taken over the rows of this one, which was silent for too long",
            where=where,
            hint="what was recorded before is safe, and the other goes on from there",
        )


def damaged(why: object, where: Where) -> InputError:
    """What to say of a journal with something in it that bulkcmp has not written."""
    return InputError(f"the journal is damaged: {why}", where=where, hint="restore it from a copy")
