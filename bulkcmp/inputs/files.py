"""Files of certificates, keystores and requests: a folder, an archive or one file, as a source."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.archive import Member, members
from bulkcmp.inputs.attribute import (
    CERTIFICATE_ATTRIBUTES,
    REQUEST_ATTRIBUTES,
    Values,
    certificate_values,
    request_values,
)
from bulkcmp.inputs.content import Content, end_entities, read_content
from bulkcmp.inputs.credential import read_credential
from bulkcmp.inputs.secret import list_source, read_passwords, read_secret
from bulkcmp.inputs.source import Place, Record
from bulkcmp.model import Secret

_KEY_SUFFIXES: Final = (".key.pem", ".key", ".key.der", "-key.pem", ".p8")
"""What the key of `dev1.pem` or `dev1.crt` may be called, `dev1` and one of these."""

_OWN: Final = ("file", "folder", "stem", "credential", "credential.key", "credential.pass")


class Passwords:
    """Where the passwords of PKCS#12 and key files come from.

    Args:
        source: `env:NAME` or `file:PATH`: of all files; or `list:PATH`: a CSV of names and
            passwords, where a name is that of a file, with or without its folder or its suffix.
        environ: where `env:` is looked up.

    Raises:
        InputError: the source gives nothing; or it is the password itself, which would stand in
            the rows.
    """

    def __init__(self, source: str, environ: Mapping[str, str]) -> None:
        kind, _, rest = source.partition(":")
        self._environ = environ
        self._list: Mapping[str, Secret] | None = None
        if kind in ("file", "list"):
            # cells are read relative to another folder
            source = f"{kind}:{Path(rest).absolute()}"
        if kind == "list":
            self._list = read_passwords(Path(rest))
        elif kind in ("env", "file"):
            read_secret(source, environ)
        else:
            raise InputError(
                "a password of files is named by where it is (its text is not shown here)",
                hint="write env:NAME or file:PATH for all of them, or list:PATH of a CSV of name"
                " and password",
            )
        self._source = source

    def cell(self, file: str) -> str | None:
        """The cell that says where the password of a file is; None where the list has none."""
        if self._list is None:
            return self._source
        path = PurePosixPath(file)
        for name in (file, str(path.with_suffix("")), path.name, path.stem):
            if name in self._list:
                return list_source(self._source, name)
        return None

    def secret(self, cell: str) -> Secret:
        """The password that a cell of `cell` names."""
        return read_secret(cell, self._environ)


class FilesSource:
    """The certificates and requests of files, one record each.

    A file may hold certificates (PEM, DER or PKCS#7), of which those that issued others of it and
    those of CAs are no records; PKCS#10 requests (PEM or DER), whose signatures are checked; or a
    PKCS#12. Files of private keys alone are passed over.

    `file` is the path within the folder or archive, `folder` that of its folder there, `stem` the
    name without the last suffix; where a file makes several records, with `-1`, `-2` and so on. A
    certificate has the attributes of `certificate_values`, a request those of `request_values`.
    Where the private key of a certificate stands beside it, `credential` is the path for the
    column `cert`, `credential.key` that for `key`, and `credential.pass` the source for `keypass`:
    keys stay where they are, and so a PKCS#12 in an archive is a problem.

    Args:
        path: of the folder, the archive or the file.
        passwords: None where no file has one.
    """

    attributes: tuple[str, ...] = (*_OWN, *CERTIFICATE_ATTRIBUTES, *REQUEST_ATTRIBUTES)

    def __init__(self, path: Path, passwords: Passwords | None = None) -> None:
        self.path = path
        self.name = str(path)
        self.folder = path if path.is_dir() else path.parent
        self._passwords = passwords

    def records(self) -> Iterator[Record]:
        """The records in the order of the files, each with its problems.

        Raises:
            InputError: the folder or the archive can't be read, or has no files.
        """
        number = 0
        is_empty = True
        for member in members(self.path):
            is_empty = False
            shown = self.name if self.path == member.path else f"{self.name}/{_text(member.name)}"
            for values, problem in self._read(member):
                number += 1
                place = Place(shown, None, number)
                if problem is None:
                    yield Record(place, values)
                else:
                    again = InputError(problem.what, where=place.where(), hint=problem.hint)
                    yield Record(place, values, (again,))
        if is_empty:
            raise InputError(f"{self.name}: no files in it")

    def digest(self) -> str:
        """SHA-256, hex, of the names of all files and what is in them.

        Raises:
            InputError: the folder or the archive can't be read.
        """
        digest = hashlib.sha256()
        for member in members(self.path):
            content = hashlib.sha256(member.data).hexdigest()
            digest.update(f"{content} {member.name}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _read(self, member: Member) -> list[tuple[Values, InputError | None]]:
        """What a file gives: the attributes of each record, or the problem that it has."""
        path = PurePosixPath(_text(member.name))
        own: Values = {"file": (str(path),), "stem": (path.stem,)}
        if path.parent.name:
            own["folder"] = (str(path.parent),)
        try:
            if member.problem is not None:
                raise member.problem
            if str(path) != str(PurePosixPath(member.name)):
                raise InputError("its name is not UTF-8")
            content = read_content(member.data)
            credential = self._credential(member, content)
            found = [
                certificate_values((der,)) | credential
                for der in self._certificates(member, content, credential)
            ]
            found += map(request_values, content.requests)
        except InputError as error:
            return [(own, error)]
        if len(found) > 1:
            # a key is that of one certificate
            found = [
                {name: texts for name, texts in one.items() if name not in credential}
                | {"stem": (f"{path.stem}-{number}",)}
                for number, one in enumerate(found, start=1)
            ]
        return [(own | one, None) for one in found]

    def _certificates(
        self, member: Member, content: Content, credential: Values
    ) -> tuple[bytes, ...]:
        if not content.is_pkcs12:
            return end_entities(content.certificates) if content.certificates else ()
        if member.path is None:
            raise InputError(
                "a PKCS#12 in an archive: its private key would have to be copied out of it",
                hint="unpack the archive, and name the folder",
            )
        cell = credential.get("credential.pass")
        if cell is None and self._passwords is not None:
            raise InputError("the list of passwords has none for the PKCS#12")
        password = (
            None if cell is None or self._passwords is None else self._passwords.secret(*cell)
        )
        try:
            chain = read_credential(member.path, None, password, allow_weak=True).chain
        except InputError as error:
            hint = "say with --source-pass where its password is" if password is None else None
            raise InputError(error.what, hint=error.hint or hint) from None
        if end_entities(chain) != chain[:1]:
            raise InputError(
                "the PKCS#12 holds certificates of several end entities, and one key of it would be"
                " read",
                hint="put each into a PKCS#12 of its own",
            )
        return chain[:1]

    def _credential(self, member: Member, content: Content) -> Values:
        """Where the key of the file's certificate is, if it is beside it."""
        if member.path is None or content.requests:
            return {}
        values = {"credential": str(member.path.absolute())}
        if not content.has_key:
            stem = member.path.name.removesuffix(member.path.suffix)
            beside = (member.path.with_name(stem + suffix) for suffix in _KEY_SUFFIXES)
            key = next((one for one in beside if one != member.path and one.is_file()), None)
            if key is None:
                return {}
            values["credential.key"] = str(key.absolute())
        cell = None if self._passwords is None else self._passwords.cell(member.name)
        if cell is not None:
            values["credential.pass"] = cell
        return {name: (text,) for name, text in values.items()}


def _text(name: str) -> str:
    """A name as it can be shown: of octets that are no text, `?` is left."""
    return name.encode("utf-8", "replace").decode()
