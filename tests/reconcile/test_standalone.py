"""scripts/reconcile.py on a broken set of stores: each planted thing once, nothing else, honest repairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tests.support.daemon_rig import Rig
from tests.support.reconcile_rig import (
    ACCOUNT,
    CONTRACTS,
    OTHER,
    ROBIN,
    UNREADABLE,
    about,
    alert_of,
    buy,
    edit,
    frame_of,
    loose,
    plant_at_broker,
    plant_in_journal,
    plant_in_store,
    play,
    positions_requests,
    reconcile,
    traded,
    unreadable,
)

OPENED = ("AAPL", "AMD", "AMZN", "COIN", "DIS", "F", "GOOG", "META", "MSFT", "NVDA")
"""Contracts that the tracker sees bought before its stores are broken."""


Named = tuple[str, str]
"""Kind and subject of a discrepancy."""


class Broken(NamedTuple):
    """Hold a broken set of stores: what is planted, and what the files snapshot like before and after."""

    repairable: list[Named]
    rest: list[Named]
    clean: str
    broken: str


async def break_stores(rig: Rig) -> Broken:
    """Trade, stop the tracker, and plant seventeen discrepancies."""
    alerts = {ticker: alert_of(ticker) for ticker in CONTRACTS if ticker not in ("PLTR", "QCOM")}
    rig.write({ROBIN: {**alerts, "PLTR": loose("PLTR")}, OTHER: {"PLTR": loose("PLTR")}})
    fills = await traded(rig, *OPENED)
    undecided = buy(rig, CONTRACTS["PLTR"])
    rig.gateway.push_raw(*unreadable())
    await rig.idle()
    assert await rig.stop() == 0
    clean = rig.alerts_path.read_text()
    missed, unlisted = plant_at_broker(rig, fills)
    plant_in_store(rig)
    plant_in_journal(rig, fills)
    repairable = [
        ("execution_missing", missed.exec_id),
        ("vanished_while_owned", f"{ROBIN}/AAPL"),
        ("store_differs", f"{ROBIN}/AMD"),
        ("delivery_pending", f"{ROBIN}/META"),
    ]
    rest = [
        ("gap", f"{ACCOUNT} 2025-11-17"),
        ("undecoded", frame_of(rig, UNREADABLE)),
        ("execution_unknown", fills["F"].exec_id),
        ("execution_differs", fills["GOOG"].exec_id),
        ("order_ahead", "order 77"),
        ("completed_without_fills", f"order {unlisted.perm_id}"),
        ("position_gone", about("DIS")),
        ("position_differs", about("COIN")),
        ("open_without_position", f"{ROBIN}/HOOD"),
        ("open_without_fills", f"{ROBIN}/INTC"),
        ("replaced_while_owned", f"{ROBIN}/AMZN"),
        ("fill_undecided", undecided.exec_id),
        ("fee_missing", f"{ACCOUNT} order {fills['MSFT'].perm_id}"),
    ]
    return Broken(repairable, rest, clean, rig.alerts_path.read_text())


def test_a_broken_set_of_stores(tmp_path: Path) -> None:
    """List each planted discrepancy and nothing else; repair what facts allow; change nothing after that."""

    async def story(rig: Rig) -> None:
        planted = await break_stores(rig)
        dry = await reconcile(rig)
        assert sorted(dry.found) == sorted(planted.repairable + planted.rest)
        assert sorted(dry.repairable) == sorted(planted.repairable)
        assert dry.code == 4
        assert rig.alerts_path.read_text() == planted.broken, "a dry run writes nothing"

        applied = await reconcile(rig, "--apply")
        assert sorted(applied.found) == sorted(planted.rest)
        assert sorted(applied.repaired) == sorted(planted.repairable)
        assert applied.code == 4
        repaired = rig.alerts_path.read_text()
        assert json.loads(repaired)[ROBIN]["AAPL"] == json.loads(planted.clean)[ROBIN]["AAPL"]
        assert rig.read(ROBIN, "BABA")["position"]["quantity"] == 2

        again = await reconcile(rig, "--apply")
        assert sorted(again.found) == sorted(planted.rest)
        assert again.repaired == []
        assert rig.alerts_path.read_text() == repaired

    play(tmp_path, story)


def test_agreement_is_exit_0(tmp_path: Path) -> None:
    """Fills and orders are counted; a position from before any alert is no discrepancy."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        rig.gateway.set_position(ACCOUNT, CONTRACTS["DIS"], 5)
        await traded(rig, "NVDA")
        assert await rig.stop() == 0
        done = await reconcile(rig)
        assert (done.code, done.found) == (0, [])
        assert (done.answer["orders_examined"], done.answer["fill_events_processed"]) == (1, 1)
        (trade,) = done.answer["trades"]
        assert (trade["symbol"], trade["agrees"], done.answer["trades_differ"]) == ("NVDA", True, 0)
        assert [(row["symbol"], row["quantity"]) for row in done.answer["not_ours"]] == [("DIS", 5)]
        sent = {fields[0] for _, fields in rig.gateway.received}
        assert sent <= {"71", "61", "64", "7", "16", "17", "49", "99"}

    play(tmp_path, story)


