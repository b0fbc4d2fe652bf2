"""One row of a population: its cells, completed from the command line, as an EndEntity."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

from bulkcmp.cmp.general import (
    CRL_STATUS_LIST,
    QUESTIONS,
    ROOT_CA_CERT,
    crl_status_list,
    name_of,
)
from bulkcmp.errors import InputError
from bulkcmp.inputs.cell import (
    SameKey,
    read_new_key,
    read_operation,
    read_popo,
    read_reason,
    read_serial,
    read_time,
    read_whole,
    read_yes,
)
from bulkcmp.inputs.credential import (
    Credential,
    can_decrypt,
    certified_extensions,
    certified_subject,
    check_new_key,
    read_certificates,
    read_credential,
    read_crl,
    read_csr,
    read_extensions,
    read_private_key,
    requested_subject,
)
from bulkcmp.inputs.extension import (
    ExtensionsTemplate,
    parse_ext_key_usage,
    parse_extensions,
    parse_key_usage,
    parse_policies,
)
from bulkcmp.inputs.field import Default, Field, Filled, Known, Row, blaming, option_name
from bulkcmp.inputs.filename import FileNameTemplate
from bulkcmp.inputs.infotype import parse_infotypes
from bulkcmp.inputs.material import Material, parse_material
from bulkcmp.inputs.name import NULL_DN, NameTemplate, format_name, parse_name
from bulkcmp.inputs.password import DEFAULT_LENGTH, MAKE, Made, made_or
from bulkcmp.inputs.reginfo import RegInfoTemplate, parse_reg_info
from bulkcmp.inputs.restriction import BY_TEMPLATE, CELLS, listed
from bulkcmp.inputs.san import SUBJECT_ALT_NAME, SanTemplate, parse_sans
from bulkcmp.inputs.secret import read_secret
from bulkcmp.inputs.source import Place
from bulkcmp.inputs.spelling import nearest
from bulkcmp.inputs.token import TokenCredential, TokenReader, read_key
from bulkcmp.model import (
    BadRow,
    EndEntity,
    Itav,
    KeySpec,
    Operation,
    Popo,
    RequestedExtension,
    RevocationReason,
    Secret,
    TokenKey,
)
from bulkcmp.token.uri import Pkcs11Uri, is_uri

COLUMNS: Final = (
    "id", "cmd", "subject", "issuer", "sans", "keyusage", "extkeyusage", "policy_oids",
    "extensions", "extensions_from", "days", "not_before", "not_after", "profile", "newkey",
    "centralkeygen", "popo", "ref", "secret", "csr", "cert", "key", "keypass", "oldcert", "serial",
    "revreason", "infotype", "oldwithold", "crlcert", "oldcrl", "regtoken", "authenticator",
    "reginfo", "priority", "out_pass",
)  # fmt: skip


def unknown_hint(name: str) -> str:
    """What to do about an attribute that is no column."""
    return f"{nearest(name, COLUMNS)}; --map RULES says which attributes become which columns"


ID_LIMIT: Final = 200
"""Characters; an id names files, and file systems end at 255 octets."""

SECRETS: Final = ("secret", "keypass", "regtoken", "authenticator", "out_pass")
"""Columns of sources of secrets."""

LISTS: Final = ("sans", "keyusage", "extkeyusage", "policy_oids", "extensions", "infotype")
"""Columns of entries between commas."""

PATHS: Final = (
    "extensions_from", "newkey", "csr", "cert", "key", "oldcert", "oldwithold", "crlcert", "oldcrl",
)  # fmt: skip
"""Columns that may name files."""

_CACHED: Final = 256
"""Files of each kind that are kept read: some rows share them, most have their own."""

_NAMING: Final = ("sans", "extensions", "extensions_from")
"""Columns that may give a subjectAltName."""

_NAMED_BY: Final = {
    "oldwithold": ROOT_CA_CERT,
    "crlcert": CRL_STATUS_LIST,
    "oldcrl": CRL_STATUS_LIST,
}
"""Columns of files that one infoType asks about."""

_CREDENTIAL: Final = ("secret", "cert", "key", "keypass")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line says of every row whose cell is absent or empty.

    All texts are as a cell would have them, and all but the secrets are templates: `{id}`,
    `{number}` (of the row, from 1), and the name of any other column of the file that is not
    secret. Paths are relative to the working directory, those in cells to the population's folder.

    Attributes:
        secret, keypass, regtoken, authenticator: sources (`pass:`, `env:`, `file:`, `stdin`), or
            the secret itself where the caller has it already.
        san_nodefault: no subjectAltName is taken from oldcert or cert.
        unprotected: rows need no credential: requests are sent without protection, or something
            else that comes later protects them.
        out_name: path of a row's files, without suffix; there is no such column.
        out_pass: the secret itself, or `make`, which makes passwords of `out_pass_length`.
        newkeypass: the same, for the key files that `newkey` names; there is no such column.
        newkey_assumed: nobody said `newkey`: where the CA makes the key, it chooses the type.
        key: a path, or a PKCS#11 URI (RFC 7512).
        pkcs11_module: path of the PKCS#11 library, no template.
        keys_supplied: the run brings keys of its own, so that rows need no `newkey`.
        single: there is one row only, so that the certificate is its own.
        allow_weak: keys of files and on tokens, and signatures of CSRs, may be below
            `bulkcmp.cmp.strength`.
        foremost: names of what goes before the cells too, which count for nothing then but for
            placeholders.
    """

    cmd: str | None = None
    subject: str | None = None
    issuer: str | None = None
    sans: str | None = None
    san_nodefault: bool = False
    keyusage: str | None = None
    extkeyusage: str | None = None
    policy_oids: str | None = None
    extensions: str | None = None
    extensions_from: str | None = None
    newkey: str | None = None
    newkeypass: str | Secret | None = field(default=None, repr=False)
    newkey_assumed: bool = False
    centralkeygen: str | None = None
    popo: str | None = Popo.SIGNATURE.value
    ref: str | None = None
    secret: str | Secret | None = field(default=None, repr=False)
    days: str | None = None
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    csr: str | None = None
    cert: str | None = None
    key: str | None = None
    pkcs11_module: str | None = None
    keypass: str | Secret | None = field(default=None, repr=False)
    oldcert: str | None = None
    serial: str | None = None
    revreason: str | None = None
    infotype: str | None = None
    oldwithold: str | None = None
    crlcert: str | None = None
    oldcrl: str | None = None
    regtoken: str | Secret | None = field(default=None, repr=False)
    authenticator: str | Secret | None = field(default=None, repr=False)
    reginfo: str | None = None
    priority: str | None = None
    out_name: str | None = None
    out_pass: str | Secret | None = field(default=None, repr=False)
    out_pass_length: int = DEFAULT_LENGTH
    unprotected: bool = False
    keys_supplied: bool = False
    single: bool = False
    allow_weak: bool = False
    foremost: frozenset[str] = frozenset()


