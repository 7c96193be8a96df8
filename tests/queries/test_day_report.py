"""Round trips, profit and fees of a day, by hand-made numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, at, buy, loose, record
from tests.support.facts import NVDA, exec_id, fee
from tracker.core.model import AlertId, Source
from tracker.queries.alerts import alerts
from tracker.queries.as_json import Json
from tracker.queries.day_report import csv_lines, report
from tracker.queries.decisions import assignment
from tracker.queries.report_text import alerts_text, price, report_text, span
from tracker.queries.text import TextTable
from tracker.queries.undoing import undoing

LATER = replace(NVDA, con_id=702, expiry=date(2025, 11, 28))
FROM, UNTIL = at("2025-11-18T00:00"), at("2025-11-19T00:00")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}, "wolf": {"TSLA": loose("TSLA")}}) as desk:
        yield desk


def reported(desk: Desk) -> dict[str, Any]:
    return report(desk.journal, desk.names, FROM, UNTIL)


def test_round_trip_is_summed_up(desk: Desk) -> None:
    """4 at 2.50, sold at 3.00, of 100 each: 200 less two fees of 2.60; held for an hour."""
    desk.tell(buy(1, 4, price="2.5"), fee(exec_id(1), "2.6"))
    desk.tell(buy(3601, -4, price="3.0"), fee(exec_id(3601), "2.6"))
    answer = reported(desk)
    (trip,) = answer["round_trips"]
    assert (trip["alert"], trip["side"], trip["quantity"]) == (f"{ROBIN}/NVDA", "long", 4)
    assert (trip["avg_price"], trip["closing_price"], trip["held_seconds"]) == (2.5, 3, 3600)
    assert (trip["profit"], trip["fees"], trip["net"]) == (200, 5.2, 194.8)
    (alerter,), (total,) = answer["alerters"], answer["total"]
    assert alerter["alerter"] == ROBIN
    for sums in (alerter, total):
        assert (sums["round_trips"], sums["won"], sums["win_rate"]) == (1, 1, 1)
        assert (sums["profit"], sums["fees"], sums["net"]) == (200, 5.2, 194.8)
    assert answer["open"] == []
    heading, line = csv_lines(answer)
    assert dict(zip(heading.split(","), line.split(","), strict=True))["net"] == "194.8"


def test_part_that_is_left_is_open(desk: Desk) -> None:
    """2 at 2.00, 1 sold at 1.50: 50 lost, no round trip, 1 still open."""
    desk.tell(buy(1, 2, price="2"), buy(2, -1, price="1.5"))
    answer = reported(desk)
    (total,) = answer["total"]
    assert (total["round_trips"], total["win_rate"], total["profit"]) == (0, None, -50)
    assert [(each["quantity"], each["avg_price"]) for each in answer["open"]] == [(1, 2)]
    assert answer["round_trips"] == []


def test_shared_fill_counts_once_in_all(desk: Desk) -> None:
    """Two alerters own the same fills: 200 for each of them, 200 in all."""
    desk.change(lambda stored: stored.update(wolf={"NVDA": record()}))
    desk.tell(buy(1, 4, price="2.5"), fee(exec_id(1), "2.6"), buy(2, -4, price="3.0"))
    answer = reported(desk)
    assert [(each["alerter"], each["profit"]) for each in answer["alerters"]] == [(ROBIN, 200), ("wolf", 200)]
    (total,) = answer["total"]
    assert (total["profit"], total["fees"]) == (200, 2.6)


def test_sale_of_shared_and_loose_lots_counts_once(desk: Desk) -> None:
    """6 at 2.50 that two alerters share and 4 of nobody; 10 sold at 3.00 for 10.00, 4 of which nobody had.

    Each alerter, and all of them together: 6 x 0.50 x 100 = 300, and 6 of the 10 in fees.
    """
    desk.change(lambda stored: stored.update(wolf={"NVDA": record()}))
    desk.tell(buy(-60 * 60 * 5, 4, price="9"))
    desk.tell(buy(1, 6, price="2.5"), buy(2, -10, price="3.0"), fee(exec_id(2), "10"))
    answer = reported(desk)
    assert [(each["profit"], each["fees"]) for each in answer["alerters"]] == [(300, 6), (300, 6)]
    (total,) = answer["total"]
    assert (total["profit"], total["fees"]) == (300, 6)


def test_lot_of_one_counts_whole_beside_a_shared_one(desk: Desk) -> None:
    """2 of robin alone at 2.00, then 4 at 3.50 that both share; 6 are sold at 4.00.

    Robin paid 3.00 on average: 6 x 1.00 x 100 = 600. Wolf: 4 x 0.50 x 100 = 200. In all: robin's 2 made 200;
    the 4 that both share made the mean of 1.00 and 0.50 each, 300: 500.
    """
    desk.tell(buy(1, 2, price="2"))
    later = record(created_at="2025-11-18T16:40:00")
    desk.change(lambda stored: stored.update(wolf={"NVDA": later}))
    desk.tell(buy(3600, 4, price="3.5"), after=3600)
    assert {(each["alert"], each["quantity"]) for each in reported(desk)["open"]} == {
        (f"{ROBIN}/NVDA", 6),
        ("wolf/NVDA", 4),
    }
    desk.tell(buy(3700, -6, price="4.0"), after=100)
    answer = reported(desk)
    assert [(each["alerter"], each["profit"]) for each in answer["alerters"]] == [(ROBIN, 600), ("wolf", 200)]
    assert answer["total"][0]["profit"] == 500


def test_undo_gives_the_fees_back(desk: Desk) -> None:
    """An order of 1.00 in fees is assigned beside one of 2.60, and that is undone: 2.60 are left."""
    desk.tell(buy(1, 4, price="2.5"), fee(exec_id(1), "2.6"))
    desk.tell(buy(2, 2, contract=LATER, price="2"), fee(exec_id(2), "1"))
    assign(desk, exec_id(2))
    answer = reported(desk)
    assert [each["fees"] for each in (*answer["alerters"], *answer["total"])] == [3.6, 3.6]
    for entry in undoing(desk.journal, exec_id(2)).entries:
        desk.note(Source.PERSON, *entry.fields)
    answer = reported(desk)
    assert [each["fees"] for each in (*answer["alerters"], *answer["total"])] == [2.6, 2.6]


def test_fees_follow_a_part_that_another_alert_takes(desk: Desk) -> None:
    """Of two orders of an alert, of 2.60 and 1.00 in fees, another alert is given the second."""
    desk.tell(buy(1, 4, price="2.5"), fee(exec_id(1), "2.6"), buy(2, 2, price="2"), fee(exec_id(2), "1"))
    later = record(created_at="2025-11-18T20:00:00")
    desk.change(lambda stored: stored.update(wolf={"NVDA": later}))
    assign(desk, exec_id(2), "wolf/NVDA")
    answer = reported(desk)
    assert [(each["alerter"], each["fees"]) for each in answer["alerters"]] == [(ROBIN, 2.6), ("wolf", 1)]
    assert answer["total"][0]["fees"] == 3.6


def test_two_parts_of_a_fill_both_count(desk: Desk) -> None:
    """Of 10 at 2.00 for 10.00 an alert gets 2, then 3; all go at 3.00: it made 500, for half of the fee."""
    desk.tell(buy(1, 10, contract=LATER, price="2"), fee(exec_id(1), "10"))
    for quantity in ("2", "3"):
        assign(desk, exec_id(1), quantity=quantity)
    desk.tell(buy(2, -10, contract=LATER, price="3"))
    (alerter,), (total,) = reported(desk)["alerters"], reported(desk)["total"]
    assert [(each["profit"], each["fees"]) for each in (alerter, total)] == [(500, 5), (500, 5)]


def assign(desk: Desk, name: str, alert: str = f"{ROBIN}/NVDA", quantity: str = "") -> None:
    decision = assignment(
        desk.journal.state, desk.store.alerts(), desk.names, exec_id=name, alert=alert, quantity=quantity
    )
    for entry in decision.entries:
        desk.note(Source.PERSON, *entry.fields)


def test_assigned_order_brings_its_own_fees(desk: Desk) -> None:
    """2 and 6 of an order cost 1.00 and 6.00; assigned together they cost the alert and the day 7.00."""
    desk.tell(
        *(buy(1, 2, contract=LATER, perm_id=300, price="2"), fee(exec_id(1), "1")),
        *(buy(2, 6, contract=LATER, perm_id=300, price="3"), fee(exec_id(2), "6")),
    )
    assign(desk, exec_id(1))
    answer = reported(desk)
    assert [(each["quantity"], each["avg_price"]) for each in answer["open"]] == [(8, 2.75)]
    (alerter,), (total,) = answer["alerters"], answer["total"]
    assert (alerter["fees"], total["fees"]) == (7, 7)


def test_loss_after_fees_is_not_won(desk: Desk) -> None:
    desk.tell(buy(1, 1, price="2.5"), fee(exec_id(1), "2.6"), buy(2, -1, price="2.51"))
    (total,) = reported(desk)["total"]
    assert (total["round_trips"], total["won"], total["net"]) == (1, 0, -1.6)


def test_short_round_trip(desk: Desk) -> None:
    """Sold at 3.00, bought back at 2.50."""
    desk.tell(buy(1, -2, price="3"), buy(2, 2, price="2.5"))
    (trip,) = reported(desk)["round_trips"]
    assert (trip["side"], trip["profit"]) == ("short", 100)


def test_other_days_are_left_out(desk: Desk) -> None:
    """What was opened the day before and closed today is today's profit."""
    desk.tell(buy(1, 4, price="2.5"), buy(2, -2, price="3"))
    desk.tell(buy(60 * 60 * 20, -2, price="4"))
    today = reported(desk)
    later = report(desk.journal, desk.names, UNTIL, at("2025-11-20T00:00"))
    assert today["total"][0]["profit"] == 100
    assert (later["total"][0]["profit"], later["total"][0]["round_trips"]) == (300, 1)


