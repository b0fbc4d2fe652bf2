"""The files of a load test, by the names that the documentation gives them."""

from pathlib import Path

from bulkcmp.load.folder import KEPT

DOCS = Path(__file__).parents[2] / "docs"


def test_each_file_that_is_kept_is_documented() -> None:
    text = (DOCS / "scenarios.md").read_text()
    assert len(set(KEPT)) == len(KEPT)
    assert [name for name in KEPT if f"`{name}`" not in text] == []
