from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.mapping import MappedSource
from bulkcmp.inputs.rules import Rules
from bulkcmp.inputs.source import Place, Record

pytest.importorskip("anyascii")

USERS = {"columns": {"id": "{uid}"}}


class Users:
    """A source of records that the tests make."""

    name = "users"
    folder = Path("site")

    def __init__(self, *records: Mapping[str, str | Sequence[str]]) -> None:
        self.all = records

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for record in self.all for name in record))

    def records(self) -> Iterator[Record]:
        for number, values in enumerate(self.all, start=1):
            texts = {
                name: (one,) if isinstance(one, str) else tuple(one) for name, one in values.items()
            }
            place = Place(self.name, 10 * number, number)
            wrong = (InputError("damaged", where=place.where()),) if "bad" in texts else ()
            yield Record(place, texts, wrong)

    def digest(self) -> str:
        return str(self.all)


def mapped(rules: Mapping[str, Any], *records: Mapping[str, str | Sequence[str]]) -> MappedSource:
    return MappedSource(Users(*records), Rules.model_validate(rules))


def cells(source: MappedSource) -> list[dict[str, tuple[str, ...]]]:
    return [dict(record.values) for record in source.records() if not record.problems]


def reasons(source: MappedSource) -> list[str]:
    return [str(problem) for record in source.records() for problem in record.problems]


def treated(rule: Mapping[str, Any], *texts: str) -> list[str]:
    source = mapped({"attributes": {"uid": rule}, **USERS}, *({"uid": text} for text in texts))
    return [one["id"][0] for one in cells(source)]


@pytest.mark.parametrize(
    ("rule", "text", "made"),
    [
        ({}, " Ann ", "Ann"),
        ({"transliterate": True}, "Łukasz Žižka 北", "Lukasz Zizka Bei"),
        ({"case": "lower"}, "ANN Å", "ann å"),
        ({"case": "upper"}, "ann", "ANN"),
        ({"case": "title"}, "ann lee", "Ann Lee"),
        ({"replace": [{"pattern": r"(\w)\w*", "by": r"\1"}]}, "ann lee", "a l"),
        ({"truncate": 3}, "annabel", "ann"),
        (
            {
                "transliterate": True,
                "case": "lower",
                "replace": [{"pattern": "[^a-z]+", "by": "-"}],
                "truncate": 4,
            },
            "ÅNN LEE",
            "ann-",
        ),
        ({"default": "nobody"}, "", "nobody"),
        ({"default": "nobody", "replace": [{"pattern": ".", "by": ""}]}, "x", "nobody"),
    ],
)
def test_treatments(rule: dict[str, Any], text: str, made: str) -> None:
    assert treated(rule, text) == [made]


def test_numbers_make_values_unique() -> None:
    rule = {"unique": "number", "truncate": 6}
    texts = ("ann", "ann", "ann-2", "ann", "annabel", "annabel")
    assert treated(rule, *texts) == [
        "ann",
        "ann-2",
        "ann-2-"[:4] + "-2",
        "ann-3",
        "annabe",
        "anna-2",
    ]
    # each pass begins anew
    source = mapped({"attributes": {"uid": rule}, **USERS}, {"uid": "a"}, {"uid": "a"})
    assert cells(source) == cells(source) == [{"id": ("a",)}, {"id": ("a-2",)}]


def test_thousands_of_one_name_are_numbered_in_time() -> None:
    made = treated({"unique": "number", "truncate": 7}, *["ann"] * 10_000, *["annabel"] * 300)
    assert (made[1], made[9_999], made[10_001]) == ("ann-2", "a-10000", "annab-2")
    assert len(set(made)) == 10_300
    assert all(len(one) <= 7 for one in made)


def test_no_number_that_does_not_fit() -> None:
    rule = {"attributes": {"uid": {"unique": "number", "truncate": 3}}, **USERS}
    source = mapped(rule, *[{"uid": "abc"}] * 10)
    assert [one["id"] for one in cells(source)] == [("abc",), *((f"a-{n}",) for n in range(2, 10))]
    assert reasons(source) == [
        "users:100 (row 10), column id: uid 'abc' is not unique, and no number is left that fits"
    ]


def test_the_first_template_that_gives_a_value_counts() -> None:
    rule = {"from": ["{uid}", "{a}.{b?}", "{mail?}"], "several": "first"}
    records = ({"uid": ("u", "v")}, {"a": "1"}, {"a": "1", "b": "2"}, {"mail": "m"}, {"b": "2"})
    source = mapped({"attributes": {"uid": rule}, **USERS}, *records)
    assert [one["id"] for one in cells(source)] == [("u",), ("1.",), ("1.2",), ("m",)]
    assert reasons(source) == ["users:50 (row 5), column id: there is no uid"]


