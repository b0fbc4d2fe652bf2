"""Where the files of a row go, by a template."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.filename import MAX_STEM
from bulkcmp.inputs.filename import FileNameTemplate

NAMES = ("id", "number", "ref", "profile")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{id}", "dev-0001"),
        ("{profile}/{id[:3]}/{id}", "Line%201/dev/dev-0001"),
        ("{id[-2:]}/{id[4:-1]}_x", "01/000_x"),
        ("{id[:]}", "dev-0001"),
        ("{id[90:]}", "~"),
        ("{ref}", "%2E.%2F..%2Fetc"),
        ("..{number}/{id}.key", "%2E.7/dev-0001%2Ekey"),
        ("{id}.pem/{id}.", "dev-0001%2Epem/dev-0001."),
        ("a{number}./nul", "a7%2E/%6Eul"),
        ("{number}.pem", "7.pem"),
    ],
)
def test_paths(text: str, path: str) -> None:
    values = {"id": "dev-0001", "number": "7", "ref": "../../etc", "profile": "Line 1"}
    assert FileNameTemplate(text, NAMES).render(values) == path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("all", "the same for every row"),
        ("/{id}", "a part of the path is empty"),
        ("a//{id}", "a part of the path is empty"),
        ("{id}/", "a part of the path is empty"),
        ("", "a part of the path is empty"),
        ("a b{id}", "' ' can't stand in a file name here"),
        ("{{{id}", "'{' can't stand"),
        ("~{id}", "'~' can't stand"),
        ("a/" * 8 + "{id}", "more than 7 folders"),
        ("{secret}", "unknown placeholder {secret}"),
        ("{id!r}", "unknown placeholder {id!r}"),
        ("{id:>9}", "unknown placeholder {id:>9}"),
        ("{id.x}", "unknown placeholder {id.x}"),
        ("{id[0]}", "unknown placeholder {id[0]}"),
        ("{id[::2]}", "unknown placeholder {id[::2]}"),
        ("{id", "is not a template"),
    ],
)
def test_refusals(text: str, says: str) -> None:
    with pytest.raises(InputError) as raised:
        FileNameTemplate(text, NAMES)
    assert says in str(raised.value)


def test_an_empty_cell_names_nothing() -> None:
    with pytest.raises(InputError, match="needs column ref, which is empty here"):
        FileNameTemplate("{ref}/{id}", NAMES).render({"id": "a"})


@given(st.text(min_size=1), st.text(min_size=1, max_size=300))
def test_a_path_has_as_many_folders_as_its_template(ref: str, row_id: str) -> None:
    path = FileNameTemplate("{ref}/x{ref[:2]}/{id}", NAMES).render({"ref": ref, "id": row_id})
    parts = path.split("/")
    assert len(parts) == 3
    assert PurePosixPath("certs", path).parts[1:] == tuple(parts)
    assert all(0 < len(part) <= MAX_STEM and not part.startswith(".") for part in parts)
