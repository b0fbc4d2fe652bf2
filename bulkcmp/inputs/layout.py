"""The layout of a scenario's file: which tables and keys there are, and what each may be.

The docstrings of keys are what the JSON Schema says of them.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from math import inf
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    ConfigDict,
    Field,
)

from bulkcmp.errors import InputError
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.generation import read_columns
from bulkcmp.inputs.shorthand import in_seconds, is_number, quoted
from bulkcmp.inputs.table import Contradiction, Table, one_of, readable, within
from bulkcmp.inputs.toml import KeyPath
from bulkcmp.load.arrivals import Ramp
from bulkcmp.load.capacity import Search
from bulkcmp.load.folder import KEPT
from bulkcmp.load.scenario import (
    ArrivalProcess,
    Closed,
    Constant,
    Exponential,
    KeyMode,
    LatePolicy,
    Lifecycle,
    Open,
    Shape,
    Step,
    Think,
    Uniform,
)
from bulkcmp.model import KeySpec, Operation, ReportFormat, RevocationReason
from bulkcmp.stats.threshold import Threshold

_LONG: Final = 366 * 86400
"""Seconds: nobody means a longer time."""

_FAST: Final = 1_000_000
"""Arrivals/s: nobody means a higher rate."""

_SEARCH: Final = Search()
"""What a search is unless it is said otherwise."""


SERVER_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Of one of several servers, as reports and thresholds write it."""

_EXTRAS: Final = {"html": "plotly", "parquet": "pyarrow"}
"""The packages of the extras that bear a report's name."""


def _check_output_file(text: str) -> None:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise InputError("it leaves the run folder", hint="name a file in it, such as report.html")
    if not path.parts or text.endswith("/") or not text.isprintable():
        raise InputError("it is no file name", hint="name a file such as report.html")


_Seconds = Annotated[float, Field(ge=0, le=_LONG)]
_SomeSeconds = Annotated[float, Field(gt=0, le=_LONG)]
_Rate = Annotated[float, Field(ge=0, le=_FAST)]
_SomeRate = Annotated[float, Field(gt=0, le=_FAST)]
_Count = Annotated[int, Field(ge=1, le=10**9)]
_Text = Annotated[str, Field(min_length=1)]
_OutputFile = Annotated[str, readable(_check_output_file)]
_Cmd = Literal["ir", "cr", "p10cr", "kur", "rr"]
_COMMANDS: Final = get_args(_Cmd)

_LONGEST_NAME: Final = 100
"""Characters; with what is put behind it, it is the name of a file."""


def _check_text(text: str) -> None:
    if not text.isprintable():
        raise InputError("it has characters that can't be printed")


def _check_name(text: str) -> None:
    _check_text(text)
    if "/" in text or text in (".", "..") or len(text) > _LONGEST_NAME:
        raise InputError(
            "it can't be the name of a folder, which the run's is",
            hint=f"leave / away, and have {_LONGEST_NAME} characters at most",
        )


