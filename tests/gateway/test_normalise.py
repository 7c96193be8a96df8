"""Raw fields of the broker become facts, and what cannot be read says so without stopping anything."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.model import (
    BrokerFact,
    CommissionReport,
    CompletedOrder,
    End,
    EndOf,
    Execution,
    Frame,
    Notice,
    OpenOrder,
    OrderStatus,
    Position,
    Side,
    Source,
    Undecodable,
)
from tracker.gateway.normalise import normalise

NEW_YORK = ZoneInfo("America/New_York")
RECEIVED = datetime(2025, 11, 18, 15, 43, 12, tzinfo=UTC)
MAX_DOUBLE = "1.7976931348623157E308"


def split(text: str) -> list[str]:
    return text.split("|")


EXECUTION = split(
    "11|-1|7|700100200|NVDA|OPT|20251121|122.5|C|100|CBOE|USD|NVDA  251121C00122500|NVDA"
    "|0000e0d5.6596b0d8.01.01|20251118 10:43:10 US/Eastern|DU1234567|CBOE|BOT|4|2.510|188|5|0|4|2.51"
    "|robindahood-alerts/NVDA||||2"
)
ORDER_HEAD = split(
    "5|7|700100200|NVDA|OPT|20251121|122.5|C|100|SMART|USD|NVDA  251121C00122500|NVDA"
    "|BUY|10|LMT|2.52|0.0|DAY||DU1234567||0|robindahood-alerts/NVDA|5|188|0|0|0||188.0/DU1234567/100"
)


def read(fields: list[str], source: Source = Source.BROKER) -> BrokerFact | None:
    return normalise(Frame(1, RECEIVED, 1, source, tuple(fields)), NEW_YORK)


def execution(**changes: str) -> BrokerFact | None:
    """Read the sample execution with some fields changed, named by `f` and their index."""
    fields = list(EXECUTION)
    for name, value in changes.items():
        fields[int(name[1:])] = value
    return read(fields)


def known_execution(**changes: str) -> Execution:
    fact = execution(**changes)
    assert isinstance(fact, Execution), fact
    return fact


def open_order(legs: tuple[str, ...] = (), status: str = "Submitted", what_if: str = "0") -> list[str]:
    """Return the fields of an openOrder at version 176; each leg is eight fields joined by commas."""
    fixed = split("|||||||||0||-1|0||||||2147483647|0|0|0||3|0|0||0|0||0|None|")
    neutral = split("0||||?|0|0||0|0||||")
    combo = ["", str(len(legs)), *(value for leg in legs for value in leg.split(",")), "0", "0"]
    tail = ["2147483647", "2147483647", "", "", "0", "", "IB", "0", "0", "", "0", what_if, status]
    tail += [MAX_DOUBLE] * 9 + ["", "", "", "", "", "0", "0", "0"]
    tail += ["None", MAX_DOUBLE, MAX_DOUBLE, MAX_DOUBLE, MAX_DOUBLE, MAX_DOUBLE, MAX_DOUBLE, "0"]
    tail += ["", "", "", "0", "1", "0", "0", "0", "", "", "0", "", "", "", "", ""]
    return [*ORDER_HEAD, *fixed, *neutral, *combo, *tail]


def completed_order() -> list[str]:
    fields = ["101", *ORDER_HEAD[2:24], "188", "0", "0", "0", ""]
    fields += ["", "", "", "", "", "", "", "", "", "0", "", "-1"]
    fields += ["", "", "", "", "", "2147483647", "0", "0", "", "3", "0"]
    fields += ["", "0", "None", "", "0", "0", "0", "", "0", "0", "", "", "", "0", "0", "0"]
    fields += ["2147483647", "2147483647", "", "", "", "IB", "0", "0", "", "0", "Filled"]
    fields += ["0", "0", "0", "", "", "0", "1", "0", "", "10"]
    fields += ["0", "0", "", "0", "0", "0", "20251118 10:43:10 US/Eastern", "Filled Size: 10"]
    return [*fields, "", "", "", "", ""]


def test_execution_is_read_whole() -> None:
    fact = known_execution()
    assert fact.exec_id == "0000e0d5.6596b0d8.01.01"
    assert fact.account == "DU1234567"
    assert (fact.contract.con_id, fact.contract.symbol, fact.contract.sec_type) == (700100200, "NVDA", "OPT")
    assert fact.contract.expiry == date(2025, 11, 21)
    assert fact.contract.strike == Decimal("122.5")
    assert (fact.contract.right, fact.contract.multiplier, fact.contract.currency) == ("C", "100", "USD")
    assert (fact.contract.local_symbol, fact.contract.trading_class) == ("NVDA  251121C00122500", "NVDA")
    assert (fact.side, fact.quantity, str(fact.price)) == (Side.BUY, Decimal(4), "2.510")
    assert fact.time == datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)
    assert (fact.time_text, fact.time_known) == ("20251118 10:43:10 US/Eastern", True)
    assert (fact.perm_id, fact.order_id, fact.client_id, fact.request_id) == (188, 7, 5, -1)
    assert (fact.cum_qty, fact.avg_price) == (Decimal(4), Decimal("2.51"))
    assert fact.order_ref == "robindahood-alerts/NVDA"


def test_appended_fields_change_nothing() -> None:
    assert read([*EXECUTION, "0", "submitter"]) == known_execution()


@pytest.mark.parametrize("text", ["", "20251118", "20251118 10:43:10 Mars/Olympus"])
def test_unreadable_time_becomes_receipt(text: str) -> None:
    """An execution with an unreadable time is kept, at its receipt."""
    fact = known_execution(f15=text)
    assert (fact.time, fact.time_known, fact.time_text) == (RECEIVED, False, text)


def test_time_without_zone() -> None:
    """A time without a zone is in the zone of the login."""
    assert known_execution(f15="20251118  10:43:10").time == datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)


def test_sale_and_fraction_and_sweep_answer() -> None:
    fact = known_execution(f18="SLD", f19="0.7143", f1="12")
    assert (fact.side, fact.quantity, fact.request_id) == (Side.SELL, Decimal("0.7143"), 12)
    assert fact.signed == Decimal("-0.7143")


@pytest.mark.parametrize("unset", ["", "2147483647", "9223372036854775807", MAX_DOUBLE, MAX_DOUBLE.lower()])
def test_unset_forms_are_none(unset: str) -> None:
    fact = known_execution(f24=unset, f25=unset, f7=unset)
    assert (fact.cum_qty, fact.avg_price, fact.contract.strike) == (None, None, None)
    report = read(["59", "1", "0000e0d5.6596b0d8.01.01", unset, "USD", unset, "", ""])
    assert report == CommissionReport("0000e0d5.6596b0d8.01.01", None, "USD", None)


@pytest.mark.parametrize("unset", ["", "2147483647", "9223372036854775807"])
def test_unset_ids_are_zero(unset: str) -> None:
    fact = known_execution(f2=unset, f21=unset, f22=unset)
    assert (fact.order_id, fact.perm_id, fact.client_id) == (0, 0, 0)
    assert fact.order_key is None


def test_unreadable_description_costs_nothing() -> None:
    """A description that cannot be read does not cost the execution."""
    fact = known_execution(f6="20251399", f7="dear", f8="?", f24="many", f25="nan")
    assert (fact.contract.expiry, fact.contract.strike, fact.contract.right) == (None, None, "")
    assert (fact.cum_qty, fact.avg_price) == (None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20230714 22:00:00 Europe/Prague", date(2023, 7, 14)),
        ("20240402-17:10:00", date(2024, 4, 2)),
        ("20260227 08:30 CST", date(2026, 2, 27)),
        ("202506", None),
        ("202506281", None),
        ("", None),
    ],
)
def test_expiry_is_never_shifted(text: str, expected: date | None) -> None:
    """The expiry is the written day, whatever zone comes after it."""
    assert known_execution(f6=text).contract.expiry == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("CALL", "C"), ("PUT", "P"), ("P", "P"), ("0", ""), ("?", "")]
)
def test_right_has_one_spelling(text: str, expected: str) -> None:
    assert known_execution(f8=text).contract.right == expected


@pytest.mark.parametrize("strike", ["0", "0.0", ""])
def test_stock_has_no_strike(strike: str) -> None:
    assert known_execution(f5="STK", f7=strike).contract.strike is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"f18": "HELD"}, "side"),
        ({"f19": "0"}, "quantity"),
        ({"f19": "-4"}, "quantity"),
        ({"f19": "nan"}, "quantity"),
        ({"f19": "Infinity"}, "quantity"),
        ({"f19": MAX_DOUBLE}, "quantity"),
        ({"f19": "1E400"}, "quantity"),
        ({"f19": "four"}, "quantity"),
        ({"f20": ""}, "price"),
        ({"f20": "2.5." + "1" * 50}, "price"),
        ({"f3": "0"}, "conId"),
        ({"f3": "option"}, "conId"),
        ({"f16": ""}, "account"),
        ({"f21": "9" * 30}, "permId"),
    ],
)
def test_unreadable_execution_says_what_and_which(changes: dict[str, str], reason: str) -> None:
    fact = execution(**changes)
    assert isinstance(fact, Undecodable)
    assert (fact.kind, fact.exec_id) == ("execution", "0000e0d5.6596b0d8.01.01")
    assert reason in fact.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"f19": "100000000000000000000"}, "quantity has more than 12 digits before the point"),
        ({"f19": "0.0000000000004"}, "quantity has more than 12 digits after the point"),
        ({"f20": "1e25"}, "price has more than 12 digits before the point"),
        ({"f20": "1e-400"}, "price has more than 24 digits after the point"),
        ({"f19": "1_0"}, "quantity is not a number"),
        ({"f19": "٣"}, "quantity is not a number"),
        ({"f3": "7٣"}, "conId is not a whole number"),
        ({"f21": "9" * 5000}, "permId is not a whole number of 64 bits"),
        ({"f14": "a.b.c." + "1" * 5000}, "execId is longer than 100 characters"),
        ({"f16": "D" * 101}, "account is longer than 100 characters"),
    ],
)
def test_value_beyond_its_bound_is_undecodable(changes: dict[str, str], reason: str) -> None:
    """The reason names the field, and is short however long the field is."""
    fact = execution(**changes)
    assert isinstance(fact, Undecodable)
    assert fact.reason.startswith(reason)
    assert len(fact.reason) < 200
    assert len(fact.exec_id) <= 200


def test_long_description_costs_no_execution() -> None:
    """Symbol and reference only describe: they are cut, and the fill counts."""
    fact = known_execution(f4="S" * 10_000_000, f26="/" * 65536)
    assert (len(fact.contract.symbol), len(fact.order_ref)) == (200, 200)


@pytest.mark.parametrize("text", ["00010101-00:00:00", "99991231-23:59:59", "9999999999", "9999999999999"])
def test_impossible_year_counts_as_unreadable(text: str) -> None:
    """It could not be printed in every zone; the receipt is taken instead."""
    fact = known_execution(f15=text)
    assert (fact.time, fact.time_known, fact.time_text) == (RECEIVED, False, text)


@pytest.mark.parametrize("text", ["99991231", "00010101"])
def test_impossible_expiry_is_none(text: str) -> None:
    """The trading day after it could not be computed."""
    assert known_execution(f6=text).contract.expiry is None


def test_endless_leg_is_dropped() -> None:
    """A number that no row of the journal can hold is not taken for a leg's."""
    fact = read(open_order(legs=("9" * 4000 + ",1,BUY,SMART,0,0,,-1",)))
    assert isinstance(fact, OpenOrder)
    assert (fact.legs, fact.total) == ((), Decimal(10))


