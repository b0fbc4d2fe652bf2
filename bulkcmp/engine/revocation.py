"""Which certificates are to be revoked, the rows of the run that does it, and whether a CRL says it
too."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bulkcmp.cmp.crl import Revocation
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.engine.crl import Revocations, read_revocations
from bulkcmp.engine.frame import Setup
from bulkcmp.engine.holding import Held, Holding
from bulkcmp.engine.renewal import newest_of
from bulkcmp.engine.server import trust_of
from bulkcmp.errors import InputError, LocalCmpError
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.restriction import CELLS
from bulkcmp.inputs.row import COLUMNS
from bulkcmp.inputs.serials import SerialList
from bulkcmp.model import Operation


class Left(StrEnum):
    """Why a certificate is left out; the texts stand in summaries."""

    DUPLICATE = "duplicate"
    CA = "a CA's"
    NOT_RENEWED = "not renewed"
    NOT_CHOSEN = "not among --ids"
    NO_SERIAL = "without a serial number"
    UNREADABLE = "unreadable"
    NONE = "no certificate"

    @property
    def is_failure(self) -> bool:
        """Whether it may be one that should be revoked."""
        return self is Left.UNREADABLE


@dataclass(frozen=True, slots=True)
class Target:
    """A certificate to revoke.

    Attributes:
        issuer: DER of the Name.
        cells: of the row that revokes it.
        der: of the certificate, where it is at hand.
    """

    id: str
    issuer: bytes
    serial: int
    cells: Mapping[str, str]
    der: bytes | None = None


@dataclass(slots=True)
class Selection:
    """What is to be revoked, and what is left out.

    Attributes:
        flaws: what is wrong with those that can't be read.
    """

    targets: list[Target] = field(default_factory=list)
    left: Counter[Left] = field(default_factory=Counter)
    flaws: list[str] = field(default_factory=list)
    _seen: set[tuple[bytes, int]] = field(default_factory=set)
    _ids: set[str] = field(default_factory=set)

    def add(self, target: Target) -> None:
        """Take a certificate in, once."""
        if (target.issuer, target.serial) in self._seen:
            self.left[Left.DUPLICATE] += 1
            return
        self._seen.add((target.issuer, target.serial))
        if target.id in self._ids:
            # several certificates of one end entity
            name = f"{target.id}.{target.serial:X}"
            target = Target(name, target.issuer, target.serial, target.cells, target.der)
        self._ids.add(target.id)
        self.targets.append(target)

    def population(self) -> tuple[tuple[str, ...], list[dict[str, str]]]:
        """Columns and rows of the run that revokes it all."""
        rows = [{**one.cells, "id": one.id} for one in self.targets]
        used = {name for row in rows for name in row}
        return tuple(name for name in COLUMNS if name in used), rows


_OWN: Final = ("cert", "key", "keypass")


def select(
    holding: Holding, *, by_ra: bool, renewed_only: bool, ids: Collection[str] | None
) -> Selection:
    """The certificates of a holding that are to be revoked.

    Args:
        by_ra: requests are protected by a credential of the command line.
        renewed_only: those alone that a newer one, which is good, has taken the place of.
        ids: of those alone that are meant; None for all.

    Raises:
        InputError: there is none of an id.
    """
    selection = Selection()
    newest = newest_of(holding.held)
    known: set[str] = set()
    for held in holding.held:
        known.add(held.id)
        if ids is not None and held.id not in ids:
            selection.left[Left.NOT_CHOSEN] += 1
        elif held.certificate is None and held.flaw is None:
            selection.left[Left.NONE] += 1
        elif held.certificate is None:
            selection.left[Left.UNREADABLE] += 1
            selection.flaws.append(str(held.flaw))
        elif held.certificate.is_ca:
            selection.left[Left.CA] += 1
        elif renewed_only and not _is_renewed(held, holding, newest):
            selection.left[Left.NOT_RENEWED] += 1
        else:
            certificate = held.certificate
            cells = _cells(held, by_ra=by_ra)
            target = Target(held.id, certificate.issuer, certificate.serial, cells, certificate.der)
            selection.add(target)
    unknown = sorted(set(ids or ()) - known)
    if unknown:
        raise InputError(f"--ids: there is no {unknown[0]!r} in {holding.path}")
    return selection


def _is_renewed(held: Held, holding: Holding, newest: Mapping[str, Held]) -> bool:
    best = newest.get(held.family, held)
    # a renewal that is not over may yet be undone
    return best is not held and not held.refused and held.id not in holding.open_in


def _cells(held: Held, *, by_ra: bool) -> dict[str, str]:
    foreign = {name for name, only in CELLS.items() if Operation.RR not in only}
    kept = {name: text for name, text in held.cells.items() if name not in foreign and text}
    kept = {name: text for name, text in kept.items() if name not in _OF_ENROLLMENT}
    if by_ra or "cert" not in kept:
        assert held.certificate is not None, "only what can be read is revoked"
        kept = {name: text for name, text in kept.items() if name not in _OWN}
        kept["oldcert"] = held.certificate.cell
    return kept


_OF_ENROLLMENT: Final = ("newkey", "subject", "sans", "days", "popo", "issuer", "serial")
"""Cells of a row that asked for a certificate, and of no use for revoking it."""


def select_listed(listed: SerialList, issuer: str | None) -> Selection:
    """The certificates of a list of serial numbers.

    Args:
        issuer: of those whose line names none.

    Raises:
        InputError: one has no issuer.
    """
    selection = Selection()
    if listed.without:
        selection.left[Left.NO_SERIAL] = listed.without
    for one in listed.listed:
        name = one.cells.get("issuer") or issuer
        if name is None:
            raise InputError(
                f"line {one.line}: whose serial number is {one.serial:X}?",
                hint="give --issuer DN, or a column issuer",
            )
        cells = {**one.cells, "serial": f"0x{one.serial:X}", "issuer": name}
        identity = cells.get("id") or f"{one.serial:X}"
        selection.add(Target(identity, parse_name(name), one.serial, cells))
    return selection


# --- confirmation by CRLs -------------------------------------------------------------------------


class Confirmation(StrEnum):
    """What the CRLs say of a certificate that was revoked."""

    CONFIRMED = "confirmed"
    MISSING = "not in the CRL"
    OLDER = "the CRL is older than the run"
    UNKNOWN = "no CRL tells"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Attributes:
    revocation: as the CRL has it, where it has it.
    """

    target: Target
    confirmation: Confirmation
    revocation: Revocation | None = None


