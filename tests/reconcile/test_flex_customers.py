"""Reports as customers' queries write them, imported where a day was missed: what the alert shows then.

An alert of 15:30 UTC, four calls bought at 10:43:10 New York on a day that is not proven, and a report of
that trade date, which leaves the evening open.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from tests.support.flex_desk import FlexDesk
from tests.support.flex_report import (
    ACCOUNT,
    cancel,
    confirm,
    confirmations,
    elements,
    statement,
    trade,
)
from tracker.core.journal_entries import LinkUp
from tracker.gateway.flex import FlexUnreadable
from tracker.reconcile.text import _imported

TUESDAY, WEDNESDAY, THURSDAY = (date(2025, 11, day) for day in (18, 19, 20))
OPENED = "2025-11-18T15:43:10.000000+00:00"
FIRST = "0000e0d5.6596b0d8.01.01"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FlexDesk]:
    with FlexDesk(tmp_path) as desk:
        desk.connect()
        desk.gap(TUESDAY)
        yield desk


def without(*names: str, **changes: str) -> dict[str, str]:
    return {name: value for name, value in trade(**changes).items() if name not in names}


def of_tuesday(row: dict[str, str], *, iso: bool = False) -> str:
    text = statement(row, first=TUESDAY, last=TUESDAY)
    return text.replace('"20251118"', '"2025-11-18"').replace("20251119;", "2025-11-19;") if iso else text


@pytest.mark.parametrize(
    "made",
    [
        of_tuesday(trade()),
        of_tuesday(without("accountId")),
        of_tuesday(without("underlyingSymbol")),
        of_tuesday(without("strike", "expiry", "putCall")),
        of_tuesday(without("dateTime", tradeDate="20251118", tradeTime="104310")),
        of_tuesday(trade(dateTime="2025-11-18104310", expiry="2025-11-21"), iso=True),
        of_tuesday(trade(dateTime="2025-11-18;10:43:10 EST", expiry="2025-11-21"), iso=True),
        of_tuesday(trade(dateTime="2025-11-18;15:43:10 UTC", expiry="2025-11-21"), iso=True),
    ],
    ids=["plain", "no account", "no underlying", "no terms", "apart", "no separator", "EST", "UTC"],
)
def test_fill_opens_its_alert(desk: FlexDesk, made: str) -> None:
    """At its time in New York, whatever the query wrote; the day waits for its evening."""
    result = desk.take_in(made)
    assert desk.held() == (True, 4, 4)
    assert desk.shown()["position"]["opened_at"] == OPENED
    assert (result.executions, result.new, result.closes, result.waiting) == (1, 1, [], [TUESDAY])
    desk.bought("0000e0d5.6596b0d9.01.01", -4, perm_id=189, clock="11:00:00")
    assert desk.held() == (False, 0, 0)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "Asia/Tokyo", "America/New_York"])
def test_zone_of_the_login_moves_no_fill(tmp_path: Path, zone: str) -> None:
    """The times of a report are New York's."""
    with FlexDesk(tmp_path, zone=ZoneInfo(zone)) as desk:
        desk.connect()
        desk.take_in(of_tuesday(trade()))
        assert desk.shown()["position"]["opened_at"] == OPENED


def test_later_alert_is_not_opened(tmp_path: Path) -> None:
    """The fill is of Tuesday, the alert of Thursday."""
    with FlexDesk(tmp_path, created="2025-11-20T15:30:00") as desk:
        desk.connect()
        desk.take_in(of_tuesday(without("dateTime", tradeDate="20251118", tradeTime="104310")))
        assert desk.held() == (False, 0, 4)


@pytest.mark.parametrize(
    "columns", [["conid"], ["ibExecID", "tradeID", "transactionID"]], ids=["conid", "all numbers"]
)
def test_refused_report_changes_nothing(desk: FlexDesk, columns: list[str]) -> None:
    """Without the conid nobody knows what was bought, without any number whether it is known already."""
    desk.bought(FIRST)
    text = desk.text()
    with pytest.raises(FlexUnreadable):
        desk.take_in(of_tuesday(without(*columns)))
    assert (desk.text(), desk.held()) == (text, (True, 4, 4))


