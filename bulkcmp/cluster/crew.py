"""What runs for us on the machines of a Dask cluster: workers of a load test, or foremen."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup

from bulkcmp.cluster.address import Address, refuse_open
from bulkcmp.cluster.link import LOST, Link, LostError
from bulkcmp.cluster.node import Node
from bulkcmp.engine.colleague import Colleague, Crew, WorkerError
from bulkcmp.errors import BulkcmpError, InputError

if TYPE_CHECKING:
    from distributed import Client

GENERATOR: Final = "bulkcmp.engine.load.generator"
FOREMAN: Final = "bulkcmp.engine.foreman"

_CONNECT: Final = 20.0
"""Seconds in which the scheduler must answer."""

_LEAVE: Final = 10.0
"""Seconds to take leave of the cluster."""

_LEAD: Final = 2.0
"""Seconds from the word to begin to the beginning: it goes through the scheduler to every node."""

_CLOCK_ERROR: Final = 0.05
"""Seconds by which it may be unclear when a node begins, without a word on it."""

_WALL_CLOCK: Final = 5.0
"""Seconds by which the wall clock of a node may be off, without a word on it."""


class ClusterError(BulkcmpError):
    """A cluster can't be used."""


async def look(address: Address, each: int) -> Mapping[str, int]:
    """The nodes of a cluster, by their addresses, and how many workers each may have.

    Args:
        each: so many, or as many as Dask gives it threads where this is 0.

    Raises:
        InputError: there is none, one of them must not be used or has another bulkcmp, or the
            library is not installed.
        ClusterError: the scheduler can't be reached.
    """
    async with _connected(address) as client:
        return await _nodes(client, address, each)


@asynccontextmanager
async def joined(
    address: Address, module: str, each: int, on_notice: Callable[[str], object]
) -> AsyncIterator[Crew]:
    """Have the nodes of a cluster start workers, while the block goes on.

    Each worker is started on the node that has the fewest of what it may have; one in the place of
    a worker that was lost, too.

    Args:
        module: what a worker runs.
        each: as of `look`.
        on_notice: told, in plain English, of clocks that are far off.

    Raises:
        InputError, ClusterError: as of `look`.
    """
    async with _connected(address) as client:
        nodes = await _nodes(client, address, each)
        links = [await _link(client, module, url, most) for url, most in nodes.items()]
        async with anyio.create_task_group() as group:
            try:
                for link in links:
                    group.start_soon(link.serve)
                    group.start_soon(link.listen)
                await _compare_clocks(links, on_notice)

                async def hire(_group: TaskGroup) -> Colleague:
                    return await _hire(links)

                yield Crew(hire, _LEAD)
            finally:
                with anyio.move_on_after(_LEAVE, shield=True):
                    async with anyio.create_task_group() as leaving:
                        for link in links:
                            leaving.start_soon(_leave, link)
            group.cancel_scope.cancel()


async def _hire(links: list[Link]) -> Colleague:
    """A worker of the node that is the least full.

    Raises:
        WorkerError: there is no node any longer, or it can't start one.
    """
    while True:
        there = [link for link in links if not link.is_lost]
        if not there:
            raise WorkerError(
                "no machine of the cluster can be reached any longer",
                hint="what was done until then is in the run folder",
            )
        try:
            return await min(there, key=lambda one: one.fullness).hire()
        except LostError:
            continue


async def _leave(link: Link) -> None:
    with suppress(LostError):
        await link.ask("leave")


async def _compare_clocks(links: list[Link], on_notice: Callable[[str], object]) -> None:
    for link in links:
        try:
            offset = await link.measure()
        except LostError as error:
            raise _no_answer(link.name) from error
        if offset.error > _CLOCK_ERROR:
            on_notice(
                f"{link.name} answers slowly: when it begins, and its times beside those of others,"
                f" may be off by {offset.error * 1e3:,.0f} ms"
            )
        if abs(offset.unix) > _WALL_CLOCK + offset.error:
            on_notice(
                f"the clock of {link.name} is {offset.unix:+,.0f} s from ours: a CA that looks at"
                " messageTime may refuse its messages"
            )


async def _link(client: "Client", module: str, url: str, most: int) -> Link:
    """Make a node of a Dask worker."""
    future = client.submit(
        Node,
        module,
        actor=True,
        # a key that says nothing of what it is for, and that no other run has
        key=f"bulkcmp-{uuid4().hex}",
        workers=[url],
        allow_other_workers=False,
    )
    try:
        with anyio.fail_after(LOST):
            return Link(_name(url), await future, most)
    except TimeoutError as error:
        raise _no_answer(_name(url)) from error


def _no_answer(name: str) -> ClusterError:
    return ClusterError(f"{name} does not answer", hint="look at its log, or end that worker")


def _name(url: str) -> str:
    return urlsplit(url).netloc


async def _nodes(client: "Client", address: Address, each: int) -> Mapping[str, int]:
    threads: dict[str, int] = await client.scheduler.ncores(workers=None)
    if not threads:
        raise InputError(
            f"the cluster at {address.url} has no workers",
            hint=f"start some: dask worker {address.url}",
        )
    refuse_open(threads)
    ours = version("bulkcmp")
    versions = await client.run(version, "bulkcmp", on_error="return")
    for url in threads:
        theirs = versions.get(url)
        if theirs != ours:
            is_there = isinstance(theirs, str)
            raise InputError(
                f"{_name(url)} has {f'bulkcmp {theirs}' if is_there else 'no bulkcmp'}, and we are"
                f" {ours}",
                hint=f"install bulkcmp[cluster]=={ours} there",
            )
    return {url: each or threads[url] for url in sorted(threads)}


@asynccontextmanager
async def _connected(address: Address) -> AsyncIterator["Client"]:
    try:
        from distributed import Client
        from distributed.security import Security
    except ModuleNotFoundError as error:
        raise InputError(
            f"--cluster needs {error.name}, which is not installed",
            hint="pip install 'bulkcmp[cluster]'",
        ) from None
    # what happens to the cluster we tell ourselves, in words of load tests
    for library in ("distributed", "tornado"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"asynchronous": True, "timeout": _CONNECT}
    try:
        if address.is_tls:
            options["security"] = Security(
                require_encryption=True,
                tls_ca_file=address.ca,
                tls_client_cert=address.certificate,
                tls_client_key=address.key,
            )
        client = await Client(address.url, **options)
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError
        raise ClusterError(
            f"the cluster at {address.url} can't be reached: {_reason(error)}",
            hint="is a dask scheduler there, and is its certificate of the CA that ours is of?",
        ) from error
    try:
        yield client
    finally:
        with anyio.move_on_after(_LEAVE, shield=True):
            await client.close()


def _reason(error: BaseException) -> str:
    """What is at the bottom of an error of Dask's, whose own words have addresses of objects."""
    reason, cause = str(error), error.__cause__
    while cause is not None:
        # a timeout has no words
        reason, cause = str(cause) or reason, cause.__cause__
    return reason
