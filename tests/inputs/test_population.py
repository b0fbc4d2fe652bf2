import hashlib
import os
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bulkcmp.errors import EXIT_BAD_INPUT, InputError, InputErrors
from bulkcmp.inputs.name import format_name
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.row import Defaults
from bulkcmp.model import BadRow, EndEntity

if TYPE_CHECKING:
    from tests.inputs.conftest import WriteCsv

DEFAULTS = Defaults(secret="pass:x", newkey="ed25519", subject="/CN={id}")


def _open(path: Path) -> Population:
    return Population(open_source(path), DEFAULTS, {})


def _ids(path: Path) -> list[str]:
    return [row.id for row in _open(path).rows() if isinstance(row, EndEntity)]


def _bad(path: Path) -> BadRow:
    (row,) = (row for row in _open(path).rows() if isinstance(row, BadRow))
    return row


def _problem(row: BadRow) -> tuple[int | None, str | None, str]:
    (problem,) = row.problems
    assert problem.where is not None
    return problem.where.line, problem.where.column, problem.what


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_line_ends_and_encodings(
    write_csv: "WriteCsv", delimiter: str, end: str, encoding: str
) -> None:
    lines = ["ID, Subject ,ref", '"å1",/CN=å1,u', "", "å2,,u"]
    text = end.join(line.replace(",", delimiter) for line in lines)
    population = _open(write_csv(text.encode(encoding)))
    assert population.columns == ("id", "subject", "ref")
    assert not population.has_priorities
    rows = list(population.rows())
    assert [(row.id, row.number, row.line) for row in rows] == [("å1", 1, 2), ("å2", 2, 4)]
    subjects = [row.subject for row in rows if isinstance(row, EndEntity)]
    assert [format_name(s) for s in subjects if s] == ["CN=å1", "CN=å2"]


def test_big_endian_utf_16(write_csv: "WriteCsv") -> None:
    assert _ids(write_csv(b"\xfe\xff" + "id\na\n".encode("utf-16-be"))) == ["a"]


@pytest.mark.parametrize("header", ["id", '"id"', " ID "])
def test_one_column(write_csv: "WriteCsv", header: str) -> None:
    assert _ids(write_csv(f"{header}\na;b\n\n  \nc|d\n")) == ["a;b", "c|d"]


def test_one_column_of_names(write_csv: "WriteCsv") -> None:
    (row,) = _open(write_csv('subject\n"CN=a,C=SE"\n')).rows()
    assert isinstance(row, EndEntity)
    assert format_name(row.subject or b"") == "CN=a,C=SE"


def test_the_delimiter_is_the_headers_not_the_rows(write_csv: "WriteCsv") -> None:
    population = _open(write_csv("id;sans\na;x.example,y.example,z.example\n"))
    assert population.columns == ("id", "sans")
    assert all(isinstance(row, EndEntity) for row in population.rows())


def test_a_quoted_header_of_another_delimiter(write_csv: "WriteCsv") -> None:
    assert _open(write_csv('"id";"subject"\n"a";"/CN=a"\n')).columns == ("id", "subject")


def test_blank_lines_before_the_header(write_csv: "WriteCsv") -> None:
    (row,) = _open(write_csv("\n  \nid\na\n")).rows()
    assert row.line == 4


def test_lines_are_physical(write_csv: "WriteCsv") -> None:
    path = write_csv('id,profile\na,"x\ny\nz"\n\nb,"p\r\nq"\nc,\n')
    assert [(row.number, row.line) for row in _open(path).rows()] == [(1, 2), (2, 6), (3, 8)]


def test_a_population_is_streamed_several_times(write_csv: "WriteCsv") -> None:
    population = _open(write_csv("id,priority\na,1\nb,2\n"))
    assert population.has_priorities
    first = population.rows()
    next(first)
    assert list(population.rows()) == list(population.rows())
    assert [row.id for row in first] == ["b"]


def test_digest(write_csv: "WriteCsv") -> None:
    path = write_csv("id\na\n")
    population = _open(path)
    assert population.digest() == hashlib.sha256(b"id\na\n").hexdigest()
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        population.digest()
    with pytest.raises(InputError, match="no such file"):
        list(population.rows())


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("", None, "the file is empty"),
        ("\n \n", None, "the file is empty"),
        ("\ufeff", None, "the file is empty"),
        ("id\n", None, "the file has a header, but no rows"),
        ("id\n\n  \n", None, "the file has a header, but no rows"),
        ("id,subjct\na,b\n", 1, "unknown column 'subjct' (column 2 of 2)"),
        ("id;foo\na;b\n", 1, "unknown column 'foo' (column 2 of 2)"),
        ("id,\na,b\n", 1, "column 2 has no name"),
        ("\nid,ref,ID\na,b,c\n", 2, "column 'id' stands twice: columns 1 and 3"),
        ('"id\na\n', 1, "a double quote is never closed"),
        (b"id\0\na\n", 1, "NUL"),
        ("id\na\n".encode("utf-16-le"), 1, "NUL"),
        (b"i\xe5d\na\n", 1, "octets that are no characters"),
        ("x" * 70_000, 1, "too long for a header"),
    ],
)
def test_files_that_cannot_be_used(
    write_csv: "WriteCsv", content: str | bytes, line: int | None, why: str
) -> None:
    with pytest.raises(InputError) as caught:
        _open(write_csv(content))
    assert why in caught.value.what
    assert caught.value.where is not None
    assert caught.value.where.line == line
    assert caught.value.exit_code == EXIT_BAD_INPUT


