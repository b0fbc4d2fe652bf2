"""What an assessment leaves for both runs of a migration, and what reports tell of its users."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bulkcmp.engine.migration.assessment import REVOCATION_COLUMNS, Assessment, Migrating
from bulkcmp.engine.migration.oldcert import OldCertificate
from bulkcmp.engine.precedence import later_id
from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.recognition import open_source
from bulkcmp.model import BadRow, RevocationReason
from bulkcmp.outputs.files import make_private_folder, remove, replacing
from bulkcmp.outputs.table import table

ENROLLMENT: Final = "enrollment"
REVOCATION: Final = "revocation"
"""Names of the two runs."""

_USER_COLUMNS: Final = ("row", "line", "id", "revoked", "expired", "left", "revreason")
_BETWEEN: Final = "|"
_SHOWN: Final = 20
"""Problems of users that are kept for an error."""


@dataclass(frozen=True, slots=True)
class User:
    """A user that is migrated.

    Attributes:
        number: of its row in the enrollment, from 1.
        row, line: of its record in the user's population.
        revoked, expired, left: serial numbers of its old certificates, hex, by what becomes of
            them.
        reason: of the revocations; None where the row gives none.
    """

    number: int
    row: int
    line: int
    id: str
    revoked: tuple[str, ...]
    expired: tuple[str, ...]
    left: tuple[str, ...]
    reason: RevocationReason | None


class InputFolder:
    """The files that the assessment made.

    Attributes:
        enrollment, revocation: populations of the two runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.enrollment = path / "enrollment.csv"
        self.revocation = path / "revocation.csv"
        self._rejected = path / "rejected.jsonl"
        self._users = path / "users.csv"

    def write(self, assessment: Assessment) -> list[InputError]:
        """Write all files, each whole and on the disk when this returns.

        Returns:
            The first problems of users that can't be migrated.

        Raises:
            InputError: the source can't be read any more.
            BulkcmpError: the file system refused.
        """
        make_private_folder(self.path)
        problems: list[InputError] = []
        with (
            table(self.enrollment, assessment.columns) as enrollment,
            table(self.revocation, REVOCATION_COLUMNS) as revocation,
            table(self._users, _USER_COLUMNS) as users,
            replacing(self._rejected, 0o600, durable=True) as rejected,
        ):
            number = 0
            for user in assessment.users():
                if isinstance(user, BadRow):
                    problems.extend(user.problems[: _SHOWN - len(problems)])
                    rejected.write(json.dumps(_document(user)).encode() + b"\n")
                    continue
                number += 1
                enrollment.writerow([user.enrollment.get(n, "") for n in assessment.columns])
                for cells in _revocations(number, user):
                    revocation.writerow([cells.get(n, "") for n in REVOCATION_COLUMNS])
                users.writerow(_user_cells(user))
        return problems

    def discard(self) -> None:
        """Remove the files, and the folder if nothing else is in it."""
        with suppress(OSError):
            for path in (self.enrollment, self.revocation, self._rejected, self._users):
                remove(path)
            self.path.rmdir()

    def digests(self) -> dict[str, str]:
        """SHA-256, hex, of the populations, by the names of the runs over them.

        Raises:
            InputError: one can't be read.
        """
        files = {ENROLLMENT: self.enrollment, REVOCATION: self.revocation}
        return {name: open_source(path).digest() for name, path in files.items()}

    def users(self) -> Iterator[User]:
        """Those who are migrated, in the order of the enrollment's rows."""
        with self._users.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            for number, (row, line, identity, *serials, reason) in enumerate(rows, start=1):
                revoked, expired, left = (tuple(filter(None, s.split(_BETWEEN))) for s in serials)
                why = read_reason(reason) if reason else None
                yield User(number, int(row), int(line), identity, revoked, expired, left, why)

    def rejected(self) -> Iterator[BadRow]:
        """Those who are not, in the order of their source."""
        with self._rejected.open("rb") as file:
            for line in file:
                yield _bad_row(json.loads(line))


def _document(row: BadRow) -> dict[str, Any]:
    problems = [
        {
            "what": one.what,
            "hint": one.hint,
            "where": None if one.where is None else asdict(one.where),
        }
        for one in row.problems
    ]
    return {"number": row.number, "line": row.line, "id": row.id, "problems": problems}


def _bad_row(document: Mapping[str, Any]) -> BadRow:
    problems = tuple(
        InputError(
            one["what"],
            where=None if one["where"] is None else Where(**one["where"]),
            hint=one["hint"],
        )
        for one in document["problems"]
    )
    return BadRow(document["number"], document["line"], document["id"], problems)


def _user_cells(user: Migrating) -> list[object]:
    old, place = user.old, user.place
    serials = map(_serials, (old.revoked, old.expired, old.left))
    reason = user.revocation.get("revreason", "")
    return [place.number, place.row_line, user.id, *serials, reason]


def _revocations(number: int, user: Migrating) -> Iterator[dict[str, str]]:
    for place, one in enumerate(user.old.revoked, start=1):
        yield {"id": later_id(number, place, user.id), **one.cells, **user.revocation}


def _serials(certificates: Sequence[OldCertificate]) -> str:
    return _BETWEEN.join(f"{one.serial:X}" for one in certificates)
