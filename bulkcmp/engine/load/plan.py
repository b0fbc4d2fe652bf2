"""A load test, ready to begin: a scenario with the server's options, every file of them read."""

import datetime as dt
import ipaddress
import os
import platform
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bulkcmp.engine.frame import Assignment, Setup
from bulkcmp.engine.load.provision import MAKES_NO_KEY
from bulkcmp.engine.load.servers import of_each, server_options
from bulkcmp.engine.options import DEFAULT_NEWKEY, Options
from bulkcmp.engine.rehearsal import rehearse
from bulkcmp.engine.server import connect
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.io.vitals import most_open_files
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import (
    ArrivalProcess,
    Closed,
    GeneratedPopulation,
    KeyMode,
    LatePolicy,
    Open,
    Scenario,
    Shape,
)
from bulkcmp.load.schedule import choose, end, share_out
from bulkcmp.model import BadRow, EndEntity, KeySpec, Operation, Secret
from bulkcmp.outputs.summary import public_url
from bulkcmp.stats.record import Run
from bulkcmp.stats.threshold import Threshold

_OTHER_FILES: Final = 32
"""Open files of a worker that are no connections."""

_SHOWN: Final = 20
"""Problems of a population that an error lists; `bulkcmp check` lists all."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A load test, ready to begin.

    Attributes:
        assignments: one for each worker.
        rows: of the population, as each server wants them, by its name; can be streamed several
            times.
        count: lifecycles at most, for which there are rows; None for as many as are wanted.
        certs_per_message: rows of one lifecycle.
        keys: where they come from.
        facts: of each server's options, by its name.
        revoke_at: as of the scenario.
        run: what stands before the records.
    """

    assignments: tuple[Assignment, ...]
    rows: Mapping[str, Iterable[EndEntity | BadRow]]
    count: int | None
    certs_per_message: int
    keys: "KeyPlan"
    thresholds: tuple[Threshold, ...]
    facts: Mapping[str, Mapping[str, Any]]
    revoke_at: str
    run: Run


def plan(
    scenario: Scenario,
    options: Options,
    environ: Mapping[str, str],
    *,
    thresholds: Iterable[str] = (),
    yes_load: Collection[str] = (),
    workers: int | None = None,
) -> LoadPlan:
    """Read and check all that a scenario and the options name; nothing is written or sent.

    Args:
        options: of all servers; the scenario's common settings are among them.
        thresholds: besides those of the scenario.
        yes_load: the hosts that may be put under load, where that is not this machine.
        workers: how many there are, where they are not processes of this machine.

    Raises:
        InputError: something can't be used.
    """
    servers = server_options(scenario, options)
    setups = of_each(servers, lambda one: _setup(one, environ))
    _check_hosts((setup.url for setup in setups.values()), yes_load)
    _check_together(scenario, options.certs_per_message)
    judged = tuple(Threshold.parse(text) for text in (*scenario.thresholds, *thresholds))
    for one in judged:
        one.check_against(scenario.works)
    seed = random.getrandbits(32) if scenario.seed is None else scenario.seed
    rows = of_each(servers, lambda one: _Rows(scenario, one, environ, seed))
    count = _count(scenario, options, servers, environ)
    shapes = share_out(scenario.shape, workers or options.processes())
    _check_files(max(map(room, shapes)) * len(setups))
    assignments = tuple(
        Assignment(
            {name: _with_room(setup, room(shape)) for name, setup in setups.items()},
            place,
            len(shapes),
            scenario.lifecycles,
            shape,
            seed,
            end(scenario.shape, scenario.duration),
            scenario.warm_up,
            scenario.drain,
            count,
        )
        for place, shape in enumerate(shapes)
    )
    return LoadPlan(
        assignments=assignments,
        rows=rows,
        count=count,
        certs_per_message=options.certs_per_message,
        keys=_keys(scenario, options, environ, count),
        thresholds=judged,
        facts={name: one.facts() for name, one in servers.items()},
        revoke_at=scenario.revoke_at,
        run=Run(
            tool_version=version("bulkcmp"),
            began_at=dt.datetime.now(dt.UTC),
            scenario=scenario.name,
            description=scenario.description,
            server=", ".join(
                f"{name} {public_url(setup.url)}".lstrip() for name, setup in setups.items()
            ),
            shape=describe(scenario.shape, scenario.count, scenario.duration),
            keys=_KEYS[scenario.keys],
            warm_up=scenario.warm_up,
            thresholds=tuple(one.text for one in judged),
            seed=seed,
            workers=len(assignments),
            settings=(*_settings(options, servers), *_changed(scenario)),
            notes=tuple(dict.fromkeys(note for one in servers.values() for note in one.notes())),
            environment=_environment(),
        ),
    )


