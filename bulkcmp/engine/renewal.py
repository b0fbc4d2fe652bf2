"""Which of the certificates that are there are due, and the rows of the run that renews them."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from bulkcmp.engine.holding import Held, Holding, Kept
from bulkcmp.engine.retrieval import Opening, Openings, signer_cells
from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import PassphraseError, certified_key_spec, read_credential
from bulkcmp.inputs.material import parse_material
from bulkcmp.inputs.restriction import CELLS
from bulkcmp.inputs.row import COLUMNS
from bulkcmp.inputs.secret import read_secret
from bulkcmp.model import KeyFamily, KeySpec, Operation, Popo, Secret
from bulkcmp.token.uri import is_uri


class Expired(StrEnum):
    """What is done with certificates whose validity is over."""

    SKIP = "skip"
    RENEW = "renew"


class Standing(StrEnum):
    """How a certificate stands towards a renewal; the texts stand in due.csv and in summaries."""

    DUE = "due"
    NO_KEY = "due, without a private key"
    LOCKED = "due, its private key under another passphrase"
    UNUSABLE = "due, but can't be used"
    OTHER_KEY = "due, with a key of a type that is not made"
    OPEN = "due, its last run not over"
    NOT_DUE = "not due yet"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    REFUSED = "refused when it was issued"
    CA = "a CA's"
    SEALED = "sealed under another passphrase"
    UNREADABLE = "unreadable"
    NONE = "no certificate"

    @property
    def is_due(self) -> bool:
        """Whether it goes into the run."""
        return self in _DUE

    @property
    def is_failure(self) -> bool:
        """Whether something that should be renewed can't be, or may be such a thing."""
        return self in _FAILURES


