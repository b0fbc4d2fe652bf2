import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError, InputErrors
from bulkcmp.inputs.generation import Generation, read_columns
from bulkcmp.inputs.name import format_name
from bulkcmp.inputs.row import Defaults
from bulkcmp.load.scenario import GeneratedPopulation
from bulkcmp.model import BadRow, EndEntity, Operation

DEFAULTS = Defaults(secret="pass:x", newkey="ec:P-256", subject="/CN={id}")


def _ir(_number: int) -> Operation:
    return Operation.IR


def _generate(
    columns: Mapping[str, str],
    count: int = 1,
    *,
    repeated: float = 0.0,
    seed: int = 7,
    begins: Callable[[int], Operation] = _ir,
    defaults: Defaults = DEFAULTS,
) -> list[EndEntity]:
    population = GeneratedPopulation("scenario.toml", 5, columns, repeated=repeated)
    rows = list(islice(Generation(population, defaults, {}, seed).rows(begins), count))
    assert all(isinstance(row, EndEntity) for row in rows), rows
    return [row for row in rows if isinstance(row, EndEntity)]


def _ids(template: str, count: int, *, repeated: float = 0.0, seed: int = 7) -> list[str]:
    return [one.id for one in _generate({"id": template}, count, repeated=repeated, seed=seed)]


def test_counters_count_the_end_entities() -> None:
    assert _ids("AX7-{number:06}", 3) == ["AX7-000001", "AX7-000002", "AX7-000003"]
    assert _ids("{number}", 12)[-1] == "12"
    assert _ids("{number:02}{{}}", 1) == ["01{}"]


def test_without_an_id_it_is_the_number() -> None:
    (one,) = _generate({"subject": "/CN=dev-{id}"})
    assert (one.id, format_name(one.subject or b"")) == ("1", "CN=dev-1")


def test_the_id_fills_in_wherever_it_stands() -> None:
    (one,) = _generate({"subject": "/CN={id}", "id": "{letters:64}"})
    assert re.fullmatch("[a-z]{64}", one.id)
    assert format_name(one.subject or b"") == f"CN={one.id}"


def test_random_fields_have_their_alphabet() -> None:
    ids = _ids("{hex:8} {digits:6} {oneof:SE|NO} {uuid}", 200)
    pattern = re.compile("([0-9a-f]{8}) ([0-9]{6}) (SE|NO) ([0-9a-f-]{36})")
    fields = [match.groups() for one in ids if (match := pattern.fullmatch(one))]
    assert len(fields) == 200
    for place, distinct in enumerate((200, 200, 2, 200)):
        assert len({one[place] for one in fields}) == distinct
    assert all(UUID(one[3]).version == 4 for one in fields)


def test_each_placeholder_is_drawn_for_itself() -> None:
    (one,) = _generate({"id": "{hex:32} {hex:32}", "subject": "/CN={hex:32}"})
    drawn = [*one.id.split(), format_name(one.subject or b"").removeprefix("CN=")]
    assert len(set(drawn)) == 3


def test_the_same_seed_makes_the_same_end_entities() -> None:
    template = "{uuid}{oneof:a|b|c}"
    assert _ids(template, 20, repeated=0.5) == _ids(template, 20, repeated=0.5)
    assert set(_ids(template, 20)).isdisjoint(_ids(template, 20, seed=8))


def test_a_share_of_the_rows_is_of_end_entities_that_had_one_before() -> None:
    rows = _generate({"id": "{number}", "subject": "/CN={hex:16}"}, 3_000, repeated=1 / 3)
    first: dict[str, EndEntity] = {}
    again = 0
    for number, row in enumerate(rows, start=1):
        assert row.number == number
        before = first.setdefault(row.id, row)
        again += before is not row
        assert before.subject == row.subject
        # a new one is called by its own row
        assert before is not row or row.id == str(number)
    assert again / len(rows) == pytest.approx(1 / 3, abs=0.03)


def test_all_but_the_first_may_be_repeated() -> None:
    assert set(_ids("{number}", 50, repeated=1.0)) == {"1"}


def test_a_population_ends_with_its_size() -> None:
    population = GeneratedPopulation("scenario.toml", 5, {}, size=3)
    generation = Generation(population, DEFAULTS, {}, 1)
    assert len(list(generation.rows(_ir))) == len(list(generation.rows(_ir))) == 3


def test_rows_are_of_the_operation_that_their_lifecycle_begins_with() -> None:
    def begins(number: int) -> Operation:
        return Operation.CR if number % 2 else Operation.IR

    rows = _generate({}, 2, begins=begins)
    assert [row.cmd for row in rows] == [Operation.CR, Operation.IR]


def test_what_is_wrong_with_a_row_has_the_place_of_the_population() -> None:
    population = GeneratedPopulation("scenario.toml", 5, {"subject": "/CN={id}/XYZ=1"}, size=1)
    (row,) = Generation(population, DEFAULTS, {}, 1).rows(lambda _: Operation.KUR)
    assert isinstance(row, BadRow)
    assert [str(one.where) for one in row.problems] == [
        "scenario.toml:5 (row 1), column subject",
        "scenario.toml:5 (row 1), column oldcert",
    ]


def test_paths_are_relative_to_the_folder_of_the_scenario(tmp_path: Path) -> None:
    population = GeneratedPopulation(
        str(tmp_path / "scenario.toml"), 5, {"csr": "{id}.csr"}, size=1
    )
    (row,) = Generation(population, DEFAULTS, {}, 1).rows(lambda _: Operation.P10CR)
    assert isinstance(row, BadRow)
    assert str(tmp_path / "1.csr") in str(row.problems[0])


@pytest.mark.parametrize(
    ("column", "template", "why"),
    [
        ("id", "{nmber}", "unknown placeholder {nmber}"),
        ("id", "{id}", "unknown placeholder {id}"),
        ("subject", "/CN={sans}", "unknown placeholder {sans}"),
        ("subject", "/CN={id:8}", "unknown placeholder {id:8}"),
        ("id", "{hex}", "unknown placeholder {hex}"),
        ("id", "{hex:65}", "unknown placeholder {hex:65}"),
        ("id", "{hex:0}", "unknown placeholder {hex:0}"),
        ("id", "{number:6}", "unknown placeholder {number:6}"),
        ("id", "{number!r}", "unknown placeholder {number!r}"),
        ("id", "{uuid:4}", "unknown placeholder {uuid:4}"),
        ("id", "{oneof}", "unknown placeholder {oneof}"),
        ("id", "{number", "is not a template"),
        ("subjct", "/CN=x", "unknown column 'subjct'"),
        ("cmd", "ir", "cmd is no column here"),
    ],
)
def test_what_is_no_template_is_refused(column: str, template: str, why: str) -> None:
    _, problems = read_columns({column: template})
    assert list(problems) == [column]
    assert why in str(problems[column])
    assert problems[column].hint
    with pytest.raises(InputErrors):
        _generate({column: template})


@given(st.text(), st.sampled_from(["id", "subject"]))
def test_any_text_is_a_template_or_an_input_error(text: str, column: str) -> None:
    try:
        templates, problems = read_columns({column: text})
    except InputError:
        pytest.fail("what is wrong is returned")
    assert (column in templates) is not (column in problems)
