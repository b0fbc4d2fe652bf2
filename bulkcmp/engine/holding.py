"""Certificates that exist, and where their private keys are: what renewals and revocations begin
from.

They stand in the folder of a run and of the runs that renewed it since, in a folder of files, or in
a population.
"""

import base64
import csv
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from bulkcmp.cmp.trust import EXTENSION_ERRORS, load_certificate
from bulkcmp.engine.harvest import RESULTS_FILE
from bulkcmp.errors import InputError, RemoteCmpError, Where
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.credential import read_certificates
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.keystore import Stored, holds_credential, stored_in
from bulkcmp.inputs.material import PREFIX, parse_material
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.settings import key_in, newkey_in, source_in
from bulkcmp.inputs.source import Record
from bulkcmp.journal.folder import holds_run
from bulkcmp.journal.journal import Journal
from bulkcmp.model import OutcomeClass, RevocationReason, RowResult, Secret
from bulkcmp.outputs.population import POPULATION_FILE, write_population
from bulkcmp.outputs.results import RowFiles, read_row_files
from bulkcmp.token.uri import is_uri

RENEWALS_FILE: Final = "renewals.csv"
"""In the folder of a run: the folders of the runs that renew its certificates."""

REVOCATIONS_FILE: Final = "revocations.csv"
"""In the same: the folders of the runs that revoke them."""

SIGNERS_FOLDER: Final = "signers"
"""In the folder of a run that renews: what protects its requests, where no other file has it."""

_REFUSED: Final = frozenset({OutcomeClass.ISSUED_REFUSED, OutcomeClass.ISSUED_CONFIRMATION_REFUSED})
"""Outcomes after which nobody should use the certificate."""

_OPEN: Final = frozenset(
    {
        OutcomeClass.TO_DO,
        OutcomeClass.UNKNOWN,
        OutcomeClass.STILL_WAITING,
        OutcomeClass.ISSUED_CONFIRMATION_UNKNOWN,
    }
)
"""Outcomes that `bulkcmp resume` may still turn into a certificate."""

_NOT_FINAL: Final = (RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL)

_PATH_COLUMNS: Final = ("cert", "oldcert", "extensions_from")
_SOURCE_COLUMNS: Final = ("secret", "keypass", "regtoken", "authenticator")


class Certificate:
    """What a certificate says of itself.

    Attributes:
        der: of it; issuer: DER of the Name; subject: RFC 4514 text of the Name.
        not_before, not_after: aware.
        usage: what it is for: certificates of one subject with other usages stand beside each
            other.

    Raises:
        InputError: it can't be read.
    """

    __slots__ = ("der", "is_ca", "issuer", "not_after", "not_before", "serial", "subject", "usage")

    def __init__(self, der: bytes) -> None:
        self.der = der
        try:
            parsed = load_certificate(der)
            self.issuer = parsed.issuer.public_bytes()
            self.subject = parsed.subject.rfc4514_string()
            self.serial = parsed.serial_number
            self.not_before = parsed.not_valid_before_utc
            self.not_after = parsed.not_valid_after_utc
            self.is_ca, self.usage = _usage(parsed)
        except (RemoteCmpError, *EXTENSION_ERRORS):
            raise InputError("the certificate is damaged") from None

    @property
    def cell(self) -> str:
        """All of it in a cell of a population."""
        return PREFIX + base64.b64encode(self.der).decode()


_KINDS: Final = (x509.SubjectAlternativeName, x509.KeyUsage, x509.ExtendedKeyUsage)


def _usage(parsed: x509.Certificate) -> tuple[bool, tuple[bytes, ...]]:
    is_ca, usage = False, []
    for one in parsed.extensions:
        if isinstance(one.value, x509.BasicConstraints):
            is_ca = one.value.ca
        elif isinstance(one.value, _KINDS):
            usage.append(one.value.public_bytes())
    return is_ca, tuple(sorted(usage))


