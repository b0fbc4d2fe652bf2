"""The documentation says what the code does."""

import runpy
from pathlib import Path

from bulkcmp.cmp.checks import Reason
from bulkcmp.errors import Loss
from bulkcmp.model import OutcomeClass

DOCS = Path(__file__).parents[2] / "docs"


def test_the_diagram_is_made_from_the_transition_table() -> None:
    page = runpy.run_path(str(DOCS / "transaction_diagram.py"))["page"]
    assert (DOCS / "transaction.md").read_text() == page()


def test_every_outcome_and_every_reason_is_explained() -> None:
    text = " ".join((DOCS / "outcomes.md").read_text().split())
    missing = [word for word in (*OutcomeClass, *Reason, *Loss) if f"`{word}`" not in text]
    assert missing == []
