"""One row of a population: its cells, completed from the command line, as an EndEntity."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from bulkcmp.errors import InputError
from bulkcmp.inputs.cell import read_new_key, read_operation, read_reason, read_whole
from bulkcmp.inputs.credential import (
    Credential,
    certified_names,
    read_certificates,
    read_credential,
    read_csr,
    read_private_key,
    requested_subject,
)
from bulkcmp.inputs.field import Field, Filled, Known, Row, blaming
from bulkcmp.inputs.name import NULL_DN, NameTemplate, format_name, parse_name
from bulkcmp.inputs.san import SanTemplate, parse_sans
from bulkcmp.inputs.secret import read_secret
from bulkcmp.model import (
    BadRow,
    EndEntity,
    KeySpec,
    Operation,
    RevocationReason,
    Secret,
)

COLUMNS: Final = (
    "id", "cmd", "subject", "sans", "newkey", "ref", "secret", "days", "profile",
    "csr", "cert", "key", "keypass", "oldcert", "revreason", "priority",
)  # fmt: skip

ID_LIMIT: Final = 200
"""Characters; an id names files, and file systems end at 255 octets."""

_SECRET_COLUMNS: Final = ("secret", "keypass")

_CACHED: Final = 256
"""Files of each kind that are kept read: some rows share them, most have their own."""

_ONLY_FOR: Final = {"csr": Operation.P10CR, "revreason": Operation.RR}
"""Columns that no other operation has."""

_CREDENTIAL: Final = ("secret", "cert", "key", "keypass")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line says of every row whose cell is absent or empty.

    All are texts as a cell would have them, and all but the secrets are templates: `{id}`,
    `{number}` (of the row, from 1), and the name of any other column of the file that is not
    secret. Paths are relative to the working directory, those in cells to the population's folder.

    Attributes:
        secret, keypass: sources (`pass:`, `env:`, `file:`, `stdin`), or the secret itself where
            the caller has it already.
        newkeypass: the same, for the key files that `newkey` names; there is no such column.
        keys_supplied: the run brings keys of its own, so that rows need no `newkey`.
    """

    cmd: str | None = None
    subject: str | None = None
    sans: str | None = None
    newkey: str | None = None
    newkeypass: str | Secret | None = field(default=None, repr=False)
    ref: str | None = None
    secret: str | Secret | None = field(default=None, repr=False)
    days: str | None = None
    profile: str | None = None
    csr: str | None = None
    cert: str | None = None
    key: str | None = None
    keypass: str | Secret | None = field(default=None, repr=False)
    oldcert: str | None = None
    revreason: str | None = None
    priority: str | None = None
    keys_supplied: bool = False


