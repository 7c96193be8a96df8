"""Each scenario of shared/cases/trader as events; the outcome is what its script wants, named the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.sim.rules_oracle import facts as f
from tests.sim.rules_oracle.facts import Contract
from tests.support.oracle_day import (
    ACC,
    C95,
    C100,
    NOON,
    STK,
    A,
    B,
    D,
    Day,
    Records,
    alert,
    no_id,
    option,
    shows,
)

BRK = option(700000111, "BRK B", "500", trading_class="BRKB")
SPXW = option(800, "SPX", "6600", "P", "20301217", "SPXW", "SPX X")
POLICIES = pytest.mark.parametrize("policy", ["mark", "remove", "keep"])


def two_alerts() -> Records:
    return {
        "real-day-trading": {"TSLA": alert(C95)},
        "robindahood-alerts": {"TSLA": alert(C95, created=(NOON - timedelta(hours=1)).isoformat())},
    }


def without(records: Records, alerter: str) -> Records:
    """Return the records as they are once the tracker took a closed one out."""
    return {name: tickers for name, tickers in records.items() if name != alerter}


def test_alerter_key_renamed_to_its_alias() -> None:
    day = Day({"ProfAndKian": {"TSLA": alert(C95)}})
    day.fill(C95, 2)
    shows(day, "ProfAndKian/TSLA", 2)
    day.read({"prof-and-kian-alerts": day.records["ProfAndKian"]})
    day.fill(C95, -2)
    shows(day, "prof-and-kian-alerts/TSLA", 0)


def test_alerts_absent_longer_than_retry() -> None:
    """Alerts json absent longer than retry for."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, retry_for=timedelta(seconds=3))
    day.read(None)
    day.wait(1)
    day.fill(C95, 3)
    day.wait(5)
    day.read(day.records)
    shows(day, A, 3)


@POLICIES
def test_assign_behind_a_close(policy: str) -> None:
    day = Day(
        {"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C100)}}, policy=policy
    )
    first = day.fill(C95, 7, ref=D, at=-20)
    day.fill(C95, 5, ref=A, at=-16)
    shows(day, A, 5)
    day.fill(C95, -5, at=-12)
    shows(day, A, 0, is_open=policy == "keep")
    if policy == "remove":
        day.read(without(day.records, "real-day-trading"))
    day.decide("assign", first, B)
    shows(day, B, 7)
    shows(day, A, 0, is_open=policy == "keep")
    assert not day.right().waiting("reopened")


def test_brk_dash_b_right_conid() -> None:
    day = Day({"real-day-trading": {"BRK-B": alert(BRK)}})
    day.fill(BRK, 2)
    shows(day, "real-day-trading/BRK-B", 2)
    day.fill(BRK, -2)
    shows(day, "real-day-trading/BRK-B", 0)


def test_bust_of_the_closing_fill() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3)
    sold = day.fill(C95, -3)
    shows(day, A, 0)
    day.correct(sold, 0)
    shows(day, A, 3)
    assert day.right().alert(A).closed_at is None


def test_bust_of_the_only_fill() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    bought = day.fill(C95, 3)
    shows(day, A, 3)
    day.correct(bought, 0)
    shows(day, A, 0)
    assert [order.filled_qty for order in day.right().orders.values()] == [0]