class RowReader:
    """Reads rows against the columns that a source has and the defaults for what they lack.

    Args:
        folder: that paths in cells are relative to.
        columns: those that rows may have, in their order.
        defaults: for absent and empty cells.
        environ: where `env:` secrets are looked up.

    Raises:
        InputError: a default can't be used, whatever the rows say.
    """

    def __init__(
        self, folder: Path, columns: Sequence[str], defaults: Defaults, environ: Mapping[str, str]
    ) -> None:
        self._columns = tuple(columns)
        self._has_ids = "id" in columns
        self._secrets = [name for name in SECRETS if name in columns]
        self._restricted = [(n, only) for n, only in CELLS.items() if n in columns]
        self._keys_supplied = defaults.keys_supplied
        self._unprotected = defaults.unprotected
        self._single = defaults.single
        self._foremost = defaults.foremost
        self._san_nodefault = defaults.san_nodefault
        self._allow_weak = defaults.allow_weak
        self._tokens = TokenReader(defaults.pkcs11_module, environ, allow_weak=self._allow_weak)
        self._files = _Files(self._tokens, allow_weak=self._allow_weak)
        # no secret columns: what is filled into a name stands in the certificate
        names = [n for n in dict.fromkeys(("id", "number", *columns)) if n not in SECRETS]

        def text(name: str, read: Callable[[str], T]) -> Field[T]:
            given: str | None = getattr(defaults, name)
            source = None if given is None else partial(Filled, given, names, read)
            return Field(name, read, source)

        def path(name: str, read: Callable[[Path, str], T]) -> Field[T]:
            given: str | None = getattr(defaults, name)
            own = partial(read, Path())
            source = None if given is None else partial(Filled, given, names, own, in_path=True)
            return Field(name, partial(read, folder), source)

        def path_or_uri(name: str, read: Callable[[Path, str], T]) -> Field[T]:
            given: str | None = getattr(defaults, name)
            own = partial(read, Path())
            source = None
            if given is not None and is_uri(given):
                source = partial(Filled, given, names, own, quote=partial(quote, safe=""))
            elif given is not None:
                source = partial(Filled, given, names, own, in_path=True)

            def of_cell(text: str) -> T:
                value = read(folder, text)
                if isinstance(value, Pkcs11Uri):
                    self._tokens.refuse_other_module(value)
                return value

            return Field(name, of_cell, source)

        def own_template(
            name: str,
            read: Callable[[str], T],
            template: Callable[[str, Sequence[str]], Default[T]],
        ) -> Field[T]:
            given: str | None = getattr(defaults, name)
            return Field(name, read, None if given is None else partial(template, given, names))

        def secret(name: str) -> Field[Secret]:
            given: str | Secret | None = getattr(defaults, name)
            fetch = partial(read_secret, environ=environ, folder=folder, stdin=False)
            if isinstance(given, str):
                source = given
                return Field(name, fetch, lambda: Known(read_secret(source, environ)))
            return Field(name, fetch, None if given is None else partial(Known, given))

        def password(name: str) -> Field[Secret]:
            given: str | Secret | None = getattr(defaults, name)
            length = defaults.out_pass_length
            fetch = partial(read_secret, environ=environ, folder=folder, stdin=False)
            read = partial(made_or, fetch, length)
            if isinstance(given, str):
                assert given == MAKE, "sources of all rows are the caller's"
                return Field(name, read, partial(Made, length))
            return Field(name, read, None if given is None else partial(Known, given))

        self._cmd = text("cmd", read_operation)
        self._days = text("days", partial(read_whole, low=1, high=36500))
        self._priority = text("priority", partial(read_whole, low=0, high=9999))
        self._reason = text("revreason", read_reason)
        self._serial = text("serial", read_serial)
        self._infotype = text("infotype", parse_infotypes)
        self._ref = text("ref", str)
        self._profile = text("profile", str)
        self._subject = own_template("subject", parse_name, NameTemplate)
        self._issuer = own_template("issuer", parse_name, NameTemplate)
        self._sans = own_template("sans", parse_sans, SanTemplate)
        self._key_usage = text("keyusage", parse_key_usage)
        self._ext_key_usage = text("extkeyusage", parse_ext_key_usage)
        self._policies = text("policy_oids", parse_policies)
        self._extensions = own_template("extensions", parse_extensions, ExtensionsTemplate)
        self._extensions_from = path("extensions_from", parse_material)
        self._not_before = text("not_before", read_time)
        self._not_after = text("not_after", read_time)
        self._reg_token = secret("regtoken")
        self._authenticator = secret("authenticator")
        self._reg_info = own_template("reginfo", parse_reg_info, RegInfoTemplate)
        self._newkey = path_or_uri("newkey", read_new_key)
        self._newkeypass = secret("newkeypass").constant
        self._newkey_assumed = defaults.newkey_assumed
        self._out_name = own_template("out_name", str, FileNameTemplate)
        self._out_pass = password("out_pass")
        self._central_keygen = text("centralkeygen", read_yes)
        self._popo = text("popo", read_popo)
        self._secret = secret("secret")
        self._csr = path("csr", parse_material)
        self._cert = path("cert", parse_material)
        self._key = path_or_uri("key", read_key)
        self._keypass = secret("keypass")
        self._oldcert = path("oldcert", parse_material)
        self._old_root = path("oldwithold", parse_material)
        self._crl_cert = path("crlcert", parse_material)
        self._old_crl = path("oldcrl", Path.joinpath)
        self._templated = any(
            field.varies for field in vars(self).values() if isinstance(field, Field)
        )
        self._check_defaults(defaults)

    def _check_defaults(self, defaults: Defaults) -> None:
        """Find what would be wrong in every row: files that can't be read, and contradictions."""
        if defaults.oldcert is not None and defaults.serial is not None:
            raise InputError("--oldcert and --serial exclude each other: both say what to revoke")
        if defaults.days is not None and defaults.not_after is not None:
            raise InputError("--days and --not-after exclude each other: both say when it ends")
        on_token = defaults.key is not None and is_uri(defaults.key)
        for option in ("key", "keypass"):
            given = getattr(defaults, option) and not on_token
            if given and not defaults.cert and not {"cert", "key"} & set(self._columns):
                raise InputError(f"--{option} needs --cert: it is the credential's")
        # a key that is made at the CA proves nothing
        newkey = self._newkey.constant
        if not isinstance(newkey, SameKey | None) and not self._central_keygen.constant:
            popo = None if "popo" in self._columns else self._popo.constant
            with blaming("newkey"):
                self._new_key(newkey, popo or Popo.NONE)
        if self._csr.constant is not None:
            with blaming("csr"):
                self._files.csr(self._csr.constant)
        if self._extensions_from.constant is not None:
            with blaming("extensions_from"):
                self._files.extensions(self._extensions_from.constant)
        for name, known in (
            ("oldcert", self._oldcert),
            ("oldwithold", self._old_root),
            ("crlcert", self._crl_cert),
        ):
            if known.constant is not None:
                with blaming(name):
                    self._files.certificates(known.constant)
        if self._old_crl.constant is not None:
            with blaming("oldcrl"):
                self._files.crl(self._old_crl.constant)
        asked = self._infotype.constant
        if asked is not None and "infotype" not in self._columns:
            for name, oid in _NAMED_BY.items():
                if getattr(defaults, name) is not None and not _is_among(oid, asked):
                    raise InputError(f"{option_name(name)} is for --infotype {name_of(oid)}")
        key, cert = self._key.constant, self._cert.constant
        if {"key", "keypass"} & set(self._columns) or self._key.varies:
            return
        if isinstance(key, Pkcs11Uri):
            if "cert" not in self._columns and not self._cert.varies:
                with blaming("key"):
                    self._files.token_credential(key, cert, self._keypass.constant)
        elif cert is not None:
            try:
                self._files.credential(cert, key, self._keypass.constant)
            except InputError as error:
                with blaming(_at_fault(error, key)):
                    raise

    @property
    def operation(self) -> Operation | None:
        """That of every row; None where rows may differ."""
        if "cmd" in self._columns or self._cmd.varies:
            return None
        if self._cmd.constant is not None:
            return self._cmd.constant
        if self._csr.constant is not None or self._csr.varies:
            return Operation.P10CR
        return None if "csr" in self._columns else Operation.IR

    def forget_files(self) -> None:
        """Read files anew from here on: they may have changed since the last pass."""
        self._files = _Files(self._tokens, allow_weak=self._allow_weak)

    def read(
        self,
        place: Place,
        cells: Mapping[str, str],
        seen: dict[str, int],
        cmd: Operation | None = None,
    ) -> EndEntity | BadRow:
        """Read one row.

        Args:
            cells: by column; empty ones may be absent.
            seen: the line of each id so far; this row's is added.
            cmd: the operation, where neither a cell nor a default says it.
        """
        row = Row(place)
        given = {name: text for name, cell in cells.items() if (text := cell.strip())}
        row.cells = {name: text for name, text in given.items() if name not in self._foremost}
        for name in self._secrets:  # white space at its end is part of a secret
            if name in row.cells:
                row.cells[name] = cells[name].lstrip()

        identity = _read_id(row, seen) if self._has_ids else str(place.number)
        if self._templated:
            row.values = {**given, "number": str(place.number)}
            if identity:
                row.values["id"] = identity

        cmd = self._cmd.get(row) or cmd
        if row.problems and row.failed("cmd"):
            return self._without_operation(row, identity)
        if cmd is None:
            cmd = Operation.P10CR if self._csr.is_given(row) else Operation.IR
        secret = self._secret.get(row)
        credential = self._read_credential(row)
        nameless = secret is None and credential is None and not self._unprotected
        if nameless and not row.failed(*_CREDENTIAL):
            row.add("secret", "no credential: needs secret or cert")
        chain = () if credential is None else credential.chain
        if cmd is Operation.P10CR:
            request = self._read_p10cr(row)
        elif cmd is Operation.RR:
            request = self._read_rr(row, chain)
        elif cmd is Operation.GENM:
            request = self._read_genm(row)
        else:
            request = self._read_template(row, cmd, credential)
        if request.central_keygen and not row.failed(*_CREDENTIAL):
            self._check_recipient(row, secret, credential)
        for column, only in self._restricted:
            if column in row.cells and cmd not in only:
                row.add(column, f"{column} is for {listed(only)}, and this row is {cmd}")
        entity = EndEntity(
            number=place.number,
            line=place.row_line,
            id=identity,
            cmd=cmd,
            subject=request.subject,
            issuer=request.issuer,
            extensions=request.extensions,
            new_key_spec=request.new_key_spec,
            new_key=request.new_key,
            central_keygen=request.central_keygen,
            ref=self._ref.get(row),
            secret=secret,
            days=request.days,
            not_before=request.not_before,
            not_after=request.not_after,
            profile=self._profile.get(row),
            csr=request.csr,
            cert=chain,
            key=None if credential is None else credential.key,
            popo=request.popo,
            old_cert=request.old_cert,
            serial=request.serial,
            revocation_reason=request.reason,
            infos=request.infos,
            reg_token=request.reg_token,
            authenticator=request.authenticator,
            reg_info=request.reg_info,
            priority=self._priority.get(row),
            out_name=self._read_out_name(row, cmd, seen),
            out_pass=self._out_pass.get(row) if cmd in BY_TEMPLATE else None,
        )
        return row.bad(_printable(identity)) if row.problems else entity

    def _read_out_name(self, row: Row, cmd: Operation, seen: dict[str, int]) -> str:
        name = self._out_name.get(row) if cmd.certifies else None
        if name is None:
            return ""
        # an id has no NUL; on some file systems names that differ in case are one
        line = row.place.row_line
        first = seen.setdefault(f"\0{name.lower()}", line)
        if first != line:
            row.add(None, f"--out-name: its files would be {name!r}, as those of line {first}")
        return name

    def _without_operation(self, row: Row, identity: str) -> BadRow:
        """The problems that a row has whatever its operation is."""
        for known in (self._subject, self._sans, self._newkey, self._priority):
            known.get(row)
        self._read_validity(row)
        return row.bad(_printable(identity))

    def id_of(self, place: Place, cells: Mapping[str, str]) -> str:
        """What a bad row is called: its id made printable, as far as it has one."""
        return _printable(cells.get("id", "").strip()) if self._has_ids else str(place.number)

    def _read_credential(self, row: Row) -> Credential | TokenCredential | None:
        key = self._key.get(row)
        if isinstance(key, Pkcs11Uri):
            cert, pin = self._cert.get(row), self._keypass.get(row)
            if row.failed("cert", "keypass"):
                return None
            return row.attempt("key", self._files.token_credential, key, cert, pin)
        if not self._cert.is_given(row):
            for column in ("key", "keypass"):
                if column in row.cells and not row.failed(column):
                    row.add(column, f"{column} is the credential's, and there is no cert")
            return None
        cert, password = self._cert.get(row), self._keypass.get(row)
        if cert is None or row.failed("key", "keypass"):
            return None
        try:
            return self._files.credential(cert, key, password)
        except InputError as error:
            row.add(_at_fault(error, key), str(error), hint=error.hint)
            return None

    def _check_recipient(
        self, row: Row, secret: Secret | None, credential: Credential | TokenCredential | None
    ) -> None:
        """Make sure that the CA can send the private key that it makes (RFC 9483, 4.1.6)."""
        if secret is not None:
            return
        opens = isinstance(credential, Credential) and can_decrypt(credential.key)
        if self._unprotected or not opens:
            row.add(
                "centralkeygen",
                "the CA can't encrypt for this credential the private key that it makes",
                hint="it takes a secret, or a certificate that protects the requests and whose key"
                " is of RSA or EC, not on a token",
            )

    def _read_template(
        self, row: Row, cmd: Operation, credential: Credential | TokenCredential | None
    ) -> "_Request":
        """What the CertReqMsg of an ir, cr or kur takes from the row."""
        chain = () if credential is None else credential.chain
        subject, extensions = self._subject.get(row), self._read_extensions(row)
        central_keygen, popo = bool(self._central_keygen.get(row)), self._popo.get(row)
        is_assumed = self._newkey_assumed and "newkey" not in row.cells
        newkey = None if central_keygen and is_assumed else self._newkey.get(row)
        key: KeySpec | bytes | TokenKey | None = None
        if central_keygen:
            if isinstance(newkey, Path | Pkcs11Uri | SameKey):
                row.add("newkey", "the CA makes the key (centralkeygen): newkey says its type only")
            else:
                key = newkey
        elif newkey is SameKey.SAME:
            key = self._same_key(row, credential, popo or Popo.NONE)
        elif newkey is not None:
            key = row.attempt("newkey", self._new_key, newkey, popo or Popo.NONE)
        elif not self._keys_supplied and not row.failed("newkey"):
            row.add("newkey", "no key: needs newkey")
        has_san = SUBJECT_ALT_NAME in extensions
        unnamed = subject is None and not has_san and not row.failed("subject", *_NAMING)
        if cmd is not Operation.KUR:
            # one certificate for all rows is an RA's: its name is not that of the end entities
            own = self._single or self._cert.is_own(row) or self._oldcert.is_own(row)
            unnamed = unnamed and own
        old_cert = None
        if unnamed or cmd is Operation.KUR or "oldcert" in row.cells:
            old_cert = self._read_old_cert(row, chain)
        if old_cert is not None and (unnamed or cmd is Operation.KUR):
            # as openssl cmp does: what is not said is taken from the reference certificate
            subject = subject or row.attempt("oldcert", certified_subject, old_cert)
            if not has_san and not self._san_nodefault:
                certified = row.attempt("oldcert", certified_extensions, old_cert) or ()
                extensions |= {one.oid: one for one in certified if one.oid == SUBJECT_ALT_NAME}
        elif cmd is Operation.KUR:
            if not row.failed("oldcert", *_CREDENTIAL):
                row.add("oldcert", "kur needs oldcert or cert: the certificate to update")
        elif subject in (None, NULL_DN) and not has_san:
            sources = ("oldcert", *_CREDENTIAL) if unnamed else ()
            if not row.failed("subject", *_NAMING, *sources):
                row.add("subject", f"{cmd} needs a subject or sans")
        days, not_before, not_after = self._read_validity(row)
        return _Request(
            subject=subject,
            issuer=self._issuer.get(row),
            extensions=tuple(extensions.values()),
            days=days,
            not_before=not_before,
            not_after=not_after,
            new_key_spec=key if isinstance(key, KeySpec) else None,
            new_key=None if isinstance(key, KeySpec) else key,
            central_keygen=central_keygen,
            popo=popo or Popo.SIGNATURE,
            old_cert=old_cert if cmd is Operation.KUR else None,
            reg_token=_utf8(row, "regtoken", self._reg_token.get(row)),
            authenticator=_utf8(row, "authenticator", self._authenticator.get(row)),
            reg_info=self._reg_info.get(row),
        )

    def _new_key(
        self, newkey: KeySpec | Path | Pkcs11Uri, popo: Popo
    ) -> KeySpec | bytes | TokenKey:
        """The key to make, or the one that a file or a token has.

        Raises:
            InputError: the file or token can't be used, or the key can't prove itself so.
        """
        if isinstance(newkey, Path):
            return self._files.private_key(newkey, self._newkeypass, popo)
        if isinstance(newkey, Pkcs11Uri):
            if popo.is_indirect:
                raise InputError(f"keys on tokens can't prove possession by {popo} here")
            return self._files.token_key(newkey, self._newkeypass)
        if not newkey.family.proves_by(popo):
            methods = [one for one in Popo if newkey.family.proves_by(one)]
            raise InputError(
                f"{newkey} keys can't prove possession by {popo}",
                hint=f"--popo, or column popo, may be {', '.join(methods)} for them",
            )
        return newkey

    def _same_key(
        self, row: Row, credential: Credential | TokenCredential | None, popo: Popo
    ) -> bytes | TokenKey | None:
        """The key of the credential, to be certified once more."""
        if credential is None:
            if not row.failed(*_CREDENTIAL):
                row.add("newkey", "newkey is same: the key of cert, and there is no cert")
            return None
        if isinstance(credential, TokenCredential):
            if popo.is_indirect:
                row.add("newkey", f"keys on tokens can't prove possession by {popo} here")
            return row.attempt("cert", credential.certifiable)
        return row.attempt("newkey", check_new_key, credential.key, popo)

    def _read_extensions(self, row: Row) -> dict[str, RequestedExtension]:
        """The extensions that the row asks for, by extnID."""
        named = [
            field.get(row)
            for field in (self._sans, self._key_usage, self._ext_key_usage, self._policies)
        ]
        asked: dict[str, RequestedExtension] = {}
        for one in (*named, *(self._extensions.get(row) or ())):
            if one is not None and one.oid in asked:
                row.add("extensions", f"extension {one.oid} is asked for in another column too")
            elif one is not None:
                asked[one.oid] = one
        source = self._extensions_from.get(row)
        if source is None:
            return asked
        copied = row.attempt("extensions_from", self._files.extensions, source) or ()
        return {one.oid: one for one in copied} | asked

    def _read_validity(self, row: Row) -> tuple[int | None, dt.datetime | None, dt.datetime | None]:
        """Days, beginning and end; a cell that says when it ends wins over an option that does."""
        days, not_after = self._days.get(row), self._not_after.get(row)
        not_before = self._not_before.get(row)
        if "days" in row.cells and "not_after" in row.cells:
            row.add("not_after", "days and not_after exclude each other: both say when it ends")
        elif "days" in row.cells:
            not_after = None
        elif "not_after" in row.cells:
            days = None
        if not_before is not None and not_after is not None and not_before >= not_after:
            row.add("not_after", "the validity ends before it begins")
        return days, not_before, not_after

    def _read_p10cr(self, row: Row) -> "_Request":
        if "newkey" in row.cells:
            row.add("newkey", "p10cr has no newkey: the key is the CSR's")
        if not self._csr.is_given(row):
            row.add("csr", "p10cr needs csr")
            return _Request()
        source = self._csr.get(row)
        csr = None if source is None else row.attempt("csr", self._files.csr, source)
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
        reason = self._reason.get(row)
        if {"oldcert", "serial"} <= row.cells.keys():
            row.add("serial", "oldcert names the certificate already")
        elif self._serial.is_given(row) and "oldcert" not in row.cells:
            serial, issuer = self._serial.get(row), self._issuer.get(row)
            if issuer is None and not row.failed("issuer"):
                row.add("issuer", "a serial number needs its issuer")
            # EJBCA's client mode wants the subject too
            subject = self._subject.get(row)
            return _Request(subject=subject, issuer=issuer, serial=serial, reason=reason)
        old_cert = self._read_old_cert(row, chain)
        if old_cert is None and not row.failed("oldcert", *_CREDENTIAL):
            row.add("oldcert", "rr needs oldcert or cert, or serial and issuer: what to revoke")
        return _Request(old_cert=old_cert, reason=reason)

    def _read_genm(self, row: Row) -> "_Request":
        if not self._infotype.is_given(row):
            hint = f"it is one of {', '.join(QUESTIONS)}, or an OID"
            row.add("infotype", "genm needs infotype: what to ask for", hint=hint)
        asked = self._infotype.get(row) or ()
        if not row.failed("infotype"):
            for column, oid in _NAMED_BY.items():
                if column in row.cells and not _is_among(oid, asked):
                    row.add(column, f"{column} is for infotype {name_of(oid)}")
        values: dict[str, bytes | None] = {}
        if _is_among(ROOT_CA_CERT, asked):
            # without it the CA is to know which root is meant
            values[ROOT_CA_CERT] = self._read_certificate(row, "oldwithold", self._old_root)
        if _is_among(CRL_STATUS_LIST, asked):
            values[CRL_STATUS_LIST] = self._read_crl_status_list(row)
        return _Request(
            infos=tuple(replace(one, value=values.get(one.oid, one.value)) for one in asked)
        )

    def _read_crl_status_list(self, row: Row) -> bytes | None:
        certificate = self._read_certificate(row, "crlcert", self._crl_cert)
        path = self._old_crl.get(row)
        crl = None if path is None else row.attempt("oldcrl", self._files.crl, path)
        if row.failed("crlcert", "oldcrl"):
            return None
        if certificate is None and crl is None:
            row.add("crlcert", "crlStatusList needs crlcert or oldcrl: which CRL is asked for")
            return None
        return row.attempt("crlcert", crl_status_list, certificate, crl)

    def _read_certificate(self, row: Row, column: str, field: Field[Material]) -> bytes | None:
        source = field.get(row)
        found = None if source is None else row.attempt(column, self._files.certificates, source)
        return None if found is None else found[0]

    def _read_old_cert(self, row: Row, chain: tuple[bytes, ...]) -> bytes | None:
        if not self._oldcert.is_given(row):
            return chain[0] if chain else None
        return self._read_certificate(row, "oldcert", self._oldcert)