def test_accounts_of_another_login_are_left_out(desk: FlexDesk) -> None:
    """One query covers two logins, each with a tracker: a fill counts in that of its account only."""
    foreign = statement(trade(accountId="DU7654321"), first=TUESDAY, last=TUESDAY)
    foreign = foreign.replace(ACCOUNT, "DU7654321")
    ours = trade(ibExecID="a.b.2.01", tradeID="2", transactionID="106002")
    result = desk.take_in(of_tuesday(ours), foreign)
    assert desk.held() == (True, 4, 4)
    answer = result.to_json()
    assert (answer["new"], answer["foreign_accounts"]) == (1, ["DU7654321"])
    assert "Left out, since this login never managed them: DU7654321." in _imported(answer, dry_run=False)


def test_account_of_an_earlier_login_is_taken_in(desk: FlexDesk) -> None:
    """The account has a new number since: what was filled under the old one is ours."""
    desk.bought(FIRST)
    desk.append(LinkUp(("DU7654321",), "176").arriving)
    assert desk.take_in(of_tuesday(trade())).foreign == []


def test_before_any_login_all_accounts_are_taken_in(tmp_path: Path) -> None:
    with FlexDesk(tmp_path) as desk:
        assert desk.take_in(of_tuesday(trade())).foreign == []
        assert desk.held() == (True, 4, 4)


def test_fill_of_evening_is_in_next_report(desk: FlexDesk) -> None:
    """At 21:31 New York; only with it the day is proven."""
    desk.take_in(of_tuesday(trade()))
    evening = trade(dateTime="20251118;213145", ibExecID="a.b.2.01", tradeID="2", transactionID="106002")
    result = desk.take_in(statement(evening, first=WEDNESDAY, last=WEDNESDAY))
    assert desk.held() == (True, 8, 8)
    assert result.closes == [TUESDAY]


def test_report_broken_out_by_day(desk: FlexDesk) -> None:
    """Two statements of one trade each: two executions, counted once."""
    second = trade(dateTime="20251119;104310", ibExecID="a.b.2.01", tradeID="2", transactionID="106002")
    days = [
        statement(trade(), first=TUESDAY, last=TUESDAY),
        statement(second, first=WEDNESDAY, last=WEDNESDAY),
    ]
    result = desk.take_in(*days)
    assert (result.executions, result.new, result.closes) == (2, 2, [TUESDAY])
    assert desk.held() == (True, 8, 8)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_cancelled_trade(desk: FlexDesk, live: bool, again: bool) -> None:
    """Booked again under its execId it is in force; alone it is void, and no fee of it is missing."""
    if live:
        desk.bought(FIRST)
    rows = [trade(), cancel(trade(), 106002)]
    if again:
        rows.append(trade(transactionID="106003", ibCommission="0"))
    result = desk.take_in(statement(*rows, first=TUESDAY, last=TUESDAY))
    assert desk.held() == ((True, 4, 4) if again else (False, 0, 0))
    assert (result.executions, result.new, result.voided) == (1, not live, not again)


def test_confirmation_of_today(desk: FlexDesk) -> None:
    """A Trade Confirmation query knows the fill some minutes later; the next day's report repeats it."""
    result = desk.take_in(confirmations(confirm(), day=TUESDAY, made="20251118;180000"))
    assert desk.held() == (True, 4, 4)
    assert (result.new, result.waiting) == (1, [TUESDAY])
    assert desk.take_in(of_tuesday(trade())).new == 0
    assert desk.held() == (True, 4, 4)


