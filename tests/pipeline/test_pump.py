"""What the pump makes of an alert store that another program changes, on a real file and journal."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import CREATED, ROBIN, Desk, buy, loose, record
from tests.support.facts import NVDA, exec_id, execution
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.model import AlertUpdate, Outcome, StoreUnavailable
from tracker.core.ownership_rows import RunTime
from tracker.core.state import EXECUTIONS, OUTBOX, RUN_TIME
from tracker.core.state_rows import Attention
from tracker.journal.journal import Journal, JournalFailed
from tracker.pipeline import delivery
from tracker.pipeline.pump import fitting_batch, retry_pause
from tracker.stores.alert_stores import AlertStores, StorePort

NEWER = "2025-11-18T15:50:00.000001"
FULL = "CREATE TEMP TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(FAIL, 'disk is full'); END"


def shown(desk: Desk, alerter: str = ROBIN) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(desk.alerts_path.read_text())[alerter]["NVDA"]
    return found


def sell(number: int, quantity: int, at: float) -> Any:
    return execution(exec_id(number), -quantity, at=at, perm_id=189)


def test_removed_record_is_removed_again(tmp_path: Path) -> None:
    """A record that was taken out and comes back is taken out again."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}, policy=ClosingPolicy.REMOVE) as desk:
        desk.tell(buy(1, 4))
        stale = desk.alerts_path.read_text()
        desk.tell(sell(2, 4, at=9))
        assert json.loads(desk.alerts_path.read_text()) == {ROBIN: {}}
        desk.change(lambda alerts: alerts.update(json.loads(stale)))
        assert json.loads(desk.alerts_path.read_text()) == {ROBIN: {}}


def test_ambiguous_fill_outlasts_its_rival(tmp_path: Path) -> None:
    """That a rival was taken out says nothing of whose fill it was: a person, or a strong rule, decides."""
    alerts = {ROBIN: {"NVDA": loose(expiry=None)}, "wolf": {"NVDA": loose(expiry=None)}}
    with Desk(tmp_path, alerts, policy=ClosingPolicy.REMOVE) as desk:
        own = replace(buy(1, 4), order_ref=f"{ROBIN}/NVDA")
        desk.tell(own)
        desk.tell(replace(sell(2, 4, at=9), order_ref=f"{ROBIN}/NVDA"), replace(buy(3, 1), perm_id=190))
        (row,) = [row for row in desk.journal.state.every(EXECUTIONS) if row.execution.exec_id == exec_id(3)]
        assert row.attention is Attention.AMBIGUOUS
        assert shown(desk, "wolf")["open"] is False


def test_unreadable_store_is_no_empty_one(tmp_path: Path) -> None:
    """A fill is journalled meanwhile; no record is taken for gone."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        whole = desk.alerts_path.read_text()
        desk.alerts_path.write_text("")
        desk.pump.write_again(())
        desk.tell(buy(2, 1))
        assert desk.journal.state.find(OUTBOX, "pending", "1")
        desk.alerts_path.write_text(whole)
        desk.now += timedelta(seconds=1)
        desk.run_pump()
        assert shown(desk)["position"]["quantity"] == 5


def test_returned_record_has_position_again(tmp_path: Path) -> None:
    """Found by seed 150: a stale copy put the old record back beside nothing else."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record(created_at=NEWER)))
        assert (shown(desk)["created_at"], shown(desk)["position"]["quantity"]) == (NEWER, 4)
        desk.tell(sell(2, 1, at=9))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record()))
        assert (shown(desk)["created_at"], shown(desk)["position"]["quantity"]) == (CREATED, 3)


def test_change_met_by_write_is_compared(tmp_path: Path) -> None:
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


