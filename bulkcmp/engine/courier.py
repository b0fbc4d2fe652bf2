"""Whoever is told of a finished end entity: a command of the user's, or a URL."""

import shlex
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from bulkcmp.engine.plan import DeliveryPlan
from bulkcmp.errors import InputError
from bulkcmp.io.command import run_command
from bulkcmp.io.webhook import Webhook
from bulkcmp.outputs.delivery import DeliveryNote

_INHERITED: Final = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
)  # fmt: skip
"""What a command gets of our environment. The rest of it may have secrets, as sources of ours."""

Courier = Callable[[DeliveryNote], Awaitable[tuple[str, bytes]]]
"""Makes one attempt; returns why it failed, empty where it did not, and what it said."""


def command_of(text: str) -> tuple[str, ...]:
    """The program and the arguments of a command, which no shell reads.

    Raises:
        InputError: it is none, or there is no such program.
    """
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(
            f"--on-issued can't be split into words: {error}",
            hint="quote as for a shell; no shell is started, so pipes and variables want sh -c",
        ) from None
    if not arguments:
        raise InputError("--on-issued is empty", hint="give a program and its arguments")
    if shutil.which(arguments[0]) is None:
        raise InputError(
            f"--on-issued: there is no program {arguments[0]!r}",
            hint="give its path, and make it executable",
        )
    return arguments


def environ_of(names: Iterable[str], environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What a command gets of our environment.

    Args:
        names: of variables besides the usual ones.

    Raises:
        InputError: one is not there.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in environ:
            raise InputError(f"--on-issued-env: the environment has no variable {name!r}")
    inherited = (name for name in _INHERITED if name in environ)
    return tuple((name, environ[name]) for name in dict.fromkeys((*inherited, *wanted)))


@asynccontextmanager
async def courier_for(ways: DeliveryPlan) -> AsyncIterator[Courier]:
    """Whoever makes the attempts of a run."""
    if not ways.url:
        yield _Command(ways.command, dict(ways.environ), ways.timeout)
        return
    async with Webhook(ways.url, ways.bearer, ways.timeout, ways.concurrency) as webhook:
        yield _Post(webhook)


class _Command:
    """Runs a command for each."""

    def __init__(
        self, arguments: tuple[str, ...], environ: Mapping[str, str], seconds: float
    ) -> None:
        self._arguments = arguments
        self._environ = environ
        self._seconds = seconds

    async def __call__(self, note: DeliveryNote) -> tuple[str, bytes]:
        environ = {**self._environ, **note.environ()}
        end = await run_command(self._arguments, environ, note.document(), self._seconds)
        return end.problem, end.output


class _Post:
    """Posts a document for each."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    async def __call__(self, note: DeliveryNote) -> tuple[str, bytes]:
        # a structured field: a string (RFC 8941, 3.3.3)
        headers = {"Idempotency-Key": f'"{note.token}"'}
        return await self._webhook.post(note.document(), headers)
