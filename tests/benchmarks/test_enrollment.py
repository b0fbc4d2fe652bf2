"""Which part of a run is steady."""

from benchmarks.enrollment import Reading, Steady, steady_part


def reading(transactions: int, at: float) -> Reading:
    return Reading(transactions, at, 2 * at, 3 * at, 4 * at)


def test_start_and_end_are_left_out() -> None:
    readings = [
        reading(*one) for one in ((0, 0.0), (100, 2.0), (600, 5.0), (950, 6.0), (1000, 9.0))
    ]
    assert steady_part(readings, 1000) == Steady(500, 3.0, 6.0, 9.0, 12.0)


def test_all_counts_of_a_run_that_is_too_short() -> None:
    # on a busy machine nothing may have ended between two readings
    readings = [reading(*one) for one in ((0, 0.0), (1, 1.0), (1, 2.0), (3, 3.0))]
    assert steady_part(readings, 3) == Steady(3, 3.0, 6.0, 9.0, 12.0)
    assert steady_part(readings[:1] + readings[-1:], 3) == Steady(3, 3.0, 6.0, 9.0, 12.0)
