import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.csv import CsvSource
from bulkcmp.inputs.excel import ExcelSource
from bulkcmp.inputs.jsonlines import JsonLinesSource
from bulkcmp.inputs.mapping import MappedSource
from bulkcmp.inputs.range import RangeSource
from bulkcmp.inputs.recognition import Reading, absolute, open_source

if TYPE_CHECKING:
    from tests.inputs.conftest import WriteCsv


@pytest.mark.parametrize("reading", [Reading(), Reading("csv")])
def test_csv(write_csv: "WriteCsv", reading: Reading) -> None:
    assert isinstance(open_source(write_csv("id\na\n"), reading), CsvSource)


def test_an_unknown_format(write_csv: "WriteCsv") -> None:
    with pytest.raises(InputError, match="--source-format: unknown format 'cvs'") as caught:
        open_source(write_csv("id\na\n"), Reading("cvs"))
    assert (caught.value.hint or "").startswith("did you mean 'csv'? known are")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / "nope.csv")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        open_source(tmp_path / "pipe")
    for name in ("csv", "jsonl"):
        with pytest.raises(InputError, match="is a folder, not a file"):
            _ = open_source(tmp_path, Reading(name)).attributes


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", b"", JsonLinesSource),
        ("a.txt", b'\xef\xbb\xbf {"id": "a"}\n', JsonLinesSource),
        ("a.XLSX", b"PK\x03\x04", ExcelSource),
        ("a.txt", b"# users\nversion: 1\n", MappedSource),
        ("a.xlsx", b"id\na\n", CsvSource),
    ],
)
def test_kinds(tmp_path: Path, name: str, content: bytes, kind: type) -> None:
    (tmp_path / name).write_bytes(content)
    assert type(open_source(tmp_path / name)) is kind


def test_a_range_is_no_path(tmp_path: Path) -> None:
    assert isinstance(open_source("range:a{1..2}"), RangeSource)
    assert absolute("range:a{1..2}") == "range:a{1..2}"
    assert absolute("a.csv") == str(Path.cwd() / "a.csv")


def test_rules_take_the_place_of_those_of_the_kind(tmp_path: Path) -> None:
    rules, users = tmp_path / "rules.toml", tmp_path / "users.ldif"
    users.write_text("dn: uid=ann,o=Acme\nuid: ann\nmail: a@x.example\nmail: b@x.example\n")
    (record,) = open_source(users).records()
    assert record.values == {
        "id": ("ann",),
        "subject": ("uid=ann,o=Acme",),
        "sans": ("email:a@x.example", "email:b@x.example"),
    }
    rules.write_text('[columns]\nid = "user-{UID}"\n')
    (record,) = open_source(users, Reading(map=str(rules))).records()
    assert record.values == {"id": ("user-ann",)}


def test_who_has_no_uid_is_known_by_another_name(tmp_path: Path) -> None:
    users = tmp_path / "users.ldif"
    users.write_text(
        "dn: cn=Ann,dc=acme\nsAMAccountName: ann\nuserPrincipalName: ann@acme\ncn: Ann\n\n"
        "dn: cn=dev1,dc=acme\ncn: dev1\ncn: other\n\n"
        "dn: o=acme\no: acme\n"
    )
    *named, nameless = open_source(users).records()
    assert [record.values["id"] for record in named] == [("ann",), ("dev1",)]
    assert nameless.problems[0].what == "there is no uid"
