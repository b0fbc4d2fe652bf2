"""What a migration is to do with each user, by the rules; nothing is written or sent."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bulkcmp.engine.migration.oldcert import OldCa, OldCertificate, read_old
from bulkcmp.engine.migration.rules import Case, Cases, Names, Rules, Several
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.material import PREFIX
from bulkcmp.inputs.name import format_name
from bulkcmp.inputs.population import cells_of, several_values
from bulkcmp.inputs.row import RowReader
from bulkcmp.inputs.secret import describe_source
from bulkcmp.inputs.settings import Kind, located
from bulkcmp.inputs.source import Place, Record, Source
from bulkcmp.model import BadRow, EndEntity, Operation

REVOCATION_COLUMNS: Final = ("id", "oldcert", "serial", "issuer", "revreason")

_NUMBER: Final = "{number}"

_KINDS: Final = Options.known()


@dataclass(frozen=True, slots=True)
class Migrating:
    """A user that is to be migrated.

    Attributes:
        place: of its record.
        enrollment: cells of the row that asks for the new certificate.
        revocation: cells that all rows have which revoke its old ones.
        old: what becomes of its old certificates.
    """

    place: Place
    id: str
    enrollment: Mapping[str, str]
    revocation: Mapping[str, str]
    old: "Fates"


@dataclass(frozen=True, slots=True)
class Fates:
    """What becomes of a user's old certificates.

    Attributes:
        revoked: those that are to be revoked.
        expired: those that need not be.
        left: those that stay valid.
    """

    revoked: tuple[OldCertificate, ...] = ()
    expired: tuple[OldCertificate, ...] = ()
    left: tuple[OldCertificate, ...] = ()

    def cases(self) -> Iterator[Case]:
        valid = len(self.revoked) + len(self.left)
        if not valid and not self.expired:
            yield Case.NONE
        if self.expired:
            yield Case.EXPIRED
        if valid:
            yield Case.ONE if valid == 1 else Case.SEVERAL
        if self.left:
            yield Case.LEFT


class _RejectedError(Exception):
    """A user can't be migrated."""

    def __init__(self, case: Case, *problems: InputError) -> None:
        super().__init__(case)
        self.case = case
        self.problems = problems