def test_bust_to_zero_is_told() -> None:
    """The void is booked (rule 5.3), so that nothing about it waits for a person."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    bought = day.fill(C95, 3)
    day.correct(bought, 0)
    shows(day, A, 0)
    assert not day.right().inbox


def test_clock_jumps_while_alert_awaited() -> None:
    """Clock jumps forward while an alert is awaited."""
    day = Day(start=False)
    day.skew = timedelta(hours=-1)
    day.now += day.skew
    day.add(f.Started(day.now))
    day.add(f.SkewMeasured(day.now, day.skew))
    day.read({"real-day-trading": {}})
    day.fill(C95, 3)
    day.now += timedelta(hours=1)
    day.add(f.ClockJumped(day.now, timedelta(hours=1)))
    day.skew = timedelta(0)
    day.add(f.SkewMeasured(day.now, day.skew))
    day.now += timedelta(seconds=1)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(1))}})
    shows(day, A, 3)


def test_closing_ref_by_alerter_title() -> None:
    """Closing ref by title of the alerter."""
    day = Day(two_alerts())
    day.fill(C95, 3, ref="RealDayTrading/TSLA", at=-20)
    day.fill(C95, 2, ref="RobinDaHood/TSLA", at=-15)
    shows(day, A, 3)
    shows(day, B, 2)
    assert {day.right().alert(name).matched_by for name in (A, B)} == {"order_ref"}
    day.fill(C95, -2, ref="RobinDaHood/TSLA")
    shows(day, B, 0)
    shows(day, A, 3)


def test_closing_ref_with_other_ticker_spelling() -> None:
    day = Day({"real-day-trading": {"BRK.B": alert(BRK)}, "robindahood-alerts": {"BRK.B": alert(BRK)}})
    day.fill(BRK, 3, ref="real-day-trading/BRK.B", at=-20)
    day.fill(BRK, 2, ref="robindahood-alerts/BRK B", at=-15)
    shows(day, "real-day-trading/BRK.B", 3)
    shows(day, "robindahood-alerts/BRK.B", 2)
    day.fill(BRK, -2, ref="robindahood-alerts/BRK B")
    shows(day, "robindahood-alerts/BRK.B", 0)


def test_conid_becomes_known_after_shut() -> None:
    record = no_id(alert(C95))
    day = Day({"real-day-trading": {"TSLA": record}})
    day.fill(C95, 2)
    shows(day, A, 2)
    day.fill(C95, -2)
    shows(day, A, 0)
    day.read(
        {"real-day-trading": {"TSLA": {**record, "open": True, "option_conid": 95, "option_conids": [95]}}}
    )
    shows(day, A, 0)


@pytest.mark.parametrize("skew", [0, -5, -30])
def test_missed_first_fill_then_short(skew: int) -> None:
    """control_right_clock, host_clock_slow_5s and skew_masks_reconcile: bought 3, sold 3, sold 2 more."""
    day = Day(start=False)
    day.skew = timedelta(seconds=skew)
    day.now += day.skew
    day.add(f.Started(day.now))
    day.add(f.SkewMeasured(day.now, day.skew))
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    day.connect()
    day.answer({})
    day.connect()
    day.fill(C95, 3, live=False)
    day.answer({C95: 3})
    shows(day, A, 3)
    day.fill(C95, -3)
    shows(day, A, 0)
    day.fill(C95, -2)
    shows(day, A, -2)
    assert day.right().openings[ACC, 95].quantity == 0


@POLICIES
def test_late_match_behind_a_close(policy: str) -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, policy=policy)
    created = day.ago(30)
    day.fill(C95, 7, ref=D, at=-20)
    day.fill(C95, 5, ref=A, at=-16)
    day.fill(C95, -5, at=-12)
    shows(day, A, 0, is_open=policy == "keep")
    records = without(day.records, "real-day-trading") if policy == "remove" else day.records
    day.read({**records, "demslayer": {"TSLA": alert(C95, created=created)}})
    shows(day, D, 7)
    shows(day, A, 0, is_open=policy == "keep")


def test_near_miss_by_time_is_told() -> None:
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2, at=-200)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    assert day.right().alert(A).open or day.right().inbox


def test_order_fills_across_first_day() -> None:
    """Order that fills across the alerts first day."""
    created = (NOON - timedelta(hours=24) + timedelta(seconds=6)).isoformat()
    day = Day({"real-day-trading": {"TSLA": alert(None, created=created)}})
    day.fill(STK, 40, 100, perm=9)
    shows(day, A, 40)
    day.wait(6.5)
    day.fill(STK, 60, 100, perm=9)
    shows(day, A, 100)
    assert [order.filled_qty for order in day.right().orders.values()] == [100]


def test_wrong_conid_then_corrected() -> None:
    """Position in the wrong conid then conid is corrected."""
    other = option(111, expiry="20301206")
    wrong = {**alert(C95), "option_conid": 111, "option_conids": [111]}
    day = Day({"real-day-trading": {"TSLA": wrong}})
    day.fill(other, 2)
    shows(day, A, 2)
    day.read({"real-day-trading": {"TSLA": {**wrong, "option_conid": 95, "option_conids": [95]}}})
    shows(day, A, 2)


def test_positions_lag_behind_the_missed_fill() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5})
    day.wait(60)
    day.connect()
    day.fill(C95, 3, at=-4, live=False)
    day.answer({C95: 5})
    day.answer({C95: 5}, sweep=False)
    shows(day, A, 3)
    day.wait(5)
    day.fill(C95, -8)
    shows(day, A, 0)
    assert not day.right().waiting("unexplained")


def test_realert_without_created_at_other_strike() -> None:
    day = Day({"real-day-trading": {"TSLA": no_id(alert(C95, created=None))}})
    day.fill(C95, 2)
    shows(day, A, 2)
    day.read({"real-day-trading": {"TSLA": no_id(alert(C100, created=None))}})
    assert not day.right().alert(A).open


def test_nearby_strike_then_realert() -> None:
    """Ref for a nearby strike then realert."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    day.fill(C95, 2, ref=A)
    shows(day, A, 2)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=day.ago(0))}})
    shows(day, A, 2)


@POLICIES
def test_round_trip_before_the_alert(policy: str) -> None:
    day = Day({"real-day-trading": {}}, policy=policy)
    day.fill(C95, 3, at=-60)
    day.fill(C95, -3, at=-40)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, None)
    assert not day.right().alert(A).removed
    day.fill(C95, 2)
    shows(day, A, 2)


def test_second_alert_visible_after_the_fill() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    created = day.ago(5)
    day.fill(C95, 2)
    shows(day, A, 2)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, B, 2)


def test_second_alert_control() -> None:
    """Second alert visible after the fill control."""
    day = Day(two_alerts())
    day.fill(C95, 2)
    shows(day, A, 2)
    shows(day, B, 2)


