import math

import pytest

from bulkcmp.errors import InputError
from bulkcmp.io.limits import Limits


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_is_a_number_above_zero(value: float) -> None:
    with pytest.raises(InputError, match="read limit"):
        Limits(read=value)


def test_the_defaults_are_limits() -> None:
    assert Limits().connections > 0