_WANTS_KEY: Final = frozenset({Standing.NO_KEY, Standing.LOCKED, Standing.UNUSABLE})
_DUE: Final = _WANTS_KEY | {Standing.DUE}
_FAILURES: Final = _WANTS_KEY | {
    Standing.OTHER_KEY,
    Standing.OPEN,
    Standing.SEALED,
    Standing.UNREADABLE,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is due, and how it is renewed.

    Attributes:
        cmd: ir, cr or kur.
        within: from now on; what expires in it is due.
        expired: what is done with what has expired already.
        by_ra: the requests are protected by a credential of the command line, not by each
            certificate's own.
        keeps_type: a new key is made of the type that the old one is of.
        popo: as the user says; None where not.
        password: of private keys whose cells name none.
    """

    cmd: Operation
    within: dt.timedelta
    expired: Expired
    by_ra: bool
    keeps_type: bool
    popo: Popo | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A certificate and how it stands.

    Attributes:
        detail: one line for a human.
        opening: what opens the journal that has its private key, where no file does.
    """

    held: Held
    standing: Standing
    detail: str = ""
    opening: Opening | None = None


def judge(
    holding: Holding, rule: Rule, now: dt.datetime, environ: Mapping[str, str]
) -> list[Judged]:
    """How each certificate stands, in the order of the holding.

    The private keys of those that are due are tried.

    Args:
        environ: where `env:` sources are looked up.
    """
    judging = _Judging(holding, rule, now, environ)
    return [judging.judged(held) for held in holding.held]


def newest_of(held: Iterable[Held]) -> dict[str, Held]:
    """The newest certificate of each family."""
    newest: dict[str, Held] = {}
    for one in held:
        if one.certificate is None or one.refused or not one.family:
            continue
        best = newest.get(one.family)
        if best is None or _age(one) >= _age(best):
            newest[one.family] = one
    return newest


def _age(held: Held) -> tuple[dt.datetime, dt.datetime]:
    assert held.certificate is not None, "only such are compared"
    return held.certificate.not_before, held.certificate.not_after


class _Judging:
    """Judges the certificates of a holding one by one."""

    def __init__(
        self, holding: Holding, rule: Rule, now: dt.datetime, environ: Mapping[str, str]
    ) -> None:
        self._open_in = holding.open_in
        self._revoked = holding.revoked
        self._openings = Openings(holding, rule.password, environ)
        self._rule = rule
        self._now = now
        self._environ = environ
        self._newest = newest_of(holding.held)
        self._seen: set[bytes] = set()

    def judged(self, held: Held) -> Judged:
        certificate = held.certificate
        if certificate is None:
            return _unread(held)
        if held.refused:
            return Judged(held, Standing.REFUSED)
        if certificate.is_ca:
            return Judged(held, Standing.CA)
        best = self._newest.get(held.family, held)
        assert best.certificate is not None, "only such are compared"
        is_again = best is not held and best.certificate.der == certificate.der
        if is_again or certificate.der in self._seen:
            return Judged(held, Standing.DUPLICATE)
        if best is not held:
            return Judged(held, Standing.SUPERSEDED, f"by {best.place}")
        self._seen.add(certificate.der)
        if (certificate.issuer, certificate.serial) in self._revoked:
            return Judged(held, Standing.REVOKED)
        return self._by_its_end(held, certificate.not_after)

    def _by_its_end(self, held: Held, not_after: dt.datetime) -> Judged:
        if not_after > self._now + self._rule.within:
            return Judged(held, Standing.NOT_DUE)
        if not_after <= self._now and self._rule.expired is Expired.SKIP:
            return Judged(held, Standing.EXPIRED)
        if held.id in self._open_in:
            run = self._open_in[held.id]
            return Judged(held, Standing.OPEN, f"bulkcmp resume {run} goes on with it")
        tried = _tried(held, self._rule, self._environ)
        if tried.standing not in _WANTS_KEY or held.kept is None:
            return tried
        try:
            return Judged(held, Standing.DUE, opening=self._openings.of(held.kept.run))
        except PassphraseError as error:
            return Judged(held, Standing.LOCKED, str(error))


def _unread(held: Held) -> Judged:
    if held.flaw is None:
        return Judged(held, Standing.NONE)
    sealed = isinstance(held.flaw, PassphraseError)
    return Judged(held, Standing.SEALED if sealed else Standing.UNREADABLE, str(held.flaw))


def _tried(held: Held, rule: Rule, environ: Mapping[str, str]) -> Judged:
    """How a certificate that is due stands: whether a request for it can be made."""
    if _makes_key(held, rule) and _key_spec(held) is None:
        hint = "--newkey says which type the new key shall be of, or that it is the same"
        return Judged(held, Standing.OTHER_KEY, hint)
    if rule.by_ra:
        return Judged(held, Standing.DUE)
    key = held.cells.get("key")
    if not held.has_key or (key is not None and not is_uri(key) and not Path(key).exists()):
        return Judged(held, Standing.NO_KEY, "" if key is None else f"{key}: no such file")
    try:
        _try_key(held, rule, environ)
    except PassphraseError as error:
        return Judged(held, Standing.LOCKED, str(error))
    except InputError as error:
        return Judged(held, Standing.UNUSABLE, str(error))
    return Judged(held, Standing.DUE)


def _try_key(held: Held, rule: Rule, environ: Mapping[str, str]) -> None:
    """
    Raises:
        InputError: the private key can't be used.
    """
    cert, key = held.cells.get("cert"), held.cells.get("key")
    if cert is None or (key is not None and is_uri(key)):
        # a secret, or a key on a token, which is asked when the run begins
        return
    source = held.cells.get("keypass")
    password = read_secret(source, environ, stdin=False) if source else rule.password
    read_credential(
        parse_material(Path(), cert), Path(key) if key else None, password, allow_weak=True
    )


def _makes_key(held: Held, rule: Rule) -> bool:
    """Whether a key of the old one's type is made."""
    return rule.keeps_type and "newkey" not in held.cells


def _key_spec(held: Held) -> KeySpec | None:
    assert held.certificate is not None, "only what can be read is due"
    return certified_key_spec(held.certificate.der)


def counted(judged: Iterable[Judged]) -> dict[Standing, int]:
    """How many certificates stand how, in the order of `Standing`."""
    counts = Counter(one.standing for one in judged)
    return {standing: counts[standing] for standing in Standing if counts[standing]}


# --- the population of the run --------------------------------------------------------------------


def signers(judged: Iterable[Judged]) -> list[tuple[Kept, Opening]]:
    """Those whose private keys only journals have, with what opens these."""
    return [
        (one.held.kept, one.opening)
        for one in judged
        if one.opening is not None and one.held.kept is not None
    ]


def population(
    judged: Iterable[Judged], rule: Rule, folder: Path
) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The columns and rows of a population of all that is due.

    What is due and can't be used is among it, for it is a bad row of the run, and once it is mended
    `bulkcmp resume --retry-failed` renews it.

    Args:
        folder: in which `write_signers` writes what only journals have.
    """
    rows = [_row(one, rule, folder) for one in judged if one.standing.is_due]
    used = {name for row in rows for name in row}
    return tuple(name for name in COLUMNS if name in used), rows


def _row(one: Judged, rule: Rule, folder: Path) -> dict[str, str]:
    held = one.held
    foreign = {name for name, only in CELLS.items() if rule.cmd not in only}
    known = dict(held.cells)
    if one.opening is not None:
        known |= signer_cells(folder, held, one.opening)
    cells = {name: text for name, text in known.items() if name not in foreign and text}
    if rule.by_ra:
        cells = {name: text for name, text in cells.items() if name not in _OWN}
        assert held.certificate is not None, "only what can be read is due"
        cells["oldcert"] = held.certificate.cell
    cells |= {"id": held.id, "cmd": rule.cmd.value}
    if _makes_key(held, rule):
        spec = _key_spec(held)
        assert spec is not None, "it is due"
        cells["newkey"] = str(spec)
        if rule.popo is None and spec.family in _INDIRECT:
            cells.setdefault("popo", _INDIRECT[spec.family].value)
    return cells


_OWN: Final = ("cert", "key", "keypass")

_INDIRECT: Final = {KeyFamily.ML_KEM: Popo.KEY_ENCIPHERMENT}
"""How keys that can't sign prove that they are there, where the user does not say it."""


def listed(judged: Iterable[Judged]) -> Iterator[tuple[str, ...]]:
    """The lines of due.csv, its header first."""
    yield ("id", "due", "standing", "not_after", "serial", "subject", "place", "detail")
    for one in judged:
        certificate = one.held.certificate
        yield (
            one.held.id,
            "yes" if one.standing is Standing.DUE else "no",
            one.standing.value,
            "" if certificate is None else f"{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
            "" if certificate is None else f"{certificate.serial:X}",
            "" if certificate is None else certificate.subject,
            one.held.place,
            one.detail,
        )
