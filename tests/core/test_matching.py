"""A fill is given to the alerts that the rules of matching.py name, and to no other."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.matching_cases import (
    CON_ID,
    CREATED,
    EARLY_FILL,
    FILLED,
    NVDA_CALL,
    NVDA_STOCK,
    expiry,
    fill,
    match,
    only_rejection,
    option_alert,
    stock_alert,
)
from tracker.core.alerters import AlerterNames
from tracker.core.matching import match_execution
from tracker.core.model import (
    Alert,
    AlertId,
    Ambiguous,
    Contract,
    Execution,
    Matched,
    Rejection,
    Rule,
    Unmatched,
)

# The rules table, one record at a time.


def test_con_id_is_enough() -> None:
    """Con id names the record whatever else it lacks."""
    alert = option_alert(right="", strike=None, expires=None, con_ids=[1, CON_ID])
    assert match(fill(), alert) == Matched(((alert.id, Rule.CON_ID),))


def test_con_id_outweighs_expiry_text() -> None:
    """Con id holds where the expiry text says another day."""
    alert = option_alert(expires="1219", con_ids=[CON_ID])
    assert match(fill(), alert) == Matched(((alert.id, Rule.CON_ID),))


def test_con_id_zero_names_nothing() -> None:
    alert = option_alert(strike="95", con_ids=[0])
    assert isinstance(match(fill(replace(NVDA_CALL, con_id=0)), alert), Unmatched)


@pytest.mark.parametrize(
    "text", ["1121", "11/21", "11/21/2025", "11/21/25", "20251121", "2025-11-21", "NOV21"]
)
def test_contract_matches_every_expiry_form(text: str) -> None:
    """Contract names the record in every form of expiry."""
    alert = option_alert(expires=text)
    assert match(fill(), alert) == Matched(((alert.id, Rule.CONTRACT),))


def test_contract_holds_where_record_has_another_conid() -> None:
    alert = option_alert(con_ids=[700999999])
    assert match(fill(), alert) == Matched(((alert.id, Rule.CONTRACT),))


def test_strikes_compare_as_numbers() -> None:
    alert = option_alert(strike="122.50")
    assert match(fill(), alert) == Matched(((alert.id, Rule.CONTRACT),))


def test_a_futures_option_is_an_option() -> None:
    alert = option_alert()
    assert match(fill(replace(NVDA_CALL, sec_type="FOP")), alert) == Matched(((alert.id, Rule.CONTRACT),))


@pytest.mark.parametrize("ticker", ["BRK.B", "BRK/B", "brk b"])
def test_spellings_of_share_class_are_one_symbol(ticker: str) -> None:
    alert = stock_alert(ticker=ticker)
    assert match(fill(replace(NVDA_STOCK, symbol="BRK B")), alert) == Matched(((alert.id, Rule.SYMBOL),))


@pytest.mark.parametrize("expires", [None, "02/30", "someday"])
def test_strike_names_record_without_usable_expiry(expires: object) -> None:
    alert = option_alert(expires=expires)
    assert match(fill(), alert) == Matched(((alert.id, Rule.STRIKE),))


def test_month_names_record_by_strike_only() -> None:
    late_november = replace(NVDA_CALL, expiry=date(2025, 11, 28))
    alert = option_alert(expires="NOV25")
    assert match(fill(late_november), alert) == Matched(((alert.id, Rule.STRIKE),))


def test_month_as_day_matches_by_contract() -> None:
    """A month read as a day names the record by contract."""
    alert = option_alert(expires="NOV25")
    on_the_25th = replace(NVDA_CALL, expiry=date(2025, 11, 25))
    assert match(fill(on_the_25th), alert) == Matched(((alert.id, Rule.CONTRACT),))


def test_month_without_the_expiry_is_refused() -> None:
    """A month that the expiry is not in is refused."""
    december = replace(NVDA_CALL, expiry=date(2025, 12, 19))
    rejection = only_rejection(match(fill(december), option_alert(expires="NOV25")))
    assert rejection.reason == "its expiry is NOV25, the fill's is 2025-12-19"
    assert rejection.near


def test_symbol_names_stock_alert_for_stock_fill() -> None:
    alert = stock_alert()
    assert match(fill(NVDA_STOCK), alert) == Matched(((alert.id, Rule.SYMBOL),))


SPX_AM = Contract(9, "SPX", "OPT", date(2025, 11, 20), Decimal(6600), "P", "100", "USD", "", "SPX")


@pytest.mark.parametrize(
    ("last_trade", "written"),
    [
        (date(2025, 11, 20), "1121"),
        (date(2025, 11, 20), "1120"),
        (date(2025, 11, 21), "1124"),
    ],
)
def test_am_settled_spx_matches_next_day(last_trade: date, written: str) -> None:
    """Am settled SPX is known by the trading day after."""
    alert = option_alert("demslayer", "SPX", right="P", strike="6600", expires=written)
    assert match(fill(replace(SPX_AM, expiry=last_trade)), alert) == Matched(((alert.id, Rule.CONTRACT),))


def test_only_trading_class_spx_is_am_settled() -> None:
    alert = option_alert("demslayer", "SPX", right="P", strike="6600", expires="1121")
    assert only_rejection(match(fill(replace(SPX_AM, trading_class="SPXW")), alert)).near


# What no rule may cross.


def test_a_stock_fill_opens_no_option_alert() -> None:
    rejection = only_rejection(match(fill(NVDA_STOCK), option_alert(expires=None)))
    assert rejection.reason == "it is about an option, the fill is shares"
    assert not rejection.near


def test_stock_fill_skips_option_conid() -> None:
    """A stock fill opens no alert that has only an option conId."""
    alert = option_alert(right="", strike=None, expires=None, con_ids=[CON_ID])
    assert isinstance(match(fill(NVDA_STOCK), alert), Unmatched)


def test_an_option_fill_opens_no_stock_alert() -> None:
    rejection = only_rejection(match(fill(), stock_alert()))
    assert rejection.reason == "it is about shares, the fill is an option"
    assert not rejection.near


def test_a_call_fill_opens_no_put_alert() -> None:
    rejection = only_rejection(match(fill(), option_alert(right="P")))
    assert rejection.reason == "its right is P, the fill's is C"
    assert not rejection.near


@pytest.mark.parametrize(
    ("changes", "near"),
    [
        ({"expires": "1128"}, True),
        ({"created": FILLED + timedelta(hours=3)}, True),
        ({"expires": None, "created": FILLED - timedelta(days=2)}, True),
        ({"strike": "125"}, False),
        ({"strike": None}, False),
        ({"right": "P"}, False),
        ({"right": ""}, False),
        ({"expires": "1128", "created": FILLED + timedelta(hours=3)}, False),
        ({"strike": "125", "expires": "1128"}, False),
    ],
)
def test_other_date_is_a_near_miss(changes: dict[str, Any], near: bool) -> None:
    """A neighbouring strike or the other right is what traders of one symbol fill all day."""
    assert only_rejection(match(fill(), option_alert(**changes))).near is near


def test_agreeing_conid_or_reference_is_near() -> None:
    """A conId or reference that agrees is near whatever contradicts."""
    assert only_rejection(match(fill(), option_alert(right="P", con_ids=[CON_ID]))).near
    assert only_rejection(match(fill(ref="robindahood/NVDA"), option_alert(right="P"))).near


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        (option_alert(right="P", con_ids=[CON_ID]), "its right is P, the fill's is C"),
        (option_alert(ticker="TSLA", con_ids=[CON_ID]), "its symbol is TSLA, the fill's is NVDA"),
        (
            replace(stock_alert(), con_ids=frozenset([CON_ID])),
            "it is about shares, the fill is an option",
        ),
        (
            option_alert(con_ids=[CON_ID], created=FILLED + timedelta(hours=3)),
            "created 3 h after the fill",
        ),
    ],
)
def test_conid_whose_record_contradicts_fill_is_refused(alert: Alert, reason: str) -> None:
    rejection = only_rejection(match(fill(), alert))
    assert rejection.reason == f"{reason}, though its conid is the fill's"
    assert rejection.near


def test_stock_fill_with_options_conid() -> None:
    """A stock fill with an option alert's conId is refused."""
    alert = option_alert(con_ids=[NVDA_STOCK.con_id])
    assert only_rejection(match(fill(NVDA_STOCK), alert)).near


