"""A file from a web server: a CRL, whose signature is its proof."""

import os
import ssl
from collections.abc import Mapping
from typing import Final

import httpx

from bulkcmp.errors import InputError, Loss, TransportError
from bulkcmp.io.http import foreign_failure
from bulkcmp.io.limits import Limits
from bulkcmp.io.transport import Transport

_REDIRECTIONS: Final = 3
_SECONDS: Final = 300.0
"""For all of a file."""


async def download(
    url: str,
    *,
    most: int,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> bytes:
    """The content of a file at an http or https URL.

    Redirections are followed.

    Args:
        most: octets that it may have, with its HTTP head.
        tls, proxy, environ: as of `Transport`.

    Raises:
        InputError: the URL, or one that the server leads to, is none of http or https.
        TransportError: it can't be had.
    """
    limits = Limits(read=_SECONDS, total=_SECONDS, response=most, connections=1)
    client = httpx.AsyncClient(
        transport=Transport(limits, tls=tls, proxy=proxy, environ=environ),
        trust_env=False,
        timeout=None,  # noqa: S113  # the transport has limits of its own
        follow_redirects=True,
        max_redirects=_REDIRECTIONS,
        headers={"Accept-Encoding": "identity", "User-Agent": "bulkcmp"},
    )
    try:
        async with client, client.stream("GET", url) as response:
            if not response.is_success:
                status = response.status_code
                raise TransportError(Loss.HTTP_STATUS, f"HTTP {status}", status=status)
            return b"".join([part async for part in response.aiter_raw()])
    except httpx.InvalidURL as error:
        raise InputError(f"not a URL: {error}") from error
    except httpx.HTTPError as error:
        raise foreign_failure(error) from error