def test_confirmations_close_a_gap_of_today(tmp_path: Path) -> None:
    """In Berlin the day ends at 18:00 New York, and its first hours are in Monday's report."""
    with FlexDesk(tmp_path, zone=ZoneInfo("Europe/Berlin")) as desk:
        desk.connect()
        desk.gap(TUESDAY)
        monday = TUESDAY - timedelta(days=1)
        assert desk.take_in(statement(first=monday, last=monday)).waiting == [TUESDAY]
        early = confirmations(confirm(), day=TUESDAY, made="20251118;180000")
        assert desk.take_in(early).closes == []
        late = confirmations(confirm(), day=TUESDAY, made="20251118;181500")
        assert desk.take_in(late).closes == [TUESDAY]


SPLIT = {
    "accountId": ACCOUNT,
    "assetCategory": "STK",
    "symbol": "NVDA",
    "conid": "4815747",
    "type": "FS",
    "actionID": "77",
    "quantity": "30",
    "actionDescription": "NVDA(US67066G1040) SPLIT 4 FOR 1 (NVDA, NVIDIA CORP, US67066G1040)",
    "reportDate": "20251118",
    "transactionID": "5",
}


@pytest.mark.parametrize(("quantity", "proven"), [("30", True), ("many", False)])
def test_corporate_action_is_told(desk: FlexDesk, quantity: str, proven: bool) -> None:
    """With its cause and ratio; a row that cannot be read proves no day."""
    rows = elements("CorporateAction", [SPLIT | {"quantity": quantity}])
    others = f"<CorporateActions>{rows}</CorporateActions><Transfers/><OptionEAE/>"
    answer = desk.take_in(statement(first=TUESDAY, last=WEDNESDAY, others=others)).to_json()
    assert (answer["closed_gaps"] == [TUESDAY.isoformat()]) is proven
    assert bool(answer["unread_events"]) is not proven
    assert answer["absent_sections"] == []
    if proven:
        (event,) = answer["events"]
        assert (event["cause"], event["ratio"], event["con_id"]) == ("split", 4, 4815747)
        assert (event["day"], event["quantity"]) == ("2025-11-18", 30)


def test_event_without_symbol_is_named_by_its_conid(desk: FlexDesk) -> None:
    nameless = {name: value for name, value in SPLIT.items() if name not in ("symbol", "underlyingSymbol")}
    rows = elements("CorporateAction", [nameless | {"quantity": "30"}])
    others = f"<CorporateActions>{rows}</CorporateActions>"
    (event,) = desk.plan(statement(first=TUESDAY, last=WEDNESDAY, others=others)).to_json()["events"]
    assert event["contract"] == "conid 4815747"


def test_absent_sections_are_told(desk: FlexDesk) -> None:
    """A person learns what this report cannot tell."""
    answer = desk.take_in(of_tuesday(trade())).to_json()
    assert [each["section"] for each in answer["absent_sections"]] == [
        "Option Exercises, Assignments and Expirations",
        "Corporate Actions",
        "Transfers",
    ]


def corporate_action(quantity: str, **changes: str) -> str:
    row = SPLIT | {"assetCategory": "OPT", "conid": "700100200", "symbol": "NVDA  251121C00122500"}
    rows = elements("CorporateAction", [row | {"quantity": quantity} | changes])
    return statement(first=TUESDAY, last=WEDNESDAY, others=f"<CorporateActions>{rows}</CorporateActions>")


def test_split_explains_what_the_broker_holds(desk: FlexDesk) -> None:
    """Four became sixteen: every lot is scaled, its price with it; the same report twice changes nothing."""
    desk.bought(FIRST, day=THURSDAY)
    desk.connect(held=16)
    assert desk.held() == (True, 4, 16)
    answer = desk.take_in(corporate_action("12")).to_json()
    assert [event["applied"] for event in answer["events"]] == [True]
    assert desk.held() == (True, 16, 16)
    assert desk.shown()["position"]["avg_price"] == 0.6275
    answer = desk.take_in(corporate_action("12")).to_json()
    assert [event["applied"] for event in answer["events"]] == [False]
    assert desk.held() == (True, 16, 16)