def test_a_combo_line_is_not_counted() -> None:
    combo = Contract(CON_ID, "NVDA", "BAG")
    result = match(fill(combo, ref="robindahood/NVDA"), option_alert(con_ids=[CON_ID]))
    assert result == Unmatched("combo line; its legs are counted")


def test_other_types_match_by_conid_only() -> None:
    """What is neither stock nor option matches by conId only."""
    future = Contract(495512563, "ES", "FUT", date(2025, 12, 19))
    by_symbol = stock_alert(ticker="ES")
    by_con_id = replace(
        option_alert("demslayer", "ES", right="", strike=None, expires="1219"), con_ids=frozenset([495512563])
    )
    contradicting = replace(by_con_id, id=AlertId("x", "ES", "", 1), right="C")
    result = match(fill(future), by_symbol, by_con_id, contradicting)
    assert isinstance(result, Matched)
    assert result.alerts == ((by_con_id.id, Rule.CON_ID),)
    assert {entry.alert: entry.reason for entry in result.rejected} == {
        by_symbol.id: "a FUT fill is matched by conid or the order's reference only",
        contradicting.id: "it is about an option, the fill is FUT, though its conid is the fill's",
    }


# Age.


@pytest.mark.parametrize("execution", [fill(ref="robindahood/NVDA"), fill()])
def test_fill_may_precede_its_alert_slightly(execution: Execution) -> None:
    """A fill may be a little older than its alert."""
    just = option_alert(created=FILLED + EARLY_FILL)
    assert isinstance(match(execution, just), Matched)
    too_late = option_alert(created=FILLED + EARLY_FILL + timedelta(microseconds=1))
    rejection = only_rejection(match(execution, too_late))
    assert rejection.reason.startswith("created 2 min after the fill")
    assert rejection.near