class Kept(NamedTuple):
    """The row of a run whose journal has a private key."""

    run: Path
    number: int


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate that is there.

    Attributes:
        id: of its row, or made of its file's name.
        place: the file or the row that it stands in.
        cells: of a population's row for it, all paths absolute: `cert`, `key`, `keypass` and more.
        has_key: whether it is known where its private key is, or there is a secret instead.
        family: those of one family supersede one another; empty for one that stands alone.
        refused: it was issued, but a check of ours, or the CA, refused it then.
        kept: where a journal has its private key.
        flaw: why it can't be read; None too of a file that has none.
    """

    id: str
    place: str
    certificate: Certificate | None
    cells: Mapping[str, str] = field(default_factory=dict)
    has_key: bool = False
    family: str = ""
    refused: bool = False
    kept: Kept | None = None
    flaw: InputError | None = None


@dataclass(slots=True)
class Holding:
    """The certificates that a source has.

    Attributes:
        path: of the source.
        run: the folder of the run that it is, None where it is none.
        record: its journal, as long as the holding is open.
        open_in: the folder of the run in which a row of an id is not over.
        revoked: issuer (DER Name) and serial number of those that a run has revoked for good.
    """

    path: Path
    run: Path | None = None
    record: Journal | None = field(default=None, repr=False)
    held: list[Held] = field(default_factory=list)
    open_in: dict[str, Path] = field(default_factory=dict)
    revoked: set[tuple[bytes, int]] = field(default_factory=set)

    @contextmanager
    def journal(self, run: Path) -> Iterator[Journal]:
        """The journal of this run, or of one that renewed it, at which nobody else works.

        Raises:
            BulkcmpError: it can't be read, or another process has it.
        """
        if run == self.run and self.record is not None:
            yield self.record
        else:
            with Journal.open(run) as journal:
                yield journal

    def add_renewal(self, folder: Path) -> None:
        """Write down, durably, that a run renews certificates of this one.

        Its folder has its population by then: a run that never began is told by that from one that
        is lost.

        Raises:
            BulkcmpError: the file system refused.
        """
        if self.run is not None:
            _set_follower(self.run, RENEWALS_FILE, folder, is_one=True)

    def drop_renewal(self, folder: Path) -> None:
        """Take back what `add_renewal` wrote, if it did: that run did not begin."""
        if self.run is not None:
            _set_follower(self.run, RENEWALS_FILE, folder, is_one=False)


def add_revocation(run: Path, folder: Path) -> None:
    """Write down, durably, that a run revokes certificates of another one; its folder has its
    population.

    Raises:
        BulkcmpError: the file system refused, or another process works on the run.
    """
    with Journal.open(run):
        _set_follower(run, REVOCATIONS_FILE, folder, is_one=True)


def drop_revocation(run: Path, folder: Path) -> None:
    """Take back what `add_revocation` wrote, if it did: that run did not begin."""
    with Journal.open(run):
        _set_follower(run, REVOCATIONS_FILE, folder, is_one=False)


def _set_follower(run: Path, file: str, folder: Path, *, is_one: bool) -> None:
    known, name = _followers(run, file), os.path.relpath(folder, run)
    if (name in known) is not is_one:
        others = [one for one in known if one != name]
        rows = ({"run": one} for one in ([*others, name] if is_one else others))
        write_population(run / file, ("run",), rows)


@contextmanager
def open_holding(
    path: Path, password: Secret | None, *, keeps_passphrase: bool, with_renewals: bool = True
) -> Iterator[Holding]:
    """Read the certificates that a path has: a run, a folder of files, or a population.

    No other process works on a run while it is open.

    Args:
        password: opens PKCS#12 files of a folder.
        keeps_passphrase: the keys of a run are opened by the passphrase that it had.
        with_renewals: of the runs that renew a run, too.

    Raises:
        InputError: it can't be used.
    """
    if holds_run(path):
        with Journal.open(path) as journal:
            holding = Holding(path, path, journal)
            _read_run(holding, path, journal, keeps_passphrase)
            if with_renewals:
                _read_followers(holding, path, keeps_passphrase)
            yield holding
    elif path.is_dir() or holds_credential(path):
        yield _folder(path, password)
    else:
        yield _population(path)


# --- runs -----------------------------------------------------------------------------------------


def _read_followers(holding: Holding, run: Path, keeps_passphrase: bool) -> None:
    """Add what the runs have that renewed a run, or one of them, and what runs revoked of it all;
    each is read once."""
    seen = {run.resolve()}
    todo = deque([run])
    while todo:
        folder = todo.popleft()
        for revocation in _begun(folder, REVOCATIONS_FILE, seen, "revokes"):
            with Journal.open(revocation) as journal:
                holding.revoked.update(_revoked_by(revocation, journal))
        for renewal in _begun(folder, RENEWALS_FILE, seen, "renews"):
            with Journal.open(renewal) as journal:
                _read_run(holding, renewal, journal, keeps_passphrase)
            todo.append(renewal)


def _begun(folder: Path, file: str, seen: set[Path], what: str) -> Iterator[Path]:
    """The runs that a file of a run's names, but for those that were seen, or never began.

    Args:
        what: they do with certificates of it.

    Raises:
        InputError: one is not there.
    """
    for name in _followers(folder, file):
        follower = Path(os.path.normpath(folder / name))
        if follower.resolve() in seen:
            continue
        seen.add(follower.resolve())
        if _never_began(follower):
            continue
        if not holds_run(follower):
            raise InputError(
                f"the run {follower}, which {what} certificates of this one, is not there",
                where=Where(str(folder / file)),
                hint="put it back, or mount it, for what it did would not be known; or, if it never"
                " began, take its line out of the file",
            )
        yield follower


def _never_began(follower: Path) -> bool:
    """Whether a run was cut off before it had a journal: its folder has its population, and at most
    what it was to begin with besides.

    An empty folder may be a place where nothing is mounted.
    """
    names = {one.name for one in follower.iterdir()} if follower.is_dir() else set()
    made = (POPULATION_FILE, SIGNERS_FOLDER)
    return POPULATION_FILE in names and all(one in made or one[0] == "." for one in names)


def _followers(run: Path, file: str) -> list[str]:
    path = run / file
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return [row["run"] for row in csv.DictReader(lines, strict=True)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, csv.Error) as error:
        raise InputError(f"can't be read: {error}", where=Where(str(path))) from None


def _revoked_by(folder: Path, journal: Journal) -> Iterator[tuple[bytes, int]]:
    """What a run of `bulkcmp revoke` has revoked for good, as far as its population still tells."""
    own = _own_rows(folder)
    usual = journal.facts["options"].get("revreason")
    for result, _ in journal.results():
        cells = own.get(result.id, {})
        reason = cells.get("revreason") or usual
        if result.outcome.outcome is not OutcomeClass.REVOKED or not _is_final(reason):
            continue
        # a file that is gone by now tells nothing: the CA will
        with suppress(InputError):
            named = parse_material(folder, cells.get("oldcert") or cells["cert"])
            certificate = Certificate(read_certificates(named)[0])
            yield certificate.issuer, certificate.serial


def _is_final(reason: str | None) -> bool:
    """Whether a certificate that is revoked for this reason stays so."""
    return reason is None or read_reason(reason) not in _NOT_FINAL


def _read_run(holding: Holding, folder: Path, journal: Journal, keeps_passphrase: bool) -> None:
    source = kept_source(journal, "out_pass", "key_pass") if keeps_passphrase else ""
    files = read_row_files(folder / RESULTS_FILE)
    own = _own_rows(folder)
    for result, _ in journal.results():
        asked = own.pop(result.id, {})
        if result.outcome.outcome in _OPEN:
            holding.open_in[result.id] = folder
        if result.certificate is not None:
            row_files = files.get(result.number, RowFiles())
            holding.held.append(_of_row(folder, result, row_files, asked, source))
    # those that were not taken up yet
    holding.open_in |= dict.fromkeys(own, folder)


def kept_source(journal: Journal, *names: str) -> str:
    """The source of the first of these passphrases that a run was given; empty where it can't be
    read again, or where each row has one of its own."""
    options = journal.facts["options"]
    kept = next(filter(None, map(options.get, names)), "")
    return kept if kept.startswith(("env:", "file:")) else ""


def _own_rows(folder: Path) -> dict[str, Mapping[str, str]]:
    """The rows of a run on a population that bulkcmp wrote, by their ids."""
    path = folder / POPULATION_FILE
    if not path.exists():
        return {}
    rows = map(_cells, CsvSource(path).records())
    return {cells.get("id", ""): cells for cells in rows}


def _of_row(
    folder: Path, result: RowResult, files: RowFiles, asked: Mapping[str, str], keypass: str
) -> Held:
    assert result.certificate is not None
    place = str(folder / files.certificate) if files.certificate else f"{folder}: {result.id}"
    refused = result.outcome.outcome in _REFUSED
    try:
        certificate = Certificate(result.certificate)
    except InputError as error:
        return Held(result.id, place, None, refused=refused, flaw=error)
    cells = {"cert": str(folder.absolute() / files.certificate) if files.certificate else ""}
    if files.key:
        cells["keypass"] = keypass
        if files.key != files.certificate:
            cells["key"] = str(folder.absolute() / files.key)
    elif "cert" in asked:
        # it certifies the key that protected its request
        cells["key"] = asked.get("key") or asked["cert"]
        cells["keypass"] = asked.get("keypass", "")
    return Held(
        result.id,
        place,
        certificate,
        cells,
        has_key=bool(files.key or cells.get("key")),
        family=f"id {result.id}",
        refused=refused,
        kept=Kept(folder, result.number) if result.has_key else None,
    )


# --- folders of files -----------------------------------------------------------------------------


def _folder(path: Path, password: Secret | None) -> Holding:
    return Holding(path, held=[_of_file(one) for one in stored_in(path, password)])


def _of_file(one: Stored) -> Held:
    flaw, certificate = one.flaw, None
    if one.certificate is not None:
        try:
            certificate = Certificate(one.certificate)
        except InputError as error:
            flaw = error
    if certificate is None:
        return Held(one.name, str(one.path), None, flaw=flaw)
    cells = {"cert": str(one.path.absolute())}
    if one.key is not None and one.key != one.path:
        cells["key"] = str(one.key.absolute())
    family = " ".join([certificate.subject, *(usage.hex() for usage in certificate.usage)])
    return Held(
        one.name,
        str(one.path),
        certificate,
        cells,
        has_key=one.key is not None,
        family=f"subject {family}",
        flaw=flaw,
    )


# --- populations ----------------------------------------------------------------------------------


def _population(path: Path) -> Holding:
    source = open_source(path)
    if not {"cert", "oldcert"}.intersection(source.attributes):
        raise InputError(
            "has neither a column cert nor oldcert: which certificates are meant?",
            where=Where(str(path)),
            hint="give a run's folder, a folder of certificates, or a CSV with these columns",
        )
    holding = Holding(path)
    for record in source.records():
        holding.held.append(_of_record(record, source.folder.absolute()))
    return holding


def _of_record(record: Record, folder: Path) -> Held:
    cells = _cells(record)
    identity = cells.get("id") or str(record.place.number)
    place = str(record.place.where())
    if record.problems:
        return Held(identity, place, None, flaw=record.problems[0])
    try:
        cells = {name: _absolute(name, text, folder) for name, text in cells.items()}
        named = cells.get("oldcert") or cells.get("cert")
        if named is None:
            raise InputError("the row names no certificate: oldcert and cert are empty")
        certificate = Certificate(read_certificates(parse_material(folder, named))[0])
    except InputError as error:
        return Held(identity, place, None, flaw=error)
    return Held(
        identity,
        place,
        certificate,
        cells,
        has_key=bool({"cert", "secret"} & cells.keys()) or is_uri(cells.get("key", "")),
    )


def _cells(record: Record) -> dict[str, str]:
    return {name: texts[0].strip() for name, texts in record.values.items() if texts[0].strip()}


def _absolute(name: str, text: str, folder: Path) -> str:
    """A cell as it is read from any folder.

    Raises:
        InputError: it has a secret itself, which would be copied.
    """
    if name in _SOURCE_COLUMNS:
        if text.partition(":")[0] not in ("env", "file", "list"):
            raise InputError(
                f"{name} has a secret, which bulkcmp copies nowhere",
                hint="write env:NAME, file:PATH or list:PATH#NAME in the cell",
            )
        return source_in(folder, text)
    if name in _PATH_COLUMNS and not text.startswith(PREFIX):
        return str(folder / text)
    if name == "key":
        return key_in(folder, text)
    return newkey_in(folder, text) if name == "newkey" else text