def test_values_that_are_not_unique() -> None:
    rule = {"attributes": {"uid": {"unique": "reject"}}, **USERS}
    source = mapped(rule, {"uid": "a"}, {"uid": "a"})
    assert reasons(source) == [
        "users:20 (row 2), column id: uid 'a' is not unique: a row before has it"
    ]
    source = mapped({"unique": ["ref"], "columns": {"ref": "{uid}"}}, {"uid": "a"}, {"uid": "a"})
    assert reasons(source) == ["users:20 (row 2), column ref: ref 'a' is not unique: row 1 has it"]


def test_several_values() -> None:
    record = {"uid": ("a", "b")}
    (problem,) = next(mapped(USERS, record).records()).problems
    assert problem.what == "uid has 2 values"
    assert problem.hint == 'say [attributes.uid] several = "first", or "all"'
    for several, found in (("first", ["a"]), ("refuse", []), ("all", [])):
        source = mapped({"attributes": {"uid": {"several": several}}, **USERS}, record)
        assert [one["id"][0] for one in cells(source)] == found
    rules = {"attributes": {"uid": {"several": "all"}}, "columns": {"sans": "dns:{uid}"}}
    assert cells(mapped(rules, record)) == [{"sans": ("dns:a", "dns:b")}]


def test_attributes_of_attributes() -> None:
    rules = {
        "attributes": {
            "login": {"from": "{Given}.{sn}", "case": "lower", "default": "x"},
            "mail": {"from": "{login}@acme.example"},
        },
        "columns": {"id": "{login}", "sans": "email:{mail}"},
    }
    source = mapped(rules, {"given": "Ann", "sn": "Lee"}, {"given": "Bo"})
    assert [one["sans"] for one in cells(source)] == [
        ("email:ann.lee@acme.example",),
        ("email:x@acme.example",),
    ]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({"keep": [{"attribute": "OU", "equals": "Sales"}]}, ["a"]),
        ({"keep": [{"attribute": "ou", "equals": ["Sales", "R&D"]}]}, ["a", "b"]),
        ({"keep": [{"attribute": "ou", "present": True}]}, ["a", "b"]),
        ({"keep": [{"attribute": "ou", "present": False}]}, ["c"]),
        ({"skip": [{"attribute": "ou", "matches": "S.*"}]}, ["b", "c"]),
        ({"skip": [{"attribute": "ou", "matches": "S"}]}, ["a", "b", "c"]),
        (
            {
                "keep": [{"attribute": "ou", "present": True}],
                "skip": [{"attribute": "ou", "equals": "R&D"}, {"attribute": "uid", "equals": "z"}],
            },
            ["a"],
        ),
    ],
)
def test_filters(rules: dict[str, Any], kept: list[str]) -> None:
    users = ({"uid": "a", "ou": ("Sales", "HQ")}, {"uid": "b", "ou": "R&D"}, {"uid": "c"})
    source = mapped({**USERS, **rules}, *users)
    assert [one["id"][0] for one in cells(source)] == kept
    assert source.left_out == 3 - len(kept)
    assert [record.place.number for record in source.records()] == [*range(1, len(kept) + 1)]


def test_problems_of_the_source_stay() -> None:
    skip = {"skip": [{"attribute": "uid", "equals": "a"}], **USERS}
    source = mapped(skip, {"uid": "a"}, {"uid": "b", "bad": "x"})
    assert reasons(source) == ["users:20 (row 1): damaged"]


def test_by_name() -> None:
    rules = {"by_name": True, "columns": {"id": "x-{id}"}}
    source = mapped(rules, {"id": "a", "sans": ("dns:a", "dns:b"), "other": "o"})
    assert source.attributes == ("id", "sans")
    assert cells(source) == [{"id": ("x-a",), "sans": ("dns:a", "dns:b")}]


def test_what_it_takes_over() -> None:
    source = mapped({"columns": {"subject": "/CN={cn}", "id": "{cn}"}}, {"cn": "a"})
    assert (source.name, source.folder, source.attributes) == (
        "users",
        Path("site"),
        ("id", "subject"),
    )


def test_the_digest_is_of_the_source_and_of_the_rules() -> None:
    same = mapped(USERS, {"uid": "a"}), mapped(USERS, {"uid": "a"})
    other = mapped(USERS, {"uid": "b"}), mapped({**USERS, "by_name": True}, {"uid": "a"})
    digests = [source.digest() for source in (*same, *other)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
