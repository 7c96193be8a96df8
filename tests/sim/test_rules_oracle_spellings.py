"""Hand-worked days of the rules' oracle: which of several spellings is an alert's own (rules 2.3 and 2.4)."""

from __future__ import annotations

from decimal import Decimal

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import ACC, C95, A, Day, alert, shows


def test_spelling_of_an_alert_that_had_nothing_is_the_one_in_which_it_was_matched() -> None:
    """A's order sold what was held before. Respelled, it is replaced by one record of each spelling.

    The order then sells 3 short. Nothing of A was ever shown in its second spelling.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.add(f.OpeningTold(day.now, ACC, C95.con_id, Decimal(5)))
    day.fill(C95, -5, perm=1)
    day.read({"Real Day Trading": {"TSLA": alert(C95)}})
    one, two = (alert(C95, created=day.ago(ago)) for ago in (5, 10))
    day.read({"Real Day Trading": {"TSLA": one}, "real-day-trading": {"TSLA": two}})
    day.fill(C95, -3, perm=1)
    shows(day, A, -3)
    shows(day, "Real Day Trading/TSLA", None)


def test_record_that_continues_two_is_as_old_as_the_older_one() -> None:
    """Two spellings of an undated record, seen 1000 s apart, are gone for a third one: it is both of them.

    A fill of 100 s after the first sight is told only then.
    """
    record = {"TSLA": alert(C95, created=None)}
    day = Day({"Real Day Trading": record})
    day.wait(1000)
    day.read({"Real Day Trading": record, "real-day-trading": record})
    day.read({"RealDayTrading": record})
    day.fill(C95, 2, at=-900, live=False)
    shows(day, "RealDayTrading/TSLA", 2)


def test_orphan_is_told_as_it_was_known_last() -> None:
    """A is written in another spelling, and is gone before anybody looked at that."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3)
    day.add(f.StoreRead(day.now, {"Real Day Trading": {"TSLA": alert(C95)}}, looked=False))
    day.read({})
    assert [orphan.alert for orphan in day.right().orphans] == [A]
