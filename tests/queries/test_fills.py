"""Fills are listed by time, alert and account, once each, and exported exactly."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_rig import ROBIN, Desk, at, buy, record
from tests.support.facts import ACCOUNT, NVDA, exec_id, execution, fee, position
from tracker.core.model import Contract, Source
from tracker.queries.fills import CSV_COLUMNS, Selection, csv_lines, fills, selected
from tracker.status.protocol import CommandError

OTHER = Contract(5, "TSLA", "STK", currency="USD")
BAG = Contract(6, "NVDA", "BAG")


def listed(desk: Desk, **wanted: Any) -> list[str]:
    answer = fills(desk.journal, Selection(**wanted), desk.names)
    return [fill["exec_id"] for fill in answer["fills"]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4), fee(exec_id(1), "2.6"))
        desk.tell(buy(2, 3, contract=OTHER, account="DU9000001", order_ref="=cmd()"))
        desk.tell(buy(3, -4))
        yield desk


def test_fills_are_in_execution_order(desk: Desk) -> None:
    """Fills are listed in the order of execution."""
    desk.tell(execution(exec_id(9), 1, at=-5))
    assert listed(desk) == [exec_id(9), exec_id(1), exec_id(2), exec_id(3)]


def test_fill_has_outcome(desk: Desk) -> None:
    """A fill tells what became of it."""
    first, other, last = fills(desk.journal, Selection(), desk.names)["fills"]
    assert (first["contract"], first["quantity"], first["price"]) == ("NVDA 2025-11-21 122.5 C", 4, 2.5)
    assert (first["commission"], first["commission_currency"]) == (2.6, "USD")
    assert first["alerts"] == [{"alert": f"{ROBIN}/NVDA", "matched_by": "con_id"}]
    assert first["outcome"] == f"opened {ROBIN}/NVDA by con_id"
    assert (other["alerts"], other["outcome"]) == ([], "no alert is about this contract")
    assert other["commission"] is None
    assert (last["closing"], last["outcome"]) == (-4, f"sold 4 of {ROBIN}/NVDA")


def test_sale_of_more_than_alerts_own(tmp_path: Path) -> None:
    """Of the 6 sold an alert had 4: what no alert had is not said to be its."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.note(Source.LINK, "up", ACCOUNT, "176")
        desk.list_positions(position(2))
        desk.tell(buy(1, 4), buy(2, -3, perm_id=192), buy(3, -3, perm_id=193))
        _, one, other = fills(desk.journal, Selection(), desk.names)["fills"]
    assert one["outcome"] == f"sold 3 of {ROBIN}/NVDA"
    assert other["outcome"] == f"sold 1 of {ROBIN}/NVDA, 2 of no alert"


def test_since_account_and_alert_select(desk: Desk) -> None:
    assert listed(desk, since=at("2025-11-18T15:43:02")) == [exec_id(2), exec_id(3)]
    assert listed(desk, since=at("2025-11-19T00:00")) == []
    assert listed(desk, account="DU9000001") == [exec_id(2)]
    assert listed(desk, alert="RobinDaHood/nvda") == [exec_id(1), exec_id(3)]
    assert listed(desk, alert="RobinDaHood/nvda", since=at("2025-11-18T15:43:03")) == [exec_id(3)]


def test_since_is_by_execution_time(desk: Desk) -> None:
    """A swept fill of yesterday counts by its execution."""
    desk.now += timedelta(days=1)
    desk.tell(execution(exec_id(8), 1, at=60, request_id=7))
    assert exec_id(8) not in listed(desk, since=at("2025-11-19T00:00"))
    assert exec_id(8) in listed(desk, since=at("2025-11-18T15:44"))


def test_limit_keeps_newest(desk: Desk) -> None:
    """With a limit the newest are kept and the rest counted."""
    answer = fills(desk.journal, Selection(), desk.names, limit=2)
    assert [fill["exec_id"] for fill in answer["fills"]] == [exec_id(2), exec_id(3)]
    assert (answer["total"], answer["left_out"]) == (3, 1)


def test_uncounted_are_listed_on_demand(desk: Desk) -> None:
    """A corrected version and a combo's line are listed on demand."""
    desk.tell(execution(exec_id(3, 2), -3, at=3, perm_id=191), buy(4, 1, contract=BAG))
    assert listed(desk) == [exec_id(1), exec_id(2), exec_id(3, 2)]
    everything = fills(desk.journal, Selection(everything=True), desk.names)["fills"]
    assert {fill["exec_id"]: fill["outcome"] for fill in everything if not fill["counted"]} == {
        exec_id(3): f"corrected by {exec_id(3, 2)}",
        exec_id(4): "the combo's own line; its legs are counted instead",
    }


def test_unknown_alert_names_nearest(desk: Desk) -> None:
    """An alert without fills is refused with the nearest."""
    with pytest.raises(CommandError, match=f"known to have a fill; the nearest is {ROBIN}/NVDA"):
        listed(desk, alert=f"{ROBIN}/NVDAX")


def test_a_flip_says_both_parts(desk: Desk) -> None:
    desk.tell(buy(5, 2), buy(6, -5))
    assert fills(desk.journal, Selection(), desk.names)["fills"][-1]["outcome"] == (
        f"closed 2 and opened 3: {ROBIN}/NVDA"
    )


def test_csv_has_exact_values(desk: Desk) -> None:
    """Csv holds what the broker said exactly."""
    odd = Contract(7, "SPX", "OPT", date(2025, 11, 21), Decimal("6600.0"), "P", "100", "USD")
    desk.tell(buy(4, 1, contract=odd, price="0.10"))
    lines = list(csv_lines(desk.journal.state, selected(desk.journal, Selection(), desk.names)))
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["exec_id"] for row in rows] == [exec_id(number) for number in (1, 2, 3, 4)]
    first, other, last, spx = rows
    assert (first["account"], first["quantity"], first["price"]) == (ACCOUNT, "4", "2.50")
    assert (first["commission"], first["alerts"], first["decision"]) == ("2.6", f"{ROBIN}/NVDA", "matched")
    assert (first["strike"], first["con_id"]) == (str(NVDA.strike), str(NVDA.con_id))
    assert (last["side"], last["closing"], last["opening"]) == ("SELL", "-4", "0")
    assert (spx["strike"], spx["price"]) == ("6600.0", "0.10")
    assert first["time"] == "2025-11-18T15:43:01.000000+00:00"
    assert (other["order_ref"], other["commission"]) == ("'=cmd()", "")


def test_csv_guards_every_text_column(tmp_path: Path) -> None:
    """No text of the broker becomes a formula or moves the cursor, whatever column it stands in."""
    evil = "=cmd()\x1b[2J\n"
    contract = Contract(7, evil, evil, None, None, evil, evil, evil)
    with Desk(tmp_path, {}) as desk:
        desk.tell(buy(1, 1, contract=contract, account=evil, order_ref=evil))
        lines = list(csv_lines(desk.journal.state, selected(desk.journal, Selection(), desk.names)))
    assert all(line.isprintable() for line in lines)
    (row,) = csv.DictReader(io.StringIO("\n".join(lines)))
    guarded = {name for name, value in row.items() if value == "'=cmd()?[2J?"}
    assert guarded == {"account", "symbol", "sec_type", "right", "multiplier", "currency", "order_ref"}