class PauseTable(Table):
    """A pause; one of the three."""

    model_config = ConfigDict(json_schema_extra=one_of("constant", "uniform", "exponential"))

    constant: _Seconds | None = None
    """Seconds, always the same."""
    uniform: Annotated[list[_Seconds], Field(min_length=2, max_length=2)] | None = None
    """The least and the most seconds: each length between is as likely as any other."""
    exponential: _SomeSeconds | None = None
    """Seconds on average, as of a process without memory."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if not table or len(table.keys() & {"constant", "uniform", "exponential"}) > 1:
            yield Contradiction(
                "a pause is constant, uniform or exponential",
                "write { constant = 2 }, { uniform = [1, 3] } or { exponential = 2 }",
            )
        match table.get("uniform"):
            case [int() | float() as least, int() | float() as most] if least > most:
                yield Contradiction(
                    "the least pause is longer than the most",
                    "write the shorter one first",
                    ("uniform",),
                )

    @classmethod
    def meant(cls, value: Any) -> str | None:
        match value:
            case [least, most] if is_number(least) and is_number(most):
                return f"write {{ uniform = [{least}, {most}] }}"
            case [*_] | bool():
                return "write { constant = 2 }, { uniform = [1, 3] } or { exponential = 2 }"
        seconds = in_seconds(value)
        return None if seconds is None else f"write {{ constant = {seconds} }}"

    def think(self) -> Think:
        if self.uniform is not None:
            return Uniform(*self.uniform)
        if self.exponential is not None:
            return Exponential(self.exponential)
        assert self.constant is not None
        return Constant(self.constant)


class StepTable(Table):
    """One transaction, or several of the same."""

    cmd: _Cmd
    """The operation, as in openssl cmp -cmd. kur and rr after an enrollment are about the
    certificate which that brought; first of all, about the one that the population names."""
    think: PauseTable | None = None
    """The pause before it."""
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often it happens, each time with its pause."""
    revreason: Annotated[str, readable(read_reason)] | None = None
    """Of rr: a CRLReason of RFC 5280, 5.3.1, such as keyCompromise."""
    server: str | None = None
    """The one of [servers] that is asked; by default the lifecycle's."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        cmd = table.get("cmd")
        times = table.get("times")
        if cmd == "rr" and isinstance(times, int) and times > 1:
            yield Contradiction("a certificate is revoked once", "leave times away", ("times",))
        if cmd in _COMMANDS and cmd != "rr" and "revreason" in table:
            yield Contradiction(
                f"it is for rr, and cmd is {cmd}", "leave revreason away", ("revreason",)
            )

    @classmethod
    def meant(cls, value: Any) -> str | None:
        return f'write {{ cmd = "{value}" }}' if value in get_args(_Cmd) else None

    def steps(self, server: str) -> list[Step]:
        """
        Args:
            server: the lifecycle's.
        """
        reason = RevocationReason.UNSPECIFIED
        if self.revreason is not None:
            reason = read_reason(self.revreason)
        think = Constant() if self.think is None else self.think.think()
        return [Step(Operation(self.cmd), think, reason, self.server or server)] * self.times


class LifecycleTable(Table):
    """What an end entity goes through."""

    name: Annotated[_Text, readable(_check_text)]
    """What reports call it."""
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """Its share of all lifecycles is its share of all weights."""
    server: str | None = None
    """The one of [servers] that is asked in steps that name none."""
    steps: Annotated[list[StepTable], Field(min_length=1)]
    """Its transactions, one after the other; one that fails ends it."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        steps = table.get("steps")
        if not isinstance(steps, list):
            return
        if within(steps, 0, "think") is not None:
            yield Contradiction(
                "the first step has a pause, and nothing before it",
                "an arrival is its beginning; pauses between lifecycles are those of [closed]",
                ("steps", 0, "think"),
            )
        for place, cmds in enumerate(pairwise(within(step, "cmd") for step in steps), start=1):
            match cmds:
                case "rr", "kur" | "rr" as cmd:
                    yield Contradiction(
                        f"{cmd} after rr: the certificate is revoked by then",
                        "put an enrollment between them: ir or cr",
                        ("steps", place),
                    )
                case "p10cr", "kur":
                    yield Contradiction(
                        "kur after p10cr: nobody here has the key of the certificate",
                        "enroll by ir or cr, or by p10cr and nothing after it but rr",
                        ("steps", place),
                    )

    def lifecycle(self) -> Lifecycle:
        steps = tuple(step for table in self.steps for step in table.steps(self.server or ""))
        return Lifecycle(self.name, self.weight, steps)


class StageTable(Table):
    """A piece of the rate's line over time."""

    duration: _SomeSeconds
    """Seconds."""
    rate: _Rate
    """Lifecycles/s at its beginning."""
    to: _Rate | None = None
    """Lifecycles/s at its end; by default the same."""

    @classmethod
    def meant(cls, value: Any) -> str | None:
        match value:
            case [duration, rate] if is_number(duration) and is_number(rate):
                return f"write {{ duration = {duration}, rate = {rate} }}"
        return "write { duration = 60, rate = 0, to = 50 }"

    def ramp(self) -> Ramp:
        return Ramp(self.duration, self.rate, self.rate if self.to is None else self.to)