def test_an_unknown_column_is_told_the_nearest_known(write_csv: "WriteCsv") -> None:
    with pytest.raises(InputError) as caught:
        _open(write_csv("id,subjct\na,b\n"))
    assert (caught.value.hint or "").startswith("did you mean 'subject'? known are id, cmd,")


def test_all_problems_of_a_header_at_once(write_csv: "WriteCsv") -> None:
    with pytest.raises(InputErrors) as caught:
        _open(write_csv("foo,bar,,id,id\n1,2,3,4,5\n"))
    assert len(caught.value.problems) == 4
    assert "unknown column 'bar' (column 2 of 5)" in str(caught.value)


def test_a_source_without_records(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n")
    with pytest.raises(InputError, match=r"a\.jsonl: there are no rows"):
        list(_open(path).rows())


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _open(tmp_path / "nope.csv")
    assert str(caught.value) == f"{tmp_path}/nope.csv: no such file"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no files in it"):
        list(_open(tmp_path / "empty").rows())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        _open(tmp_path / "pipe")


@pytest.mark.parametrize("cells", ["a", "a,/CN=a,u,x", "a,CN=a,C=SE,u"])
def test_too_few_or_too_many_cells(write_csv: "WriteCsv", cells: str) -> None:
    path = write_csv(f"id,subject,ref\n{cells}\nb,/CN=b,u\n")
    row = _bad(path)
    assert _problem(row) == (2, None, f"{cells.count(',') + 1} cells, and the header has 3")
    assert "double quotes" in (row.problems[0].hint or "")
    assert row.id == "a"
    assert _ids(path) == ["b"]


def test_bad_utf_8_is_a_problem_of_its_row_and_column(write_csv: "WriteCsv") -> None:
    path = write_csv(b"id,subject\na,/CN=a\nb,/CN=\xe5\nc,/CN=c\n")
    row = _bad(path)
    line, column, what = _problem(row)
    assert (line, column, row.id, row.number) == (3, "subject", "b", 2)
    assert "octets that are no characters of its encoding" in what
    assert _ids(path) == ["a", "c"]


def test_an_id_of_bad_utf_8_is_shown_printable(write_csv: "WriteCsv") -> None:
    row = _bad(write_csv(b"id\n\xe5\xffa\n"))
    assert row.id == r"\udce5\udcffa"


def test_bad_utf_16(write_csv: "WriteCsv") -> None:
    path = write_csv("id\na\n".encode("utf-16") + b"\x00\xd8b\x00\n\x00c\x00\n\x00")
    assert "octets that are no characters" in _problem(_bad(path))[2]
    path = write_csv("id\na\nb".encode("utf-16") + b"c")
    assert "octets that are no characters" in _problem(_bad(path))[2]
    assert _ids(path) == ["a"]


def test_nul_characters(write_csv: "WriteCsv") -> None:
    path = write_csv(b"id,ref\na,u\nb,u\0v\nc,u\n")
    line, column, what = _problem(_bad(path))
    assert (line, column) == (3, "ref")
    assert what.startswith("the line has NUL characters")
    assert _ids(path) == ["a", "c"]


@pytest.mark.parametrize(
    ("rows", "line", "why"),
    [
        ('a,"x"y\nb,\n', 2, "text after the closing double quote of a cell"),
        ('b,\na,"x\n\n\n', 3, "a double quote is never closed"),
        ("b,\na," + "x" * 140_000 + "\n", 3, "a cell is longer than 131072 characters"),
    ],
)
def test_broken_csv(write_csv: "WriteCsv", rows: str, line: int, why: str) -> None:
    path = write_csv(f"id,ref\n{rows}")
    found_line, _, what = _problem(_bad(path))
    assert found_line == line
    assert why in what
    assert _ids(path) == ["b"]


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("subject,ref\n")
        file.writelines(f"/CN=device-{i},{'x' * 500}\n" for i in range(20_000))
    population = _open(path)
    list(islice(population.rows(), 100))
    tracemalloc.start()
    try:
        assert sum(1 for _ in population.rows()) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # of a file of 10 MB
    finally:
        tracemalloc.stop()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda header, body: f"{header}\n{body}".encode("utf-8", "surrogatepass"),
            st.sampled_from(["id", "id,cmd,subject", "id;sans;newkey;secret;days", "csr|cert|key"]),
            st.text(st.sampled_from('ab/CN=,;|"\n\r\0 \t\\å\ud800:pass.*0'), max_size=80),
        ),
    )
)
@example(content=b"\xff\xfei\0d\0\n\0\0\xd8")
@example(content=b'id\n"\xff\n\0')
@example(content=b'id\n""')
def test_any_file_gives_rows_or_an_input_error(write_csv: "WriteCsv", content: bytes) -> None:
    try:
        rows = list(_open(write_csv(content)).rows())
    except InputError:
        return
    assert rows
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines))
    for row in rows:
        if isinstance(row, BadRow):
            assert row.problems
            assert row.id.isprintable()
            assert all(p.where is not None and p.where.line == row.line for p in row.problems)


def test_the_shipped_population() -> None:
    path = Path(__file__).parents[2] / "scenarios" / "devices.csv"
    rows = list(_open(path).rows())
    assert len(rows) == 1000
    assert all(isinstance(row, EndEntity) for row in rows)
    assert rows[0].id == "AX7-000001"
