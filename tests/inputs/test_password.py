"""Passwords that are made."""

from collections import Counter

from bulkcmp.inputs.password import ALPHABET, Made, made_or, make_password
from bulkcmp.model import Secret


def test_they_are_as_long_as_asked_for_and_none_is_like_another() -> None:
    made = [make_password(24).reveal().decode() for _ in range(500)]
    assert {len(one) for one in made} == {24}
    assert len(set(made)) == 500
    letters = Counter("".join(made))
    assert letters.keys() == set(ALPHABET)
    # 12,000 letters: each is expected 210 times
    assert max(letters.values()) < 3 * min(letters.values())


def test_the_alphabet_has_nothing_that_looks_alike_or_means_something() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 57
    assert ALPHABET.isalnum()
    assert not set("0O1lI") & set(ALPHABET)


def test_a_cell_says_make_or_where_it_is() -> None:
    assert made_or(lambda text: Secret(text.encode()), 9, "env:X") == Secret(b"env:X")
    assert len(made_or(lambda _: Secret(b""), 9, "make").reveal()) == 9
    assert Made(12).fields
    assert len(Made(12).render({}).reveal()) == 12