def test_strong_rules_hold_whatever_the_records_age() -> None:
    long_ago = CREATED - timedelta(days=200)
    for alert in (
        option_alert(created=long_ago, con_ids=[CON_ID]),
        replace(option_alert(created=long_ago), expiry=expiry("1121")),
    ):
        assert isinstance(match(fill(), alert), Matched)


@pytest.mark.parametrize("expires", [None, "NOV25"])
def test_strike_looks_back_less_than_a_day(expires: object) -> None:
    late_november = replace(NVDA_CALL, expiry=date(2025, 11, 28))
    young = option_alert(expires=expires, created=FILLED - timedelta(days=1) + timedelta(microseconds=1))
    assert match(fill(late_november), young) == Matched(((young.id, Rule.STRIKE),))
    old = option_alert(expires=expires, created=FILLED - timedelta(days=1))
    rejection = only_rejection(match(fill(late_november), old))
    assert rejection.reason == "created 24 h before the fill, and strike alone counts for a day"
    assert rejection.near


def test_symbol_looks_back_less_than_a_day() -> None:
    young = stock_alert(created=FILLED - timedelta(days=1) + timedelta(microseconds=1))
    assert match(fill(NVDA_STOCK), young) == Matched(((young.id, Rule.SYMBOL),))
    old = stock_alert(created=FILLED - timedelta(days=3))
    rejection = only_rejection(match(fill(NVDA_STOCK), old))
    assert rejection.reason == "created 3 d before the fill, and symbol alone counts for a day"
    assert rejection.near


def test_unknown_age_suits_strong_rules_only() -> None:
    """An unknown age is enough for strong rules only."""
    strong = option_alert(con_ids=[CON_ID], created=None)
    assert match(fill(), strong) == Matched(((strong.id, Rule.CON_ID),))
    assert match(fill(ref="robindahood/NVDA"), strong) == Matched(((strong.id, Rule.ORDER_REF),))
    weak = option_alert(expires=None, created=None)
    assert (
        only_rejection(match(fill(), weak)).reason == "its age is unknown, and strike alone counts for a day"
    )
    assert isinstance(match(fill(NVDA_STOCK), stock_alert(created=None)), Unmatched)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=121), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=4, minutes=59, seconds=59), "4 h 59 min"),
        (timedelta(days=9), "9 d"),
    ],
)
def test_age_has_a_readable_unit(span: timedelta, words: str) -> None:
    """An age is told in a unit that people read."""
    rejection = only_rejection(match(fill(), option_alert(created=FILLED + span)))
    assert rejection.reason == f"created {words} after the fill"