async def changed_while_stopped(rig: Rig) -> None:
    """Buy 4, stop the tracker, and have the broker hold 3 of them without a sale."""
    rig.write({ROBIN: {"COIN": alert_of("COIN")}})
    rig.gateway.set_position(ACCOUNT, CONTRACTS["DIS"], 5)
    await traded(rig, "COIN")
    assert await rig.stop() == 0
    rig.gateway.set_position(ACCOUNT, CONTRACTS["COIN"], 3)


def test_note_waits_for_a_running_tracker(tmp_path: Path) -> None:
    """The step says so; it is refused before, and taken once the tracker has the broker's answer."""

    async def story(rig: Rig) -> None:
        await changed_while_stopped(rig)
        done = await reconcile(rig)
        (found,) = done.answer["discrepancies"]
        assert "which is taken once a running tracker has the broker's answer" in found["next_step"]
        note = ("adjust", str(CONTRACTS["COIN"].con_id), "--note", "assigned")
        assert (await reconcile(rig, command=note)).code == 1
        asked = positions_requests(rig)
        await rig.start()
        await rig.until(lambda: positions_requests(rig) >= asked + 2)
        await rig.idle()
        assert (await reconcile(rig, command=note)).code == 0
        await rig.until(lambda: rig.read(ROBIN, "COIN")["position"]["quantity"] == 3)

    play(tmp_path, story)


def test_applied_audit_asks_for_positions_after_its_sweep(tmp_path: Path) -> None:
    """So the difference that it shows is in the journal however soon the connection is closed."""

    async def story(rig: Rig) -> None:
        await changed_while_stopped(rig)
        asked = positions_requests(rig)
        done = await reconcile(rig, "--apply")
        assert positions_requests(rig) == asked + 3
        (found,) = done.answer["discrepancies"]
        assert "once a running tracker" not in found["next_step"]

    play(tmp_path, story)


def test_audit_promises_no_second_try_of_the_store(tmp_path: Path) -> None:
    """Nothing runs that would read it again: the message says what is wrong with the file, no more."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"COIN": alert_of("COIN")}})
        await traded(rig, "COIN")
        assert await rig.stop() == 0
        rig.alerts_path.write_text('{"robindahood-alerts": {')
        done = await reconcile(rig)
        unread = [each["message"] for each in done.answer["discrepancies"] if "JSON" in each["message"]]
        assert [message.endswith("until its writer has finished it") for message in unread] == [True]

    play(tmp_path, story)


def test_missing_gateway_is_exit_3(tmp_path: Path) -> None:
    """Exit code 3, and no conclusion from what nobody answered."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 1)
        await traded(rig, "NVDA")
        assert await rig.stop() == 0
        edit(rig, lambda alerts: alerts[ROBIN]["NVDA"].pop("position"))
        await rig.gateway.stop()
        done = await reconcile(rig)
        assert done.code == 3
        assert done.found == [("not_answered", "the gateway"), ("store_differs", f"{ROBIN}/NVDA")]
        assert done.answer["broker"]["reached"] is False
        assert str(rig.gateway.port) in done.answer["broker"]["reason"]

    play(tmp_path, story)


def test_read_only_gateway_agrees(tmp_path: Path) -> None:
    """The refusal is told apart from a request that nobody answered."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        await traded(rig, "NVDA")
        assert await rig.stop() == 0
        done = await reconcile(rig)
        assert (done.code, done.found) == (0, [])
        assert done.answer["broker"]["refused"] == ["completed orders"]

    play(tmp_path, story, read_only=True)