def test_second_stock_alert_mid_order() -> None:
    """Second stock alert in the middle of an order."""
    day = Day(
        {"real-day-trading": {"TSLA": alert(None, created=(NOON - timedelta(seconds=600)).isoformat())}}
    )
    day.fill(STK, 40, 100, perm=9)
    shows(day, A, 40)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(None, created=day.ago(0))}})
    day.fill(STK, 60, 100, perm=9)
    shows(day, A, 100)


def test_seed_90649_black_box() -> None:
    created = (NOON - timedelta(seconds=3)).isoformat()
    day = Day({"robindahood-alerts": {"TSLA": alert(None, created=created)}}, policy="remove")
    day.fill(STK, 5, "6.98", at=-1)
    shows(day, B, 5)
    day.read({"robindahood-alerts": {"TSLA": alert(C95, created=day.ago(0))}})
    day.fill(STK, 7, "7.19", at=-3, live=False)
    day.fill(STK, -5, "5.35")
    day.read({"robindahood-alerts": {}})
    day.read({"robindahood-alerts": {"TSLA": alert(None, created=day.ago(0))}})
    shows(day, B, 7)
    assert not day.right().waiting("reopened")


def test_shared_with_names_current_records() -> None:
    """Shared with names only records that show it."""
    day = Day(two_alerts())
    day.fill(C95, 4)
    assert day.right().alert(B).shared_with == (A,)
    day.read({**day.records, "real-day-trading": {"TSLA": alert(C100, created=day.ago(0))}})
    day.fill(C95, -1)
    shows(day, B, 3)
    assert day.right().alert(B).shared_with == ()


@pytest.mark.parametrize("con_id", [None, 800])
def test_spxw_ticker(con_id: int | None) -> None:
    record: dict[str, Any] = no_id(alert(SPXW)) if con_id is None else alert(SPXW)
    day = Day({"demslayer": {"SPXW": record}})
    day.fill(SPXW, 2)
    shows(day, "demslayer/SPXW", 2)
    day.fill(SPXW, -2)
    shows(day, "demslayer/SPXW", 0)


@pytest.mark.parametrize(("retry_for", "broken"), [(3, 6), (30, 4)])
def test_store_broken_at_boot(retry_for: int, broken: int) -> None:
    day = Day(start=False, retry_for=timedelta(seconds=retry_for))
    day.add(f.Started(day.now))
    day.read(None)
    day.fill(C95, 3)
    day.wait(broken)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 3)


def test_store_broken_while_running() -> None:
    """Store broken while running and new alert."""
    day = Day({"real-day-trading": {}}, retry_for=timedelta(seconds=3))
    created = day.ago(0)
    day.read(None)
    day.fill(C95, 3)
    day.wait(6)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    shows(day, A, 3)


def test_takeover_am_settled_spx_without_conid() -> None:
    am = option(700000222, "SPX", "6600", "P", "20261217", "SPX", "SPX X")
    record = no_id(alert(am, expiry="12/18/2026"))
    day = Day({"demslayer": {"SPX": record}})
    day.fill(am, 2)
    shows(day, "demslayer/SPX", 2)
    day.read({"demslayer": {"SPX": {**record, "created_at": day.ago(0)}}})
    shows(day, "demslayer/SPX", 2)


def test_takeover_without_expiry() -> None:
    record = no_id(alert(C95, expiry=None))
    day = Day({"real-day-trading": {"TSLA": record}})
    day.fill(C95, 2)
    shows(day, A, 2)
    day.read({"real-day-trading": {"TSLA": {**record, "created_at": day.ago(0)}}})
    shows(day, A, 2)


def test_stock_split_scenario_of_the_demo() -> None:
    """10 bought, the broker says 40, all 40 sold: the alert is shut (stock_split.toml)."""
    amd = Contract(4391, "AMD")
    day = Day({"real-day-trading": {"AMD": alert(None)}})
    day.answer({(ACC, Contract(1, "X")): 1})
    day.fill(amd, 10, 200)
    day.answer({amd: 40, Contract(1, "X"): 1})
    day.fill(amd, -40, 51)
    shows(day, "real-day-trading/AMD", 0)


def test_late_fill_waits_for_what_was_decided_of_its_order() -> None:
    """Rule 1.2: in one second 5 at 2 are bought, 2 sold, A written and found for the 5, and 1 more bought.

    2 at 8 of ten seconds before come late. The sale closes the 1, which A owned, and 1 at 8 of the free ones;
    what is left, 1 at 8 and 5 at 2, is A's.
    """
    day = Day()
    day.fill(C95, 5, 2, perm=1, exec_id="0000e0d5.0000000a.01.01")
    day.fill(C95, -2, 3, at=-1)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(2))}})
    day.fill(C95, 1, 2, perm=1, at=-2, exec_id="0000e0d5.00000009.01.01")
    day.fill(C95, 2, 8, perm=1, at=-13, live=False)
    shows(day, A, 6)
    assert day.right().alert(A).avg_price == 3