class _Request(NamedTuple):
    """What a row asks for, as far as it depends on its operation."""

    subject: bytes | None = None
    issuer: bytes | None = None
    extensions: tuple[RequestedExtension, ...] = ()
    days: int | None = None
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None
    new_key_spec: KeySpec | None = None
    new_key: bytes | TokenKey | None = None
    central_keygen: bool = False
    popo: Popo = Popo.SIGNATURE
    csr: bytes | None = None
    old_cert: bytes | None = None
    serial: int | None = None
    reason: RevocationReason | None = None
    infos: tuple[Itav, ...] = ()
    reg_token: Secret | None = None
    authenticator: Secret | None = None
    reg_info: str | None = None


class _Files:
    """The files that rows name, each kind kept for the rows that share one."""

    def __init__(self, tokens: TokenReader, *, allow_weak: bool) -> None:
        self.certificates = lru_cache(_CACHED)(read_certificates)
        self.private_key = lru_cache(_CACHED)(partial(read_private_key, allow_weak=allow_weak))
        self.credential = lru_cache(_CACHED)(partial(read_credential, allow_weak=allow_weak))
        self.token_credential = lru_cache(_CACHED)(tokens.credential)
        self.token_key = lru_cache(_CACHED)(tokens.new_key)
        self.csr = lru_cache(_CACHED)(partial(read_csr, allow_weak=allow_weak))
        self.extensions = lru_cache(_CACHED)(read_extensions)
        self.crl = lru_cache(_CACHED)(read_crl)


