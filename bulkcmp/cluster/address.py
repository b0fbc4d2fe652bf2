"""Where a Dask cluster is, and by what its machines know each other."""

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from bulkcmp.errors import InputError, Where


@dataclass(frozen=True, slots=True)
class Address:
    """A cluster.

    Attributes:
        url: of its scheduler, `tls://HOST:PORT`, or `tcp://` with a host of this machine alone.
        ca, certificate, key: PEM files; empty without TLS.
    """

    url: str
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @classmethod
    def of(
        cls, url: str | None, ca: str | None, certificate: str | None, key: str | None
    ) -> Self | None:
        """What `--cluster` and its like say; None where they say nothing.

        Raises:
            InputError: they can't be used.
        """
        if url is None:
            if ca or certificate or key:
                raise InputError(
                    "--cluster-tls-... without a cluster", hint="give --cluster tls://HOST:PORT"
                )
            return None
        made = cls(url, ca or "", certificate or "", key or "")
        scheme, host, port = _parts(url)
        if scheme not in ("tls", "tcp") or not host or port is None:
            raise InputError(
                f"{url!r} is no scheduler of a Dask cluster",
                hint="give --cluster tls://HOST:PORT",
            )
        if scheme == "tcp":
            refuse_open([url])
            if ca or certificate or key:
                raise InputError(
                    "there is no TLS on a connection to tcp://",
                    hint="give --cluster tls://HOST:PORT, or leave --cluster-tls-... away",
                )
            return made
        files = {
            "--cluster-tls-ca": made.ca,
            "--cluster-tls-cert": made.certificate,
            "--cluster-tls-key": made.key,
        }
        for option, file in files.items():
            if not file:
                raise InputError(f"{url} needs {option}", hint=f"give {option} FILE")
            if not Path(file).is_file():
                raise InputError("there is no such file", where=Where(file))
        return made

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("tls:")


def refuse_open(urls: Iterable[str]) -> None:
    """Make sure that no secret travels where others can read it, and nobody else sends us objects.

    Raises:
        InputError: an address has no TLS, and is not of this machine alone.
    """
    for url in urls:
        scheme, host, _ = _parts(url)
        if scheme != "tls" and not _is_loopback(host):
            raise InputError(
                f"{url} is reached without TLS, and is not on this machine's loopback",
                hint="start scheduler and workers with --tls-ca-file, --tls-cert and --tls-key, and"
                " give --cluster tls://HOST:PORT",
            )


def _parts(url: str) -> tuple[str, str, int | None]:
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port
    return "", "", None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