def test_short_execution_names_its_id() -> None:
    """An execution that is cut off still names its execId, and says whether it was pushed."""
    fact = read(EXECUTION[:20])
    assert fact == Undecodable("execution", "it has 20 of 31 fields", "0000e0d5.6596b0d8.01.01", live=True)
    swept = [EXECUTION[0], "900", *EXECUTION[2:9]]
    assert read(swept) == Undecodable("execution", "it has 9 of 31 fields", "")


def test_pending_fee_is_none() -> None:
    """A fee of -1 is pending, a rebate is not."""

    def report(commission: str) -> BrokerFact | None:
        return read(["59", "1", "0000e0d5.6596b0d8.01.01", commission, "USD", "-165.814684", "", ""])

    known = CommissionReport("0000e0d5.6596b0d8.01.01", Decimal("-0.25"), "USD", Decimal("-165.814684"))
    assert report("-0.25") == known
    for pending in ("-1", "-1.0"):
        fact = report(pending)
        assert isinstance(fact, CommissionReport)
        assert fact.commission is None


def test_order_status_is_read() -> None:
    fact = read(["3", "7", "Submitted", "4", "6", "2.51", "188", "0", "2.51", "5", "", "0"])
    assert fact == OrderStatus(7, 5, 188, "Submitted", Decimal(4), Decimal(6))


