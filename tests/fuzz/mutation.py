"""Changes to octets, as hypothesis draws them."""

from pathlib import Path
from typing import Final

from hypothesis import strategies as st

PIECES: Final = [
    path.read_bytes()
    for path in sorted((Path(__file__).parents[1] / "vectors/openssl").glob("*-r[es][qp].der"))
]
"""What pieces are brought in from: messages of OpenSSL."""

ACTIONS: Final = ("bit", "octet", "cut", "double", "splice", "end")

# drawn apart from what they are applied to, whose length differs from run to run
SHARES = st.integers(0, 65535)
Recipe = list[tuple[str, int, int, int, int]]
RECIPES: st.SearchStrategy[Recipe] = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        SHARES,
        st.integers(0, 12),
        st.integers(0, 255),
        SHARES,
    ),
    min_size=1,
    max_size=4,
)


def mutated(origin: bytes, recipe: Recipe) -> bytes:
    """A message with bits flipped, octets set, pieces cut out, doubled or brought in."""
    der = bytearray(origin)
    for action, share, size, value, start in recipe:
        at = share * len(der) >> 16
        match action:
            case "bit" if der:
                der[at] ^= 1 << value % 8
            case "octet" if der:
                der[at] = value
            case "cut":
                del der[at : at + size]
            case "double":
                der[at:at] = der[at : at + size]
            case "splice":
                other = PIECES[value % len(PIECES)]
                begin = start * len(other) >> 16
                der[at : at + size] = other[begin : begin + size]
            case _:
                del der[at:]
    return bytes(der)