class OpenTable(Table):
    """Lifecycles begin by a plan, whatever becomes of those before."""

    model_config = ConfigDict(json_schema_extra=one_of("rate", "stages"))

    rate: _SomeRate | None = None
    """Lifecycles/s, always the same."""
    stages: Annotated[list[StageTable], Field(min_length=1)] | None = None
    """The rate over time."""
    arrivals: Literal["even", "poisson"] = "even"
    """How they are spread over the rate: evenly, or as those of many who know nothing of each
    other."""
    late: Literal["queue", "drop"] = "queue"
    """What becomes of a step while in_flight are under way: it waits for another to end, or it does
    not happen and is counted."""
    in_flight: _Count = 1000
    """The most transactions under way."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if ("rate" in table) is ("stages" in table):
            yield Contradiction(
                "an open load has either a rate or stages",
                "write rate = 50, or stages = [{ duration = 60, rate = 0, to = 50 }]",
            )
        match table.get("stages"):
            case [_, *_] as stages if all(
                within(stage, "rate") == 0 and not within(stage, "to") for stage in stages
            ):
                yield Contradiction(
                    "the rate is 0 in all stages", "nothing would ever begin", ("stages",)
                )

    @classmethod
    def meant(cls, value: Any) -> str | None:
        return f"write open = {{ rate = {value} }}" if is_number(value) else None

    def shape(self) -> Open:
        if self.stages is None:
            assert self.rate is not None
            ramps: tuple[Ramp, ...] = (Ramp(inf, self.rate, self.rate),)
        else:
            ramps = tuple(stage.ramp() for stage in self.stages)
        return Open(ramps, ArrivalProcess(self.arrivals), LatePolicy(self.late), self.in_flight)


class ClosedTable(Table):
    """Clients of which each begins a lifecycle when its last one is over."""

    clients: Annotated[int, Field(ge=1, le=100_000)]
    """How many there are."""
    think: PauseTable | None = None
    """The pause of a client between two lifecycles."""

    @classmethod
    def meant(cls, value: Any) -> str | None:
        return f"write closed = {{ clients = {value} }}" if is_number(value) else None

    def shape(self) -> Closed:
        return Closed(self.clients, Constant() if self.think is None else self.think.think())


class CapacityTable(Table):
    """How load --find-capacity looks for the highest rate at which the thresholds hold; a load test
    without that option knows nothing of it."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["factor", "step"]}})

    from_: _SomeRate = Field(default=_SEARCH.start, alias="from")
    """The first rate, lifecycles/s."""
    factor: Annotated[float, Field(gt=1, le=1000)] | None = None
    """The next rate is so many times the one that held; by default 2."""
    step: _SomeRate | None = None
    """The next rate is so many lifecycles/s more than the one that held."""
    up_to: _SomeRate = _SEARCH.up_to
    """The highest rate that is tried, lifecycles/s."""
    window: _SomeSeconds = _SEARCH.window
    """Seconds over which a rate is judged."""
    settle: _Seconds = _SEARCH.settle
    """Seconds before them in which the rate is there already, and nothing is judged."""
    precision: Annotated[float, Field(ge=0.001, lt=1)] = _SEARCH.precision
    """The search ends where the gap between the highest rate that held and the lowest that did not
    is so small a share of the latter."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if {"factor", "step"} <= table.keys():
            yield Contradiction(
                "the rate is raised by a factor or by a step, not by both",
                "leave one of them away",
                ("step",),
            )
        start, most = table.get("from", _SEARCH.start), table.get("up_to", _SEARCH.up_to)
        if isinstance(start, int | float) and isinstance(most, int | float) and most < start:
            yield Contradiction(
                f"the first rate, {start:g}/s, is above it",
                "give a higher up_to, or a lower from",
                ("up_to",),
            )

    def search(self) -> Search:
        factor = _SEARCH.factor if self.factor is None else self.factor
        return Search(
            start=self.from_,
            factor=factor if self.step is None else 1.0,
            step=self.step or 0.0,
            up_to=self.up_to,
            window=self.window,
            settle=self.settle,
            precision=self.precision,
        )


class PopulationTable(Table):
    """The end entities: those of a file, or generated ones."""

    model_config = ConfigDict(json_schema_extra=one_of("file", "columns"))

    file: _Text | None = None
    """A CSV file as bulkcmp enroll takes it, relative to the scenario's folder; each row is taken
    once."""
    columns: dict[str, str] | None = None
    """The cells of generated end entities, by column: templates with {number}, {number:06},
    {hex:8}, {digits:6}, {letters:5}, {uuid}, {oneof:a|b}, and {id} in columns other than id."""
    size: _Count | None = None
    """How many rows are generated; by default as many as are wanted."""
    repeated: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the generated rows whose end entity is one that had a row before."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if ("file" in table) is ("columns" in table):
            yield Contradiction(
                "a population has either a file or columns",
                'write file = "devices.csv", or columns = { id = "dev-{number:06}", subject ='
                ' "/CN={id}" }',
            )
        elif "file" in table:
            for name in ("size", "repeated"):
                if name in table:
                    hint = f"leave {name} away: each row of a file is taken once"
                    yield Contradiction("it is for generated populations", hint, (name,))
        columns = table.get("columns")
        if isinstance(columns, dict):
            texts = {name: text for name, text in columns.items() if isinstance(text, str)}
            for name, problem in read_columns(texts)[1].items():
                yield Contradiction(problem.what, problem.hint, ("columns", name))

    @classmethod
    def meant(cls, value: Any) -> str | None:
        if isinstance(value, str):
            return f"write population = {{ file = {quoted(value)} }}"
        return None


class KeysTable(Table):
    """The keys to be certified."""

    mode: Literal["unique", "file", "one"] = "unique"
    """unique: each request has one of its own; file: the same, from a file of bulkcmp keys
    generate; one: all have the same, which many CAs refuse."""
    newkey: Annotated[str, readable(KeySpec.parse)] | None = None
    """Their type, such as ec:P-256 or rsa:2048."""
    file: _Text | None = None
    """The key file, relative to the scenario's folder."""
    passphrase: _Text | None = Field(default=None, alias="pass")
    """Where the passphrase of the key file comes from: env:NAME, file:PATH or pass:TEXT."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        mode = table.get("mode", KeyMode.UNIQUE)
        if mode == KeyMode.FILE and "file" not in table:
            yield Contradiction('mode = "file" needs file', "name the key file")
        elif mode in (KeyMode.UNIQUE, KeyMode.ONE):
            for name in table.keys() & {"file", "pass"}:
                yield Contradiction(f'it is for mode = "file", and mode is "{mode}"', None, (name,))

    @classmethod
    def meant(cls, value: Any) -> str | None:
        known = value in list(KeyMode)
        return f'write keys = {{ mode = "{value}" }}' if known else None

    def settings(self) -> dict[str, str]:
        """What it says, as the settings of an enrollment have it."""
        said = {"newkey": self.newkey, "keys": self.file, "keys_pass": self.passphrase}
        return {name: text for name, text in said.items() if text is not None}


class OutputsTable(Table):
    """Reports that are written into the run folder at the end, each to a file of that name. Made
    later, bulkcmp report makes the same."""

    text: _OutputFile | None = None
    """As on the terminal."""
    html: _OutputFile | None = None
    """A page with plots that opens offline."""
    json_: _OutputFile | None = Field(default=None, alias="json")
    """All figures."""
    md: _OutputFile | None = None
    """Markdown, for a pull request."""
    junit: _OutputFile | None = None
    """JUnit XML, for a CI server: the thresholds are its test cases."""
    csv: _OutputFile | None = None
    """Every transaction."""
    jsonl: _OutputFile | None = None
    """Every transaction and its exchanges."""
    hgrm: _OutputFile | None = None
    """The percentile distribution of the response time, for HdrHistogram's plotters."""
    parquet: _OutputFile | None = None
    """Every transaction, with types."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        places: dict[tuple[str, ...], str] = {(kept,): "bulkcmp itself" for kept in KEPT}
        for name, text in table.items():
            if not isinstance(text, str):
                continue
            if name in _EXTRAS and find_spec(_EXTRAS[name]) is None:
                yield Contradiction(
                    f"it needs {_EXTRAS[name]}, which is not installed",
                    f"pip install 'bulkcmp[{name}]'",
                    (name,),
                )
            parts = PurePosixPath(text).parts
            for other, owner in places.items():
                if parts and parts[: len(other)] == other[: len(parts)]:
                    yield Contradiction(
                        f"{'/'.join(other)} is written by {owner}",
                        "give each report a file of its own",
                        (name,),
                    )
            places.setdefault(parts, name)

    def files(self) -> dict[ReportFormat, str]:
        """The file of each report."""
        return {
            ReportFormat(name): text
            for name, text in self.model_dump(by_alias=True, exclude_none=True).items()
        }


class ScenarioTable(Table):
    """A load test of a CMP server."""

    model_config = ConfigDict(
        title="bulkcmp load test scenario", json_schema_extra=one_of("open", "closed")
    )

    name: Annotated[_Text, readable(_check_name)] | None = None
    """What reports and the run folder are called; by default as the file."""
    description: str = ""
    """What it is for."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Of all chance: the same seed makes the same plan. By default another one each time."""
    count: _Count | None = None
    """Lifecycles to begin at most."""
    duration: _SomeSeconds | None = None
    """Seconds in which lifecycles begin."""
    warm_up: _Seconds = 0.0
    """Seconds from the beginning whose figures stand apart."""
    drain: _Seconds = 60.0
    """Seconds that what has begun may still take in the end."""
    thresholds: list[Annotated[str, readable(Threshold.parse)]] = Field([])
    """What must hold, such as p95(ir.response) < 500ms."""
    revoke_after: bool = False
    """Whether what was issued, and not revoked by a step, is revoked in the end."""
    revoke_at: str | None = None
    """The one of [servers] that revokes it; by default each what it issued."""
    server: dict[str, Any] = Field({})
    """How to talk to the server; to all of them, where there are several."""
    servers: dict[str, dict[str, Any]] = Field({})
    """Where there are several: what is otherwise at each, by its name."""
    population: PopulationTable
    """The end entities."""
    keys: KeysTable = Field(default_factory=KeysTable)
    """The keys to be certified."""
    lifecycles: Annotated[list[LifecycleTable], Field(min_length=1)]
    """What end entities go through."""
    open: OpenTable | None = None
    """Lifecycles begin by a plan, whatever becomes of those before."""
    closed: ClosedTable | None = None
    """Clients of which each begins a lifecycle when its last one is over."""
    capacity: CapacityTable = Field(default_factory=CapacityTable)
    """How load --find-capacity looks for the highest rate at which the thresholds hold."""
    outputs: OutputsTable = Field(default_factory=OutputsTable)
    """Reports that are written into the run folder at the end."""

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterator[Contradiction]:
        if "open" in table and "closed" in table:
            yield Contradiction(
                "a load is open or closed, not both", "leave one of the tables away", ("closed",)
            )
        elif not {"open", "closed"} & table.keys():
            yield Contradiction(
                "a load is open or closed: one of these tables is missing",
                "write [open] with a rate, or [closed] with a number of clients",
            )
        elif all(within(table, *key) is None for key in _ENDS):
            yield Contradiction(
                "it would never end",
                "give a count, a duration, stages, or a population with a file or a size",
            )
        match table:
            case {"warm_up": int() | float() as warm_up, "duration": int() | float() as duration}:
                if warm_up >= duration:
                    yield Contradiction(
                        "nothing is left to measure: the warm-up lasts as long as all of it",
                        f"give less than the duration, {duration} seconds",
                        ("warm_up",),
                    )
        yield from _same_names(table.get("lifecycles"))
        yield from _misplaced(table)
        yield from _pointless(table.get("thresholds"), table.get("lifecycles"))

    def shape(self) -> Shape:
        table = self.open or self.closed
        assert table is not None, "a contradiction"
        return table.shape()