def test_a_short_age_is_told_in_seconds() -> None:
    result = match_execution(
        fill(), [option_alert(created=FILLED + timedelta(seconds=7))], early_fill=timedelta(0)
    )
    assert only_rejection(result).reason == "created 7 s after the fill"


# Several records.


def test_every_record_of_the_contract_matches() -> None:
    """Every record of the contract is meant each by its rule."""
    by_con_id = option_alert("demslayer", con_ids=[CON_ID])
    by_contract = option_alert("prof-and-kian-alerts")
    by_strike = option_alert("real-day-trading", expires=None)
    other = option_alert("robindahood-alerts", strike="130", expires="1219")
    result = match(fill(), other, by_strike, by_contract, by_con_id)
    assert result == Matched(
        ((by_con_id.id, Rule.CON_ID), (by_contract.id, Rule.CONTRACT)),
        (
            Rejection(by_strike.id, "it agrees by strike only, and a stronger rule names another"),
            Rejection(
                other.id,
                "its strike is 130, the fill's is 122.5; its expiry is 2025-12-19, the fill's is 2025-11-21",
            ),
        ),
    )


def test_several_records_by_weak_rule_are_ambiguous() -> None:
    one, other = option_alert("a", expires=None), option_alert("b", expires="NOV25")
    refused = option_alert("c", right="P", strike="95")
    result = match(fill(), refused, other, one)
    assert isinstance(result, Ambiguous)
    assert (result.rule, result.alerts) == (Rule.STRIKE, (one.id, other.id))
    assert [entry.alert for entry in result.rejected] == [refused.id]
    stocks = (stock_alert("a"), stock_alert("b"))
    assert match(fill(NVDA_STOCK), *stocks) == Ambiguous(Rule.SYMBOL, (stocks[0].id, stocks[1].id))


def test_no_candidate_is_no_match() -> None:
    assert match(fill()) == Unmatched("no alert is about this contract")


def test_near_miss_is_named_in_reason() -> None:
    far = option_alert("a", ticker="TSLA")
    near = option_alert("b", expires="1128")
    result = match(fill(), far, near)
    assert isinstance(result, Unmatched)
    assert (
        result.reason == "no alert agrees; b/NVDA nearly: its expiry is 2025-11-28, the fill's is 2025-11-21"
    )
    assert [entry.near for entry in result.rejected] == [False, True]


def test_unsaid_values_agree_with_nothing() -> None:
    """What the fill or the record does not say agrees with nothing."""
    bare = Contract(CON_ID, "NVDA", "OPT")
    details_missing = option_alert(right="", strike=None, expires=None)
    assert only_rejection(match(fill(bare), details_missing)).reason == (
        "its right is unknown, the fill's is unknown; its strike is unknown, the fill's is unknown"
    )
    assert only_rejection(match(fill(replace(NVDA_CALL, expiry=None)), option_alert())).reason == (
        "its expiry is 2025-11-21, the fill's is unknown"
    )
    nameless = replace(option_alert(), symbol="")
    assert only_rejection(match(fill(), nameless)).reason == "its symbol is unknown, the fill's is NVDA"
    assert isinstance(match(fill(replace(NVDA_CALL, symbol="")), nameless), Unmatched)
    by_con_id = replace(nameless, con_ids=frozenset([CON_ID]), right="")
    assert match(fill(), by_con_id) == Matched(((by_con_id.id, Rule.CON_ID),))


# The order's reference.


@pytest.mark.parametrize(
    "ref",
    [
        "robindahood-alerts/NVDA",
        "RobinDaHood/nvda",
        "robin da hood/NVDA",
        "tracker:robindahood/NVDA",
        "TRACKER: robindahood / NVDA ",
    ],
)
def test_reference_excludes_all_other_records(ref: str) -> None:
    """The order's reference names one record and closes out all others."""
    named = option_alert(expires="1219", created=CREATED - timedelta(days=90))
    by_con_id = option_alert("demslayer", con_ids=[CON_ID])
    result = match(fill(ref=ref), by_con_id, named)
    assert isinstance(result, Matched)
    assert result.alerts == ((named.id, Rule.ORDER_REF),)
    (rejection,) = result.rejected
    assert rejection.alert == by_con_id.id
    assert rejection.reason.startswith("the order's reference names ")


