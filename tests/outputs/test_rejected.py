import csv
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.model import BadRow
from bulkcmp.outputs.rejected import COLUMNS, rejecting

FILE = "site/users.ldif"


def _bad(number: int, *problems: InputError) -> BadRow:
    return BadRow(number, number + 10, f"dev{number}", problems)


def _lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_line_for_each_problem(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    with rejecting(path) as reject:
        reject(
            _bad(
                1,
                InputError("no name", where=Where(FILE, 11, "subject", 1), hint="give one"),
                InputError("=1+1\n", where=Where(FILE, 11, None, 1)),
            )
        )
        reject(_bad(2, InputError("no place")))
        assert not path.exists()
    assert _lines(path) == [
        list(COLUMNS),
        ["1", "11", "dev1", "subject", "no name", "give one", FILE],
        ["1", "11", "dev1", "", "'=1+1\\n", "", FILE],
        ["2", "12", "dev2", "", "no place", "", ""],
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_none(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    path.write_text("of an earlier run")
    with rejecting(path):
        pass
    assert _lines(path) == [list(COLUMNS)]


def test_what_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    path.write_text("old")

    def rows() -> Iterator[BadRow]:
        yield _bad(1, InputError("x"))
        raise KeyError

    with pytest.raises(KeyError), rejecting(path) as reject:
        deque(map(reject, rows()), maxlen=0)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BulkcmpError, match="can't be written"), rejecting(tmp_path / "a" / "b"):
        pass
