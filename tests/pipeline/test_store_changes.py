"""What other programs did to the store, and what becomes of it: through journal, core and file."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, buy, loose, record
from tests.support.facts import ACCOUNT, NVDA, alert_fields, exec_id, execution
from tracker.core.journal_entries import (
    RecordBack,
    RecordCopied,
    RecordGone,
    RecordReplaced,
    Rematched,
    read_entry,
)
from tracker.core.model import End, EndOf, Source
from tracker.core.ownership_rows import OwnershipKind
from tracker.core.state import DECISIONS

NEWER = "2025-11-18T15:50:00.000001"
VOID = replace(buy(1, 4), exec_id=exec_id(1, 2), quantity=Decimal(0))
"""The correction of the first fill to no quantity."""


def notes(desk: Desk) -> list[type]:
    """Return which notes about the store were journalled, in order."""
    frames = desk.journal.frames_after(0, 1000)
    entries = [read_entry(frame) for frame in frames if frame.source is Source.STORE]
    return [type(entry) for entry in entries]


def read(desk: Desk, alerter: str = ROBIN) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(desk.alerts_path.read_text())[alerter]["NVDA"]
    return found


def quantity(desk: Desk, alerter: str = ROBIN) -> Any:
    return (read(desk, alerter).get("position") or {}).get("quantity")


def put(desk: Desk, new: dict[str, Any], alerter: str = ROBIN) -> None:
    """Write a record as another program does, in place of the one of its name."""
    desk.change(lambda alerts: alerts.setdefault(alerter, {}).update(NVDA=new))


def respell(desk: Desk, old: str, new: str) -> None:
    desk.change(lambda alerts: alerts.update({new: alerts.pop(old)}))


def test_unchanged_store_leads_to_nothing(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.run_pump()
        assert notes(desk) == []


def test_record_that_goes_and_comes_back(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        whole = desk.alerts_path.read_text()
        desk.change(lambda alerts: alerts[ROBIN].pop("NVDA"))
        assert notes(desk) == [RecordGone]
        desk.change(lambda alerts: alerts.update(json.loads(whole)))
        assert notes(desk) == [RecordGone, RecordBack]
        assert quantity(desk) == 4


def test_new_record_of_the_contract_takes_over(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        put(desk, loose() | {"created_at": NEWER})
        assert notes(desk) == [RecordReplaced]
        assert (read(desk)["created_at"], quantity(desk)) == (NEWER, 4)


def test_newest_of_two_other_spellings_takes_over(tmp_path: Path) -> None:
    """Its own spelling is gone; a stale copy has an older record in one, and a new one is in another."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        there = {
            "RobinDaHood": {"NVDA": record(created_at="2025-11-18T15:30:00.000001")},
            "Robindahood Alerts": {"NVDA": record(created_at=NEWER)},
        }
        desk.change(lambda alerts: alerts.update({ROBIN: {}, **there}))
        made = [row for row in desk.journal.state.every(DECISIONS) if row.kind is OwnershipKind.SUCCEEDED]
        assert [one.alert.alerter for row in made for one in row.alerts] == ["Robindahood Alerts"]


def test_own_spelling_hands_over_first(tmp_path: Path) -> None:
    """Two spellings share a fill; the new record is spelled as one, which is not the first by name."""
    other = "RobinDaHood"
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}, other: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.change(lambda alerts: (alerts.pop(other), alerts[ROBIN].update(NVDA=record(created_at=NEWER))))
        made = [row for row in desk.journal.state.every(DECISIONS) if row.kind is OwnershipKind.SUCCEEDED]
        assert [row.taken_from and row.taken_from.alerter for row in made] == [ROBIN, other]


