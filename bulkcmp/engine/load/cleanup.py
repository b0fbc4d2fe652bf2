"""After a load test: what it had issued, and did not revoke itself, is revoked.

The workers of load tests do it, one lifecycle with one rr for each certificate; nothing of it is
among the figures of the test. What came of each certificate is added to the run's list, so that
the same can be asked for again until nothing is left.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from bulkcmp.engine.failure import first_error
from bulkcmp.engine.frame import Assignment, Member, Report, Setup, Supply
from bulkcmp.engine.interruption import Interruption
from bulkcmp.engine.load.run import LoadRun
from bulkcmp.engine.load.servers import of_each
from bulkcmp.engine.options import Options
from bulkcmp.engine.server import connect, pace_file
from bulkcmp.errors import InputError, Where
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.population import single_row
from bulkcmp.io.clock import SystemClock
from bulkcmp.load.certified import Certified, left_over
from bulkcmp.load.folder import CERTIFICATES, SETTINGS
from bulkcmp.load.scenario import Closed, Lifecycle, Step
from bulkcmp.model import BadRow, EndEntity, Operation, OutcomeClass
from bulkcmp.outputs.certificates import CertificateTable, read_certificates
from bulkcmp.outputs.files import replacing
from bulkcmp.stats.record import Ending, TransactionRecord

_RATE: Final = 50.0
"""Requests/s at most, where the user says nothing: the CA is not under test any more."""

_RETRIES: Final = 5
"""Of a request; revoking a certificate twice comes to the same as once."""

_DRAIN: Final = 60.0
"""Seconds that requests under way may still take after a signal."""

_CREDENTIAL: Final = (
    "ref", "secret", "cert", "key", "keypass", "pkcs11_module", "unprotected_requests",
)  # fmt: skip

_OF_KEYS: Final = frozenset(
    {"newkey", "newkeypass", "keys", "keys_pass", "regtoken", "authenticator"}
)
"""Options that a revocation has no use for: a secret among them would be asked for in vain."""


S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Cleanup:
    """How certificates are revoked.

    Attributes:
        server: its name, empty where there is one; setup: of it.
        revoker: whose credential protects the requests.
        notes: of the server's options.
    """

    server: str
    setup: Setup
    revoker: EndEntity
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a load test's settings a clean-up goes by.

    Attributes:
        servers: facts of each server's options, by its name.
        revoke_at: as of a scenario.
    """

    servers: Mapping[str, Mapping[str, Any]]
    revoke_at: str


@dataclass(slots=True)
class Cleaned:
    """What came of a clean-up.

    Attributes:
        count: certificates to revoke; revoked: of them.
        failures: certificates that are not, and why.
        interrupted: by a signal.
    """

    count: int
    revoked: int = 0
    failures: list[tuple[Certified, Ending]] = field(default_factory=list)
    interrupted: bool = False


def cleanups(
    servers: Mapping[str, S],
    issuing: Iterable[str],
    revoke_at: str,
    make: Callable[[S], Cleanup],
) -> dict[str, Cleanup]:
    """How what each of some servers issued is revoked, by its name.

    Args:
        servers: what is said of each, by its name.
        issuing: the names of those that issue.
        revoke_at: the server that revokes it all; empty: each what it issued.
        make: how a server revokes, by what is said of it.

    Raises:
        InputError: what is said of a server that revokes can't be used.
    """
    revoking = {server: revoke_at or server for server in issuing}
    wanted = dict.fromkeys(revoking.values())
    unknown = wanted.keys() - servers.keys()
    if unknown:
        raise InputError(f"nothing is known of a server {min(unknown)!r}")
    made = of_each({server: servers[server] for server in wanted}, make)
    return {server: replace(made[at], server=at) for server, at in revoking.items()}


def cleanup(options: Options, environ: Mapping[str, str]) -> Cleanup:
    """Read and check all that a server's options say of it; nothing is written or sent.

    Raises:
        InputError: something can't be used, or there is no credential but those of rows.
    """
    options.refuse_two_readers()
    try:
        options.refuse_without_credential(())
    except InputError as error:
        raise InputError(
            "no credential to revoke with: those of rows are not for other rows' certificates",
            hint="give an RA's: --ref TEXT and --secret SOURCE, or --cert FILE and --key FILE",
        ) from error
    setup = options.setup(environ)
    reason = None if options.revreason is None else read_reason(options.revreason)
    own = {name: getattr(options, name) for name in _CREDENTIAL}
    # what is revoked is only known later
    own |= {"cmd": Operation.RR.value, "serial": "1", "issuer": "/CN=-"}
    revoker = single_row("clean-up", Options(**own).defaults(environ), environ)
    if isinstance(revoker, BadRow):
        raise revoker.problems[0]
    setup = replace(
        setup,
        rate=setup.rate or _RATE,
        certs_per_message=1,
        profile=replace(setup.profile, retries=_RETRIES),
    )
    connect(setup)
    return Cleanup("", setup, replace(revoker, revocation_reason=reason), options.notes())


