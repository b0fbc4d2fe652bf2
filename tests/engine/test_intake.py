from pathlib import Path

import pytest

from bulkcmp.engine.intake import Intake, population_of
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.model import BadRow

CONTENT = """id,subject,secret,csr,sans
a,/CN=a,env:NOT_SET,,dns:a.example
b,/XY=b,,,
c,/XY=c,,,
d,,,nope.csr,
"""


def test_rows_and_kinds_of_problems(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(CONTENT)
    rejected: list[BadRow] = []
    intake = Intake()
    population = population_of(CsvSource(tmp_path / "s.csv"), {})
    rows = list(intake.rows(population, None, rejected.append))
    assert rows == intake.first == [
        {"id": "a", "subject": "/CN=a", "secret": "env:NOT_SET", "sans": "dns:a.example"}
    ]  # fmt: skip
    assert [row.id for row in rejected] == ["b", "c", "d"]
    assert (intake.taken, intake.rejected) == (1, 3)
    unknown = intake.kinds["subject", "RDN …: unknown attribute type …"]
    assert unknown.count == 2
    assert [example.partition(" ")[0] for example in unknown.examples] == [
        f"{tmp_path}/s.csv:3",
        f"{tmp_path}/s.csv:4",
    ]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_paths_are_placed_where_the_rows_will_stand(tmp_path: Path, elsewhere: bool) -> None:
    (tmp_path / "s.csv").write_text("id,secret\na,file:s.txt\n")
    folder = tmp_path / "out" if elsewhere else tmp_path
    population = population_of(CsvSource(tmp_path / "s.csv"), {})
    (row,) = Intake().rows(population, folder, lambda _: None)
    assert row["secret"] == (f"file:{tmp_path}/s.txt" if elsewhere else "file:s.txt")