def test_successor_takes_over_what_waits(tmp_path: Path) -> None:
    """Found by seed 700368: the successor came and went while the fill waited for its sweep's end."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.note(Source.SENT, "executions", "900", ACCOUNT)
        desk.tell(replace(buy(1, 4), request_id=900))
        put(desk, loose() | {"created_at": NEWER})
        assert notes(desk) == [RecordReplaced]
        put(desk, loose() | {"created_at": NEWER, "note": 1})
        put(desk, loose(strike="130") | {"created_at": "2025-11-18T15:51:00.000001"})
        desk.tell(End(EndOf.EXECUTIONS, 900))
        put(desk, loose() | {"created_at": "2025-11-18T15:52:00.000001"})
        made = [row for row in desk.journal.state.every(DECISIONS) if row.kind is OwnershipKind.SUCCEEDED]
        handed = [(row.taken_from, one.alert.created_at[14:16]) for row in made for one in row.alerts]
        assert [(old and old.created_at[14:16], new) for old, new in handed] == [("42", "50"), ("50", "52")]
        assert quantity(desk) == 4


def test_waiting_fills_of_a_record_that_is_there(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.note(Source.SENT, "executions", "900", ACCOUNT)
        desk.tell(replace(buy(1, 4), request_id=900))
        desk.change(lambda alerts: alerts.update({"another": {}}))
        assert notes(desk) == []


def test_what_is_left_again_is_matched_again(tmp_path: Path) -> None:
    """Found by seed 900021: a sale closed the lot before the match was decided; a bust leaves it again."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.append(buy(2, -4))
        put(desk, record(), "demslayer")
        assert notes(desk) == [Rematched]
        desk.tell(replace(buy(2, -4), exec_id=exec_id(2, 2), quantity=Decimal(0)))
        assert quantity(desk, "demslayer") is None
        put(desk, record(note=1), "demslayer")
        assert (quantity(desk), quantity(desk, "demslayer")) == (4, 4)


def test_waiting_fill_leaves_more_of_another_order(tmp_path: Path) -> None:
    """Found by seed 992000268: 3 sold short and 2 bought, of which nothing is left.

    An older purchase of 5 waits for its sweep's end as the alert appears: it closes the short and leaves 2,
    so that the 2 that were bought after it are left too.
    """
    with Desk(tmp_path, {}) as desk:
        desk.tell(execution(exec_id(1), -3, at=0, perm_id=901), execution(exec_id(2), 2, at=9, perm_id=902))
        desk.note(Source.SENT, "executions", "900", ACCOUNT)
        desk.tell(execution(exec_id(3), 5, at=5, perm_id=903, request_id=900))
        put(desk, record())
        desk.tell(End(EndOf.EXECUTIONS, 900))
        assert quantity(desk) == 4


def test_respelling_is_noted_each_time(tmp_path: Path) -> None:
    """There and back and there again: what was noted once is new once the record was there in between."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        for old, new in [(ROBIN, "RobinDaHood"), ("RobinDaHood", ROBIN), (ROBIN, "RobinDaHood")]:
            respell(desk, old, new)
            assert quantity(desk, new) == 4


def test_successor_is_noted_each_time(tmp_path: Path) -> None:
    """A stale copy brings the former record back; before that is decided the newer one is there again."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        put(desk, loose() | {"created_at": NEWER})
        desk.write({ROBIN: {"NVDA": record()}})
        desk.store.refresh()
        desk.pump._reconsider()
        put(desk, loose() | {"created_at": NEWER})
        assert quantity(desk) == 4


def test_fruitless_succession_is_noted_once(tmp_path: Path) -> None:
    """A record of another contract takes nothing over, however often the store changes."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        put(desk, loose(strike="130") | {"created_at": NEWER})
        put(desk, loose(strike="130") | {"created_at": NEWER, "note": 1})
        assert notes(desk) == [RecordGone]


def test_copied_position_shows_only_its_own(tmp_path: Path) -> None:
    """A new record of another contract is written with what we showed of the former one: it has nothing."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        put(desk, read(desk) | loose(strike="130") | {"created_at": NEWER, "open": True})
        assert notes(desk) == [RecordGone, RecordCopied]
        assert (quantity(desk), read(desk)["open"]) == (0, False)
        assert (read(desk)["position"]["opened_at"], read(desk)["created_at"]) == (None, NEWER)
        assert read(desk)["last_order_update"] == {}
        other = replace(NVDA, con_id=3, strike=130, local_symbol="")
        desk.tell(execution(exec_id(2), 2, at=500, perm_id=2, contract=other))
        assert (quantity(desk), read(desk)["open"]) == (2, True)