class Assessment:
    """Reads a source, and says of each of its users what is to be done.

    Args:
        source: its records have cells of a population; `serial`, `issuer` and `revreason` are those
            of the old certificate where it has serial numbers, and there may be several `oldcert`.
        new: how rows are enrolled.
        old: whose certificates are revoked.
        now: when certificates have expired, aware.

    Attributes:
        options: `new`, as they are for the rows that come of this.
        columns: of these rows.
        cases: what was seen so far.

    Raises:
        InputError: an option, or the source as a whole, can't be used.
    """

    def __init__(
        self,
        source: Source,
        new: Options,
        old: OldCa,
        rules: Rules,
        environ: Mapping[str, str],
        now: dt.datetime,
    ) -> None:
        self._source = source
        self._folder = source.folder.absolute()
        self._old = old
        self._rules = rules
        self._now = now
        attributes = source.attributes
        self._serials = "serial" in attributes
        of_old = {"oldcert", "revreason", *(("serial", "issuer") if self._serials else ())}
        own = tuple(name for name in attributes if name not in of_old)
        _check_columns(own, new)
        self.columns = tuple(dict.fromkeys((*own, "subject", "oldcert")))
        self.options = new.of_own_population()
        if rules.names is Names.KEEP:
            # what is said of all rows must not go before a name that is kept
            self.options = replace(self.options, subject=None)
        self._has_subject = new.subject is not None
        self._reader = self._reader_for(own, new, environ)
        self._heir = self._reader_for(self.columns, replace(new, subject=None), environ)
        self._ids: dict[str, int] = {}
        self._known: dict[tuple[str, int], int] = {}
        self.cases = Cases()

    def _reader_for(
        self, columns: Sequence[str], options: Options, environ: Mapping[str, str]
    ) -> RowReader:
        return RowReader(self._folder, columns, options.defaults(environ), environ)

    def digest(self) -> str:
        """SHA-256, hex, of what the users come from.

        Raises:
            InputError: it can't be read.
        """
        return self._source.digest()

    def users(self) -> Iterator[Migrating | BadRow]:
        """Every user in the order of the source; to be read once.

        Raises:
            InputError: the source can't be read any more.
        """
        for record in self._source.records():
            self.cases.users += 1
            cells = cells_of(record)
            identity = self._reader.id_of(record.place, cells)
            try:
                user = self._user(record, cells)
            except _RejectedError as rejected:
                place = record.place
                self.cases.rejected += 1
                self.cases.add(rejected.case, f"{identity}: {rejected.problems[0]}")
                yield BadRow(place.number, place.row_line, identity, rejected.problems)
            else:
                self.cases.revocations += len(user.old.revoked)
                yield user

    def _user(self, record: Record, cells: Mapping[str, str]) -> Migrating:
        """
        Raises:
            _RejectedError: the user can't be migrated.
        """
        problems = record.problems or tuple(several_values(record, but=("oldcert",)))
        if problems:
            raise _RejectedError(Case.BAD_ROW, *problems)
        reason = _revocation_cells(record, cells)
        old = self._old_certificates(record, cells)
        certified = [one for one in old if one.certificate is not None]
        newest = max(certified, key=lambda one: one.begins, default=None)
        enrollment, row = self._enrollment(record, cells, newest)
        subject = None if row.subject is None else format_name(row.subject)
        fates = self._fates(record, old, subject)
        cases = [*fates.cases()]
        if newest is not None and self._is_renamed(record, cells, row, newest):
            cases.append(Case.NAME)
        self._known |= {one.key: record.place.row_line for one in fates.revoked}
        for case in cases:
            self.cases.add(case, row.id)
        return Migrating(record.place, row.id, enrollment, reason, fates)

    # --- the old certificates ---------------------------------------------------------------------

    def _old_certificates(self, record: Record, cells: Mapping[str, str]) -> list[OldCertificate]:
        place = record.place
        serial, issuer = (cells.get(n, "") if self._serials else "" for n in ("serial", "issuer"))
        try:
            old = read_old(self._folder, record.values.get("oldcert", ()), serial, issuer)
        except InputError as error:
            where = place.where("oldcert")
            problem = InputError(str(error), where=where, hint=error.hint)
            raise _RejectedError(Case.UNREADABLE, problem) from None
        for one in old:
            if not self._old.issued(one):
                what = f"the certificate {one.serial:X} is not of the old CA, but of {one.issuer}"
                problem = InputError(what, where=place.where("oldcert"))
                raise _RejectedError(Case.FOREIGN, problem)
            if one.key in self._known:
                what = f"the certificate {one.serial:X} is that of line {self._known[one.key]} too"
                problem = InputError(what, where=place.where("oldcert"))
                is_known = self._is_known(cells)
                raise _RejectedError(Case.DUPLICATE if is_known else Case.SHARED, problem)
        return old

    def _fates(self, record: Record, old: Sequence[OldCertificate], subject: str | None) -> Fates:
        """
        Args:
            subject: RFC 4514 text of that of the new certificate.

        Raises:
            _RejectedError: there are too many of them.
        """
        valid = tuple(one for one in old if not one.has_expired(self._now))
        expired = tuple(one for one in old if one.has_expired(self._now))
        if len(valid) < 2 or self._rules.several is Several.ALL:
            return Fates(valid, expired)
        if self._rules.several is Several.MATCHING:
            matching = tuple(one for one in valid if one.subject == subject is not None)
            return Fates(matching, expired, tuple(one for one in valid if one not in matching))
        what = f"{len(valid)} old certificates are valid (--several reject)"
        problem = InputError(what, where=record.place.where("oldcert"))
        raise _RejectedError(Case.SEVERAL, problem)

    # --- the new one ------------------------------------------------------------------------------

    def _enrollment(
        self, record: Record, cells: Mapping[str, str], newest: OldCertificate | None
    ) -> tuple[dict[str, str], EndEntity]:
        """The cells of the row that asks for it, and what they come to."""
        own = {name: text for name, text in cells.items() if name in self.columns}
        own.pop("oldcert", None)
        keeps = self._rules.names is Names.KEEP
        is_named = self._has_subject or "subject" in own
        if newest is not None and (keeps or not is_named):
            if keeps:
                own.pop("subject", None)
            own |= newest.cells
            row = self._read(self._heir, record, own)
        else:
            row = self._read(self._reader, record, own)
            if keeps and "subject" not in own and row.subject is not None:
                own["subject"] = format_name(row.subject)
        return {name: self._located(record, name, text) for name, text in own.items()}, row

    def _is_known(self, cells: Mapping[str, str]) -> bool:
        """Whether a row before had the same id."""
        return cells.get("id", "").strip() in self._ids

    def _read(self, reader: RowReader, record: Record, cells: Mapping[str, str]) -> EndEntity:
        is_known = self._is_known(cells)
        row = reader.read(record.place, cells, self._ids)
        if isinstance(row, BadRow):
            raise _RejectedError(Case.DUPLICATE if is_known else Case.BAD_ROW, *row.problems)
        if not row.cmd.certifies:
            problem = InputError(f"{row.cmd} asks for no certificate", where=record.place.where())
            raise _RejectedError(Case.BAD_ROW, problem)
        return row

    def _is_renamed(
        self, record: Record, cells: Mapping[str, str], row: EndEntity, old: OldCertificate
    ) -> bool:
        """Whether the row says another name than the old certificate."""
        asked: EndEntity | BadRow = row
        if self._rules.names is Names.KEEP and row.cmd is not Operation.P10CR:
            own = {name: text for name, text in cells.items() if name in self.columns}
            own.pop("oldcert", None)
            asked = self._reader.read(record.place, own, {})
        if isinstance(asked, BadRow) or asked.subject is None:
            return False
        if format_name(asked.subject) == old.subject:
            return False
        if self._rules.names is Names.KEEP and row.cmd is Operation.P10CR:
            what = "the request has another subject than the old certificate (--names keep)"
            problem = InputError(what, where=record.place.where("csr"))
            raise _RejectedError(Case.NAME, problem)
        return True

    def _located(self, record: Record, name: str, text: str) -> str:
        """A cell for a file that stands elsewhere."""
        kind = _KINDS.get(name, Kind.TEXT)
        if kind is Kind.SOURCE and describe_source(text) != text:
            problem = InputError(
                "the secret itself stands in the cell, and would stand in the migration's folder",
                where=record.place.where(name),
                hint="write env:NAME or file:PATH",
            )
            raise _RejectedError(Case.BAD_ROW, problem)
        if kind is Kind.PATH and text.startswith(PREFIX):
            return text
        if kind in (Kind.TEXT, Kind.WHOLE, Kind.FLAG):
            return text
        return str(located(self._folder, kind, text))


def _revocation_cells(record: Record, cells: Mapping[str, str]) -> dict[str, str]:
    """The cells that all rows have which revoke a user's old certificates."""
    column = "revreason"
    if column not in cells:
        return {}
    try:
        read_reason(cells[column])
    except InputError as error:
        problem = InputError(error.what, where=record.place.where(column), hint=error.hint)
        raise _RejectedError(Case.BAD_ROW, problem) from None
    return {column: cells[column]}


def _check_columns(columns: Sequence[str], new: Options) -> None:
    """Make sure that rows mean the same where those that are rejected are left out."""
    if "id" not in columns:
        raise InputError(
            "the users of a migration need ids",
            hint="give the population a column id, or map an attribute to it",
        )
    numbered = [name for name in _KINDS if _NUMBER in str(getattr(new, name))]
    if numbered:
        raise InputError(
            f"{_NUMBER} in {numbered[0]}: rows that are rejected leave gaps in it",
            hint="fill in {id} or another column",
        )
