"""What a report says about positions that changed without a trade: the cause, the change, the ratio."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.flex_report import ACCOUNT, elements, statement, write_report
from tracker.gateway.flex import read_report
from tracker.gateway.flex_events import PositionEvents, read_events

DAY = date(2025, 11, 18)
STOCK = {"assetCategory": "STK", "symbol": "NVDA", "conid": "4815747"}
CALL = {
    "assetCategory": "OPT",
    "symbol": "NVDA  251121C00122500",
    "conid": "700100200",
    "underlyingSymbol": "NVDA",
}


ALWAYS = {
    "OptionEAE": {"date": "20251118"},
    "CorporateActions": {"reportDate": "20251118", "type": "OR", "actionID": "", "actionDescription": ""},
    "Transfers": {"date": "20251118", "direction": ""},
}
"""What the rows of a section have in any case."""


def read(folder: Path, section: str, tag: str, *rows: Mapping[str, str]) -> PositionEvents:
    """Read a report that has these rows in one section."""
    full = [{"accountId": ACCOUNT, **ALWAYS[section], **row} for row in rows]
    text = f"<{section}>{elements(tag, full)}</{section}>"
    report = write_report(folder / "flex.xml", statement(first=DAY, last=DAY, others=text))
    return read_events(read_report(report).others)


def told(found: PositionEvents) -> list[tuple[int, str, Decimal, Decimal | None]]:
    return [(each.contract.con_id, each.cause, each.quantity, each.ratio) for each in found.events]


def test_exercise_with_its_delivery(tmp_path: Path) -> None:
    """Four calls go, four hundred shares come; two others expire."""
    rows = [
        CALL | {"transactionType": "Exercise", "quantity": "-4", "date": "20251118", "tradeID": "1"},
        STOCK | {"transactionType": "Buy", "quantity": "400", "date": "20251118", "tradeID": "2"},
        CALL | {"transactionType": "Expiration", "quantity": "-2", "date": "20251118", "conid": "700100201"},
    ]
    found = read(tmp_path, "OptionEAE", "OptionEAE", *rows)
    assert told(found) == [
        (700100200, "exercised", Decimal(-4), None),
        (4815747, "exercised", Decimal(400), None),
        (700100201, "expired", Decimal(-2), None),
    ]
    assert [each.day for each in found.events] == [DAY] * 3
    assert found.events[0].transaction == "1"


def test_partial_assignment(tmp_path: Path) -> None:
    """Two of five short calls are assigned: what is left is not said, only the change."""
    row = CALL | {"transactionType": "Assignment", "quantity": "2", "date": "20251118"}
    assert told(read(tmp_path, "OptionEAE", "OptionEAE", row)) == [(700100200, "assigned", Decimal(2), None)]


@pytest.mark.parametrize(
    ("kind", "words", "quantity", "ratio"),
    [
        ("FS", "NVDA(US67066G1040) SPLIT 4 FOR 1 (NVDA, NVIDIA CORP, US67066G1040)", "30", Decimal(4)),
        ("RS", "NVDA(US67066G1040) SPLIT 1 FOR 20 (NVDA, NVIDIA CORP, US67066G1040)", "-95", Decimal("0.05")),
        ("FS", "NVDA(US67066G1040) SPLIT 3 FOR 2 (NVDA, NVIDIA CORP)", "5", Decimal("1.5")),
        ("FS", "NVDA SPLIT", "30", None),
        ("FS", "NVDA SPLIT 0 FOR 1", "30", None),
    ],
)
def test_split_has_its_ratio(
    tmp_path: Path, kind: str, words: str, quantity: str, ratio: Decimal | None
) -> None:
    """New units for one old unit, in the words of the action."""
    row = STOCK | {"type": kind, "quantity": quantity, "actionDescription": words, "reportDate": "20251118"}
    found = read(tmp_path, "CorporateActions", "CorporateAction", row)
    assert told(found) == [(4815747, "split", Decimal(quantity), ratio)]
    assert found.events[0].text == words


@pytest.mark.parametrize(
    ("kind", "gone", "come", "cause", "ratio"),
    [
        ("RS", "-1000", "50", "split", Decimal("0.05")),
        ("IC", "-10", "10", "adjusted", Decimal(1)),
        ("TC", "-100", "50", "adjusted", Decimal("0.5")),
    ],
)
def test_contract_becomes_another(
    tmp_path: Path, kind: str, gone: str, come: str, cause: str, ratio: Decimal
) -> None:
    """A reverse split with a new number, a renumbering, a merger: one row takes, one brings."""
    of = {"type": kind, "actionID": "77", "dateTime": "20251117;202500"}
    rows = [
        STOCK | of | {"quantity": gone},
        STOCK | of | {"quantity": come, "conid": "999", "symbol": "NEW"},
    ]
    (event,) = read(tmp_path, "CorporateActions", "CorporateAction", *rows).events
    assert (event.cause, event.ratio, event.quantity) == (cause, ratio, Decimal(gone))
    assert event.becomes is not None
    assert (event.contract.con_id, event.becomes.con_id, event.becomes.symbol) == (4815747, 999, "NEW")
    assert event.day == date(2025, 11, 17)


def test_action_stands_before_the_trades_of_its_second(tmp_path: Path) -> None:
    """The fractions that a split leaves are sold in its second."""
    row = STOCK | {"type": "FS", "quantity": "30", "dateTime": "20251117;202500"}
    (event,) = read(tmp_path, "CorporateActions", "CorporateAction", row).events
    assert event.at == datetime(2025, 11, 18, 1, 24, 59, tzinfo=UTC)


def test_action_that_is_cancelled_and_booked_again(tmp_path: Path) -> None:
    """A merger into 55.7915 is cancelled, and booked again with the fraction rounded up."""
    of = {"type": "TC", "actionID": "77"}
    new = STOCK | of | {"conid": "999", "symbol": "NEW"}
    rows = [
        new | {"quantity": "55.7915"},
        STOCK | of | {"quantity": "-560"},
        new | {"quantity": "-55.7915", "code": "Ca"},
        new | {"quantity": "56"},
        STOCK | of | {"quantity": "560", "code": "Ca"},
        STOCK | of | {"quantity": "-560"},
    ]
    (event,) = read(tmp_path, "CorporateActions", "CorporateAction", *rows).events
    assert (event.contract.con_id, event.quantity, event.ratio) == (4815747, Decimal(-560), Decimal("0.1"))
    assert read(tmp_path, "CorporateActions", "CorporateAction", *rows[2:3], rows[0]).events == ()


def test_row_alone_that_cancels_a_split(tmp_path: Path) -> None:
    """The split is in another report: it is turned back."""
    row = STOCK | {"type": "FS", "quantity": "-30", "code": "Ca", "actionDescription": "NVDA SPLIT 4 FOR 1"}
    found = read(tmp_path, "CorporateActions", "CorporateAction", row)
    assert told(found) == [(4815747, "split", Decimal(-30), Decimal("0.25"))]


def test_spin_off_leaves_the_parent(tmp_path: Path) -> None:
    row = STOCK | {"type": "SO", "quantity": "25", "conid": "999", "actionID": "78"}
    assert told(read(tmp_path, "CorporateActions", "CorporateAction", row)) == [
        (999, "adjusted", Decimal(25), None)
    ]


def test_actions_of_two_accounts_stay_apart(tmp_path: Path) -> None:
    of = ALWAYS["CorporateActions"] | {"type": "IC", "actionID": "77"}
    text = elements(
        "CorporateAction",
        [
            STOCK | of | {"accountId": ACCOUNT, "quantity": "-10"},
            STOCK | of | {"accountId": "DU9000001", "quantity": "10", "conid": "999"},
        ],
    )
    made = statement(first=DAY, last=DAY, others=f"<CorporateActions>{text}</CorporateActions>")
    events = read_events(read_report(write_report(tmp_path / "flex.xml", made)).others).events
    assert [each.becomes for each in events] == [None, None]


@pytest.mark.parametrize(
    ("direction", "quantity", "signed"),
    [
        *(("IN", "100", 100), ("OUT", "100", -100), ("OUT", "-100", -100), ("", "-100", -100)),
        ("IN", "-100", -100),
    ],
)
def test_transfer_has_its_direction(tmp_path: Path, direction: str, quantity: str, signed: int) -> None:
    """What comes in may be a short position."""
    row = STOCK | {"type": "ACATS", "direction": direction, "quantity": quantity, "account": "12345678"}
    (event,) = read(tmp_path, "Transfers", "Transfer", row).events
    assert (event.cause, event.quantity) == ("transferred", Decimal(signed))
    assert event.other_account == "12345678"


def test_action_without_a_time_comes_before_the_trades_of_its_day(tmp_path: Path) -> None:
    """IBKR books it at 20:25 of the evening before, also where it takes away."""
    rows = [
        STOCK | {"type": "TC", "actionID": "9", "quantity": "-10"},
        STOCK | {"type": "TC", "actionID": "9", "quantity": "5", "conid": "999"},
    ]
    (event,) = read(tmp_path, "CorporateActions", "CorporateAction", *rows).events
    assert event.at == datetime(2025, 11, 18, 1, 19, 59, tzinfo=UTC)


@pytest.mark.parametrize("direction", ["IN", "OUT"])
@pytest.mark.parametrize("code", [{}, {"code": "Ca"}], ids=["without codes", "with"])
def test_cancelled_transfer_is_none(tmp_path: Path, direction: str, code: dict[str, str]) -> None:
    """IBKR lists it a second time in the same direction with the other sign; what came of it later counts."""
    sign = 1 if direction == "IN" else -1
    row = STOCK | {"direction": direction, "account": "12345678", "quantity": str(58 * sign)}
    rows = [row, row | code | {"quantity": str(-58 * sign)}, row | {"quantity": str(60 * sign)}]
    found = read(tmp_path, "Transfers", "Transfer", *rows)
    assert [each.quantity for each in found.events] == [60 * sign]
    alone = read(tmp_path, "Transfers", "Transfer", row | {"code": "Ca", "quantity": str(-58 * sign)})
    assert [each.quantity for each in alone.events] == [-58 * sign]


def test_row_of_two_statements_counts_once(tmp_path: Path) -> None:
    """A day's statement and the week's are in one file; what one statement lists twice happened twice."""
    split = STOCK | {"accountId": ACCOUNT, "reportDate": "20251118", "type": "FS", "actionID": "7"}
    split |= {"quantity": "300", "actionDescription": "NVDA SPLIT 4 FOR 1"}
    gone = STOCK | {"accountId": ACCOUNT, "date": "20251118", "direction": "OUT", "quantity": "-5"}
    text = (
        f"<CorporateActions>{elements('CorporateAction', [split])}</CorporateActions>"
        f"<Transfers>{elements('Transfer', [gone, gone])}</Transfers>"
    )
    week = statement(first=date(2025, 11, 17), last=DAY, others=text)
    made = write_report(tmp_path / "flex.xml", statement(first=DAY, last=DAY, others=text), week)
    events = read_events(read_report(made).others).events
    assert [(each.cause, int(each.quantity)) for each in events] == [
        ("split", 300),
        ("transferred", -5),
        ("transferred", -5),
    ]


def test_cash_and_summaries_are_passed_over(tmp_path: Path) -> None:
    rows = [
        {"assetCategory": "CASH", "symbol": "--", "direction": "IN", "quantity": "1", "conid": "1"},
        {"assetCategory": "STK", "symbol": "--", "direction": "IN", "quantity": "0", "conid": ""},
        STOCK | {"direction": "IN", "quantity": "100", "levelOfDetail": "LOT"},
        STOCK | {"direction": "IN", "quantity": "100", "levelOfDetail": "TRANSFER"},
    ]
    assert len(read(tmp_path, "Transfers", "Transfer", *rows).events) == 1


def test_unreadable_row_is_told(tmp_path: Path) -> None:
    """It stops no other one."""
    rows = [STOCK | {"type": "FS", "quantity": "many", "transactionID": "5"}, STOCK | {"quantity": "1"}]
    found = read(tmp_path, "CorporateActions", "CorporateAction", *rows)
    assert found.problems == ("Corporate Actions, row '5': Quantity is not a number: 'many'",)
    assert len(found.events) == 1