async def confirm(
    targets: Sequence[Target], sources: Iterable[str], setup: Setup, since: dt.datetime
) -> list[Confirmed]:
    """Look revoked certificates up in CRLs.

    Args:
        sources: as of `read_revocations`.
        since: when the run began: what an older CRL lacks, a newer one may have.

    Raises:
        InputError: a CRL can't be had, or is not to be believed.
    """
    trust = trust_of(setup)
    if trust is None:
        raise LocalCmpError("a CRL needs a trust anchor to be believed", hint="give --trusted FILE")
    found = await read_revocations(
        sources,
        Evidence(trust, (), dt.datetime.now(dt.UTC)),
        certificates=[one.der for one in targets if one.der is not None],
        proxy=setup.proxy,
    )
    return list(confirmed_by(found, targets, since))


def confirmed_by(
    found: Revocations, targets: Sequence[Target], since: dt.datetime
) -> Iterator[Confirmed]:
    """What CRLs say of certificates, in their order."""
    serials: dict[bytes, list[int]] = {}
    for one in targets:
        serials.setdefault(one.issuer, []).append(one.serial)
    statuses = {issuer: found.statuses(issuer, those) for issuer, those in serials.items()}
    absent = {issuer: _absent(found, issuer, since) for issuer in serials}
    for one in targets:
        revocation = statuses[one.issuer].get(one.serial)
        if revocation is None:
            yield Confirmed(one, absent[one.issuer])
        else:
            yield Confirmed(one, Confirmation.CONFIRMED, revocation)


def _absent(found: Revocations, issuer: bytes, since: dt.datetime) -> Confirmation:
    """What it means that a certificate of an issuer is in no CRL."""
    made = found.as_of(issuer)
    if made is None:
        return Confirmation.UNKNOWN
    # a CRL's times are of whole seconds
    return Confirmation.OLDER if made < since.replace(microsecond=0) else Confirmation.MISSING


def listed_confirmations(confirmed: Iterable[Confirmed]) -> Iterator[tuple[str, ...]]:
    """The lines of confirmation.csv, its header first."""
    yield ("id", "serial", "confirmation", "revoked_at", "reason")
    for one in confirmed:
        revocation = one.revocation
        yield (
            one.target.id,
            f"{one.target.serial:X}",
            one.confirmation.value,
            "" if revocation is None else f"{revocation.at:%Y-%m-%dT%H:%M:%SZ}",
            "" if revocation is None else revocation.reason.name.lower(),
        )
