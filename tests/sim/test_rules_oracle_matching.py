"""Hand-worked days of rules 2.1 to 2.8: references, orders, identity, successors, tickers, days.

Written from the rules page before they were run; each names its rule.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle.days import meant_days, read_created, read_expiry
from tests.sim.rules_oracle.facts import Contract
from tests.sim.rules_oracle.names import Alerters, contract_tickers, is_adjusted, read_reference, ticker_key
from tests.support.oracle_day import (
    ACC,
    C95,
    C100,
    NOON,
    P95,
    STK,
    A,
    B,
    Day,
    alert,
    no_id,
    option,
    seen,
    shows,
)

# Rule 2.1: references


def test_reference_in_any_spelling() -> None:
    """Reference in any spelling and prefix case."""
    for ref in (
        "Real Day Trading/tsla",
        "TRACKER:realdaytrading/TSLA",
        "tracker: real-day-trading-alerts/TSLA",
    ):
        day = Day({"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C95)}})
        day.fill(C95, 2, ref=ref)
        shows(day, A, 2)
        shows(day, B, None)


def test_reference_names_a_record_by_its_key() -> None:
    """The key is SPXW, no ticker of the adjusted contract; the details say SPX, which counts (rule 2.5)."""
    adjusted = option(111, "SPX", "6600", trading_class="SPX1", local="SPX1  301220C06600000")
    for ticker, quantity in (("SPX", 1), ("SPXW", None)):
        day = Day({"demslayer": {"SPXW": no_id(alert(adjusted, ticker=ticker))}})
        day.fill(adjusted, 1, ref="demslayer/SPXW")
        shows(day, "demslayer/SPXW", quantity)


def test_closing_reference_reads_the_same() -> None:
    """Reference reads the same at a close."""
    brk = option(111, "BRK B", "500", trading_class="BRKB")
    records = {
        "real-day-trading": {"BRK.B": alert(brk)},
        "robindahood-alerts": {"BRK.B": alert(brk)},
    }
    day = Day(records)
    day.fill(brk, 3, ref="real-day-trading/BRK.B")
    day.fill(brk, 2, ref="robindahood-alerts/BRK B")
    day.fill(brk, -2, ref="ROBINDAHOOD/brk-b")
    shows(day, "robindahood-alerts/BRK.B", 0)
    shows(day, "real-day-trading/BRK.B", 3)


def test_other_programs_text_is_no_reference() -> None:
    alerters = Alerters({})
    assert read_reference("plain", C95, alerters) is None
    texts = ("scalp/entry", "somebody/TSLA", "tracker:somebody/NVDA", "demslayer/NVDA")
    read = [read_reference(text, C95, alerters) for text in texts]
    assert [one is not None and one.certain for one in read] == [False, False, True, True]


# Rule 2.2: orders


def test_a_fill_follows_its_orders_owners() -> None:
    """The stock alert is too old for the second fill, and a younger rival is there: it follows the first."""
    day = Day({"real-day-trading": {"TSLA": alert(None, created=(NOON - timedelta(hours=23)).isoformat())}})
    day.fill(STK, 40, 100, perm=9)
    day.wait(7200)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(None, created=day.ago(10))}})
    day.fill(STK, 60, 100, perm=9)
    shows(day, A, 100)
    shows(day, B, None)


def test_without_perm_id_each_stands_alone() -> None:
    """Assigning one execution of an order without permId leaves the other."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 2, perm=0)
    day.fill(C95, 3, perm=0)
    day.decide("assign", exec_id, A)
    shows(day, A, 2)


def test_assign_takes_the_order() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 2, perm=9)
    day.fill(C95, 3, perm=9)
    day.decide("assign", exec_id, A)
    day.fill(C95, 4, perm=9)
    shows(day, A, 9)


def test_old_owner_is_weak_match() -> None:
    """The old share alert owns 10; another order of 5 is its too, but not where a younger agrees."""
    old = alert(None, created=(NOON - timedelta(hours=23)).isoformat())
    day = Day({"real-day-trading": {"TSLA": old}})
    day.fill(STK, 10, 100)
    day.wait(2 * 86400)
    day.fill(STK, 5, 100)
    shows(day, A, 15)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(None, created=day.ago(10))}})
    day.fill(STK, 1, 100)
    shows(day, A, 15)
    shows(day, B, 1)


