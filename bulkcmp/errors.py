"""The exception tree: who is wrong (we, the peer, the network), what it costs, and what to do.

Every exception that bulkcmp raises on purpose is a `BulkcmpError`; it carries the exit code of
the command it ends and a hint for the user. Anything else that escapes is a bug.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EXIT_OK: Final = 0
EXIT_SOME_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_THRESHOLD: Final = 3
"""A threshold did not hold."""
EXIT_BOTTLENECK: Final = 4
"""The load generator, not the server, set the pace: the figures say little of the server."""
EXIT_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Where:
    """The place in a file that an error speaks of; lines, columns and rows count from 1."""

    file: str
    line: int | None = None
    column: str | None = None
    """The column's name in a table."""
    row: int | None = None
    key: str | None = None
    """The key path in a TOML file."""

    def __str__(self) -> str:
        text = self.file if self.line is None else f"{self.file}:{self.line}"
        if self.row is not None:
            text += f" (row {self.row})"
        if self.column is not None:
            text += f", column {self.column}"
        if self.key is not None:
            text += f", key {self.key}"
        return text


class BulkcmpError(Exception):
    """Base of all errors: `what` went wrong, `where`, and a `hint` what to do about it."""

    exit_code: int = EXIT_SOME_FAILED

    def __init__(self, what: str, *, where: Where | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return self.what if self.where is None else f"{self.where}: {self.what}"


class InputError(BulkcmpError):
    """What the user gave (an option, a file, a row) can't be used; nothing was sent."""

    exit_code = EXIT_BAD_INPUT


class InputErrors(InputError):  # noqa: N818  # several of them
    """Several things are wrong with one input; `problems` has each of them."""

    def __init__(self, what: str, problems: tuple[InputError, ...]) -> None:
        super().__init__(what)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join((self.what, *map(str, self.problems)))


class Interrupted(BulkcmpError):  # noqa: N818  # the user's wish, not an error
    """The user ended the program, by Ctrl-C."""

    exit_code = EXIT_INTERRUPTED

    def __init__(self, what: str = "interrupted", *, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)


class InsecureWarning(UserWarning):
    """A check that keeps strangers out is switched off."""


class LocalCmpError(BulkcmpError):
    """We are about to break CMP ourselves: a request that can't be built, a misused transaction."""


class TokenError(LocalCmpError):
    """A PKCS#11 token, or a key on it, can't be used."""


class RemoteCmpError(BulkcmpError):
    """The peer broke CMP: a message that can't be decoded, or that fails a check."""


class Loss(StrEnum):
    """Why no CMP answer came; each is one class of the outcome table."""

    CONNECT = "cannot connect"
    TLS = "TLS failed"
    NOT_SENT = "connection ended before the request was sent"
    REUSED = "reused connection ended without one byte of an answer"
    NO_LAYER = "no RA's layer around the message"
    """The RA's key, on a token, did not sign."""
    CUT = "connection lost"
    TIMEOUT = "no answer in time"
    BUSY = "server busy"
    """HTTP 429 or 503."""
    GATEWAY = "gateway lost the answer"
    """HTTP 502 or 504."""
    HTTP_STATUS = "HTTP error"
    NOT_CMP = "answer is not CMP"
    """An answer of another content type, HTML for instance."""
    TOO_LARGE = "answer too large"
    BAD_HTTP = "malformed HTTP"
    NOT_IN_BATCH = "no answer in the batch"
    """The answer to a batch of messages has none to this one."""


class TransportError(BulkcmpError):
    """The network or HTTP failed; `loss` says how.

    Attributes:
        loss: the class of the failure.
        retry_after: seconds that the server asked us to wait (`Retry-After`), if it did.
        status: the HTTP status code, if there was one.
    """

    def __init__(
        self,
        loss: Loss,
        what: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, hint=hint)
        self.loss = loss
        self.retry_after = retry_after
        self.status = status
