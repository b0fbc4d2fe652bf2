import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs import jsonlines
from bulkcmp.inputs.jsonlines import JsonLinesSource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


def test_records(path: Path) -> None:
    path.write_bytes(
        b'\xef\xbb\xbf{"ID": "a", "user": {"Mail": ["x@e", "y@e"], "age": 7}, "on": true}\r\n\n'
        b'{"id": 12345678901234567890123, "f": 1.50, "no": null, "e": "", "id": "b", "off": false}'
    )
    source = JsonLinesSource(path)
    first, second = source.records()
    assert (first.place, second.place) == ((str(path), 1, 1), (str(path), 3, 2))
    assert first.values == {
        "id": ("a",), "user.mail": ("x@e", "y@e"), "user.age": ("7",), "on": ("true",),
    }  # fmt: skip
    assert second.values == {
        "id": ("12345678901234567890123", "b"), "f": ("1.50",), "off": ("false",),
    }  # fmt: skip
    assert source.attributes == ("id", "user.mail", "user.age", "on", "f", "off")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON: Expecting property name enclosed in double quotes (character 2)"),
        (b"[1]", "no object"),
        (b'"a"', "no object"),
        (b'{"a": "\xe5"}', "not valid UTF-8"),
        (b'{"a": "\\u0000"}', "a has characters that are no text"),
        (b'{"a": "\\ud800"}', "a has characters that are no text"),
        (b'{"a":' * 19_000, "nested too deeply"),
        (b"x" * 100_000, "the line is longer than 10,000 octets"),
    ],
)
def test_a_bad_line_is_a_problem_of_its_record(
    path: Path, line: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonlines, "_LINE_LIMIT", 10_000 if line[:1] == b"x" else 100_000)
    path.write_bytes(line + b'\n{"id": "b"}\n')
    bad, good = JsonLinesSource(path).records()
    (problem,) = bad.problems
    assert why in problem.what
    assert (problem.where and problem.where.line, good.place.line) == (1, 2)
    assert good.values == {"id": ("b",)}


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(JsonLinesSource(path).records())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    octets=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_line_gives_records(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    for record in JsonLinesSource(path).records():
        assert record.problems or all(all(texts) for texts in record.values.values())