def test_copy_under_another_spelling_is_emptied(tmp_path: Path) -> None:
    """The new record of another contract is spelled otherwise than the former one whose position it has."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        copy = read(desk) | loose(strike="130") | {"created_at": NEWER, "open": True}
        desk.change(lambda alerts: alerts.update({"RobinDaHood": {"NVDA": copy}, ROBIN: {}}))
        assert notes(desk) == [RecordGone, RecordCopied]
        assert (quantity(desk, "RobinDaHood"), read(desk, "RobinDaHood")["open"]) == (0, False)


def test_copy_under_another_ticker_is_emptied(tmp_path: Path) -> None:
    """Found by seed 910313: the record is spelled as another ticker, which its contract does not have."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        copy = read(desk) | {"alert_details": record()["alert_details"] | {"ticker": "NVDL"}}
        desk.change(lambda alerts: alerts.update({ROBIN: {"NVDL": copy}}))
        assert notes(desk)[:2] == [RecordGone, RecordCopied]
        renamed = json.loads(desk.alerts_path.read_text())[ROBIN]["NVDL"]
        assert renamed["position"]["quantity"] == 0


def test_copy_of_a_closed_position_is_emptied(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4), execution(exec_id(2), -4, at=9, perm_id=189))
        put(desk, read(desk) | {"created_at": NEWER})
        assert (quantity(desk), read(desk)["position"]["opened_at"]) == (0, None)


def test_waiting_fill_is_shared_with_who_is_there(tmp_path: Path) -> None:
    """As the store is compared its order has nothing left; the fill that waits opens for both alerts."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4), execution(exec_id(2), -4, at=9, perm_id=900))
        desk.append(execution(exec_id(3), 1, at=20, perm_id=189))
        put(desk, record(), "demslayer")
        assert (quantity(desk), quantity(desk, "demslayer")) == (1, 1)


def test_alert_with_a_newer_conid_stays_one(tmp_path: Path) -> None:
    """Found by seed 561466: a fill was matched by the new conid, and then the record was gone at once.

    8 were bought at 6 on average, whatever the conid said by then, and 2 sold: that changes no average.
    """
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4, price=Decimal(4)))
        desk.write({ROBIN: {"NVDA": loose()}})
        desk.store.refresh()
        desk.take(buy(2, 4, price=Decimal(8)), buy(3, -2))
        put(desk, loose(strike="130") | {"created_at": NEWER})
        put(desk, loose() | {"created_at": "2025-11-18T15:51:00.000001"})
        assert (quantity(desk), read(desk)["position"]["avg_price"]) == (6, 6)


def test_copy_of_what_it_takes_over_is_its_own(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        put(desk, read(desk) | {"created_at": NEWER})
        assert quantity(desk) == 4
        assert RecordCopied in notes(desk) or notes(desk) == [RecordReplaced]


def test_void_and_respelling_at_once(tmp_path: Path) -> None:
    """Its only fill is a void, and by then the record is spelled otherwise, with what it showed."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.append(VOID)
        respell(desk, ROBIN, "RobinDaHood")
        assert (quantity(desk, "RobinDaHood"), read(desk, "RobinDaHood")["open"]) == (0, False)
        assert read(desk, "RobinDaHood")["last_order_update"]["filled_qty"] == 0


