"""The inbox holds what a person can decide; what is nobody's alert is counted apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import CREATED, ROBIN, Desk, at, buy, loose, rivals
from tests.support.facts import ACCOUNT, NVDA, exec_id, execution
from tracker import wiring
from tracker.config.loader import load
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.model import Contract, Execution, Source, Undecodable
from tracker.queries.inbox import inbox
from tracker.queries.text import TextTable

SINCE = at("2025-11-18T00:00")
LATER = replace(NVDA, con_id=2, expiry=date(2025, 11, 28))
STRANGER = Contract(5, "TSLA", "STK", currency="USD")
BAG = Contract(6, "NVDA", "BAG")


def asked(desk: Desk, **how: Any) -> dict[str, Any]:
    return inbox(desk.journal, SINCE, desk.names, **how)


def needing_decision(desk: Desk) -> dict[str, str]:
    return {item["fill"]["exec_id"]: item["needs"] for item in asked(desk)["needs_you"]}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, rivals()) as desk:
        yield desk


def spx(number: int, strike: str = "6600", right: str = "C") -> Execution:
    contract = Contract(40 + number, "SPX", "OPT", date(2025, 11, 18), Decimal(strike), right, "100", "USD")
    return buy(number, 1, contract=contract)


@pytest.mark.parametrize(
    ("created", "zone", "step"),
    [
        ("20:40:00", "UTC", "set it to the alert writer's zone; a clock at UTC+05:00 would fit"),
        ("20:40:00", "US/Eastern", 'set it to "UTC", if the alert writer writes times in UTC'),
        ("20:10:00", "UTC", None),
        ("20:40:00+00:00", "UTC", None),
    ],
)
def test_wrong_zone_is_hinted(tmp_path: Path, created: str, zone: str, step: str | None) -> None:
    """Several near misses that differ by a whole number of hours: once, with the setting.

    The fills are at 15:43 UTC. In New York the store's text is read as five hours later. Once the setting is
    corrected nothing is hinted, though the fills wait until the tracker has looked at them again.
    """
    text = f"2025-11-18T{created}"
    if zone != "UTC":
        text = text.replace("T20", "T15")
    alerts = {
        "a": {"NVDA": loose() | {"created_at": text}},
        "b": {"SPX": loose("SPX", strike="6600", expiry="11/18/2025") | {"created_at": text}},
    }
    with Desk(tmp_path, alerts) as desk:
        desk.settings_path.write_text(
            desk.settings_path.read_text().replace(
                'journal = "journal.db"\ntimezone = "UTC"', f'journal = "journal.db"\ntimezone = "{zone}"'
            )
        )
        settings = load({}, str(desk.settings_path))
        desk.store = wiring.alert_stores(settings, desk.names)
        desk.pump = desk.make_pump(desk.store)
        desk.run_pump()
        desk.tell(buy(1, 1))
        assert asked(desk, store_zone=settings.store_zone())["hint"] is None
        desk.tell(spx(2))
        answer = asked(desk, store_zone=settings.store_zone())
        corrected = asked(desk, store_zone=timezone(timedelta(hours=5 if zone == "UTC" else 0)))
    assert corrected["hint"] is None
    assert answer["counts"]["near_miss"] == 2
    if step is None:
        assert answer["hint"] is None
        return
    assert answer["hint"] == (
        "2 near misses are of alerts that read as created 5 h after their fill; stores.timezone may be"
        f" wrong: {step}"
    )


def test_ambiguous_and_near_miss_listed(desk: Desk) -> None:
    """An ambiguous fill and a near miss need you."""
    desk.tell(buy(1, 4), spx(2), buy(3, 1, contract=LATER), buy(4, 5, contract=STRANGER))
    answer = asked(desk)
    assert needing_decision(desk) == {exec_id(2): "ambiguous", exec_id(3): "near_miss"}
    assert answer["counts"] == {
        "ambiguous": 1,
        "near_miss": 1,
        "reopened": 0,
        "undecodable": 0,
        "unexplained": 0,
        "orphaned": 0,
    }
    assert answer["not_ours"]["count"] == 1
    ambiguous, near = answer["needs_you"]
    assert [alert["alert"] for alert in ambiguous["alerts"]] == ["a/SPX", "b/SPX"]
    assert [(each["alert"], each["near"]) for each in near["rejected"]] == [(f"{ROBIN}/NVDA", True)]


def test_a_neighbouring_strike_needs_nobody(desk: Desk) -> None:
    desk.tell(spx(1, strike="6610"), spx(2, right="P"))
    assert needing_decision(desk) == {}
    assert asked(desk)["not_ours"]["count"] == 2


def test_other_fills_are_counted(desk: Desk) -> None:
    """What is not ours is listed on demand and counted from a moment."""
    desk.tell(buy(1, 1, contract=STRANGER), buy(2, 1, contract=STRANGER), buy(3, 4))
    assert "others" not in asked(desk)
    others = asked(desk, list_all=True)["others"]
    assert [item["fill"]["exec_id"] for item in others] == [exec_id(1), exec_id(2)]
    assert [item["needs"] for item in others] == [None, None]
    assert [item["fill"]["exec_id"] for item in asked(desk, list_all=True, limit=1)["others"]] == [exec_id(2)]
    assert inbox(desk.journal, at("2025-11-19T00:00"), desk.names)["not_ours"]["count"] == 0


def test_limit_shows_newest(desk: Desk) -> None:
    """With a limit the newest are shown and all are counted."""
    desk.tell(spx(1), spx(2), Undecodable("order", "no"), Undecodable("order", "no more"))
    answer = asked(desk, limit=1)
    assert [item["fill"]["exec_id"] for item in answer["needs_you"]] == [exec_id(2)]
    assert [row["reason"] for row in answer["undecodable"]] == ["no more"]
    assert answer["counts"] == {
        "ambiguous": 2,
        "near_miss": 0,
        "reopened": 0,
        "undecodable": 2,
        "unexplained": 0,
        "orphaned": 0,
    }


def test_dismissed_fill_leaves_inbox(desk: Desk) -> None:
    """A dismissed fill is gone from it and counted."""
    desk.tell(spx(1))
    desk.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    answer = asked(desk)
    assert answer["needs_you"] == []
    assert (answer["not_ours"]["count"], answer["not_ours"]["dismissed"]) == (1, 1)


def test_undecodable_message_is_listed(desk: Desk) -> None:
    """A message that cannot be read is listed until it is."""
    desk.tell(Undecodable("execution", "the quantity 'x' is no number", exec_id(7)))
    (row,) = asked(desk)["undecodable"]
    assert (row["kind"], row["exec_id"]) == ("execution", exec_id(7))
    assert row["received_at"] == "2025-11-18T15:43:01.000000+00:00"
    assert asked(desk)["counts"]["undecodable"] == 1
    desk.tell(buy(7, 1))
    assert asked(desk)["undecodable"] == []


def test_record_that_is_gone_while_it_holds_something_is_listed(desk: Desk) -> None:
    """With what it holds, the fills that this is from, and both ways out; until another record has it."""
    desk.tell(buy(1, 4))
    assert asked(desk)["orphaned"] == []
    desk.change(lambda alerts: alerts.pop(ROBIN))
    answer = asked(desk)
    (orphan,) = answer["orphaned"]
    (held,) = orphan["holds"]
    assert (orphan["alert"], held["quantity"], held["fill"]) == (f"{ROBIN}/NVDA", 4, exec_id(1))
    assert answer["counts"]["orphaned"] == 1
    text = " ".join(TextTable(UTC).inbox(answer).split())
    assert f"{ROBIN}/NVDA: the record is gone while it holds 4 NVDA 2025-11-21 122.5 C, and no other" in text
    assert "`tracker reconcile --apply` puts the record back into an alerts.json that has no other" in text
    assert f"`tracker assign {exec_id(1)} ALERTER/TICKER` gives its order to another alert" in text
    desk.change(lambda alerts: alerts.update(rivals()))
    assert asked(desk)["orphaned"] == []


def test_orphan_is_settled_by_giving_its_order_to_another_alert(desk: Desk) -> None:
    desk.tell(buy(1, 4), buy(2, 2))
    desk.change(lambda alerts: alerts.update({ROBIN: {}, "wolf": {"NVDA": loose(strike="130")}}))
    for number in (1, 2):
        (orphan,) = asked(desk)["orphaned"]
        assert orphan["holds"][0]["fill"] == exec_id(number)
        desk.note(Source.PERSON, "assign", ACCOUNT, exec_id(number), "wolf", "NVDA", CREATED, "")
    assert asked(desk)["orphaned"] == []


def test_sold_position_of_a_record_that_is_gone_needs_nobody(desk: Desk) -> None:
    desk.tell(buy(1, 4))
    desk.change(lambda alerts: alerts.pop(ROBIN))
    desk.tell(buy(2, -4))
    assert asked(desk)["orphaned"] == []


def test_legs_are_under_their_combo(desk: Desk) -> None:
    """All executions of the combo's order, in its account; an order of legs alone is no combo."""
    leg = replace(NVDA, con_id=3, strike=Decimal(125))
    desk.tell(
        buy(1, 1, contract=BAG, perm_id=77),
        buy(2, 1, contract=LATER, perm_id=77),
        buy(3, -1, contract=leg, perm_id=77),
        buy(4, 1, contract=LATER, perm_id=77, account="DU9000001"),
        buy(5, 1, contract=LATER, perm_id=78),
    )
    answer = asked(desk)
    assert {item["fill"]["exec_id"]: item["combo"] for item in answer["needs_you"]} == {
        exec_id(2): 77,
        exec_id(4): None,
        exec_id(5): None,
    }
    (combo,) = answer["combos"]
    assert (combo["account"], combo["perm_id"]) == (ACCOUNT, 77)
    assert [line["exec_id"] for line in combo["lines"]] == [exec_id(1)]
    assert [leg["exec_id"] for leg in combo["legs"]] == [exec_id(2), exec_id(3)]


@pytest.mark.parametrize("again", ["the sale is cancelled", "its order fills again"])
def test_reopened_says_why_it_needs_a_person(tmp_path: Path, again: str) -> None:
    """After the alert's record was taken out of the file, something of it is held again."""
    with Desk(tmp_path, rivals(), policy=ClosingPolicy.REMOVE) as desk:
        desk.tell(buy(1, 4), buy(2, -4))
        desk.run_pump()
        assert "NVDA" not in desk.alerts_path.read_text()
        if again == "its order fills again":
            desk.tell(buy(3, 1, perm_id=189))
        else:
            desk.tell(replace(execution(exec_id(2, 2), -4, perm_id=190, at=2), quantity=Decimal(0)))
        (row,) = asked(desk)["needs_you"]
    assert row["fill"]["outcome"] == (
        f"opened {ROBIN}/NVDA by con_id; its alert is open again, and the record had been taken out of the"
        " file"
    )