def test_uncommitted_step_leaves_file_alone(tmp_path: Path) -> None:
    """The file is written beside the alerts while the step is committed, and put in place only then."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        before = desk.alerts_path.read_text()
        desk.journal._db.execute(FULL)
        with pytest.raises(JournalFailed, match="disk is full"):
            desk.tell(buy(1, 4))
        desk.worker.submit(lambda: None).result(60)
        assert desk.alerts_path.read_text() == before


# Frames that are decided as they come


def commits(desk: Desk) -> list[str]:
    """Return a list that grows with each commit of the journal."""
    found: list[str] = []
    desk.journal._db.set_trace_callback(lambda sql: found.append(sql) if sql == "COMMIT" else None)
    return found


def test_lone_fill_takes_one_commit(tmp_path: Path) -> None:
    """A fill that comes alone is decided in the commit that journals it."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Watched(desk.store, desk)
        desk.pump = desk.make_pump(store)
        desk.run_pump()
        seen = commits(desk)
        store.calls.clear()
        desk.take(buy(1, 4))
        assert len(seen) == 1
        assert desk.journal.cursor == 1
        assert desk.pump._delivery._writing is not None
        desk.pump._delivery._writing.under_way.result(60)
        assert store.calls == ["prepare", "apply"]
        assert store.pending_at_apply == 1, "what is put in place was committed before"
        assert shown(desk)["open"] is True
        assert desk.pump.counts.fills == 0
        desk.run_pump()
        assert desk.pump.counts.fills == desk.pump.counts.alerts_updated == 1


def test_frames_can_be_decided_without_writing(tmp_path: Path) -> None:
    """As the rows of a report are: the file is written once, by the next pump."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.run_pump()
        before = desk.alerts_path.read_text()
        desk.append(buy(1, 4))
        asyncio.run(desk.pump.decide())
        assert len(list(desk.journal.state.every(EXECUTIONS))) == 1
        assert desk.alerts_path.read_text() == before
        desk.run_pump()
        assert shown(desk)["position"]["quantity"] == 4


def test_neighbours_change_precedes_next_fill(tmp_path: Path) -> None:
    """What another program changed is compared before the next fill is decided."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.write({ROBIN: {"NVDA": record(created_at=NEWER)}})
        desk.take(execution(exec_id(2), 1, at=600, perm_id=188))
        assert desk.journal.waiting
        desk.run_pump()
        assert (shown(desk)["created_at"], shown(desk)["position"]["quantity"]) == (NEWER, 5)


def test_alert_appearing_meanwhile_is_found(tmp_path: Path) -> None:
    """Found by seed 1799: the fill was not yet known to be without an alert when the store was compared."""
    with Desk(tmp_path, {ROBIN: {}}) as desk:
        desk.run_pump()
        desk.take(buy(1, 4))
        desk.write({ROBIN: {"NVDA": record()}})
        desk.run_pump()
        assert shown(desk)["position"]["quantity"] == 4


def test_fill_is_journalled_during_outage(tmp_path: Path) -> None:
    """A fill is journalled while the store cannot be read."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.run_pump()
        whole = desk.alerts_path.read_text()
        desk.alerts_path.write_text("")
        desk.take(buy(1, 4))
        assert desk.journal.waiting
        desk.run_pump()
        desk.take(buy(2, 1))
        desk.alerts_path.write_text(whole)
        desk.now += timedelta(seconds=1)
        desk.run_pump()
        assert shown(desk)["position"]["quantity"] == 5


def test_hanging_store_holds_no_frame_up(tmp_path: Path) -> None:
    """A store that hangs holds no frame up."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Hanging(desk.store)
        desk.pump = desk.make_pump(store)

        async def live() -> None:
            running = asyncio.create_task(desk.pump.run())
            async with asyncio.timeout(60):
                await until(lambda: desk.pump._at_rest)
                store.freed.clear()
                await until(store.hangs.is_set)
                desk.take(buy(1, 4))
                assert desk.journal.waiting
                store.freed.set()
                desk.pump.wake()
                await until(lambda: bool(desk.pump.counts.alerts_updated))
            running.cancel()

        asyncio.run(live())
        assert shown(desk)["position"]["quantity"] == 4