def test_respelling_seen_behind_the_void(tmp_path: Path) -> None:
    """The void is decided before the store is looked through and finds the other spelling."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        old = desk.alerts_path.read_text()
        desk.tell(VOID)
        assert quantity(desk) == 0
        desk.alerts_path.write_text(old)
        respell(desk, ROBIN, "RobinDaHood")
        assert (quantity(desk, "RobinDaHood"), read(desk, "RobinDaHood")["open"]) == (0, False)
        assert read(desk, "RobinDaHood")["last_order_update"]["filled_qty"] == 0


def test_former_record_that_comes_back_is_emptied(tmp_path: Path) -> None:
    """A stale copy puts it back with the position that went to its successor, which is gone."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        stale = read(desk)
        put(desk, record(created_at=NEWER))
        desk.tell(execution(exec_id(2), -4, at=9, perm_id=189))
        put(desk, stale)
        assert (quantity(desk), read(desk)["open"]) == (0, False)


def test_undated_record_of_another_contract_is_another(tmp_path: Path) -> None:
    """It has the name of one that is gone, whose fills a person gave away; it shows nothing of those."""
    undated = loose() | {"created_at": None}
    with Desk(tmp_path, {ROBIN: {"NVDA": undated}, "demslayer": {"NVDA": loose(strike="130")}}) as desk:
        desk.tell(buy(1, 4))
        assert quantity(desk) == 4
        (other,) = (alert.id for alert in desk.store.alerts() if alert.id.alerter == "demslayer")
        desk.note(Source.PERSON, "assign", ACCOUNT, buy(1, 4).exec_id, *alert_fields(other))
        desk.run_pump()
        assert (quantity(desk), quantity(desk, "demslayer")) == (0, 4)
        desk.change(lambda alerts: alerts.pop(ROBIN))
        put(desk, loose(side="P", strike="120") | {"created_at": None})
        assert quantity(desk) is None


@pytest.mark.parametrize("copied", [True, False])
def test_undated_record_of_another_contract_shows_no_fill(tmp_path: Path, copied: bool) -> None:
    """It is written in the place of one that has 4, with or without what that one showed: it has none."""
    with Desk(tmp_path, {ROBIN: {"NVDA": loose() | {"created_at": None}}}) as desk:
        desk.tell(buy(1, 4))
        former = read(desk) if copied else {}
        put(desk, former | loose(side="P", strike="120") | {"created_at": None})
        assert (quantity(desk), read(desk)["open"]) == (0, False)
        assert read(desk)["last_order_update"] == {}
        desk.run_pump()
        assert notes(desk) == [RecordReplaced, RecordGone, RecordCopied]


def test_namesake_whose_fill_waited_has_that_alone(tmp_path: Path) -> None:
    """An undated alert has 4. A record of another contract is written in its place while its own 3 wait."""
    other = replace(NVDA, con_id=700100300, right="P", strike=Decimal(120))
    with Desk(tmp_path, {ROBIN: {"NVDA": loose() | {"created_at": None}}}) as desk:
        desk.tell(buy(1, 4))
        desk.append(execution(exec_id(2), 3, at=9, perm_id=902, contract=other))
        put(desk, loose(side="P", strike="120") | {"created_at": None})
        desk.run_pump()
        assert (quantity(desk), read(desk)["open"]) == (3, True)


