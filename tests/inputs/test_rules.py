import json
import sys
from pathlib import Path

import pytest

from bulkcmp.errors import InputErrors
from bulkcmp.inputs.rules import read_rules, rules_schema

pytest.importorskip("anyascii")

GOOD = """
unique = ["subject"]
keep = [{ attribute = "objectClass", equals = "person" }]

[[skip]]
attribute = "status"
matches = "(?i)left|retired"

[attributes.login]
from = "{givenname}.{sn}"
transliterate = true
case = "lower"
replace = [{ pattern = "[^a-z0-9.]+", by = "-" }]
truncate = 20
unique = "number"

[attributes."mail"]
several = "all"

[columns]
id = "{login}"
subject = ["CN={cn}", "OU={ou?}", "O=Acme"]
sans = ["email:{mail}"]
secret = "file:secrets/{login}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.toml"


def test_good_rules(path: Path) -> None:
    path.write_text(GOOD)
    rules = read_rules(path)
    assert list(rules.columns) == ["id", "subject", "sans", "secret"]
    assert rules.attributes["login"].origin == "{givenname}.{sn}"
    assert rules.keep[0].attribute == "objectclass"
    jsonschema = pytest.importorskip("jsonschema")
    schema = rules_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(json.loads(rules.model_dump_json(by_alias=True,
        exclude_none=True))))  # fmt: skip
    assert list(validator.iter_errors({"columns": {}, "nonsense": 1}))


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("", "", "there are no columns"),
        ('[columns]\nidd = "a"\n', "rules.toml:2, key columns.idd", "unknown column 'idd'"),
        ('[columns]\nid = "{"\n', "rules.toml:2, key columns.id", "not a template"),
        ('[columns]\nid = ["a"]\n', "rules.toml:2, key columns.id", "one text, and no list"),
        ('[columns]\nid = 7\n', "rules.toml:2, key columns.id", "it must be"),
        ("by_name = 1\n", "rules.toml:1, key by_name", "it must be true or false"),
        ('unique = ["idd"]\nby_name = true\n', "key unique[1]", "unknown column 'idd'"),
        ('by_name = true\n[[keep]]\nattribute = "a"\n', "rules.toml:2, key keep[1]", "a condition"),
        (
            'by_name = true\n[[skip]]\nattribute = "a"\nmatches = "("\n',
            "rules.toml:4, key skip[1].matches",
            "no regular expression",
        ),
        (
            'by_name = true\n[attributes.a]\nreplace = [{ pattern = "a", by = "\\\\2" }]\n',
            "rules.toml:3, key attributes.a.replace[1].by",
            "it can't replace",
        ),
        (
            'by_name = true\n[attributes.a]\nseveral = "all"\nunique = "number"\n',
            "rules.toml:4, key attributes.a.unique",
            "of several values none",
        ),
        (
            'by_name = true\n[attributes.a]\nfrom = "{b:1}"\n',
            "rules.toml:3, key attributes.a.from",
            "unknown placeholder",
        ),
        (
            'by_name = true\n[attributes.a]\nreplace = [{ by = "-" }]\n',
            "rules.toml:3, key attributes.a.replace[1].pattern",
            "pattern is missing",
        ),
        (
            'by_name = true\n[attributes.a]\nreplace = [{ pattern = "a", by = "", patern = "" }]\n',
            "rules.toml:3, key attributes.a.replace[1].patern",
            "unknown key 'patern'",
        ),
        ('by_name = true\n[attributes.a]\ncase = "low"\n', "key attributes.a.case", "it must be"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_used(path: Path, text: str, place: str, why: str) -> None:
    path.write_text(text)
    with pytest.raises(InputErrors) as caught:
        read_rules(path)
    assert any(place in str(problem) and why in problem.what for problem in caught.value.problems)


def test_all_problems_at_once(path: Path) -> None:
    path.write_text('nonsense = 1\nby_name = 2\n[columns]\nidd = "a"\nid = "{"\n')
    with pytest.raises(InputErrors) as caught:
        read_rules(path)
    lines = [problem.where.line for problem in caught.value.problems if problem.where]
    assert lines == [1, 2, 4, 5]


def test_transliteration_without_its_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(GOOD)
    monkeypatch.setitem(sys.modules, "anyascii", None)
    with pytest.raises(InputErrors, match="transliteration is not installed"):
        read_rules(path)