_ENDS: Final = (
    ("count",), ("duration",), ("open", "stages"), ("population", "file"), ("population", "size"),
)  # fmt: skip
"""The keys of which one makes a load test end."""


def _same_names(lifecycles: Any) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for place, one in enumerate(lifecycles if isinstance(lifecycles, list) else ()):
        name = within(one, "name")
        if isinstance(name, str) and name in seen:
            yield Contradiction(
                f"another lifecycle has the name {name!r}",
                "reports tell them apart by their names",
                ("lifecycles", place, "name"),
            )
        elif isinstance(name, str):
            seen.add(name)


def _steps(lifecycles: Any) -> Iterator[tuple[int, int, Any, Any]]:
    """The places of each step and of its lifecycle, its cmd, and what it says of its server."""
    for place, one in enumerate(lifecycles if isinstance(lifecycles, list) else ()):
        steps = within(one, "steps")
        for number, step in enumerate(steps if isinstance(steps, list) else ()):
            server = within(step, "server") or within(one, "server")
            yield place, number, within(step, "cmd"), server


def _misplaced(table: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Steps whose server is not known, and servers that nobody asks for anything."""
    servers = table.get("servers", {})
    if not isinstance(servers, dict):
        return
    named: dict[KeyPath, Any] = {("revoke_at",): table.get("revoke_at")}
    homeless: dict[KeyPath, None] = {}
    for place, number, _, server in _steps(table.get("lifecycles")):
        lifecycle: KeyPath = ("lifecycles", place)
        for key in (lifecycle, (*lifecycle, "steps", number)):
            named[(*key, "server")] = within(table, *key, "server")
        if servers and server is None:
            homeless[lifecycle] = None
    known = ", ".join(servers)
    for key in homeless:
        yield Contradiction(
            "which of the servers is asked?", f"give server, one of {known}; or to each step", key
        )
    for key, name in named.items():
        if isinstance(name, str) and name not in servers:
            yield Contradiction(
                f"there is no [servers.{name}]",
                f"there are {known}" if servers else f"leave {key[-1]} away, or write that table",
                key,
            )
    for name in servers:
        if not SERVER_NAME.fullmatch(name):
            yield Contradiction(
                "it can't be the name of a server, which thresholds write as in ir@NAME",
                "take letters, digits, - and _, 40 at most",
                ("servers", name),
            )
        if name not in named.values():
            yield Contradiction(
                "nobody asks this server for anything",
                f'name it in a lifecycle or a step, server = "{name}", or leave it away',
                ("servers", name),
            )


def _pointless(thresholds: Any, lifecycles: Any) -> Iterator[Contradiction]:
    """Thresholds that could not be judged, however the test goes."""
    steps = [(cmd, server or "") for _, _, cmd, server in _steps(lifecycles)]
    if not steps or not all(cmd in _COMMANDS and isinstance(at, str) for cmd, at in steps):
        # which ones there will be is not known
        return
    for place, text in enumerate(thresholds if isinstance(thresholds, list) else ()):
        threshold = _threshold(text)
        if threshold is not None:
            try:
                threshold.check_against({(Operation(cmd), server) for cmd, server in steps})
            except InputError as error:
                yield Contradiction(error.what, error.hint, ("thresholds", place))


def _threshold(text: Any) -> Threshold | None:
    try:
        return Threshold.parse(text) if isinstance(text, str) else None
    except InputError:
        return None