def test_old_alert_without_lot_never_matches() -> None:
    """Nobody without a lot matches beyond the age limit."""
    day = Day({"real-day-trading": {"TSLA": alert(None, created=(NOON - timedelta(hours=25)).isoformat())}})
    day.fill(STK, 10, 100)
    shows(day, A, None)


def test_no_rule_crosses_right_or_kind() -> None:
    """No rule crosses call and put or stock and option."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(P95, 1)
    day.fill(STK, 1)
    day.fill(Contract(95, "NVDA"), 1)
    shows(day, A, None)


# Rule 2.3: the same alert


def test_corrected_conid_changes_nothing_owned() -> None:
    """Corrected conid changes nothing of what it owns."""
    other = option(111, expiry="20301206")
    record = {**alert(C95), "option_conid": 111, "option_conids": [111]}
    day = Day({"real-day-trading": {"TSLA": record}})
    day.fill(other, 2)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 2)
    assert not day.right().orphans


def test_coarse_created_at_counts_as_none() -> None:
    """2026-11-18T11:00 is no identity: the record of another strike is another alert."""
    day = Day({"real-day-trading": {"TSLA": alert(C95, created="2026-11-18T17:00")}})
    day.fill(C95, 2)
    day.read({"real-day-trading": {"TSLA": alert(C100, created="2026-11-18T17:00")}})
    shows(day, A, None)
    assert [orphan.alert for orphan in day.right().orphans] == [A]


def test_two_spellings_are_two_alerts() -> None:
    """Two spellings side by side are two alerts."""
    brk = option(111, "BRK B", "500", trading_class="BRKB")
    day = Day({"real-day-trading": {"BRK.B": alert(brk), "BRK B": alert(brk)}})
    day.fill(brk, 2)
    shows(day, "real-day-trading/BRK.B", 2)
    shows(day, "real-day-trading/BRK B", 2)
    day.read({"real-day-trading": {"BRK B": alert(brk)}})
    shows(day, "real-day-trading/BRK B", 2)


def test_spelling_that_goes_leaves_the_other() -> None:
    """Of two spellings of one created_at one goes for a younger record: the other is still the same alert."""
    created = "2026-11-18T16:59:00"
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    day.read({**day.records, "Real Day Trading": {"TSLA": alert(C95, created=created)}})
    day.fill(C95, 4)
    shows(day, "Real Day Trading/TSLA", 4)
    younger = no_id(alert(C95, created="2026-11-18T17:00:30", expiry="DEC30"))
    day.read({**day.records, "real-day-trading": {"TSLA": younger}})
    shows(day, "Real Day Trading/TSLA", 4)
    shows(day, A, None)


def test_spelling_that_goes_leaves_its_close() -> None:
    """Rule 2.3: bought and sold under a spelling of its own; when that is gone, the other shows the close."""
    created = "2026-11-18T16:59:00"
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    day.fill(C95, 4)
    day.read({"Real Day Trading": {"TSLA": alert(C95, created=created)}})
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}, **day.records})
    shows(day, "Real Day Trading/TSLA", 4)
    day.fill(C95, -4, ref="tracker:Real Day Trading/TSLA")
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    shows(day, A, 0)
    assert day.right().alert(A).closed_at is not None


def test_spelling_that_goes_was_the_same_alert_all_along() -> None:
    """Rule 2.3: 3 are A's and B's, 2 are A's in both of its spellings.

    One of them goes, then a sale of 2 for A turns up: it takes the 2 that nobody shares with A.
    """
    created = "2026-11-18T16:59:00"
    one, other = {"Real Day Trading": {"TSLA": alert(C95, created=created)}}, "real-day-trading"
    day = Day({**one, "robindahood-alerts": {"TSLA": alert(C95)}})
    day.fill(C95, 3, 5)
    day.read(one)
    day.fill(C95, 2, 8)
    day.wait(60)
    day.read({**one, other: {"TSLA": alert(C95, created=created)}})
    day.read({other: {"TSLA": alert(C95, created=created)}})
    day.fill(C95, -2, 9, at=-30, live=False, ref=f"tracker:{A}")
    shows(day, A, 3)
    assert day.right().alert(A).avg_price == Decimal("6.2")
    shows(day, B, 3)


def test_third_spelling_takes_no_close_from_the_second() -> None:
    """A spelling that bought and sold is gone: the second shows its close, also beside a third one."""
    record = alert(C95, created="2026-11-18T16:59:00")
    day = Day({"real-day-trading": {"TSLA": record}})
    day.fill(C95, 4)
    day.fill(C95, -4)
    day.read({"real-day-trading": {"TSLA": record}, "RealDayTrading": {"TSLA": record}})
    day.read({"RealDayTrading": {"TSLA": record}})
    day.read({"RealDayTrading": {"TSLA": record}, "Real Day Trading": {"TSLA": record}})
    shows(day, "RealDayTrading/TSLA", 0)
    shows(day, "Real Day Trading/TSLA", None)


def test_ticker_of_another_contract_spells_no_alert() -> None:
    """Rules 2.3 and 2.5: SPX has an adjusted contract, and SPXW is no ticker of that."""
    adjusted = option(111, "SPX", "6600", trading_class="SPX1", local="SPX1  301220C06600000")
    day = Day({"demslayer": {"SPX": alert(adjusted, ticker="SPX")}})
    day.fill(option(112, "SPX", "6700", trading_class="SPXW"), 1)
    day.fill(adjusted, 2)
    day.read({"demslayer": {"SPXW": alert(adjusted, ticker="SPXW")}})
    shows(day, "demslayer/SPXW", None)
    assert [orphan.quantity for orphan in day.right().orphans] == [2]


def test_ticker_that_refuses_takes_nothing_over() -> None:
    """Rule 2.5: SPX had the adjusted contract by its conid; SPXW is none of its tickers, SPX is one."""
    adjusted = option(111, "SPX", "6600", trading_class="SPX1", local="SPX1  301220C06600000")
    for ticker, quantity in (("SPXW", None), ("SPX", 2)):
        day = Day({"demslayer": {"SPX": alert(adjusted, ticker="SPX")}})
        day.fill(adjusted, 2)
        day.read({"demslayer": {"SPX": no_id(alert(adjusted, ticker=ticker, created=day.ago(0)))}})
        shows(day, "demslayer/SPX", quantity)


def test_conid_tells_what_an_undated_record_was_about() -> None:
    """It named no expiry but the conid of 2030's call, and has 2; another spelling speaks of January."""
    january = option(98, expiry="20310117")
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=None, expiry=None)}})
    day.fill(C95, 2)
    day.read({"Real Day Trading": {"TSLA": no_id(alert(january, created=None))}})
    shows(day, "Real Day Trading/TSLA", None)
    assert [orphan.quantity for orphan in day.right().orphans] == [2]


