from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.toml import read_toml, written


def _write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "some.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


LINES = (
    """\ufeff# a comment
a = 1
b = [
    { c = 2 },

    { "d e" = 3 },
]

[f]
g.h = """
    + '"""'
    + """
[not.a.header]
"""
    + '"""'
    + """
  [[f.i]]
j = 4
  [[ f . i ]]
j = 5
[f.i.k]
l = 6
[[m]]
n = 7
"""
)


def test_each_value_has_the_line_of_its_statement(tmp_path: Path) -> None:
    file = read_toml(_write(tmp_path, LINES))
    assert file.table["f"]["i"][1] == {"j": 5, "k": {"l": 6}}
    assert dict(file.lines) == {
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 3,
        ("b", 0, "c"): 3,
        ("b", 1): 3,
        ("b", 1, "d e"): 3,
        ("f",): 9,
        ("f", "g"): 10,
        ("f", "g", "h"): 10,
        ("f", "i"): 13,
        ("f", "i", 0): 13,
        ("f", "i", 0, "j"): 14,
        ("f", "i", 1): 15,
        ("f", "i", 1, "j"): 16,
        ("f", "i", 1, "k"): 17,
        ("f", "i", 1, "k", "l"): 18,
        ("m",): 19,
        ("m", 0): 19,
        ("m", 0, "n"): 20,
    }


def test_a_place_is_written_as_people_count(tmp_path: Path) -> None:
    file = read_toml(_write(tmp_path, LINES))
    assert str(file.where("f", "i", 1, "j")) == f"{file.path}:16, key f.i[2].j"
    # what is missing is missing in its table
    assert str(file.where("f", "i", 1, "o")) == f"{file.path}:15, key f.i[2].o"
    assert str(file.where("z")) == f"{file.path}, key z"
    assert str(file.where()) == str(file.path)
    assert written(("b", 1, "d e")) == 'b[2]."d e"'


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("server = \n", 1, "not TOML"),
        ('rate = 1\nserver = "x\n', 2, "not TOML"),
        ("rate = 1\nrate = 2\n", 2, "not TOML"),
        ("a = [", None, "not TOML"),
        (b"rate = 1\nserver = '\xff'\n", 2, "not valid UTF-8"),
    ],
)
def test_what_is_not_toml(tmp_path: Path, content: str | bytes, line: int | None, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        read_toml(_write(tmp_path, content))
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_toml(tmp_path / "nope.toml")
