"""End entities that have to be known to a CA before they enroll in client mode."""

import csv
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.credential import requested_subject
from bulkcmp.inputs.name import format_name
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.row import Defaults
from bulkcmp.model import BadRow, EndEntity, Operation, Secret
from bulkcmp.testca.aliases import Alias, Mode, named
from bulkcmp.testca.enrollment import common_name
from bulkcmp.testca.store import Registration

DEFAULT_EJBCA_CA: Final = "ManagementCA"
_SECRET_OCTETS: Final = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of a population, as an end entity to register.

    Attributes:
        user: its name at the CA: the reference value of its requests and the CN of its subject.
        subject: DER Name.
        secret: None where the row has none.
    """

    id: str
    line: int
    user: str
    subject: bytes
    secret: Secret | None


def client_alias(name: str) -> Alias:
    """The alias of that name, at which end entities are registered.

    Raises:
        InputError: there is no such alias, or it is an RA's, at which nobody is registered.
    """
    alias = named(name)
    if alias.mode is Mode.RA:
        raise InputError(
            f"at alias {name} the RA registers end entities itself",
            hint="register them for client-hmac, client-cert, client-regtoken, 3gpp or nested",
        )
    return alias


def read_candidates(
    path: Path,
    environ: Mapping[str, str],
    *,
    subject: str | None = None,
    ref: str | None = None,
    secret: Secret | None = None,
) -> Iterator[Candidate]:
    """The end entities of a population, row by row; rows that revoke are left out.

    Args:
        path: as `enroll` takes it.
        environ: where `env:` secrets are looked up.
        subject, ref: templates for rows without.
        secret: for rows without.

    Raises:
        InputError: the file or a row can't be used, or two rows are the same end entity.
    """
    # rows need a credential to be good; this one stands for none, and is told by its identity
    none = Secret(b"none")
    defaults = Defaults(subject=subject, ref=ref, secret=secret or none, keys_supplied=True)
    lines: dict[str, int] = {}
    for row in Population(open_source(path), defaults, environ).rows():
        if isinstance(row, BadRow):
            raise row.problems[0]
        if row.cmd is Operation.RR:
            continue
        candidate = _candidate(path, row, None if row.secret is none else row.secret)
        before = lines.setdefault(candidate.user, candidate.line)
        if before != candidate.line:
            raise InputError(
                f"end entity {candidate.user!r} stands in line {before} already",
                where=Where(str(path), row.line, row=row.number),
            )
        yield candidate


def _candidate(path: Path, row: EndEntity, secret: Secret | None) -> Candidate:
    subject = requested_subject(row.csr) if row.csr is not None else row.subject
    name = common_name(subject)
    where = Where(str(path), row.line, "subject", row.number)
    if subject is None or name is None:
        raise InputError(
            "no CN in the subject: client mode takes the user name from it",
            where=where,
            hint="give the row a subject, or --subject '/CN={id}'",
        )
    if row.ref is not None and row.ref != name:
        raise InputError(
            f"the subject's CN is {name!r}, but the reference is {row.ref!r}",
            where=where,
            hint="client mode takes the user name from the CN: make them equal",
        )
    return Candidate(row.id, row.line, name, subject, secret)


def register_one(user: str, subject: bytes, secret: Secret | None, alias: Alias) -> Registration:
    """What the embedded CA's books say of one end entity; `subject` is a DER Name.

    Raises:
        InputError: a CN other than the user name, or no secret where the alias wants one.
    """
    if common_name(subject) != user:
        raise InputError(
            f"the subject {format_name(subject)} has not the user name {user!r} as its CN",
            hint="client mode takes the user name from the CN: make them equal",
        )
    if secret is None and alias.needs_secret:
        raise InputError(f"alias {alias.name} wants a secret", hint="give --secret SOURCE")
    return Registration(user, alias.name, subject, secret)


def registrations(
    candidates: Iterable[Candidate], alias: Alias, path: Path
) -> Iterator[Registration]:
    """What the embedded CA's books say of the end entities.

    Raises:
        InputError: no secret where the alias wants one.
    """
    for candidate in candidates:
        if candidate.secret is None and alias.needs_secret:
            raise InputError(
                f"end entity {candidate.user!r} has no secret",
                where=Where(str(path), candidate.line, "secret"),
                hint="add a column `secret`, or give --secret for all",
            )
        yield Registration(candidate.user, alias.name, candidate.subject, candidate.secret)


def require_secrets(candidates: Iterable[Candidate], path: Path) -> None:
    """Refuse end entities without a secret.

    Raises:
        InputError: naming the first of them.
    """
    for candidate in candidates:
        if candidate.secret is None:
            raise InputError(
                f"end entity {candidate.user!r} has no secret, and one made for it would be lost",
                where=Where(str(path), candidate.line, "secret"),
                hint="give --secrets FILE, where the new secrets are written for enroll",
            )


def with_secrets(candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, str]]:
    """Each end entity with the text of its secret, a new random one where it has none.

    Raises:
        InputError: a secret that is no UTF-8 text, which no operator can type.
    """
    for candidate in candidates:
        if candidate.secret is None:
            yield candidate, secrets.token_hex(_SECRET_OCTETS)
            continue
        try:
            yield candidate, candidate.secret.reveal().decode()
        except UnicodeDecodeError:
            raise InputError(
                f"the secret of {candidate.user!r} is no UTF-8 text",
                hint="take another secret for it",
            ) from None


def ejbca_commands(
    candidates: Iterable[tuple[Candidate, str]],
    ca_name: str = DEFAULT_EJBCA_CA,
    end_entity_profile: str | None = None,
    certificate_profile: str | None = None,
) -> Iterator[str]:
    """One line of shell for each end entity, which registers it at an EJBCA for client mode.

    EJBCA checks a MAC against a password in clear text only, which `addendentity` does not store:
    `setclearpwd` does.
    """
    profiles = []
    if end_entity_profile is not None:
        profiles += ["--eeprofile", end_entity_profile]
    if certificate_profile is not None:
        profiles += ["--certprofile", certificate_profile]
    for candidate, secret in candidates:
        add = [
            "ejbca.sh", "ra", "addendentity",
            "--username", candidate.user,
            "--dn", format_name(candidate.subject),
            "--caname", ca_name,
            "--type", "1",
            "--token", "USERGENERATED",
            "--password", secret,
            *profiles,
        ]  # fmt: skip
        clear = [
            "ejbca.sh", "ra", "setclearpwd",
            "--username", candidate.user,
            "--password", secret,
        ]  # fmt: skip
        yield f"{shlex.join(add)} && {shlex.join(clear)}"


def write_csv(candidates: Iterable[tuple[Candidate, str]], file: TextIO) -> None:
    """Write the end entities as a population: `enroll` and `ca add-end-entity --csv` read it."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("id", "ref", "secret", "subject"))
    for candidate, secret in candidates:
        subject = format_name(candidate.subject)
        writer.writerow((candidate.id, candidate.user, f"pass:{secret}", subject))
