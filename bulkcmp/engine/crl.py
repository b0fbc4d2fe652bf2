"""The CRLs of the CAs that issued to a run, wherever they are, to look certificates up in."""

import datetime as dt
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread

from bulkcmp.cmp.checks import same_name
from bulkcmp.cmp.crl import Revocation, RevocationList, check_usable, distribution_points
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.inputs.credential import crls_of
from bulkcmp.inputs.file import read_file
from bulkcmp.inputs.settings import is_url
from bulkcmp.io.download import download
from bulkcmp.io.loop import is_running, run, run_beside

CDP: Final = "cdp"
"""The source that stands for the distribution points of the certificates themselves."""

MOST: Final = 512 << 20
"""Octets of a CRL: some ten million entries."""

_MOST_POINTS: Final = 64
"""Distribution points that are gone to."""

_HINT: Final = "--trusted names the CA's certificate, --untrusted that of another issuer of CRLs"


@dataclass(frozen=True, slots=True)
class Revocations:
    """What some CRLs say."""

    lists: tuple[RevocationList, ...]

    def covers(self, issuer: bytes) -> bool:
        """Whether there is a CRL with everything that an issuer (DER Name) has revoked."""
        return self._whole(issuer) is not None

    def as_of(self, issuer: bytes) -> dt.datetime | None:
        """When that CRL was made."""
        whole = self._whole(issuer)
        return None if whole is None else whole.crl.this_update

    def statuses(self, issuer: bytes, serials: Collection[int]) -> dict[int, Revocation]:
        """Those of some certificates of an issuer (DER Name) that are revoked, or on hold.

        Those that are left out are not revoked, as of the newest CRL, where `covers` says so; else
        nobody knows.
        """
        whole = self._whole(issuer)
        found: dict[int, Revocation] = {} if whole is None else whole.statuses(serials)
        for one in self._of(issuer):
            made = one.crl.this_update
            if one.partial and (whole is None or made > whole.crl.this_update):
                # what is in a part is revoked, whatever an older CRL says
                found |= one.statuses(serials)
        return found

    def _whole(self, issuer: bytes) -> RevocationList | None:
        """The newest that leaves nothing out."""
        whole = [one for one in self._of(issuer) if not one.partial]
        return max(whole, key=lambda one: one.crl.this_update, default=None)

    def _of(self, issuer: bytes) -> list[RevocationList]:
        return [one for one in self.lists if same_name(one.crl.issuer, issuer)]


async def read_revocations(
    sources: Iterable[str],
    evidence: Evidence,
    *,
    certificates: Iterable[bytes] = (),
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> Revocations:
    """Get CRLs, and check them.

    Args:
        sources: paths of files (PEM, with several, or DER), http or https URLs, or CDP: wherever
            `certificates` say.
        certificates: DER; those that can't be read say nothing.
        tls: for https; None for the system's trust anchors.
        proxy: as of `Transport`.

    Raises:
        InputError: one can't be had, is not to be believed, or is of no use.
    """
    found: list[RevocationList] = []
    for source in dict.fromkeys(sources):
        for place in _points(certificates) if source == CDP else [source]:
            for der in await _content(place, tls, proxy):
                found.append(await anyio.to_thread.run_sync(_checked, der, evidence, place))
    return Revocations(tuple(found))


def checked_revocations(crls: Iterable[bytes], evidence: Evidence, source: str) -> Revocations:
    """The same of CRLs (DER) that are at hand; `source` is where they are from.

    Raises:
        InputError: one is not to be believed, or is of no use.
    """
    return Revocations(tuple(_checked(der, evidence, source) for der in crls))


def _checked(der: bytes, evidence: Evidence, source: str) -> RevocationList:
    try:
        return RevocationList(der, evidence)
    except BulkcmpError as error:
        raise InputError(error.what, where=Where(source), hint=error.hint or _HINT) from error


def read_crls(
    sources: Iterable[str],
    at: dt.datetime,
    *,
    allow_weak: bool,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> tuple[bytes, ...]:
    """DER of the CRLs in which signers are to be looked up; who signed them is not known yet.

    Args:
        sources: paths of files (PEM, with several, or DER), and http or https URLs.
        at: now, aware.
        allow_weak: as of `check_usable`.
        tls, proxy: as of `read_revocations`.

    Raises:
        InputError: one can't be had, is out of date, or is of no use.
    """
    found: list[bytes] = []
    for source in dict.fromkeys(sources):
        if is_url(source):
            work = partial(_downloaded, source, tls, proxy)
            data = run_beside(work, _go_on) if is_running() else run(work)
        else:
            data = read_file(Path(source), most=MOST)
        for der in crls_of(data, Where(source)):
            try:
                check_usable(der, at, allow_weak=allow_weak)
            except BulkcmpError as error:
                hint = error.hint or "give a newer CRL"
                raise InputError(error.what, where=Where(source), hint=hint) from error
            found.append(der)
    return tuple(found)


def _go_on() -> None:
    """Ctrl-C does not end the wait for a file, which has a limit of its own."""


async def _content(place: str, tls: ssl.SSLContext | None, proxy: str | None) -> tuple[bytes, ...]:
    if is_url(place):
        data = await _downloaded(place, tls, proxy)
    else:
        data = await anyio.to_thread.run_sync(lambda: read_file(Path(place), most=MOST))
    return crls_of(data, Where(place))


async def _downloaded(url: str, tls: ssl.SSLContext | None, proxy: str | None) -> bytes:
    try:
        return await download(url, most=MOST, tls=tls, proxy=proxy)
    except BulkcmpError as error:
        raise InputError(error.what, where=Where(url), hint=error.hint) from error


def _points(certificates: Iterable[bytes]) -> list[str]:
    """The distribution points of some certificates.

    Raises:
        InputError: there are none, or too many.
    """
    points: dict[str, None] = {}
    for der in certificates:
        try:
            points |= dict.fromkeys(distribution_points(der))
        except BulkcmpError:
            continue
        if len(points) > _MOST_POINTS:
            raise InputError(
                f"the certificates name more than {_MOST_POINTS} CRLs",
                hint="give files or URLs of those that are wanted",
            )
    if not points:
        raise InputError(
            "the certificates name no CRL at an http or https URL",
            hint="give the CRL's file or URL",
        )
    return list(points)
