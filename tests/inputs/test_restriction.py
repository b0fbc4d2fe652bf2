import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.restriction import CELLS, OPTIONS, refuse_unused
from bulkcmp.inputs.row import COLUMNS
from bulkcmp.model import Operation


def test_the_restricted_cells_are_columns() -> None:
    assert CELLS.keys() <= set(COLUMNS)
    assert CELLS.items() <= OPTIONS.items()


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("operation", Operation)
def test_an_option_that_no_row_uses_is_refused(name: str, operation: Operation) -> None:
    if operation in OPTIONS[name]:
        refuse_unused({name}, {operation})
        return
    with pytest.raises(InputError) as raised:
        refuse_unused({name, "subject"}, {operation})
    option = "--" + name.replace("_", "-")
    assert raised.value.what.startswith(f"{option} is for {OPTIONS[name][0]}")
    assert raised.value.what.endswith(f", and the rows are {operation}")
    assert f"leave {option} away" in str(raised.value.hint)
    # one row that uses it is enough
    refuse_unused({name}, {operation, OPTIONS[name][0]})


def test_the_operations_are_named_in_their_order() -> None:
    with pytest.raises(InputError, match=r"^--serial is for rr, and the rows are ir, cr and kur$"):
        refuse_unused(["serial"], [Operation.KUR, Operation.IR, Operation.CR])


def test_where_nothing_would_be_sent_nothing_is_passed_over() -> None:
    refuse_unused(["serial"], [])