def test_open_order_is_read() -> None:
    """An open order is read with its status."""
    fields = open_order()
    assert len(fields) == 136
    fact = read(fields)
    assert isinstance(fact, OpenOrder)
    assert (fact.order_id, fact.client_id, fact.perm_id, fact.account) == (7, 5, 188, "DU1234567")
    assert (fact.side, fact.total, fact.order_ref) == ("BUY", Decimal(10), "robindahood-alerts/NVDA")
    assert (fact.status, fact.legs, fact.contract.con_id) == ("Submitted", (), 700100200)


def test_combo_legs_are_signed() -> None:
    """The legs of a combo are read, the sold one with a negative ratio."""
    fact = read(open_order(legs=("810118027,1,BUY,SMART,0,0,,-1", "810118051,2,SELL,SMART,0,0,,-1")))
    assert isinstance(fact, OpenOrder)
    assert fact.legs == ((810118027, 1), (810118051, -2))
    assert fact.status == "Submitted"


def test_open_order_of_other_length() -> None:
    """An open order of another length keeps its fixed part."""
    fields = open_order()
    longer = read([*fields, "more", "fields"])
    assert longer == read(fields)
    cut = read(fields[:60])
    assert isinstance(cut, OpenOrder)
    assert (cut.total, cut.perm_id, cut.status) == (Decimal(10), 188, "")


