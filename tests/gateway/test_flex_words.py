"""Words of IBKR that a program wrote in other case: a row says the same as in IBKR's spelling."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.flex_report import ACCOUNT, cancel, confirm, confirmations, elements, statement, trade
from tests.support.flex_report import write_report as write
from tracker.core.model import Execution
from tracker.gateway.flex import read_report
from tracker.gateway.flex_events import PositionEvent, read_events
from tracker.gateway.flex_rows import execution_of

DAY = date(2025, 11, 18)
UNNAMED = trade(tradeID="7002", transactionID="106002", dateTime="20251118;110000", ibExecID="")


def read(path: Path, *rows: Mapping[str, str]) -> list[Execution]:
    report = read_report(write(path, statement(*rows, first=DAY, last=DAY)))
    return [execution_of(row) for row in report.rows()]


@pytest.mark.parametrize(
    "changes",
    [
        {"buySell": "buy"},
        {"buySell": "Buy"},
        {"putCall": "call"},
        {"putCall": "c"},
        {"assetCategory": "opt"},
        {"levelOfDetail": "Execution"},
        {"transactionType": "EXCHTRADE"},
        {"openCloseIndicator": "o"},
        {"notes": "p"},
    ],
    ids=lambda changes: " ".join(changes.values()),
)
def test_word_in_other_case(tmp_path: Path, changes: dict[str, str]) -> None:
    """With execId or without it: none is left out, or taken for something else."""
    right = read(tmp_path / "right.xml", trade(), UNNAMED)
    found = read(tmp_path / "found.xml", trade(**changes), UNNAMED | changes)
    assert found == right
    assert [each.contract.right for each in found] == ["C", "C"]


@pytest.mark.parametrize(
    "changes",
    [
        {"transactionType": "tradecancel", "notes": "", "buySell": "SELL"},
        {"transactionType": "", "notes": "P;ca", "buySell": "sell"},
        {"transactionType": "", "notes": "", "buySell": "buy (ca.)"},
    ],
    ids=["type", "code", "side"],
)
def test_cancellation_in_other_case(tmp_path: Path, changes: dict[str, str]) -> None:
    """It voids its trade, and is no sale."""
    found = read(tmp_path / "flex.xml", trade(), cancel(trade(), 106002, **changes))
    assert [(each.exec_id[-6:], int(each.quantity)) for each in found] == [
        (".01.01", 4),
        ("106002", 0),
    ]


def test_confirmation_in_other_case(tmp_path: Path) -> None:
    row = confirm(buySell="buy", assetCategory="opt", putCall="call", code="p")
    report = read_report(write(tmp_path / "flex.xml", confirmations(row, day=DAY, made="20251118;180000")))
    (found,) = map(execution_of, report.rows())
    assert (found.contract.sec_type, found.contract.right, int(found.quantity)) == ("OPT", "C", 4)


def test_level_that_repeats_others_in_other_case(tmp_path: Path) -> None:
    """An order's row is no execution."""
    assert len(read(tmp_path / "flex.xml", trade(), trade(levelOfDetail="order", ibExecID=""))) == 1


def events(path: Path, section: str, tag: str, *rows: dict[str, str]) -> tuple[PositionEvent, ...]:
    about = {"accountId": ACCOUNT, "conid": "700100200", "date": "20251118", "symbol": "NVDA"}
    text = f"<{section}>{elements(tag, [about | row for row in rows])}</{section}>"
    found = read_events(read_report(write(path, statement(first=DAY, last=DAY, others=text))).others)
    assert found.problems == ()
    return found.events


@pytest.mark.parametrize("upper", [True, False])
def test_events_in_other_case(tmp_path: Path, upper: bool) -> None:
    def said(word: str) -> str:
        return word.upper() if upper else word.lower()

    option = {"assetCategory": said("opt"), "quantity": "-4"}
    told = events(
        tmp_path / "1.xml", "OptionEAE", "OptionEAE", option | {"transactionType": said("Assignment")}
    )
    assert [each.cause for each in told] == ["assigned"]
    moved = {"assetCategory": said("stk"), "quantity": "-4", "direction": "OUT"}
    back = moved | {"quantity": "4", "direction": said("out"), "code": said("Ca")}
    assert events(tmp_path / "2.xml", "Transfers", "Transfer", moved, back) == ()
    cash = moved | {"assetCategory": said("cash")}
    summary = moved | {"levelOfDetail": said("summary")}
    assert events(tmp_path / "3.xml", "Transfers", "Transfer", cash, summary) == ()
    split = {"assetCategory": said("stk"), "quantity": "30", "type": said("fs"), "actionID": "7"}
    (found,) = events(
        tmp_path / "4.xml",
        "CorporateActions",
        "CorporateAction",
        split | {"actionDescription": "SPLIT 4 FOR 1"},
    )
    assert (found.cause, found.ratio) == ("split", Decimal(4))
