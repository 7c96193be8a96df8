"""Hand-worked days of rule 4.2: which answer tells what was held before the first execution that is known.

Written from the rules page before they were run.
"""

from __future__ import annotations

from tests.support.oracle_day import ACC, C95, OTHER, Day, seen


def test_sweep_that_lists_a_correction_proves_nothing_of_what_it_replaced() -> None:
    """Short 3, and 3 are bought unseen, as the next answer shows. A sweep brings that, corrected in price.

    What was corrected comes with a much later sweep; it was executed before the sweeps that lacked it.
    """
    day = Day({})
    day.answer({C95: -3, OTHER: 1})
    day.wait(60)
    day.answer({OTHER: 1})
    day.fill(C95, 3, 2.6, at=-30, live=False, perm=1, exec_id="0000e0d5.00000077.01.02")
    assert seen(day.right().openings[ACC, 95].quantity, day.right().positions[ACC, 95]) == (-3, 0)
    day.answer({OTHER: 1})
    day.fill(C95, 3, at=-30, live=False, perm=1, exec_id="0000e0d5.00000077.01.01")
    assert seen(day.right().openings[ACC, 95].quantity, day.right().positions[ACC, 95]) == (-3, 0)