def test_stop_during_failing_write_is_quiet(tmp_path: Path) -> None:
    """Nobody asks any more what came of the write, and nobody complains that nobody did."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Unwritable(desk.store)
        desk.pump = desk.make_pump(store)
        desk.append(buy(1, 4))

        async def live() -> None:
            complaints: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))
            running = asyncio.create_task(desk.pump.run())
            async with asyncio.timeout(60):
                await until(store.hangs.is_set)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            store.freed.set()
            await asyncio.get_running_loop().run_in_executor(desk.worker, int)
            await asyncio.sleep(0)
            gc.collect()
            assert complaints == []

        asyncio.run(live())


def test_hanging_write_holds_no_frame_up(tmp_path: Path) -> None:
    """A write that the worker has begun and does not end delays the next fill only shortly."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Far(desk.store)
        desk.pump = desk.make_pump(store)
        desk.run_pump()
        desk.take(buy(1, 4))
        assert store.hangs.wait(60)
        desk.take(buy(2, 1))
        assert desk.journal.waiting
        store.freed.set()


def test_loop_gives_way_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop does nothing else until a write that the worker has begun is over, unless it takes long."""
    monkeypatch.setattr(delivery, "_GIVE_WAY_SECONDS", 60)
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Watched(desk.store, desk)
        store.ahead = False
        desk.pump = desk.make_pump(store)
        desk.run_pump()
        desk.take(buy(1, 4))
        assert shown(desk)["position"]["quantity"] == 4
        assert threading.main_thread() not in store.threads
        desk.run_pump()


def test_run_time_is_kept_while_nothing_changes(tmp_path: Path) -> None:
    """A fill waits for its alert, and nobody writes the store: a crash loses a few seconds only of 400."""
    with Desk(tmp_path, {ROBIN: {}}) as desk:
        desk.append(buy(1, 4))

        async def live() -> None:
            running = asyncio.create_task(desk.pump.run())
            async with asyncio.timeout(60):
                await until(lambda: desk.pump._at_rest)
                desk.now += timedelta(seconds=400)
                await until(lambda: desk.journal.state.get(RUN_TIME, "last") is not None)
            running.cancel()

        asyncio.run(live())
        kept = desk.journal.state.get(RUN_TIME, "last")
        assert kept == RunTime(400)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (the condition is the pump's own state, which sets no event)
        await asyncio.sleep(0)


def test_loop_writes_only_what_was_prepared(tmp_path: Path) -> None:
    """A store that was away is tried again by the worker: its disk may hang."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Watched(desk.store, desk)
        desk.pump = desk.make_pump(store)
        desk.run_pump()
        store.away = 2
        desk.take(buy(1, 4))
        desk.run_pump()
        assert "written" in desk.pump.away
        desk.run_pump()
        desk.run_pump()
        assert shown(desk)["open"] is True
        assert len(store.threads) == 3
        assert threading.current_thread() not in store.threads[1:]


def test_loop_never_writes_what_was_not_prepared(tmp_path: Path) -> None:
    """A store that does all its work in `apply`, as over a network, is called by the worker alone."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Watched(desk.store, desk)
        store.ahead = False
        desk.pump = desk.make_pump(store)
        desk.run_pump()
        desk.take(buy(1, 4))
        desk.run_pump()
        assert shown(desk)["open"] is True
        assert "prepare" not in store.calls
        assert store.threads
        assert threading.current_thread() not in store.threads


def test_lasting_outage_leaves_no_memory(tmp_path: Path) -> None:
    """Found by a soak: what was read in vain of a half-written file stayed until the collector came by."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        store = Watched(desk.store, desk)
        desk.pump = desk.make_pump(store)
        desk.run_pump()
        store.away = 100
        desk.take(buy(1, 4))
        desk.run_pump()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                desk.run_pump()
            left = [each for each in gc.get_objects() if isinstance(each, StoreUnavailable)]
        finally:
            gc.enable()
        assert "written" in desk.pump.away
        # The worker may be about to let go of the last one.
        assert len(left) <= 1


