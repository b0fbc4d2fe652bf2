import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.entry import split_entries, unescape


@pytest.mark.parametrize(
    ("text", "critical", "entries"),
    [
        ("", False, []),
        (" ,\t\n", False, []),
        ("a, b\tc,,d", False, ["a", "b", "c", "d"]),
        ("CRITICAL a", True, ["a"]),
        ("critical", True, []),
        (r"a\ b\,c d\\", False, [r"a\ b\,c", r"d\\"]),
        ("critically", False, ["critically"]),
    ],
)
def test_entries(text: str, critical: bool, entries: list[str]) -> None:
    assert split_entries(text) == (critical, entries)


def test_a_lone_backslash_at_the_end() -> None:
    with pytest.raises(InputError, match="nothing follows the last"):
        split_entries("a b\\")


@given(st.lists(st.text(" ,\\ab", min_size=1), max_size=4))
def test_any_texts_can_be_entries(texts: list[str]) -> None:
    escaped = ["".join(f"\\{letter}" for letter in text) for text in texts]
    assert [unescape(one) for one in split_entries(" ".join(escaped))[1]] == texts