def keep_settings(folder: Path, kept: Kept) -> None:
    """Write down how the servers of a load test are talked to; no secret is among it."""
    servers = {
        server: {name: value for name, value in facts.items() if name not in _OF_KEYS}
        for server, facts in kept.servers.items()
    }
    with replacing(folder / SETTINGS, 0o600, durable=False) as file:
        said = {"servers": servers, "revoke_at": kept.revoke_at}
        file.write(json.dumps(said, indent=2).encode())


def kept_settings(folder: Path) -> Kept:
    """What `keep_settings` wrote.

    Raises:
        InputError: it is not there, or something else.
    """
    path = folder / SETTINGS
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            error.strerror or str(error),
            where=Where(str(path)),
            hint="which folder did bulkcmp load --out name?",
        ) from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=Where(str(path))) from None
    known = Options().facts().keys()
    match said:
        case {"servers": dict() as servers, "revoke_at": str() as revoke_at} if all(
            isinstance(facts, dict) and facts.keys() <= known for facts in servers.values()
        ):
            return Kept(servers, revoke_at)
    raise InputError(
        "not the settings of a load test",
        where=Where(str(path)),
        hint="where another version of bulkcmp wrote them, revoke with that one",
    )


def remnants(folder: Path) -> list[Certified]:
    """What a load test issued and what is not revoked yet, confirmed or not.

    Args:
        folder: of the run, which has ended.

    Raises:
        InputError: it has no list of certificates.
    """
    return left_over(read_certificates(folder / CERTIFICATES))


async def clean_up(
    how: Mapping[str, Cleanup],
    folder: Path,
    left: Sequence[Certified],
    *,
    on_progress: Callable[[int], None],
    on_notice: Callable[[str], None],
) -> Cleaned:
    """Revoke what a load test left.

    The first SIGINT or SIGTERM begins nothing more; the second leaves at once.

    Args:
        how: what each server issued is revoked, by its name.
        folder: of the run; left: its remnants, one at least.
        on_progress: told how many certificates are done with, revoked or not.
        on_notice: told, in plain English, what a signal led to.

    Raises:
        BulkcmpError: something of this machine failed, or the server was never reached.
    """
    cleaned = Cleaned(len(left))

    def take(those: Sequence[Certified], server: str, report: Report) -> None:
        for record in report.records:
            if isinstance(record, TransactionRecord):
                one, ending = those[record.arrival], record.endings[0]
                done = replace(one, cmd=Operation.RR, outcome=ending.outcome, server=server)
                table.add(done)
                if ending.outcome is OutcomeClass.REVOKED:
                    cleaned.revoked += 1
                else:
                    cleaned.failures.append((one, ending))
        table.flush()
        on_progress(cleaned.revoked + len(cleaned.failures))

    try:
        async with anyio.create_task_group() as group:
            interruption = Interruption(on_notice, "what was revoked until now is written down")
            await group.start(interruption.watch)
            with CertificateTable(folder / CERTIFICATES, again=True) as table:
                for issuer, one in how.items():
                    those = [certified for certified in left if certified.server == issuer]
                    if not those or interruption.asked:
                        continue
                    async with pace_file(one.setup) as setup:
                        run = LoadRun(
                            [_assignment(setup)],
                            _Requests(one.revoker, those),
                            SystemClock(),
                            lambda _: None,
                            partial(take, those, one.server),
                            on_notice,
                        )
                        interruption.attend(run)
                        await run.execute()
            cleaned.interrupted = interruption.asked
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    return cleaned


def _assignment(setup: Setup) -> Assignment:
    return Assignment(
        {"": setup},
        place=0,
        workers=1,
        lifecycles=(Lifecycle("clean-up", 1.0, (Step(Operation.RR),)),),
        shape=Closed(setup.concurrency),
        seed=0,
        duration=None,
        warm_up=0.0,
        drain=_DRAIN,
    )


class _Requests:
    """An rr for each of some certificates."""

    def __init__(self, revoker: EndEntity, certificates: Sequence[Certified]) -> None:
        self._left: Iterator[Supply] = (
            Supply(number, (Member(_revoking(revoker, number, one), repeats=True),))
            for number, one in enumerate(certificates)
        )

    async def next(self) -> Supply | None:
        return next(self._left, None)


def _revoking(revoker: EndEntity, number: int, one: Certified) -> EndEntity:
    return replace(
        revoker,
        number=number + 1,
        id=one.id,
        serial=one.serial,
        issuer=one.issuer,
        # which EJBCA's client mode can't do without
        subject=one.subject or None,
    )