def test_order_of_an_undated_alert_follows_it(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": loose() | {"created_at": None}}}) as desk:
        desk.tell(execution(exec_id(1), 1, at=1, perm_id=902))
        desk.tell(execution(exec_id(2), 5, at=2, perm_id=902))
        assert quantity(desk) == 6


@pytest.mark.parametrize("there", [True, False])
def test_order_of_an_undated_alert_follows_no_namesake(tmp_path: Path, there: bool) -> None:
    """4 are short for nobody; an undated alert's order buys 1. A record of another contract gets its name.

    The next 5 of the order close 3, and the 2 that they open are of the alert, which is `there` in another
    spelling or gone; the namesake has none of them.
    """
    with Desk(tmp_path, {}) as desk:
        desk.tell(execution(exec_id(1), -4, at=0, perm_id=901))
        desk.now += timedelta(seconds=1000)
        put(desk, loose() | {"created_at": None})
        desk.tell(execution(exec_id(2), 1, at=1000, perm_id=902))
        respell(desk, ROBIN, "robindahood")
        if not there:
            desk.change(lambda alerts: alerts.pop("robindahood"))
        put(desk, loose(side="P", strike="120") | {"created_at": None})
        desk.tell(execution(exec_id(3), 5, at=1010, perm_id=902))
        assert quantity(desk) is None
        assert not there or quantity(desk, "robindahood") == 2


def own_another_strike(desk: Desk, quantity: int) -> None:
    """Have an alert's order close 1 of 4 that are short for nobody; a reference gives it another strike."""
    other = replace(NVDA, con_id=700100300, strike=Decimal(130))
    desk.tell(execution(exec_id(1), -4, at=-900, perm_id=901))
    desk.tell(execution(exec_id(2), 1, at=1, perm_id=902))
    name = f"{ROBIN}/NVDA"
    desk.tell(execution(exec_id(3), quantity, at=2, perm_id=903, contract=other, order_ref=name))


def test_order_follows_no_successor_in_another_contract(tmp_path: Path) -> None:
    """An alert's order closes 1 of 4 that are short for nobody; it has another strike by reference.

    Two records of that strike follow, one after the other. The order's next 5 open 2, which are of neither.
    """
    with Desk(tmp_path, {ROBIN: {"NVDA": loose()}}) as desk:
        own_another_strike(desk, 7)
        assert quantity(desk) == 7
        put(desk, loose(strike="130") | {"created_at": NEWER})
        put(desk, loose(strike="130") | {"created_at": "2025-11-18T15:51:00.000001"})
        assert quantity(desk) == 7
        desk.tell(execution(exec_id(4), 5, at=60, perm_id=902))
        assert quantity(desk) == 7


def test_successor_that_came_and_went_is_known_by_its_note(tmp_path: Path) -> None:
    """An alert has its own strike, and another by reference, which a record of that strike takes over.

    That one was there only as it was noted. A record of the alert's strike comes next: it takes over what the
    alert has there, and nothing of the other strike.
    """
    other = replace(NVDA, con_id=700100300, strike=Decimal(130))
    with Desk(tmp_path, {ROBIN: {"NVDA": loose()}}) as desk:
        desk.tell(buy(1, 4))
        name = f"{ROBIN}/NVDA"
        desk.tell(execution(exec_id(2), 7, at=2, perm_id=903, contract=other, order_ref=name))
        assert quantity(desk) == 11
        (alert,) = desk.store.alerts()
        at, strike = datetime.fromisoformat(f"{NEWER}+00:00"), Decimal(130)
        brief = replace(alert, id=alert.id._replace(created_at=NEWER), created_at=at, strike=strike)
        text = msgspec.json.encode(brief).decode()
        taken = f"{ACCOUNT} {other.con_id}"
        desk.note(Source.STORE, *RecordReplaced(alert.id, brief.id, (taken,), "", text).fields)
        put(desk, loose() | {"created_at": "2025-11-18T15:51:00.000001"})
        assert quantity(desk) == 4


def test_successor_takes_over_nothing_of_another_contract_that_waited(tmp_path: Path) -> None:
    """An alert has 4 of another strike by reference. Its order closed 1 of 4 that are short for nobody.

    A record of that strike is there while 5 more of the order wait, which open 2. It takes over the 4.
    """
    with Desk(tmp_path, {ROBIN: {"NVDA": loose()}}) as desk:
        own_another_strike(desk, 4)
        desk.append(execution(exec_id(4), 5, at=9, perm_id=902))
        put(desk, loose(strike="130") | {"created_at": NEWER})
        assert quantity(desk) == 4


def test_alert_found_when_nothing_is_left(tmp_path: Path) -> None:
    """Noted once, with nothing given; a process that starts again does not note it again."""
    with Desk(tmp_path, {}) as desk:
        desk.tell(buy(1, 4), execution(exec_id(2), -4, at=9, perm_id=189))
        put(desk, record())
        assert notes(desk) == [Rematched]
        assert quantity(desk) is None
        decided = list(desk.journal.state.every(DECISIONS))
        assert {row.in_vain for row in decided} == {True}
        desk.pump = desk.make_pump(desk.store)
        put(desk, record(note=1))
        assert list(desk.journal.state.every(DECISIONS)) == decided


def test_alert_may_appear_behind_any_fill_of_its_order(tmp_path: Path) -> None:
    """The second fill comes 1,000 s after the first, the alert within the 900 s after the second."""
    with Desk(tmp_path, {}) as desk:
        desk.tell(buy(1, 4))
        desk.tell(replace(buy(2, 2), perm_id=189), after=1000)
        put(desk, record())
        assert quantity(desk) == 6


def test_new_alert_owns_what_its_former_found_too_late(tmp_path: Path) -> None:
    """A late match opens a closed record with newer lots only; the new alert was never closed.

    2 for nobody, then 1 with the alert's name, sold. As the conid is corrected, the alert has none of the 2,
    and then the 3 that are bought. The alert that is written in its place owns all 5.
    """
    with Desk(tmp_path, {ROBIN: {"NVDA": loose(strike="130")}}) as desk:
        name = f"{ROBIN}/NVDA"
        desk.tell(execution(exec_id(1), 2, at=0, perm_id=902))
        desk.tell(execution(exec_id(2), 1, at=5, perm_id=903, order_ref=name))
        desk.tell(execution(exec_id(3), -1, at=9, perm_id=904, order_ref=name))
        put(desk, record())
        assert (read(desk)["open"], quantity(desk)) == (False, 0)
        desk.tell(execution(exec_id(4), 3, at=12, perm_id=901))
        assert quantity(desk) == 3
        put(desk, record(created_at="2025-11-18T15:43:20.000001"))
        assert quantity(desk) == 5


def test_record_that_is_back_shares_again(tmp_path: Path) -> None:
    """Another record of its alerter took over its share while it was away; then each of them has all 4."""
    with Desk(tmp_path, {"demslayer": {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        mine = record(created_at="2025-11-18T15:43:20.000001")
        put(desk, mine | {"created_at": "2025-11-18T15:43:10.000001"}, "robindahood")
        put(desk, mine)
        assert [quantity(desk, each) for each in ("demslayer", "robindahood", ROBIN)] == [4, 4, 4]
        desk.change(lambda alerts: alerts.pop(ROBIN))
        put(desk, mine)
        assert [quantity(desk, each) for each in ("demslayer", "robindahood", ROBIN)] == [4, 4, 4]


def test_oldest_order_is_matched_first(tmp_path: Path) -> None:
    """A late match opens a closed record with newer lots only, so the older order must not follow the newer.

    2 for nobody, then 1 with the alert's name, sold; then 3 for nobody. As the conid is corrected, the alert
    has the 3 that were bought after its close, and not the 2.
    """
    wrong = loose(strike="130")
    with Desk(tmp_path, {ROBIN: {"NVDA": wrong}}) as desk:
        name = f"{ROBIN}/NVDA"
        # The newer order has the smaller number, by which it is found first.
        desk.tell(execution(exec_id(1), 2, at=0, perm_id=902))
        desk.tell(execution(exec_id(2), 1, at=5, perm_id=903, order_ref=name))
        desk.tell(execution(exec_id(3), -1, at=9, perm_id=904, order_ref=name))
        desk.tell(execution(exec_id(4), 3, at=12, perm_id=901))
        assert quantity(desk) == 0
        put(desk, wrong | {"option_conid": NVDA.con_id, "alert_details": record()["alert_details"]})
        assert (quantity(desk), read(desk)["open"]) == (3, True)
