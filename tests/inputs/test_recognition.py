import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.recognition import Reading, open_source

if TYPE_CHECKING:
    from tests.inputs.conftest import WriteCsv


@pytest.mark.parametrize("reading", [Reading(), Reading("csv")])
def test_csv(write_csv: "WriteCsv", reading: Reading) -> None:
    assert isinstance(open_source(write_csv("id\na\n"), reading), CsvSource)


def test_an_unknown_format(write_csv: "WriteCsv") -> None:
    with pytest.raises(InputError, match="--source-format: unknown format 'cvs'") as caught:
        open_source(write_csv("id\na\n"), Reading("cvs"))
    assert (caught.value.hint or "").startswith("did you mean 'csv'? known are csv")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / "nope.csv")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        open_source(tmp_path / "pipe")
    for reading in (Reading(), Reading("csv")):
        with pytest.raises(InputError, match="is a folder, not a file"):
            open_source(tmp_path, reading)