def test_what_if_answer_is_no_order() -> None:
    assert read(open_order(what_if="1")) is None


@pytest.mark.parametrize(
    ("conditions", "order_type"),
    [
        (("0",), "LMT"),
        (("1", "1", "a", "1", "2.55", "700100200", "SMART", "0", "0", "1"), "LMT"),
        (("2", "3", "a", "1", "20251118 10:43:10", "5", "o", "OPT", "SMART", "NVDA", "0", "1"), "LMT"),
        (("0",), "PEG BENCH"),
    ],
    ids=["none", "a price", "a time or an execution", "pegged to a benchmark"],
)
def test_completed_order_tells_what_it_filled(conditions: tuple[str, ...], order_type: str) -> None:
    """filledQuantity comes after a part whose length depends on conditions and order type."""
    fields = completed_order()
    fields[14] = order_type
    if order_type == "PEG BENCH":
        fields[80:81] = ["1", "0", "0.5", "1", "2.5", "0"]
    else:
        fields[80:81] = conditions
    fact = read(fields)
    assert isinstance(fact, CompletedOrder)
    assert fact.filled == Decimal(10)


def test_unknown_completed_order_keeps_status() -> None:
    """Completed order of unknown form keeps its status."""
    fields = completed_order()
    fields[80] = "1"
    fact = read(fields)
    assert isinstance(fact, CompletedOrder)
    assert (fact.status, fact.filled) == ("Filled", None)


