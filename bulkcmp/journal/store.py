"""What a journal needs of the database that keeps it.

The SQL is said once, for both databases (`schema`, `statement`), with marks where they differ. A
`Dialect` fills them in. PostgreSQL keeps many runs beside each other: there each key begins with
the run's number, which stands in the text itself, not among the parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bulkcmp.errors import Where
from bulkcmp.journal.lease import Shard

Row = tuple[Any, ...]

Statement = tuple[str, tuple[Any, ...]]
"""SQL with marks, and its parameters."""

UPDATE: Final = "UPDATE "
"""How a statement begins that is about what is there: to find nothing is our own mistake."""

Waiting = Callable[[str, float], None]
"""Told of the holder of a lease that is waited for, and in how many seconds it runs out."""


class Store(Protocol):
    """A database with the journal of a run. Its methods block; one thread at a time calls them."""

    @property
    def where(self) -> Where:
        """What errors name."""

    def hold(self, shard: Shard, term: float, on_wait: Waiting) -> None:
        """Take a lease of rows, which all writes go with until `close` gives it back.

        While an earlier lease stands in the way whose holder gives no sign of life, it is waited
        for until that has run out.

        Args:
            term: seconds from the last sign of life, after which another may have the rows.

        Raises:
            LeaseHeld: another process is at work on some of them.
            JournalError: the machine failed.
        """

    def read(self, text: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows that a query finds.

        Raises:
            JournalError: the machine failed.
        """

    def write(self, statements: Sequence[Statement]) -> None:
        """Execute statements in one commit; it is on the disk when this returns.

        Raises:
            LeaseLost: another took the rows over.
            JournalError: the machine failed; nothing is changed.
        """

    def hurry(self) -> None:
        """Wait no longer for a database that is away; any thread may say so, at any time."""

    def close(self) -> None:
        """Give back what was taken; may be called again."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database wants its SQL.

    Attributes:
        run: declares the column with the run's number; columns: the same in lists of columns;
            values: in lists of values; where: in conditions. All empty where there is one run.
        parameter: what stands for a parameter.
        blob: the type of octets; serial: of a number that the database gives.
    """

    run: str
    columns: str
    values: str
    where: str
    parameter: str
    blob: str
    serial: str

    def render(self, text: str) -> str:
        """SQL with the marks filled in."""
        filled = text.format(
            run=self.run,
            columns=self.columns,
            values=self.values,
            where=self.where,
            blob=self.blob,
            serial=self.serial,
        )
        return filled.replace("?", self.parameter)


class Texts(dict[str, tuple[str, bool]]):
    """Rendered statements by their text with marks, each with whether it must find something."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect

    def __missing__(self, text: str) -> tuple[str, bool]:
        rendered = self[text] = (self._dialect.render(text), text.startswith(UPDATE))
        return rendered
