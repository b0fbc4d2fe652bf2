"""The documentation says what the code does."""

import re
import runpy
from pathlib import Path

from bulkcmp.engine.options import Options
from bulkcmp.inputs.scenario import read_scenario, scenario_schema, shipped_scenarios

DOCS = Path(__file__).parents[2] / "docs"


def test_the_diagram_is_made_from_the_transition_table() -> None:
    page = runpy.run_path(str(DOCS / "transaction_diagram.py"))["page"]
    assert (DOCS / "transaction.md").read_text() == page()


def test_the_outcomes_are_made_from_their_table() -> None:
    page = runpy.run_path(str(DOCS / "outcomes_page.py"))["page"]
    assert (DOCS / "outcomes.md").read_text() == page()


def test_the_metrics_are_made_from_their_list() -> None:
    page = runpy.run_path(str(DOCS / "metrics_page.py"))["page"]
    assert (DOCS / "metrics.md").read_text() == page()


def test_the_scenario_of_the_documentation_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "scenarios.md").read_text(), re.DOTALL)
    (tmp_path / "ca.toml").write_text('server = "ca.example"\n')
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    assert read_scenario(path, Options.known()).settings["server"] == "ca.example"


def test_the_documentation_has_every_key_of_a_scenario_and_every_shipped_one() -> None:
    page = (DOCS / "scenarios.md").read_text()
    schema = scenario_schema(Options.known())
    for table in (schema, *schema["$defs"].values()):
        for name in table["properties"]:
            assert re.search(rf"\b{name}\b", page), name
    listed = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == list(shipped_scenarios())