# Rule 2.4: the successor


def test_successor_takes_over_rest() -> None:
    """2 of 5 are sold; the record comes again, with a month only: it owns 3 at the average that was shown."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 5, 2)
    day.fill(C95, -2)
    day.read({"real-day-trading": {"tsla": no_id(alert(C95, created=day.ago(0), expiry="DEC30"))}})
    one = day.right().alert("real-day-trading/tsla")
    assert seen(one.quantity, one.avg_price, one.open) == (3, 2, True)
    day.fill(C95, -3)
    shows(day, "real-day-trading/tsla", 0)


def test_other_contract_takes_over_nothing() -> None:
    """Record of another contract takes over nothing and the orphan is told."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 5)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=day.ago(0))}})
    shows(day, A, None)
    assert seen(*((one.alert, one.quantity) for one in day.right().orphans)) == ((A, 5),)


def test_successor_that_comes_after_a_deletion() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 5)
    day.read({"real-day-trading": {}})
    day.wait(7200)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, 5)
    assert not day.right().orphans


def test_later_fill_goes_to_successor() -> None:
    """Later fill of the order goes to the successor."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 5, perm=9)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    day.fill(C95, 1, perm=9)
    shows(day, A, 6)


def test_successor_stands_in_for_an_order_that_had_nothing_left() -> None:
    """Rule 2.2: the order stays the first record's: once that is back, its next fill is that one's alone."""
    first = {"real-day-trading": {"TSLA": alert(C95)}}
    day = Day(first)
    day.fill(C95, 1, perm=9)
    day.fill(C95, -1)
    day.fill(C95, 2)
    created = day.ago(0)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    day.fill(C95, 1, perm=9)
    shows(day, A, 3)
    day.fill(C95, -3)
    day.read(first)
    day.fill(C95, 1, perm=9)
    shows(day, A, 1)
    successor = day.right().alert(A, created)
    assert seen(successor.quantity, successor.closed_at is None) == (0, False)


def test_closed_lots_are_not_taken_over() -> None:
    """What was closed is not taken over."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 5)
    day.fill(C95, -5)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0), position={"quantity": 5})}})
    shows(day, A, None)


