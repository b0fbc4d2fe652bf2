from bulkcmp.engine.failure import first_error
from bulkcmp.errors import InputError


def test_an_error_of_ours_comes_before_all_others() -> None:
    ours = InputError("the disk is full")
    group = BaseExceptionGroup(
        "", [ValueError("x"), BaseExceptionGroup("", [KeyError("y"), ours]), InputError("later")]
    )
    # the outermost ones first
    assert str(first_error(group)) == "later"
    assert first_error(BaseExceptionGroup("", [ValueError("x"), group.exceptions[1]])) is ours


def test_without_one_of_ours_it_is_the_first() -> None:
    bug = ValueError("bug")
    group = BaseExceptionGroup("", [BaseExceptionGroup("", [KeyError("deep")]), bug])
    assert first_error(group) is bug
