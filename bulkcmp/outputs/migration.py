"""What a migration comes to: summary.json of the whole, and rollback.csv."""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.results import cell
from bulkcmp.outputs.summary import PopulationFacts
from bulkcmp.outputs.table import table
from bulkcmp.outputs.text import utc

SCHEMA: Final = "bulkcmp/migration/1"

ROLLBACK_COLUMNS: Final = (
    "id", "new_serial", "new_state", "old_serial", "old_state", "undo", "row", "line",
)  # fmt: skip


class Standing(StrEnum):
    """How far a user has come."""

    MIGRATED = "migrated"
    ENROLLED = "enrolled, nothing to revoke"
    NOT_REVOKED = "enrolled, old certificate not revoked"
    NOT_DELIVERED = "enrolled, not delivered"
    NOT_ENROLLED = "not enrolled"
    REJECTED = "rejected"

    @property
    def is_done(self) -> bool:
        return self in (Standing.MIGRATED, Standing.ENROLLED)


class OldState(StrEnum):
    """What an old certificate is at the old CA, as far as it is known here."""

    VALID = "valid"
    REVOKED = "revoked"
    ON_HOLD = "on hold"
    REVOKED_BEFORE = "revoked before"
    UNKNOWN = "perhaps revoked"
    EXPIRED = "expired"

    @property
    def is_done(self) -> bool:
        """Whether it was to be revoked, and is."""
        return self in (OldState.REVOKED, OldState.ON_HOLD, OldState.REVOKED_BEFORE)


@dataclass(frozen=True, slots=True)
class RollbackLine:
    """What exists of a user, and of one of its old certificates.

    Attributes:
        new_serial: hex; empty where none was issued, or none is known.
        new_state: outcome of the enrollment.
        old_serial: hex; empty where there is none.
        old_state: None where there is none.
        row, line: of the record in the user's population.
    """

    id: str
    new_serial: str
    new_state: str
    old_serial: str
    old_state: OldState | None
    row: int
    line: int

    @property
    def undo(self) -> str:
        """What would lead back, in words."""
        steps = [f"revoke {self.new_serial} at the new CA"] if self.new_serial else []
        match self.old_state:
            case OldState.ON_HOLD:
                steps.append(f"removeFromCRL {self.old_serial} at the old CA")
            case OldState.REVOKED | OldState.REVOKED_BEFORE:
                steps.append(f"{self.old_serial} is revoked for good")
            case OldState.UNKNOWN:
                steps.append(f"ask the old CA about {self.old_serial}")
        return "; ".join(steps)


@dataclass(frozen=True, slots=True)
class MigrationSummary:
    """All that is told of a migration after a session of it.

    Attributes:
        began: the migration, aware; ended_at: the session, aware.
        users: by standing.
        cases: for each case that there was, its rule, its number of users and some of their ids.
        old: certificates of the old CA by state.
        enrollment, revocation: exit codes of the two runs' sessions; None where there was none.
        folder: of the migration.
        notes: what the user should know besides.
    """

    tool_version: str
    population: PopulationFacts
    began: dt.datetime
    ended_at: dt.datetime
    users: Mapping[Standing, int]
    cases: Mapping[str, Mapping[str, Any]]
    old: Mapping[OldState, int]
    enrollment: int | None
    revocation: int | None
    interrupted: bool
    exit_code: int
    folder: str
    notes: tuple[str, ...] = ()


def migration_json(summary: MigrationSummary) -> str:
    """The text of summary.json, pure ASCII, ending with a line feed."""
    document = {
        "schema": SCHEMA,
        "tool": {"name": "bulkcmp", "version": summary.tool_version},
        "population": asdict(summary.population),
        "began": utc(summary.began, "milliseconds"),
        "ended_at": utc(summary.ended_at, "milliseconds"),
        "interrupted": summary.interrupted,
        "exit_code": summary.exit_code,
        "users": {standing.value: summary.users.get(standing, 0) for standing in Standing},
        "old_certificates": {state.value: summary.old.get(state, 0) for state in OldState},
        "cases": summary.cases,
        "enrollment_exit_code": summary.enrollment,
        "revocation_exit_code": summary.revocation,
        "folder": summary.folder,
        "notes": list(summary.notes),
    }
    return json.dumps(document, indent=2) + "\n"


def write_migration(path: Path, summary: MigrationSummary) -> None:
    """Write summary.json (mode 0600), replacing an old one whole and durably.

    Raises:
        BulkcmpError: the file system refused.
    """
    with replacing(path, 0o600, durable=True) as file:
        file.write(migration_json(summary).encode())


def write_rollback(path: Path, lines: Iterable[RollbackLine]) -> None:
    """Write rollback.csv (mode 0600), replacing an old one whole and durably.

    Texts of others are made harmless, as in results.csv.

    Raises:
        BulkcmpError: the file system refused.
    """
    with table(path, ROLLBACK_COLUMNS) as writer:
        for one in lines:
            state = "" if one.old_state is None else one.old_state.value
            cells = (one.id, one.new_serial, one.new_state, one.old_serial, state, one.undo)
            writer.writerow([*map(cell, cells), one.row, one.line])