class RowReader:
    """Reads rows against the columns that a file has and the defaults for what they lack.

    Args:
        file: the population's path.
        columns: its columns, in their order.
        defaults: for absent and empty cells.
        environ: where `env:` secrets are looked up.

    Raises:
        InputError: a default can't be used, whatever the rows say.
    """

    def __init__(
        self, file: Path, columns: Sequence[str], defaults: Defaults, environ: Mapping[str, str]
    ) -> None:
        self._file = str(file)
        self._columns = tuple(columns)
        self._id_at = columns.index("id") if "id" in columns else None
        self._secret_at = [(n, columns.index(n)) for n in _SECRET_COLUMNS if n in columns]
        self._restricted = [(n, only) for n, only in _ONLY_FOR.items() if n in columns]
        self._keys_supplied = defaults.keys_supplied
        self._files = _Files()
        folder = file.parent
        # no secret columns: what is filled into a name stands in the certificate
        names = [n for n in dict.fromkeys(("id", "number", *columns)) if n not in _SECRET_COLUMNS]

        def text(name: str, read: Callable[[str], T]) -> Field[T]:
            given: str | None = getattr(defaults, name)
            source = None if given is None else partial(Filled, given, names, read)
            return Field(name, read, source)

        def path(name: str, read: Callable[[Path, str], T]) -> Field[T]:
            given: str | None = getattr(defaults, name)
            own = partial(read, Path())
            source = None if given is None else partial(Filled, given, names, own, in_path=True)
            return Field(name, partial(read, folder), source)

        def secret(name: str) -> Field[Secret]:
            given: str | Secret | None = getattr(defaults, name)
            fetch = partial(read_secret, environ=environ, folder=folder, stdin=False)
            if isinstance(given, str):
                source = given
                return Field(name, fetch, lambda: Known(read_secret(source, environ)))
            return Field(name, fetch, None if given is None else partial(Known, given))

        self._cmd = text("cmd", read_operation)
        self._days = text("days", partial(read_whole, low=1, high=36500))
        self._priority = text("priority", partial(read_whole, low=0, high=9999))
        self._reason = text("revreason", read_reason)
        self._ref = text("ref", str)
        self._profile = text("profile", str)
        dn, sans = defaults.subject, defaults.sans
        self._subject = Field(
            "subject", parse_name, None if dn is None else partial(NameTemplate, dn, names)
        )
        self._sans = Field(
            "sans", parse_sans, None if sans is None else partial(SanTemplate, sans, names)
        )
        self._newkey = path("newkey", read_new_key)
        self._newkeypass = secret("newkeypass").constant
        self._secret = secret("secret")
        self._csr = path("csr", Path.joinpath)
        self._cert = path("cert", Path.joinpath)
        self._key = path("key", Path.joinpath)
        self._keypass = secret("keypass")
        self._oldcert = path("oldcert", Path.joinpath)
        self._templated = any(
            field.varies for field in vars(self).values() if isinstance(field, Field)
        )
        self._check_defaults(defaults)

    def _check_defaults(self, defaults: Defaults) -> None:
        """Find what would be wrong in every row: files that can't be read, and contradictions."""
        cmd = self._cmd.constant
        if cmd is not None and "cmd" not in self._columns:
            if defaults.csr is not None and cmd is not Operation.P10CR:
                raise InputError(f"--csr is for p10cr, and --cmd is {cmd}")
            if defaults.revreason is not None and cmd is not Operation.RR:
                raise InputError(f"--revreason is for rr, and --cmd is {cmd}")
        for option in ("key", "keypass"):
            if getattr(defaults, option) and not defaults.cert and "cert" not in self._columns:
                raise InputError(f"--{option} needs --cert: it is the credential's")
        if isinstance(self._newkey.constant, Path):
            with blaming("newkey"):
                self._files.private_key(self._newkey.constant, self._newkeypass)
        if self._csr.constant is not None:
            with blaming("csr"):
                self._files.csr(self._csr.constant)
        if self._oldcert.constant is not None:
            with blaming("oldcert"):
                self._files.certificates(self._oldcert.constant)
        if (
            self._cert.constant is not None
            and not self._key.varies
            and not {"key", "keypass"} & set(self._columns)
        ):
            with blaming("cert"):
                self._files.credential(
                    self._cert.constant, self._key.constant, self._keypass.constant
                )

    def forget_files(self) -> None:
        """Read files anew from here on: they may have changed since the last pass."""
        self._files = _Files()

    def read(
        self, number: int, line: int, cells: Sequence[str], seen: dict[str, int]
    ) -> EndEntity | BadRow:
        """Read one row.

        Args:
            number: of the row, from 1.
            line: on which it starts, from 1.
            cells: as they stand in the file.
            seen: the line of each id so far; this row's is added.
        """
        row = Row(self._file, number, line)
        if len(cells) != len(self._columns):
            row.add(
                None,
                f"{len(cells)} cells, and the header has {len(self._columns)}",
                hint="put a cell that contains the delimiter in double quotes",
            )
            return row.bad(self.id_of(number, cells))
        row.cells = {
            name: text
            for name, cell in zip(self._columns, cells, strict=True)
            if (text := cell.strip())
        }
        for name, at in self._secret_at:  # white space at its end is part of a secret
            if name in row.cells:
                row.cells[name] = cells[at].lstrip()

        identity = str(number) if self._id_at is None else _read_id(row, seen)
        if self._templated:
            row.values = {**row.cells, "number": str(number)}
            if identity:
                row.values["id"] = identity

        cmd = self._cmd.get(row)
        if row.problems and row.failed("cmd"):
            return self._without_operation(row, identity)
        if cmd is None:
            cmd = Operation.P10CR if self._csr.is_given(row) else Operation.IR
        secret = self._secret.get(row)
        credential = self._read_credential(row)
        if secret is None and credential is None and not row.failed(*_CREDENTIAL):
            row.add("secret", "no credential: needs secret or cert")
        chain = () if credential is None else credential.chain
        if cmd is Operation.P10CR:
            request = self._read_p10cr(row)
        elif cmd is Operation.RR:
            request = self._read_rr(row, chain)
        else:
            request = self._read_template(row, cmd, chain)
        for column, only in self._restricted:
            if column in row.cells and cmd is not only:
                row.add(column, f"{column} is for {only}, and this row is {cmd}")
        entity = EndEntity(
            number=number,
            line=line,
            id=identity,
            cmd=cmd,
            subject=request.subject,
            san=request.san,
            new_key_spec=request.new_key_spec,
            new_key=request.new_key,
            ref=self._ref.get(row),
            secret=secret,
            days=self._days.get(row),
            profile=self._profile.get(row),
            csr=request.csr,
            cert=chain,
            key=None if credential is None else credential.key,
            old_cert=request.old_cert,
            revocation_reason=request.reason,
            priority=self._priority.get(row),
        )
        return row.bad(_printable(identity)) if row.problems else entity

    def _without_operation(self, row: Row, identity: str) -> BadRow:
        """The problems that a row has whatever its operation is."""
        for known in (self._subject, self._sans, self._newkey, self._days, self._priority):
            known.get(row)
        return row.bad(_printable(identity))

    def id_of(self, number: int, cells: Sequence[str]) -> str:
        """What a bad row is called: its id made printable, as far as it has one."""
        if self._id_at is None:
            return str(number)
        return _printable("".join(cells[self._id_at : self._id_at + 1]).strip())

    def _read_credential(self, row: Row) -> Credential | None:
        if not self._cert.is_given(row):
            for column in ("key", "keypass"):
                if column in row.cells:
                    row.add(column, f"{column} is the credential's, and there is no cert")
            return None
        path, key, password = self._cert.get(row), self._key.get(row), self._keypass.get(row)
        if path is None or row.failed("key", "keypass"):
            return None
        return row.attempt("cert", self._files.credential, path, key, password)

    def _read_template(self, row: Row, cmd: Operation, chain: tuple[bytes, ...]) -> "_Request":
        """What the CertTemplate of an ir, cr or kur takes from the row."""
        subject, san = self._subject.get(row), self._sans.get(row)
        newkey = self._newkey.get(row)
        key = None
        if isinstance(newkey, Path):
            key = row.attempt("newkey", self._files.private_key, newkey, self._newkeypass)
        elif newkey is None and not self._keys_supplied and not row.failed("newkey"):
            row.add("newkey", "no key: needs newkey")
        unnamed = subject is None and san is None and not row.failed("subject", "sans")
        if cmd is not Operation.KUR:
            # one certificate for all rows is an RA's: its name is not that of the end entities
            unnamed = unnamed and (self._cert.is_own(row) or self._oldcert.is_own(row))
        old_cert = None
        if unnamed or cmd is Operation.KUR or "oldcert" in row.cells:
            old_cert = self._read_old_cert(row, chain)
        if old_cert is not None and (unnamed or cmd is Operation.KUR):
            # as openssl cmp does: what is not said is taken from the reference certificate
            names = row.attempt("oldcert", certified_names, old_cert)
            if names is not None:
                subject, san = subject or names[0], san or names[1]
        elif cmd is Operation.KUR:
            if not row.failed("oldcert", *_CREDENTIAL):
                row.add("oldcert", "kur needs oldcert or cert: the certificate to update")
        elif subject in (None, NULL_DN) and san is None:
            sources = ("oldcert", *_CREDENTIAL) if unnamed else ()
            if not row.failed("subject", "sans", *sources):
                row.add("subject", f"{cmd} needs a subject or sans")
        return _Request(
            subject=subject,
            san=san,
            new_key_spec=newkey if isinstance(newkey, KeySpec) else None,
            new_key=key,
            old_cert=old_cert if cmd is Operation.KUR else None,
        )

    def _read_p10cr(self, row: Row) -> "_Request":
        if "newkey" in row.cells:
            row.add("newkey", "p10cr has no newkey: the key is the CSR's")
        if not self._csr.is_given(row):
            row.add("csr", "p10cr needs csr")
            return _Request()
        path = self._csr.get(row)
        csr = None if path is None else row.attempt("csr", self._files.csr, path)
        if csr is None:
            return _Request()
        subject = requested_subject(csr)
        if "subject" in row.cells:
            wanted = self._subject.get(row)
            # as texts, so that string types do not count
            if wanted is not None and format_name(wanted) != format_name(subject):
                row.add("subject", f"not the subject of the CSR, which is {format_name(subject)}")
        return _Request(csr=csr, subject=subject)

    def _read_rr(self, row: Row, chain: tuple[bytes, ...]) -> "_Request":
        old_cert = self._read_old_cert(row, chain)
        if old_cert is None and not row.failed("oldcert", *_CREDENTIAL):
            row.add("oldcert", "rr needs oldcert or cert: the certificate to revoke")
        return _Request(old_cert=old_cert, reason=self._reason.get(row))

    def _read_old_cert(self, row: Row, chain: tuple[bytes, ...]) -> bytes | None:
        if not self._oldcert.is_given(row):
            return chain[0] if chain else None
        path = self._oldcert.get(row)
        found = None if path is None else row.attempt("oldcert", self._files.certificates, path)
        return None if found is None else found[0]


