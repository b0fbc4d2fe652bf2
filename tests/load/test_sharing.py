from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.load.sharing import shares


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_shares_are_as_equal_as_can_be(total: int, workers: int) -> None:
    parts = shares(total, workers)
    assert sum(parts) == total
    assert min(parts) >= 1
    assert max(parts) - min(parts) <= 1
    assert len(parts) == min(total, workers)