@pytest.mark.parametrize(
    ("execution", "alert", "reason"),
    [
        (
            fill(NVDA_STOCK, ref="robindahood/NVDA"),
            option_alert(),
            "it is about an option, the fill is shares",
        ),
        (fill(ref="robindahood/NVDA"), option_alert(right="P"), "its right is P, the fill's is C"),
        (
            fill(ref="robindahood/TSLA"),
            option_alert(ticker="TSLA"),
            "its symbol is TSLA, the fill's is NVDA",
        ),
        (
            fill(ref="real-day-trading/NVDA"),
            stock_alert(),
            "it is about shares, the fill is an option",
        ),
        (
            fill(ref="robindahood/NVDA"),
            option_alert(created=FILLED + timedelta(hours=3)),
            "created 3 h after the fill",
        ),
    ],
)
def test_contradicting_reference_is_refused(execution: Execution, alert: Alert, reason: str) -> None:
    """A reference whose record contradicts the fill is refused and nothing else is tried."""
    otherwise = option_alert("demslayer", con_ids=[execution.contract.con_id])
    result = match(execution, alert, otherwise)
    assert isinstance(result, Unmatched)
    assert result.reason == f"{alert.id.name}: {reason}, though the order's reference names it"
    assert [entry.alert for entry in result.rejected if entry.near] == [alert.id]
    assert {entry.alert for entry in result.rejected} == {alert.id, otherwise.id}


@pytest.mark.parametrize("ref", ["robindahood/NVDA", "tracker:nobody/NVDA"])
def test_reference_to_missing_record_matches_nothing(ref: str) -> None:
    """A reference to a record that is not there matches nothing else."""
    other = option_alert("demslayer", con_ids=[CON_ID])
    named = ref.removeprefix("tracker:")
    assert match(fill(ref=ref), other) == Unmatched(
        f"the order's reference names {named}; there is no such record",
        (Rejection(other.id, f"the order's reference names {named}"),),
    )


@pytest.mark.parametrize(
    "ref", ["", "swing", "strategy 4/NVDA", "/NVDA", "robindahood/", "tracker:", "tracker:x"]
)
def test_somebody_elses_reference_changes_nothing(ref: str) -> None:
    alert = option_alert(con_ids=[CON_ID])
    assert match(fill(ref=ref), alert) == Matched(((alert.id, Rule.CON_ID),))


def test_reference_uses_names_that_settings_give() -> None:
    names = AlerterNames([("wolf-pack", "Wolf Pack", ("wp",))])
    alert = option_alert("wolf-pack", strike="95")
    result = match_execution(fill(ref="wp/NVDA"), [alert], early_fill=EARLY_FILL, names=names)
    assert result == Matched(((alert.id, Rule.ORDER_REF),))


def test_ticker_with_slash_is_named_whole() -> None:
    alert = stock_alert(ticker="BRK B")
    result = match(fill(replace(NVDA_STOCK, symbol="BRK B"), ref="real-day-trading/BRK/B"), alert)
    assert result == Matched(((alert.id, Rule.ORDER_REF),))


def test_reference_prefers_the_exact_spelling() -> None:
    """Of two spellings the reference names the one written out."""
    one, other = option_alert("wolf"), option_alert("wolf-alerts")
    result = match(fill(ref="Wolf/NVDA"), one, other)
    assert isinstance(result, Matched)
    assert result.alerts == ((one.id, Rule.ORDER_REF),)
    assert match(fill(ref="w-olf/NVDA"), other, one) == Ambiguous(Rule.ORDER_REF, (one.id, other.id))
    # By class and symbol of one contract it is the ticker that is written.
    spx, spxw = option_alert("wolf", "SPX"), option_alert("wolf", "SPXW")
    result = match(fill(replace(NVDA_CALL, symbol="SPX", trading_class="SPXW"), ref="w-olf/SPX"), spxw, spx)
    assert isinstance(result, Matched)
    assert result.alerts == ((spx.id, Rule.ORDER_REF),)


def test_reference_matches_other_types_too() -> None:
    """A reference serves what is neither stock nor option."""
    alert = stock_alert(ticker="ES")
    future = Contract(495512563, "ES", "FUT", date(2025, 12, 19))
    assert match(fill(future, ref="real-day-trading/ES"), alert) == Matched(((alert.id, Rule.ORDER_REF),))