def _setup(options: Options, environ: Mapping[str, str]) -> Setup:
    options.refuse_two_readers()
    setup = options.setup(environ)
    if not setup.anchors:
        raise InputError(
            "--trust-first-ca-cert is not for load tests",
            hint="give the CA's certificate with --trusted FILE",
        )
    # what only fails when it is used is used once
    connect(setup)
    return setup


def _with_room(setup: Setup, room: int) -> Setup:
    """A setup for as many transactions as a worker may have in flight."""
    return replace(
        setup,
        concurrency=room,
        limits=replace(setup.limits, connections=room),
        # the schedule sets the pace
        rate=0.0,
    )


def _count(
    scenario: Scenario,
    common: Options,
    servers: Mapping[str, Options],
    environ: Mapping[str, str],
) -> int | None:
    """How many lifecycles a scenario may begin, and has rows for; None where nothing says.

    Raises:
        InputErrors: rows can't be used.
    """
    rows = 0
    problems: list[InputError] = []
    for found in rehearse(scenario, servers, environ):
        rows += 1
        problems += found
        if len(problems) >= _SHOWN:
            break
    if problems:
        raise InputErrors("the population can't be used", tuple(problems[:_SHOWN]))
    # of a generated one only the first rows are looked at
    population = scenario.population
    size = population.size if isinstance(population, GeneratedPopulation) else rows
    enough = None if size is None else -(-size // common.certs_per_message)
    return min((one for one in (scenario.count, enough) if one is not None), default=None)


class _Rows:
    """The population of a scenario, as a server wants it; can be streamed several times."""

    def __init__(
        self, scenario: Scenario, options: Options, environ: Mapping[str, str], seed: int
    ) -> None:
        self._scenario = scenario
        self._chance = Chance(seed)
        self._together = options.certs_per_message
        self._population = options.population(scenario.population, environ, seed)
        options.refuse_without_credential(set(self._population.columns) - options.foremost)

    def __iter__(self) -> Iterator[EndEntity | BadRow]:
        return self._population.rows(self._begins)

    def _begins(self, number: int) -> Operation:
        lifecycles = self._scenario.lifecycles
        place = choose(lifecycles, self._chance, (number - 1) // self._together)
        return lifecycles[place].steps[0].cmd


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """Where keys come from.

    Attributes:
        file: in mode `file`; passphrase opens it.
        expected: how many may be wanted of which type, where that is known.
    """

    mode: KeyMode
    file: Path | None = None
    passphrase: Secret | None = field(default=None, repr=False)
    expected: tuple[KeySpec, int] | None = None


def _keys(
    scenario: Scenario, options: Options, environ: Mapping[str, str], count: int | None
) -> KeyPlan:
    if scenario.keys is KeyMode.FILE:
        if options.keys is None:
            raise InputError("keys come from a file, but none is named", hint="give --keys FILE")
        passphrase = options.key_file_passphrase(environ)
        KeyFile.open(Path(options.keys), passphrase).close()
        return KeyPlan(scenario.keys, Path(options.keys), passphrase)
    expected = None
    if count is not None and scenario.keys is KeyMode.UNIQUE:
        spec = options.newkey or DEFAULT_NEWKEY
        most = max(
            sum(step.cmd not in MAKES_NO_KEY for step in one.steps) for one in scenario.lifecycles
        )
        with suppress(InputError):
            # a key that a file gives is not made
            expected = KeySpec.parse(spec), count * options.certs_per_message * most
    return KeyPlan(scenario.keys, expected=expected)


def _check_hosts(urls: Iterable[str], allowed: Collection[str]) -> None:
    """Make sure that whoever puts servers under load means it.

    Raises:
        InputError: a server is on another machine, and its name was not said again.
    """
    named = {host.lower() for host in allowed}
    others: dict[str, None] = {}
    for url in urls:
        host = urlsplit(url).hostname
        assert host, "there is an HTTP client for it"
        if host.lower() not in named and not _is_this_machine(host):
            others[host] = None
    if others:
        said = " ".join(f"--yes-load {host}" for host in others)
        alone = len(others) == 1
        what = "is another machine: shall it" if alone else "are other machines: shall they"
        raise InputError(
            f"{' and '.join(others)} {what} be put under load?",
            hint=f"say so with {said}. A test fills a CA's database with certificates; an"
            " EJBCA with unique public keys refuses a key that it knows, and one with one-shot end"
            " entities the second enrollment of each",
        )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _check_files(connections: int) -> None:
    """Make sure that a worker may have all the connections that it may want.

    Raises:
        InputError: this machine does not allow it so many.
    """
    most = most_open_files()
    if connections + _OTHER_FILES > most:
        raise InputError(
            f"a worker may have {connections:,} connections, and {most:,} open files",
            hint="raise the limit (ulimit -Hn), give more --workers, or lower in_flight or clients:"
            " each transaction in flight may have a connection to each server",
        )


def _check_together(scenario: Scenario, together: int) -> None:
    for lifecycle in scenario.lifecycles:
        for step in lifecycle.steps:
            if together > 1 and step.cmd in (Operation.KUR, Operation.P10CR):
                raise InputError(
                    f"--certs-per-message {together}, but {lifecycle.name} has a {step.cmd}, which"
                    " is for one certificate",
                    hint="leave --certs-per-message away, or the step",
                )


def room(shape: Shape) -> int:
    """How many transactions of a shape may be in flight."""
    return shape.clients if isinstance(shape, Closed) else shape.in_flight


_KEYS: Final = {
    KeyMode.UNIQUE: "unique keys, made while the test goes on",
    KeyMode.FILE: "unique keys, made earlier",
    KeyMode.ONE: "ONE KEY for all requests: a CA that looks at keys may answer otherwise",
}


def describe(shape: Shape, count: int | None, duration: float | None) -> str:
    """A load in one line for a human."""
    if isinstance(shape, Closed):
        text = f"{shape.clients:,} clients, each with one lifecycle after the other"
    else:
        text = describe_arrivals(shape, f" at {', '.join(map(_ramp, shape.ramps))}")
    limits = []
    if count is not None:
        limits.append(f"{count:,} lifecycles")
    if duration is not None:
        limits.append(f"{duration:g} s")
    return f"{text}; until {' or '.join(limits)}" if limits else text


def describe_arrivals(shape: Open, rate: str = "") -> str:
    """An open load in one line for a human, with its rate as it is said."""
    process = "Poisson arrivals" if shape.process is ArrivalProcess.POISSON else "arrivals"
    late = "wait" if shape.late is LatePolicy.QUEUE else "are dropped"
    return f"{process}{rate}; beyond {shape.in_flight:,} transactions in flight they {late}"


def _ramp(ramp: Ramp) -> str:
    rate = f"{ramp.first:g}/s"
    if ramp.last != ramp.first:
        rate = f"{ramp.first:g} to {ramp.last:g}/s"
    return rate if ramp.duration == inf else f"{rate} for {ramp.duration:g} s"


def _settings(common: Options, servers: Mapping[str, Options]) -> Iterator[tuple[str, str]]:
    """What was set of the options; what is secret stands as its source."""
    facts, unset = common.facts(), Options().facts()
    yield from _set(facts, unset)
    for server, options in servers.items():
        for name, value in _set(options.facts(), facts):
            yield f"servers.{server}.{name}", value


def _set(facts: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((name, str(value)) for name, value in facts.items() if value != other[name])


def _changed(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What is otherwise than in the scenario's file; by its keys, since values may be secret."""
    if scenario.changed:
        yield "set", ", ".join(scenario.changed)


def _environment() -> tuple[tuple[str, str], ...]:
    return (
        ("python", platform.python_version()),
        ("system", platform.platform()),
        ("machine", platform.machine()),
        ("cores", str(os.cpu_count())),
        *((name, version(name)) for name in ("cryptography", "httpx", "anyio")),
    )
