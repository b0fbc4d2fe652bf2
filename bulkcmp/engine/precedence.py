"""A run after another one: its rows go only once what they wait for is done there.

The journal of the earlier run decides, whenever a session of the later one begins. What is held
back stays `to do`, and goes in a later session.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from bulkcmp.inputs.row import ID_LIMIT
from bulkcmp.journal.journal import Journal
from bulkcmp.model import BadRow, DeliveryState, EndEntity, RowResult

_MARK: Final = "."
_NAME: Final = ":"


def later_id(number: int, place: int, name: str) -> str:
    """The id of a row that waits for another one.

    Args:
        number: of that row, in its run.
        place: of this one among all that wait for it, from 1.
        name: of the end entity, for people; what is too long of it is cut off.
    """
    return f"{number}{_MARK}{place}{_NAME}{name}"[:ID_LIMIT]


def awaited(row_id: str) -> tuple[int, int]:
    """Number and place of which `later_id` made an id."""
    number, _, rest = row_id.partition(_MARK)
    return int(number), int(rest.partition(_NAME)[0])


class Precedence:
    """Which rows of a run may go, since those that they wait for are done.

    Args:
        done: the numbers of rows of the earlier run that are done.
    """

    def __init__(self, done: Iterable[int]) -> None:
        self._done = frozenset(done)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The precedence of a run at which nobody is at work.

        Raises:
            InputError: there is no such run, or another process has it.
            JournalError: the machine failed.
        """
        with Journal.open(folder) as journal:
            delivered = must_deliver(journal.facts["options"])
            results = (result for result, _ in journal.results())
            return cls(one.number for one in results if is_over(one, delivered=delivered))

    def permits(self, row: EndEntity | BadRow) -> bool:
        number, _ = awaited(row.id)
        return number in self._done


def must_deliver(options: Mapping[str, Any]) -> bool:
    """Whether a run delivers its certificates.

    Args:
        options: facts of them.
    """
    return bool(options["on_issued"] or options["on_issued_url"])


def is_over(result: RowResult, *, delivered: bool) -> bool:
    """Whether nothing is left to be done for a row.

    Args:
        delivered: it must be.
    """
    if delivered and result.delivery.state is not DeliveryState.DELIVERED:
        return False
    return result.outcome.outcome.is_done


class Later:
    """Those of some rows that may go; can be streamed as often as the rows can."""

    def __init__(self, rows: Iterable[EndEntity | BadRow], precedence: Precedence) -> None:
        self._rows = rows
        self._precedence = precedence

    def __iter__(self) -> Iterator[EndEntity | BadRow]:
        return filter(self._precedence.permits, self._rows)
