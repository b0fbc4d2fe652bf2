"""A URL that is told of something by a POST of JSON."""

from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

import httpx

from bulkcmp.errors import InputError, TransportError
from bulkcmp.io.http import ClientOwner, foreign_failure, is_of_server
from bulkcmp.io.limits import Limits
from bulkcmp.io.transport import Transport
from bulkcmp.model import Secret

_ANSWER: Final = 64 * 1024
"""Octets of an answer, which is kept where it is a refusal."""

_CONNECT: Final = 10.0


class Webhook(ClientOwner):
    """Posts JSON documents to one URL; an async context manager.

    Args:
        url: that `check_webhook` finds good.
        bearer: goes in each request's Authorization (RFC 6750, 2.1); None: there is none.
        seconds: for one exchange.
        connections: open at the same time, at most.
    """

    def __init__(self, url: str, bearer: Secret | None, seconds: float, connections: int) -> None:
        limits = Limits(
            connect=min(_CONNECT, seconds),
            read=seconds,
            total=seconds,
            response=_ANSWER,
            connections=connections,
        )
        headers = {"Content-Type": "application/json"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer.reveal().decode()}"
        self._url = url
        # the time limits are the transport's
        self._client = httpx.AsyncClient(
            transport=Transport(limits), headers=headers, trust_env=False
        )

    async def post(self, document: bytes, headers: Mapping[str, str]) -> tuple[str, bytes]:
        """Post a document.

        Redirections are not followed: what is told is for the one who was named.

        Returns:
            Why it was not taken, empty where the status is 2xx; and the answer.
        """
        try:
            response = await self._client.post(self._url, content=document, headers=headers)
        except TransportError as error:
            return f"{error.loss.value}: {error.what}", b""
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # httpx makes a URL of any Location, though it is not to follow it
            failure = foreign_failure(error)
            return f"{failure.loss.value}: {failure.what}", b""
        if response.is_success:
            return "", response.content
        return f"HTTP status {_status(response.status_code)}", response.content


def check_webhook(url: str, bearer: Secret | None) -> None:
    """Make sure that documents can be posted to a URL, and that only its host can read them.

    Raises:
        InputError: they can't.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(str(error), hint="give https://HOST[:PORT]/PATH") from None
    if not is_of_server(parsed):
        raise InputError("no URL of an HTTP server", hint="give https://HOST[:PORT]/PATH")
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise InputError(
            "http:// is for this machine's loopback alone: others could read and change what is"
            " told",
            hint="give https://HOST[:PORT]/PATH",
        )
    if parsed.userinfo:
        raise InputError(
            "a user and a password in the URL would be seen by many",
            hint="give a token with --on-issued-bearer SOURCE",
        )
    if bearer is not None and not _is_token(bearer.reveal()):
        raise InputError("the bearer token has characters that HTTP does not carry")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_token(octets: bytes) -> bool:
    return all(0x21 <= octet <= 0x7E for octet in octets)


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