@pytest.mark.parametrize(
    ("attempts", "draw", "seconds"), [(0, 0.0, 0.0375), (0, 1.0, 0.0625), (6, 0.5, 5.0), (99, 1.0, 6.25)]
)
def test_store_that_is_away_is_retried_with_jitter(attempts: int, draw: float, seconds: float) -> None:
    assert retry_pause(attempts, draw) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("frames", "seconds", "batch"),
    [(3000, 3.0, 200), (3000, 0.5, 1200), (3000, 0.1, 3000), (1, 0.1, 200), (10, 0.0, 3000)],
)
def test_slow_step_takes_fewer_frames(frames: int, seconds: float, batch: int) -> None:
    """A fifth of a second each, so that a stop and `status` wait no longer in a flood."""
    assert fitting_batch(frames, seconds) == batch


def test_failure_after_commit_ends_pump_only(tmp_path: Path) -> None:
    """The frames are in the journal, so nobody may say that it did not take them."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}, policy=ClosingPolicy.REMOVE) as desk:
        desk.tell(buy(1, 4))
        desk.journal._db.execute(FULL.replace("outbox", "store_log"))
        desk.take(sell(2, 4, at=9))
        assert desk.journal.cursor == 2
        with pytest.raises(JournalFailed, match="disk is full"):
            desk.run_pump()
        assert shown(desk)["open"] is True
        desk.journal._db.execute("DROP TRIGGER full")
        desk.pump = desk.make_pump(desk.store)
        desk.run_pump()
        assert json.loads(desk.alerts_path.read_text()) == {ROBIN: {}}


def test_uncommitted_events_are_not_published(tmp_path: Path) -> None:
    """What could not be committed is told to no one."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.run_pump()
        desk.journal._db.execute(FULL)
        with pytest.raises(JournalFailed, match="disk is full"):
            desk.take(buy(1, 4))
        desk.run_pump()
        assert desk.pump.counts.fills == 0
        assert shown(desk)["open"] is False


class Hanging(AlertStores):
    """The real stores, on a disk that hangs until it is freed."""

    def __init__(self, store: StorePort) -> None:
        self.__dict__.update(vars(store))
        self.freed = threading.Event()
        self.freed.set()
        self.hangs = threading.Event()

    def _refresh(self) -> bool:
        if not self.freed.is_set():
            self.hangs.set()
            assert self.freed.wait(60)
        return super()._refresh()


class Unwritable(AlertStores):
    """The real stores, which fail to be written once they are freed."""

    def __init__(self, store: StorePort) -> None:
        self.__dict__.update(vars(store))
        self.freed = threading.Event()
        self.hangs = threading.Event()

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        self.hangs.set()
        assert self.freed.wait(60)
        raise StoreUnavailable("the disk is read-only")


class Far(Unwritable):
    """A store on which nothing can be done ahead of `apply`, as on a server."""

    @property
    def prepares(self) -> bool:
        return False


class Watched(AlertStores):
    """The real stores, which list what they are asked to do."""

    def __init__(self, store: StorePort, desk: Desk) -> None:
        self.__dict__.update(vars(store))
        self.calls: list[str] = []
        self.pending_at_apply = 0
        """Rows that another reader of the journal finds undelivered when the file is about to be replaced."""
        self._path = desk.journal.path
        self.away = 0
        """How often it cannot be written before it can."""
        self.ahead = True
        """Whether anything is done ahead of `apply`."""
        self.threads: list[threading.Thread] = []

    def refresh(self) -> bool:
        self.calls.append("refresh")
        return super().refresh()

    @property
    def prepares(self) -> bool:
        return self.ahead

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        self.calls.append("prepare")
        return super().prepare(updates)

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        self.calls.append("apply")
        self.threads.append(threading.current_thread())
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the disk is away")
        with closing(Journal(self._path, read_only=True)) as seen:
            self.pending_at_apply = seen.state.count(OUTBOX, "pending", "1")
        return super().apply(updates)
