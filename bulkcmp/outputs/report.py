"""Reports of load tests for programs: JSON and JUnit XML. Both print the numbers of a `Report`."""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from bulkcmp.outputs.files import replacing
from bulkcmp.outputs.text import utc, visible
from bulkcmp.stats.capacity import Capacity, Conclusion, Trial
from bulkcmp.stats.report import Report, TransactionReport
from bulkcmp.stats.threshold import Verdict

SCHEMA: Final = "bulkcmp/load-report/1"

_DIGITS: Final = 9
"""Of seconds after the point: nanoseconds."""


def report_json(report: Report) -> str:
    """All figures, as one JSON object in pure ASCII; times are seconds, shares parts of 1."""
    return json.dumps(document(report), indent=2) + "\n"


def write_report(report: Report, path: Path) -> None:
    """Keep all figures in a file that none but its owner reads, as `report_json` prints them.

    Raises:
        BulkcmpError: the file system refused; what stood there is as it was.
    """
    with replacing(path, 0o600, durable=False) as file:
        file.write(report_json(report).encode())


def document(report: Report) -> dict[str, Any]:
    """What `report_json` prints."""
    return {
        "schema": SCHEMA,
        "runs": [_plain(run) for run in report.runs],
        "exit_code": report.exit_code,
        "ended": report.ended,
        "failed": [fault.what for fault in report.faults],
        "interrupted": report.interrupted,
        "aborted": report.aborted,
        "elapsed_s": round(report.elapsed, _DIGITS),
        "measured_s": round(report.seconds, _DIGITS),
        "warm_up_s": round(report.warm_up_seconds, _DIGITS),
        "bottlenecks": list(report.limits),
        "capacity": None if report.capacity is None else _capacity(report.capacity),
        "thresholds": [_verdict(verdict) for verdict in report.verdicts],
        "lifecycles": {
            "begun": report.begun,
            "by_name": dict(report.lifecycles),
        },
        "dropped": report.dropped,
        "abandoned": report.abandoned,
        "transactions": {
            one.name: _transactions(one) for one in (report.total, *report.operations)
        },
        "warm_up": _transactions(report.warm_up),
        "exchanges": [_plain(one) for one in report.exchanges],
        "intervals": [_plain(one) for one in report.intervals],
        "generator": [_plain(one) for one in report.processes],
    }


def report_junit(report: Report) -> str:
    """JUnit XML, as Jenkins has it (its xunit plugin's junit-10.xsd): two test cases for the run,
    one for each threshold, and one for each operation's failures; the chief figures are properties
    of the suite."""
    suite = ET.Element("testsuite", name=f"bulkcmp load {visible(report.runs[0].scenario)}")
    properties = ET.SubElement(suite, "properties")
    for name, figure in _properties(report):
        ET.SubElement(properties, "property", name=name, value=figure)
    cases = list(_cases(report))
    for group, name, failure in cases:
        case = ET.SubElement(suite, "testcase", classname=group, name=visible(name))
        if failure:
            ET.SubElement(case, "failure", message=visible(failure), type=group)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(bool(failure) for _, _, failure in cases)))
    suite.set("errors", "0")
    suite.set("skipped", "0")
    suite.set("time", f"{report.elapsed:.3f}")
    suite.set("timestamp", utc(report.runs[0].began_at, "seconds"))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


def _cases(report: Report) -> Iterator[tuple[str, str, str]]:
    """Class, name, and what failed (empty where nothing did) of each test case."""
    yield "run", "the plan was kept", "; ".join(report.losses)
    yield "run", "the generator kept up", "; ".join(report.limits)
    for verdict in report.verdicts:
        value = "nothing was measured" if verdict.value is None else f"it is {verdict.value:.9g}"
        yield "threshold", verdict.threshold.text, "" if verdict.held else value
    for one in report.operations:
        told = "; ".join(
            ": ".join(part for part in (f"{each.count} {each.outcome.value}", each.reason) if part)
            for each in one.failures
        )
        failure = f"{one.failed} of {one.finished} failed: {told}" if one.failed else ""
        yield "transactions", one.name, failure
    if report.capacity is not None:
        conclusion = report.capacity.conclusion
        found = conclusion in (Conclusion.FOUND, Conclusion.CEILING)
        yield "capacity", "a capacity was found", "" if found else conclusion.value


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    if report.capacity is not None:
        for name, trial in _landmarks(report.capacity):
            if trial is not None:
                yield f"capacity.{name}", f"{trial.rate:.9g}"
    notes = dict.fromkeys(note for run in report.runs for note in run.notes)
    if notes:
        yield "notes", visible("; ".join(notes))
    yield "measured_s", f"{report.seconds:.9g}"
    for one in (report.total, *report.operations):
        yield f"{one.name}.ok", str(one.ok)
        yield f"{one.name}.failed", str(one.failed)
        for name, figure in (("ok_rate", one.ok_rate), ("finished_rate", one.finished_rate)):
            if figure is not None:
                yield f"{one.name}.{name}", f"{figure:.9g}"
        for metric in ("response", "service"):
            latency = one.latencies[metric]
            for name in ("p50", "p90", "p95", "p99", "p999", "max"):
                if (seconds := getattr(latency, name)) is not None:
                    yield f"{one.name}.{metric}.{name}", f"{seconds:.9f}"


def _capacity(capacity: Capacity) -> dict[str, Any]:
    return {
        "conclusion": capacity.conclusion.value,
        **{
            name: None if trial is None else _plain(trial.rate)
            for name, trial in _landmarks(capacity)
        },
        "windows": [
            {
                "number": one.number,
                "rate": _plain(one.rate),
                "at": _plain(one.at),
                "verdict": one.judgement.value,
                "reasons": list(one.reasons),
                "due": one.due,
                "done": one.done,
                "measured_s": _plain(one.report.seconds),
                "dropped": one.report.dropped,
                "abandoned": one.report.abandoned,
                "thresholds": [_verdict(verdict) for verdict in one.report.verdicts],
                "transactions": _transactions(one.report.total),
            }
            for one in capacity.trials
        ],
    }


def _landmarks(capacity: Capacity) -> tuple[tuple[str, Trial | None], ...]:
    return (
        ("highest_that_held", capacity.held),
        ("lowest_that_did_not", capacity.failed),
        ("knee", capacity.knee),
    )


def _verdict(verdict: Verdict) -> dict[str, Any]:
    threshold = verdict.threshold
    return {
        "threshold": threshold.text,
        "held": verdict.held,
        "value": _plain(verdict.value),
        "limit": _plain(threshold.limit),
        "unit": threshold.unit,
    }


def _transactions(report: TransactionReport) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(report)
    plain["finished"] = report.finished
    plain["fail_info"] = dict(report.fail_info)
    return plain


def _plain(value: Any) -> Any:
    """What JSON can hold of a value of the report's types."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dt.datetime):
        return utc(value, "milliseconds")
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