def test_correction_to_no_quantity_is_a_void() -> None:
    assert known_execution(f14="0000e0d5.6596b0d8.01.02", f19="0").quantity == 0


@pytest.mark.parametrize(("exec_id", "quantity"), [("0000e0d5.6596b0d8.01.01", "0"), ("a.b.c.02", "-1")])
def test_no_quantity_without_correction_is_unreadable(exec_id: str, quantity: str) -> None:
    assert isinstance(execution(f14=exec_id, f19=quantity), Undecodable)


@pytest.mark.parametrize("profit", ["nan", "NaN", "inf", "much"])
def test_unreadable_profit_keeps_the_fee(profit: str) -> None:
    assert read(["59", "1", "a.b.01.01", "1.3", "USD", profit, "", ""]) == CommissionReport(
        "a.b.01.01", Decimal("1.3"), "USD", None
    )


def test_completed_order_is_a_perm_id() -> None:
    fields = completed_order()
    assert len(fields) == 101
    assert read(fields) == CompletedOrder(188, "DU1234567", "Filled", 700100200, Decimal(10), Decimal(10))
    fields[23] = "0"
    assert read(fields) == Undecodable("completed_order", "permId is not set")


def test_position_is_signed() -> None:
    fields = ["61", "3", "DU1234567", *EXECUTION[3:14], "-10", "251.03"]
    fact = read(fields)
    assert isinstance(fact, Position)
    assert (fact.account, fact.contract.con_id, fact.quantity) == ("DU1234567", 700100200, Decimal(-10))
    assert fact.contract.trading_class == "NVDA"
    fields[14] = ""
    key = "DU1234567 700100200"
    assert read(fields) == Undecodable("position", "position is not set", contract=key)
    for at in (3, 2):
        fields[at] = ""
        assert getattr(read(fields), "contract", None) == ""
    assert read(["61", "3"]) == Undecodable("position", "it has only 2 fields")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["53", "1"], End(EndOf.OPEN_ORDERS, -1)),
        (["55", "1", "12"], End(EndOf.EXECUTIONS, 12)),
        (["62", "1"], End(EndOf.POSITIONS, -1)),
        (["102"], End(EndOf.COMPLETED_ORDERS, -1)),
        (["4", "2", "-1", "1100", "lost", ""], Notice(-1, 1100, "lost")),
        (["4", "2", "2147483647", "1100", "lost"], Notice(-1, 1100, "lost")),
        (["4", "2", "12", "321", "no"], Notice(12, 321, "no")),
        (["4", "2", "12"], Undecodable("notice", "it has only 3 fields")),
        (["55", "1", ""], Undecodable("executions_end", "request id is not set")),
    ],
)
def test_ends_and_notices(fields: list[str], expected: BrokerFact) -> None:
    assert read(fields) == expected


@pytest.mark.parametrize("fields", [["9", "1", "1"], ["49", "1", "soon"], ["49", "1"], ["x"], ["999"], []])
def test_other_messages_carry_no_fact(fields: list[str]) -> None:
    assert read(fields) is None


def test_only_broker_frames_are_read() -> None:
    assert read(["executions", "12", "DU1234567"], Source.SENT) is None
    assert read(list(EXECUTION), Source.FLEX) is None


FIELD = st.text(max_size=12) | st.sampled_from(["", "0", "-1", "1E5", "NaN", MAX_DOUBLE, "2147483647", "BOT"])


@given(st.sampled_from(["3", "4", "5", "11", "53", "55", "59", "61", "62", "101", "102"]), st.lists(FIELD))
def test_no_field_list_raises(message: str, rest: list[str]) -> None:
    fact = read([message, *rest])
    assert fact is None or not isinstance(fact, Execution)


@given(st.integers(0, 30), FIELD)
def test_one_broken_field_never_raises(index: int, value: str) -> None:
    fields = list(EXECUTION)
    fields[index] = value
    fact = read(fields)
    if isinstance(fact, Execution):
        assert fact.quantity > 0
        assert fact.price.is_finite()
        assert fact.time.tzinfo is UTC
