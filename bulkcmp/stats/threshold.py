"""Thresholds: what must hold of a load test's figures, as a user writes it.

    p95(ir.response) < 500ms
    p50(service) < 80ms
    max(kur.failed.response) < 30s
    p99(certConf/pkiconf.total) < 100ms
    p95(kur@client.response) < 1s
    rate(ok) > 200
    rate(ir.ok) >= 150
    share(failed) < 0.1%
    count(dropped) <= 10
    abort share(failed) < 50%
    abort after 30s p95(response) < 10s

The grammar:

    [abort [after TIME]] FUNCTION(WHAT) < <= > >= VALUE
    FUNCTION(WHAT) is one of
      p50 p95 p99.9 … min mean max (LATENCY)            VALUE with us, ms, s, m or h
      rate(COUNT)                                       VALUE per second
      share(COUNT)                                      VALUE with %
      count(COUNT)                                      VALUE
    LATENCY is [OPERATION.][failed.] response, service, lag, crypto or network;
      or MESSAGE/ANSWER. total, connect, tls or first_byte, such as ir/ip.first_byte
    COUNT is [OPERATION.] ok, failed, finished or certificates; or dropped or abandoned
    OPERATION is ir, cr, p10cr, kur or rr; of one of several servers alone it is ir@NAME, and
      MESSAGE/ANSWER is ir/ip@NAME

Latencies are those of transactions that reached what the user asked for, unless `failed` says
otherwise; rates are per second that was measured; the warm-up counts for nothing.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import isfinite
from operator import ge, gt, le, lt
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.model import Operation
from bulkcmp.stats.figures import (
    EXCHANGE_METRICS,
    TRANSACTION_METRICS,
    Figures,
    OperationFigures,
    Work,
    at_server,
    pair_name,
    rate,
    work_name,
)
from bulkcmp.stats.histogram import Histogram

_HINT: Final = "for example p95(ir.response) < 500ms, rate(ok) > 200 or share(failed) < 0.1%"

_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_TIMES: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER: Final = r"(?:\d+(?:\.\d*)?|\.\d+)"
_EXPRESSION: Final = re.compile(
    rf"(?P<abort>abort\s+(?:after\s+(?P<after>{_NUMBER})(?P<after_unit>us|ms|s|m|h)\s+)?)?"
    r"(?P<function>[a-z]+)(?P<q>\d+(?:\.\d+)?)?\s*\(\s*(?P<what>[^()\s]+)\s*\)\s*"
    rf"(?P<comparison><=|>=|<|>)\s*(?P<value>{_NUMBER})\s*(?P<unit>\S*)"
)
_AT_SERVER: Final = re.compile(r"([^.@]+)(?:@([A-Za-z0-9_-]+))?(?=\.)")
_TOTALS: Final = ("ok", "failed", "finished", "certificates")
_OTHERS: Final = ("dropped", "abandoned")
_OPERATIONS: Final = tuple(operation.value for operation in Operation)
_MESSAGES: Final = (
    "ir", "ip", "cr", "cp", "p10cr", "popdecc", "popdecr", "kur", "kup", "krr", "krp", "rr", "rp",
    "ccr", "ccp", "ckuann", "cann", "rann", "crlann", "pkiconf", "nested", "genm", "genp", "error",
    "certConf", "pollReq", "pollRep",
)  # fmt: skip
"""Of the PKIBody CHOICE (RFC 9810, 5.1.2)."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold.

    Attributes:
        text: as the user wrote it.
        function: `p`, `min`, `mean`, `max`, `rate`, `share` or `count`.
        q: the percentile of `p`.
        what: whose figure.
        comparison: `<`, `<=`, `>` or `>=`.
        limit: seconds, per second, a share of 1, or a count.
        abort: the run ends where it does not hold, even before its time.
        after: seconds that must have been measured before that.
    """

    text: str
    function: str
    q: float
    what: str
    comparison: str
    limit: float
    abort: bool = False
    after: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Read one.

        Raises:
            InputError: it is none.
        """
        match = _EXPRESSION.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{text!r} is not a threshold", hint=_HINT)
        function, q, what = match["function"], match["q"], match["what"]
        if (function == "p") != (q is not None) or function not in _UNITS:
            raise InputError(
                f"{text!r}: there is no function {function + (q or '')!r}",
                hint="functions are p50, p99.9 and so on, min, mean, max, rate, share, count",
            )
        if q is not None and not 0 <= float(q) <= 100:
            raise InputError(f"{text!r}: a percentile is between 0 and 100", hint=_HINT)
        units = _UNITS[function]
        if match["unit"] not in units:
            raise InputError(
                f"{text!r}: {match['unit'] or 'no unit'!r} is no unit of {function}",
                hint="units are " + ", ".join(unit or "none" for unit in units),
            )
        _check_what(text, function, what)
        limit = float(match["value"]) * units[match["unit"]]
        after = float(match["after"]) * _TIMES[match["after_unit"]] if match["after"] else 0.0
        if not (isfinite(limit) and isfinite(after)):
            raise InputError(f"{text!r}: there is no such number", hint=_HINT)
        return cls(
            text.strip(),
            function,
            float(q or 0),
            what,
            match["comparison"],
            limit,
            match["abort"] is not None,
            after,
        )

    def check_against(self, works: Collection[Work]) -> None:
        """Check that a load test of these operations, at these servers, will have something to
        judge.

        Raises:
            InputError: it will not, however it goes.
        """
        name, server = _named(self.what)
        operation = name.split("/")[0]
        there = {of for of, at in works if server in ("", at)}
        if server and not there:
            servers = sorted({at for _, at in works if at})
            raise InputError(
                f"{self.text!r} can't be judged: nothing is asked of a server {server}",
                hint=f"servers are {', '.join(servers)}" if servers else f"leave @{server} away",
            )
        if operation in _OPERATIONS and Operation(operation) not in there:
            raise InputError(
                f"{self.text!r} can't be judged: no lifecycle has {at_server(operation, server)}",
                hint=f"they have {', '.join(sorted(map(work_name, works)))}",
            )

    @property
    def unit(self) -> str:
        """Of its limit and its figure: `s`, `/s`, `share` (of 1) or `count`."""
        if self.function in _LATENCY_FUNCTIONS:
            return "s"
        return "/s" if self.function == "rate" else self.function

    def value(self, figures: Figures) -> float | None:
        """What it is compared with; None where there is nothing to take it from."""
        if self.unit == "s":
            histogram = latencies(self.what, figures)
            if self.function == "p":
                return histogram.percentile(self.q)
            figure: float | None = getattr(histogram, self.function)
            return figure
        count, whole = _counts(self.what, figures)
        if not whole and self.comparison in ("<", "<="):
            # that nothing failed of nothing is no proof
            return None
        if self.function == "count":
            return float(count)
        if self.function == "rate":
            return rate(count, figures.seconds)
        return count / whole if whole else None

    def verdict(self, figures: Figures) -> "Verdict":
        """Whether it holds; what has no value does not."""
        value = self.value(figures)
        held = value is not None and _COMPARISONS[self.comparison](value, self.limit)
        return Verdict(self, value, held)

    def aborts(self, figures: Figures) -> bool:
        """Whether a run that goes on must end: there is a value, and it does not hold."""
        if not self.abort or figures.seconds < self.after:
            return False
        verdict = self.verdict(figures)
        return verdict.value is not None and not verdict.held


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a threshold.

    Attributes:
        value: in the unit of `Threshold.limit`; None where there was nothing to measure.
    """

    threshold: Threshold
    value: float | None
    held: bool


_LATENCY_FUNCTIONS: Final = ("p", "min", "mean", "max")
_UNITS: Final[dict[str, dict[str, float]]] = {
    **dict.fromkeys(_LATENCY_FUNCTIONS, _TIMES),
    "rate": {"": 1.0, "/s": 1.0},
    "share": {"%": 0.01},
    "count": {"": 1.0},
}


def check_latency(text: str) -> None:
    """Check that a text is a LATENCY of the grammar.

    Raises:
        InputError: it is none.
    """
    try:
        _check_what(text, "p", text)
    except InputError as error:
        raise InputError(f"{text!r} is no latency", hint=error.hint) from None


def _check_what(text: str, function: str, what: str) -> None:
    *before, last = what.split(".")
    name, _ = _named(what)
    if function in _LATENCY_FUNCTIONS:
        if "/" in name:
            pair = name.split("/")
            known = len(before) == 1 and len(pair) == 2 and last in EXCHANGE_METRICS
            known = known and all(one in _MESSAGES for one in pair)
        else:
            if before and name in _OPERATIONS:
                del before[0]
            known = before in ([], ["failed"]) and last in TRANSACTION_METRICS
        names = "latencies are response, service, lag, crypto, network, and of an exchange such as"
        names += " certConf/pkiconf total, connect, tls, first_byte"
    else:
        of_all = not before and last in (*_TOTALS, *_OTHERS)
        known = of_all or (len(before) == 1 and name in _OPERATIONS and last in _TOTALS)
        names = f"counts are {', '.join((*_TOTALS, *_OTHERS))}"
    if not known:
        raise InputError(f"{text!r}: {function} has no {what!r}", hint=f"{names}; {_HINT}")


def _named(what: str) -> tuple[str, str]:
    """The name of an operation or of messages that a figure is of, and of the server or nothing."""
    match = _AT_SERVER.match(what)
    return (match[1], match[2] or "") if match else (what, "")


def _operation(what: str, figures: Figures) -> OperationFigures:
    name, server = _named(what)
    if name not in _OPERATIONS:
        return figures.measured.all_operations()
    return figures.measured.all_operations(
        lambda work: work[0] is Operation(name) and server in ("", work[1])
    )


def latencies(what: str, figures: Figures) -> Histogram:
    """The histogram of a LATENCY of the grammar; an empty one where there were none."""
    *before, metric = what.split(".")
    name, server = _named(what)
    if "/" in name:
        together = Histogram()
        for pair, exchanges in figures.measured.pairs.items():
            if pair_name(pair) == at_server(name, server or pair[3]):
                together.merge(getattr(exchanges, metric))
        return together
    operation = _operation(what, figures)
    of_kind: Histogram = getattr(operation.failed if "failed" in before else operation.ok, metric)
    return of_kind


def _counts(what: str, figures: Figures) -> tuple[int, int]:
    """A count, and what it is a share of."""
    name = what.split(".")[-1]
    operation = _operation(what, figures)
    ok, finished = operation.ok.service.count, operation.finished
    match name:
        case "ok":
            return ok, finished
        case "failed":
            return finished - ok, finished
        case "finished":
            return finished, finished
        case "certificates":
            return operation.certificates, operation.requests
        case "dropped":
            dropped = figures.measured.dropped
            return dropped, dropped + finished
        case _:
            return figures.abandoned, finished
