import hashlib
import subprocess
from itertools import islice

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.range import RangeSource


def ids(text: str) -> list[str]:
    return [record.values["id"][0] for record in RangeSource(text).records()]


@pytest.mark.parametrize(
    "text",
    [
        "dev-{001..12}", "dev-{08..12}", "{1..3}", "{3..1}", "{a,b}-{1..3}", "{x,,y}z", "{1..9..4}",
        "{9..1..4}", "{1..9..-4}", "{a..e}{C..A}", "{-02..3}", "{-1..10}", "{1..3..0}", "{5..5}",
        "{0..3}", "{00..3}",
    ],
)  # fmt: skip
def test_ids_are_those_of_bash(text: str) -> None:
    shell = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {text}"], capture_output=True, check=True
    )
    assert ids(text) == shell.stdout.decode().splitlines()


def test_a_range_is_not_held_in_memory() -> None:
    records = list(islice(RangeSource("dev-{000000001..900000000}").records(), 2))
    assert [record.values["id"] for record in records] == [("dev-000000001",), ("dev-000000002",)]
    assert (
        str(records[1].place.where("id")) == "range:dev-{000000001..900000000} (row 2), column id"
    )


def test_digest() -> None:
    assert RangeSource("{1..2}").digest() == hashlib.sha256(b"{1..2}").hexdigest()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dev", "has no braces"),
        ("dev{1..2", "has no braces"),
        ("dev{1..2}}", "has no braces"),
        ("{{1..2},a}", "has no braces"),
        ("{1..1}" * 51, "more than 50 braces"),
        ("dev{1}", "{1} in 'dev{1}' is no range"),
        ("{a..Z}", "is no range"),
        ("{1..100000}{1..100000}", "stands for 10,000,000,000 ids"),
        ("{1..999999999999999999}", "1,000,000,000 are allowed"),
    ],
)
def test_what_is_no_range(text: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        RangeSource(text)
    assert why in caught.value.what
