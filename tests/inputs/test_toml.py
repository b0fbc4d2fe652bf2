import tomllib
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.toml import TomlFile, read_toml, written


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


def test_what_stands_in_strings_and_comments_ends_no_statement(tmp_path: Path) -> None:
    quotes = '"' * 3
    text = f"""a = [  # ]
  "]", '''
]'''',
  "\\"]",
]
b = {quotes}\\{quotes} [{quotes}
c = {{ d = '#{{' }}  # }}
e = 1
"""
    file = read_toml(_write(tmp_path, text))
    assert file.table["a"] == ["]", "]'", '"]']
    assert dict(file.lines) == {
        ("a",): 1,
        ("a", 0): 1,
        ("a", 1): 1,
        ("a", 2): 1,
        ("b",): 6,
        ("c",): 7,
        ("c", "d"): 7,
        ("e",): 8,
    }


def test_a_value_of_many_lines_is_read_once_more_not_once_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, read = tomllib.loads, list[str]()

    def counted(text: str) -> dict[str, Any]:
        read.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    text = "a = [\n" + "1,\n" * 500 + "]\n"
    assert read_toml(_write(tmp_path, text)).lines["a", 499] == 1
    assert sum(map(len, read)) < 3 * len(text)


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("server = \n", 1, "not TOML"),
        ('rate = 1\nserver = "x\n', 2, "not TOML"),
        ("rate = 1\nrate = 2\n", 2, "not TOML"),
        ("a = [", None, "not TOML"),
        ("a = " + "[" * 5000 + "]" * 5000, None, "brackets are nested too deeply"),
        (".".join("a" * 100) + " = 1", None, "keys are nested too deeply"),
        ("a = " + "9" * 5000, None, "a number is too long"),
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


def _changed(tmp_path: Path, *changes: str) -> TomlFile:
    return read_toml(_write(tmp_path, "a = 1\nb = [2]\n[c]\nd = 3\ne = 4\n")).with_changes(changes)


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("a=2", {"a": 2, "b": [2], "c": {"d": 3, "e": 4}}),
        ("c.d = 'x = y'", {"a": 1, "b": [2], "c": {"d": "x = y", "e": 4}}),
        ("c={f=5}", {"a": 1, "b": [2], "c": {"f": 5}}),
        ("b=[]", {"a": 1, "b": [], "c": {"d": 3, "e": 4}}),
        ('f."g h".i=6', {"a": 1, "b": [2], "c": {"d": 3, "e": 4}, "f": {"g h": {"i": 6}}}),
    ],
)
def test_a_change_takes_the_place_of_what_the_file_says(
    tmp_path: Path, change: str, table: dict[str, object]
) -> None:
    assert _changed(tmp_path, change).table == table


def test_later_changes_come_on_top_and_leave_the_file_as_it_was(tmp_path: Path) -> None:
    file = _changed(tmp_path, "c.d=5")
    assert file.with_changes(["c={f=6}", "c.g=7"]).table["c"] == {"f": 6, "g": 7}
    assert file.table["c"] == {"d": 5, "e": 4}


def test_what_was_changed_stands_on_the_command_line(tmp_path: Path) -> None:
    file = _changed(tmp_path, "c.d={x=1}")
    assert str(file.where("c", "d", "x")) == "--set, key c.d.x"
    assert str(file.where("c", "e")) == f"{file.path}:5, key c.e"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("a", "'a' gives no value"),
        ("=1", "'=' and its value are not TOML"),
        ("a=", "'a=' and its value are not TOML"),
        ("a=text", "'a=' and its value are not TOML"),
        ("a b=1", "'a b=' and its value are not TOML"),
        ("a=1\nb=2", "'a=' and its value are not TOML"),
        ("a.x=1", "a is no table"),
        ("b.x.y=1", "b is no table"),
    ],
)
def test_what_is_no_change_is_told(tmp_path: Path, change: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        _changed(tmp_path, change)
    assert caught.value.what == what
    assert caught.value.hint
