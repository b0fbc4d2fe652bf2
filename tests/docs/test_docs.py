"""The documentation says what the code does."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_diagram_is_made_from_the_transition_table() -> None:
    page = runpy.run_path(str(DOCS / "transaction_diagram.py"))["page"]
    assert (DOCS / "transaction.md").read_text() == page()


def test_the_outcomes_are_made_from_their_table() -> None:
    page = runpy.run_path(str(DOCS / "outcomes_page.py"))["page"]
    assert (DOCS / "outcomes.md").read_text() == page()