def test_empty_day_says_so(desk: Desk) -> None:
    assert "no fill of an alert" in report_text(TextTable(UTC), reported(desk))


def test_alerts_say_what_they_made(desk: Desk) -> None:
    """What each shows, holds and asked for, its price, profit and fees."""
    desk.tell(buy(1, 4, price="2.5"), fee(exec_id(1), "2.6"), buy(2, -1, price="3"))
    desk.run_pump()
    answer = alerts(desk.journal.state, desk.store_now(), desk.names, with_profit=True)
    mine, other = answer["alerts"]
    assert (mine["profit"], mine["fees"], mine["round_trips"]) == (50, 2.6, 0)
    assert mine["holds"][0]["quantity"] == 3
    assert (other["profit"], other["changed_at"]) == (0, None)
    text = alerts_text(TextTable(UTC), answer)
    assert f"{ROBIN}/NVDA  open" in text
    assert "holds 3 NVDA 2025-11-21 122.5 C at 2.5" in text
    assert "profit 50, fees 2.6" in text
    assert "all seats" not in text


def test_alerts_of_a_shared_store_say_the_sum(desk: Desk) -> None:
    """Of each what all trackers show together, and where it is open; nothing where the store is away."""
    desk.tell(buy(1, 4, price="2.5"))
    desk.run_pump()
    store = desk.store_now()
    sums: dict[AlertId, Json] = {
        alert.id: {"open": alert.open, "seats": ["box-1", "box-2"], "quantity": 6, "avg_price": 2.7}
        for alert in store.alerts
    }
    listed = alerts(
        desk.journal.state, store._replace(all_seats=sums), desk.names, only_open=True, with_profit=True
    )
    text = alerts_text(TextTable(UTC), listed)
    assert "holds 4 NVDA 2025-11-21 122.5 C at 2.5" in text
    assert "    all seats: 6 at 2.7, open at box-1, box-2" in text
    known: dict[AlertId, Json]
    for known in ({}, {alert: {**each, "open": False, "seats": []} for alert, each in sums.items()}):
        listed = alerts(desk.journal.state, store._replace(all_seats=known), desk.names, with_profit=True)
        assert ("all seats: not open" in alerts_text(TextTable(UTC), listed)) is bool(known)


@pytest.mark.parametrize(
    ("seconds", "words"), [(59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")]
)
def test_span_in_two_units(seconds: int, words: str) -> None:
    assert span(seconds) == words


def test_prices_have_eight_digits() -> None:
    assert [price(each) for each in (2.5123456789, 1234.56, None)] == ["2.5123457", "1234.56", "unknown"]