def _is_among(oid: str, asked: Iterable[Itav]) -> bool:
    return any(one.oid == oid for one in asked)


def _utf8(row: Row, column: str, secret: Secret | None) -> Secret | None:
    """A secret that travels as a UTF8String."""
    try:
        if secret is not None:
            secret.reveal().decode()
    except UnicodeDecodeError:
        row.add(column, f"{column} is not valid UTF-8 text")
        return None
    return secret


def _read_id(row: Row, seen: dict[str, int]) -> str:
    identity = row.cells.get("id", "")
    if not identity:
        row.add("id", "the id is empty")
        return ""
    if not identity.isprintable():
        row.add("id", "the id has a control or another unprintable character")
    if len(identity) > ID_LIMIT:
        row.add("id", f"the id has {len(identity)} characters; {ID_LIMIT} are allowed")
    first = seen.get(identity)
    if first is None:
        seen[identity] = row.place.row_line
    else:
        unit = "row" if row.place.line is None else "line"
        row.add("id", f"duplicate id {_printable(identity)!r}: {unit} {first} has it")
    return identity


def _printable(identity: str) -> str:
    return (identity if identity.isprintable() else ascii(identity)[1:-1])[:ID_LIMIT]


def _at_fault(error: InputError, key: Path | None) -> str:
    """Whether a credential's key or its certificate can't be used."""
    is_of_key = key is not None and error.where is not None and error.where.file == str(key)
    return "key" if is_of_key else "cert"