# Rule 2.5: tickers


def test_ticker_spellings() -> None:
    spxw = option(800, "SPX", "6600", "P", "20301217", "SPXW", "SPXW  301217P06600000")
    assert contract_tickers(spxw) == {"SPX", "SPXW"}
    assert {ticker_key(one) for one in ("BRK-B", "BRKB", "BRK.B", "BRK/B", "brk b")} == {"BRKB"}
    assert contract_tickers(STK) == {"TSLA"}
    future = Contract(801, "VIX", "FUT", local_symbol="VXZ0", trading_class="VX")
    assert contract_tickers(future) == {"VIX", "VX"}


def test_wrong_ticker_refuses_right_conid() -> None:
    """Wrong ticker refuses also with the right conid."""
    day = Day({"real-day-trading": {"NVDA": alert(C95, "NVDA")}})
    day.fill(C95, 2)
    shows(day, "real-day-trading/NVDA", None)
    assert len(day.right().waiting("near miss")) == 1


# Rule 2.6: expiry


def test_expiry_is_local_symbol_day() -> None:
    """A login in Asia writes the day after; an AM-settled contract the day before, which is meant too."""
    asia = option(1, expiry="20301221", local="TSLA  301220C00095000")
    assert meant_days(asia) == {date(2030, 12, 20)}
    am = option(2, "SPX", "6600", "P", "20261217", "SPX", "SPX   261218P06600000")
    assert meant_days(am) == {date(2026, 12, 17), date(2026, 12, 18)}


def test_expiry_is_last_trade_date() -> None:
    """Expiry without a local symbol is the last trade date in its zone."""
    assert meant_days(option(1, expiry="20301221 05:00:00 Asia/Shanghai")) == {date(2030, 12, 20)}
    assert meant_days(option(1, expiry="20301220 15:00:00 US/Central")) == {date(2030, 12, 20)}
    am = option(2, "SPX", "6600", "P", "20261217", "SPX")
    assert date(2026, 12, 18) in meant_days(am)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1120", date(2026, 11, 20)),
        ("11/20", date(2026, 11, 20)),
        ("1/5", date(2027, 1, 5)),
        ("11/18", date(2026, 11, 18)),
        ("11/17", date(2027, 11, 17)),
        ("12/20/2030", date(2030, 12, 20)),
        ("20301220", date(2030, 12, 20)),
        ("2/30", None),
    ],
)
def test_written_expiry(text: str, day: date | None) -> None:
    assert read_expiry(text, date(2026, 11, 18)).day == day


def test_yearless_date_on_writers_wall() -> None:
    """Written at 23:30 on the 18th in New York, where it is the 19th in UTC: 11/18 means this year."""
    written = read_created("2026-11-18T23:30:00-05:00", "UTC")
    assert written.wall == date(2026, 11, 18)
    assert read_expiry("11/18", date(2026, 11, 18)).day == date(2026, 11, 18)
    assert read_created("2026-11-18T23:30", "UTC").moment is None


# Rule 2.7: adjusted contracts


