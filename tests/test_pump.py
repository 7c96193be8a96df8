"""What the pump makes of an alert store that another program changes, on a real file and journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.answer_rig import CREATED, ROBIN, Desk, buy, loose, record
from tests.facts import NVDA, exec_id, execution
from tracker import parts
from tracker.core.book import EXECUTIONS, OUTBOX
from tracker.core.model import AlertUpdate, Matched, Outcome
from tracker.core.updates import ClosingPolicy
from tracker.stores.journal import JournalFailed

NEWER = "2025-11-18T15:50:00.000001"


def shown(desk: Desk, alerter: str = ROBIN) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(desk.alerts_path.read_text())[alerter]["NVDA"]
    return found


def sell(number: int, quantity: int, at: float) -> Any:
    return execution(exec_id(number), -quantity, at=at, perm_id=189)


def test_a_record_that_was_taken_out_and_comes_back_is_taken_out_again(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}, policy=ClosingPolicy.REMOVE) as desk:
        desk.tell(buy(1, 4))
        stale = desk.alerts_path.read_text()
        desk.tell(sell(2, 4, at=9))
        assert json.loads(desk.alerts_path.read_text()) == {ROBIN: {}}
        desk.change(lambda alerts: alerts.update(json.loads(stale)))
        assert json.loads(desk.alerts_path.read_text()) == {ROBIN: {}}


def test_a_fill_is_decided_again_when_its_rival_was_taken_out(tmp_path: Path) -> None:
    """Found by seed 150: nothing but our own removal had changed the store."""
    alerts = {ROBIN: {"NVDA": loose(expiry=None)}, "wolf": {"NVDA": loose(expiry=None)}}
    with Desk(tmp_path, alerts, policy=ClosingPolicy.REMOVE) as desk:
        own = replace(buy(1, 4), order_ref=f"{ROBIN}/NVDA")
        desk.tell(own)
        desk.tell(replace(sell(2, 4, at=9), order_ref=f"{ROBIN}/NVDA"), replace(buy(3, 1), perm_id=190))
        (row,) = [row for row in desk.journal.book.every(EXECUTIONS) if row.execution.exec_id == exec_id(3)]
        assert isinstance(row.match, Matched)
        assert shown(desk, "wolf")["open"] is True


def test_a_store_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    """A fill is journalled meanwhile; no record is taken for gone."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        whole = desk.alerts_path.read_text()
        desk.alerts_path.write_text("")
        desk.pump.write_again(())
        desk.tell(buy(2, 1))
        assert desk.journal.book.find(OUTBOX, "pending", "1")
        desk.alerts_path.write_text(whole)
        desk.now += timedelta(seconds=1)
        desk.run_pump()
        assert shown(desk)["position"]["quantity"] == 5


def test_a_record_that_handed_on_and_comes_back_has_its_position_again(tmp_path: Path) -> None:
    """Found by seed 150: a stale copy put the old record back beside nothing else."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record(created_at=NEWER)))
        assert (shown(desk)["created_at"], shown(desk)["position"]["quantity"]) == (NEWER, 4)
        desk.tell(sell(2, 1, at=9))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record()))
        assert (shown(desk)["created_at"], shown(desk)["position"]["quantity"]) == (CREATED, 3)


def test_what_a_write_met_is_compared_too(tmp_path: Path) -> None:
    """Found by seed 381: the other program changed the file between our look and our write."""
    other = replace(NVDA, con_id=2, strike=Decimal(125))
    alerts = {ROBIN: {"NVDA": loose()}, "wolf": {"NVDA": loose(strike="125")}}
    with Desk(tmp_path, alerts) as desk:
        desk.tell(buy(1, 4), buy(2, 3, contract=other))
        apply = desk.store.apply

        def after_the_neighbour(updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
            desk.write(alerts)
            desk.store.apply = apply  # type: ignore[method-assign]  # it writes once
            return apply(updates)

        desk.store.apply = after_the_neighbour  # type: ignore[method-assign]  # just before our write
        desk.tell(buy(3, 1))
        assert shown(desk)["position"]["quantity"] == 5
        assert shown(desk, "wolf")["position"]["quantity"] == 3


def test_a_step_that_cannot_be_committed_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """The file is written beside the alerts while the step is committed, and put in place only then."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        before = desk.alerts_path.read_text()
        full = (
            "CREATE TEMP TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
        )
        desk.journal._db.execute(full)
        with pytest.raises(JournalFailed, match="disk is full"):
            desk.tell(buy(1, 4))
        desk.worker.submit(lambda: None).result(60)
        assert desk.alerts_path.read_text() == before


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (the condition is the pump's own state, which sets no event)
        await asyncio.sleep(0)


def test_a_look_begun_when_frames_came_serves_the_step_that_decides_them(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {}}) as desk:
        store = Counted(desk.store)
        desk.pump = desk.make_pump(store)

        async def live() -> None:
            running = asyncio.create_task(desk.pump.run())
            async with asyncio.timeout(60):
                await until(lambda: desk.pump._idle)
                desk.write({ROBIN: {"NVDA": record()}})
                store.calls.clear()
                desk.pump.expect()
                desk.pump.expect()
                desk.append(buy(1, 4))
                desk.pump.wake()
                await until(lambda: bool(desk.pump.counts.alerts_updated))
            running.cancel()

        asyncio.run(live())
        assert store.calls[:3] == ["refresh", "prepare", "apply"]
        assert shown(desk)["open"] is True


class Counted(parts.AlertStores):
    """The real stores, which list what they are asked to do."""

    def __init__(self, store: parts.AlertStores) -> None:
        self.__dict__.update(vars(store))
        self.calls: list[str] = []

    def refresh(self) -> bool:
        self.calls.append("refresh")
        return super().refresh()

    def prepare(self, updates: Sequence[AlertUpdate]) -> None:
        self.calls.append("prepare")
        super().prepare(updates)

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        self.calls.append("apply")
        return super().apply(updates)