def test_other_change_is_not_explained(desk: FlexDesk) -> None:
    """A split of four for one does not explain ten."""
    desk.bought(FIRST, day=THURSDAY)
    desk.connect(held=10)
    answer = desk.take_in(corporate_action("12")).to_json()
    assert [event["applied"] for event in answer["events"]] == [False]
    assert desk.held()[1] == 4


def test_assignment_has_its_cause(desk: FlexDesk) -> None:
    """Three of four are gone by assignment, which the report lists and no execution."""
    desk.bought(FIRST, day=THURSDAY)
    desk.connect(held=1)
    rows = elements(
        "OptionEAE",
        [
            {
                "accountId": ACCOUNT,
                "assetCategory": "OPT",
                "symbol": "NVDA  251121C00122500",
                "conid": "700100200",
                "transactionType": "Exercise",
                "quantity": "-3",
                "date": "20251118",
                "tradeID": "9",
            }
        ],
    )
    made = statement(first=TUESDAY, last=WEDNESDAY, others=f"<OptionEAE>{rows}</OptionEAE>")
    answer = desk.take_in(made).to_json()
    assert [(event["cause"], event["applied"]) for event in answer["events"]] == [("exercised", True)]
    assert desk.held() == (True, 1, 1)


@pytest.mark.parametrize("listed", [4, 1], ids=["positions as before", "positions since"])
def test_exercise_with_its_booking_counts_once(tmp_path: Path, listed: int) -> None:
    """Three of four are reported by OptionEAE and booked as a trade without execId: one is left."""
    about = {"accountId": ACCOUNT, "assetCategory": "OPT", "conid": "700100200", "tradeID": "9"}
    told = about | {"transactionType": "Exercise", "quantity": "-3", "date": "20251119"}
    kind = {"transactionType": "BookTrade", "ibExecID": "", "notes": "Ex", "tradePrice": "0"}
    booked = trade(**about, **kind, quantity="-3", buySell="SELL", dateTime="20251119;162000")
    others = f"<OptionEAE>{elements('OptionEAE', [told])}</OptionEAE>"
    made = statement(booked, first=WEDNESDAY, last=WEDNESDAY, others=others)
    with FlexDesk(tmp_path, began=datetime(2025, 11, 19, 14, 31, tzinfo=UTC)) as desk:
        desk.connect()
        desk.bought(FIRST, day=WEDNESDAY)
        if listed == 1:
            desk.pass_days()
        desk.connect(held=listed)
        for _ in range(2):
            desk.take_in(made)
            assert desk.held() == (True, 1, 1)


BOOKED: Final = {
    "transactionType": "BookTrade",
    "ibExecID": "",
    "ibOrderID": "",
    "tradePrice": "0",
    "tradeID": "9",
}
"""What a row of Trades has where no order was filled."""


@pytest.mark.parametrize(
    ("codes", "cause"),
    [("Ep", "expired"), ("Ex;P", "exercised"), ("A", "assigned"), ("", None)],
)
def test_booking_that_closes_an_alert_says_why(desk: FlexDesk, codes: str, cause: str | None) -> None:
    desk.bought(FIRST)
    booked = trade(**BOOKED, notes=codes, quantity="-4", buySell="SELL", dateTime="20251119;162000")
    desk.take_in(statement(booked, first=WEDNESDAY, last=WEDNESDAY))
    shown = desk.shown()
    assert (shown["open"], shown["position"]["closed_by"]) == (False, cause)


def test_assigned_shares_that_are_sold_are_closed_by_a_fill(desk: FlexDesk) -> None:
    """A booking that opens, or closes a part, says nothing of how the rest is closed."""
    desk.bought(FIRST)
    booked = trade(**BOOKED, notes="Ex", quantity="-3", buySell="SELL", dateTime="20251118;162000")
    desk.take_in(of_tuesday(booked))
    assert desk.shown()["position"]["closed_by"] is None
    desk.bought(f"{FIRST[:-5]}09.01", -1, perm_id=190, day=WEDNESDAY)
    shown = desk.shown()
    assert (shown["open"], shown["position"]["closed_by"]) == (False, None)