def test_adjusted_contract_by_conid_only() -> None:
    """Adjusted contract by conid only else a near miss."""
    odd = option(500, trading_class="TSLA1", local="TSLA1 301220C00095000")
    assert is_adjusted(odd)
    assert is_adjusted(option(501, multiplier="150"))
    assert not is_adjusted(C95)
    day = Day({"real-day-trading": {"TSLA": no_id(alert(C95))}})
    day.fill(odd, 2)
    shows(day, A, None)
    assert "adjusted" in day.right().waiting("near miss")[0].reason
    day = Day({"real-day-trading": {"TSLA": {**alert(C95), "option_conids": [500]}}})
    day.fill(odd, 2)
    shows(day, A, 2)


# Rule 2.8: stored contracts


def test_stored_contract_fills_in_expiry() -> None:
    """Two fills of 95 C; the stored expiry names one of them, or nothing at all."""
    january = option(97, expiry="20310117")
    stored = {"symbol": "TSLA", "side": "CALL", "strike": 95.0, "expiry": "20301220"}
    record = no_id(alert(C95, expiry=None))
    day = Day()
    day.read({"real-day-trading": {"TSLA": record}}, {"Real Day Trading": stored})
    day.fill(january, 2)
    shows(day, A, None)
    day.fill(C95, 3)
    shows(day, A, 3)
    assert day.right().alert(A).matched_by == "contract"
    day = Day()
    day.read({"real-day-trading": {"TSLA": record}}, {"Real Day Trading": {**stored, "expiry": "20261117"}})
    day.fill(january, 2)
    assert day.right().alert(A).matched_by == "strike"


def test_stored_contract_agrees_with_what_the_details_say() -> None:
    """The record's key is the trading class SPXW; its details and the stored contract say SPX."""
    november = option(1, "SPX", "6600", "C", "20261120", "SPXW", "SPXW  261120C06600000")
    december = option(2, "SPX", "6600", "C", "20261218", "SPXW", "SPXW  261218C06600000")
    stored = {"symbol": "SPX", "side": "CALL", "strike": 6600.0, "expiry": "20261218"}
    record = no_id(alert(december, ticker="SPX", expiry=None))
    day = Day()
    day.read({"demslayer": {"SPXW": record}}, {"demslayer-spx-alerts": stored})
    day.fill(november, 2)
    shows(day, "demslayer/SPXW", None)
    day.fill(december, 3)
    shows(day, "demslayer/SPXW", 3)
    assert day.right().alert("demslayer/SPXW").matched_by == "contract"


def test_record_that_came_back_has_its_own_successor() -> None:
    """Another spelling took over once. Back beside it, it shares all; the next one of its key has that."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2)
    other = {"Real Day Trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.read(other)
    shows(day, "Real Day Trading/TSLA", 2)
    day.read({"real-day-trading": {"TSLA": alert(C95)}, **other})
    day.fill(C95, 3)
    day.wait(1000)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}, **other})
    shows(day, A, 5)
    shows(day, "Real Day Trading/TSLA", 5)


def test_record_named_at_a_close_makes_a_reference() -> None:
    """Rule 2.1: nobody lists the alerter, but its record is there: 2 sold are the free 1, then 1 of B's 3."""
    day = Day({"robindahood-alerts": {"TSLA": alert(C95)}, "somebody-else": {"TSLA": alert(C100)}})
    day.fill(C95, 3)
    day.fill(C95, 1, ref="tracker:nobody/TSLA")
    day.fill(C95, -2, ref="Somebody Else/TSLA")
    shows(day, B, 2)
    assert day.right().unowned((ACC, 95)) == 0


def test_ticker_of_the_details_refuses_a_reference_too() -> None:
    """Rule 2.5: the record's key is SPX, its details say SPXW, which the adjusted contract is not called."""
    adjusted = option(113, "SPX", "6600", trading_class="SPX1", multiplier="33")
    day = Day({"demslayer": {"SPX": alert(adjusted, ticker="SPXW")}})
    day.fill(adjusted, 2, ref="tracker:demslayer/SPX")
    shows(day, "demslayer/SPX", None)
    assert len(day.right().waiting("near miss")) == 1
