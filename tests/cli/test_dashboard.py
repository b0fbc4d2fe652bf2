"""The Grafana dashboard asks for nothing that is not there."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from bulkcmp.cli import dashboard as module
from bulkcmp.model import OutcomeClass
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.metrics import METRICS, Kind, metrics
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import RUN, trouble

app = typer.Typer()
app.command()(module.dashboard)

OF_PROMETHEUS: Final = {"instance", "job"}
"""Labels that it adds to what it scrapes."""

SELECTOR: Final = re.compile(r"(?P<name>bulkcmp_\w+)(?:\{(?P<matchers>[^}]*)\})?")
MATCHER: Final = re.compile(r'(?P<label>\w+)(?P<op>=~|!~|!=|=)"(?P<value>[^"]*)"')
GROUPING: Final = re.compile(r"\bby \((?P<labels>[^)]*)\)")
LEGEND: Final = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    ended = CliRunner().invoke(app, [])
    assert ended.exit_code == 0
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def panels(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in shown["panels"] if one["type"] != "row"]


def targets(shown: dict[str, Any]) -> Iterator[dict[str, str]]:
    for panel in panels(shown):
        yield from panel["targets"]


def exposed() -> dict[str, dict[str, set[str]]]:
    """By the name of each series: its labels, and what values they have."""
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(trouble())
    figures.add(Pulse("worker 1", 12.0, 1.0, 0.1, 0.0, 0.0, 40, 1024))
    found: dict[str, dict[str, set[str]]] = {}
    for family in metrics(RUN, figures, [Threshold.parse(text) for text in RUN.thresholds]):
        metric = family.metric
        labels = {
            label: {values[place] for values in family.samples}
            for place, label in enumerate(metric.labels)
        }
        if metric.kind is Kind.HISTOGRAM:
            for ending in ("_sum", "_count"):
                found[metric.prometheus + ending] = labels
            found[metric.prometheus + "_bucket"] = labels | {"le": set()}
        else:
            found[metric.prometheus] = labels
    return found


def test_each_metric_label_and_value_that_is_asked_for_is_there(shown: dict[str, Any]) -> None:
    there = exposed()
    asked = set()
    for target in targets(shown):
        expression = target["expr"]
        labels: set[str] = set()
        for selector in SELECTOR.finditer(expression):
            name = selector["name"]
            assert name in there, expression
            asked.add(name)
            labels |= set(there[name]) | OF_PROMETHEUS
            for matcher in MATCHER.finditer(selector["matchers"]):
                label, value = matcher["label"], matcher["value"]
                assert label in there[name].keys() | OF_PROMETHEUS, expression
                if matcher["op"] == "=":
                    assert value in there[name][label], expression
        for grouping in GROUPING.finditer(expression):
            assert set(grouping["labels"].split(", ")) <= labels, expression
        for label in LEGEND.findall(target["legendFormat"]):
            assert label in labels, target
            groupings = GROUPING.findall(expression)
            assert all(label in one.split(", ") for one in groupings), target
    # all that a user has to see
    for name in (
        "transactions", "transactions_planned", "transactions_started", "transactions_in_flight",
        "requests", "fail_info", "exchanges", "threshold_held", "bottlenecks", "process_cpu",
    ):  # fmt: skip
        assert METRICS[name].prometheus in asked
    assert {"bulkcmp_response_seconds_bucket", "bulkcmp_service_seconds_bucket"} <= asked


def test_every_expression_is_of_the_chosen_instances(shown: dict[str, Any]) -> None:
    for target in targets(shown):
        found = list(SELECTOR.finditer(target["expr"]))
        assert found
        for selector in found:
            assert 'instance=~"$instance"' in selector["matchers"]


def test_failures_are_those_that_did_not_reach_what_was_asked_for(shown: dict[str, Any]) -> None:
    (told,) = (
        re.findall(r'class!~"([^"]*)"', one["expr"])[0]
        for one in targets(shown)
        if "class!~" in one["expr"]
    )
    assert set(told.split("|")) == {one.value for one in OutcomeClass if one.is_done}


def test_it_is_a_dashboard_that_grafana_imports(shown: dict[str, Any]) -> None:
    # of Grafana 10.2 and later
    assert shown["schemaVersion"] == 39
    assert shown["id"] is None
    variables = {one["name"]: one for one in shown["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    query = variables["instance"]["query"]["query"]
    assert query == f"label_values({METRICS['run_info'].prometheus}, instance)"
    numbers = [one["id"] for one in shown["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in panels(shown):
        assert panel["type"] in ("stat", "timeseries", "heatmap")
        assert panel["title"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [one["refId"] for one in panel["targets"]]
        assert len(references) == len(set(references))


def test_no_panel_lies_over_another(shown: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in shown["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