class _Request(NamedTuple):
    """What a row asks for, as far as it depends on its operation."""

    subject: bytes | None = None
    san: bytes | None = None
    new_key_spec: KeySpec | None = None
    new_key: bytes | None = None
    csr: bytes | None = None
    old_cert: bytes | None = None
    reason: RevocationReason | None = None


class _Files:
    """The files that rows name, each kind kept for the rows that share one."""

    def __init__(self) -> None:
        self.certificates = lru_cache(_CACHED)(read_certificates)
        self.private_key = lru_cache(_CACHED)(read_private_key)
        self.credential = lru_cache(_CACHED)(read_credential)
        self.csr = lru_cache(_CACHED)(read_csr)


def _read_id(row: Row, seen: dict[str, int]) -> str:
    identity = row.cells.get("id", "")
    if not identity:
        row.add("id", "the id is empty")
        return ""
    if not identity.isprintable():
        row.add("id", "the id has a control or another unprintable character")
    if len(identity) > ID_LIMIT:
        row.add("id", f"the id has {len(identity)} characters; {ID_LIMIT} are allowed")
    first = seen.setdefault(identity, row.line)
    if first != row.line:
        row.add("id", f"duplicate id {_printable(identity)!r}: line {first} has it")
    return identity


def _printable(identity: str) -> str:
    return (identity if identity.isprintable() else ascii(identity)[1:-1])[:ID_LIMIT]
