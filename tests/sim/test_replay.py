"""Every fill of a simulated life can be accounted for, and its journal played again gives the same.

Two ways. As it was lived: the frames, in the steps and the lifetimes of the process in which they were
decided, and the alerts that the journal says each decision looked at; then every row, every answer and every
field of the tracker's in the store is the same, whatever the neighbour and the crashes did. From nothing:
packet by packet into a new journal, by a process that never dies, on the store as it was before; that needs a
life in which nobody else writes the store, since the journal does not keep what others wrote. Three things
may differ there, and only these: when and how often a record was written; its `updated_at`, the receipt of
the last frame of such a step; and from which of two snapshots a holding was seeded, since a process that died
has forgotten half an answer.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import pytest
from loguru import logger
from msgspec import structs

from tests.sim.clock import NEW_YORK, START
from tests.sim.inline import Inline
from tests.sim.options import Options, draw
from tests.sim.oracle_feed import EARLY_FILL, RETRY_FOR
from tests.sim.world import World
from tests.support.fakes import MemoryAlerts, Records
from tracker.core.alert_updates import OWNERSHIP, ClosingPolicy
from tracker.core.alerters import AlerterNames
from tracker.core.ledger import Ledger
from tracker.core.matching import match_execution
from tracker.core.model import Alert, Execution, Frame, Match, Rule, Source
from tracker.core.ownership import Circumstances
from tracker.core.ports import AlertStore
from tracker.core.state import (
    ALERTS,
    EXECUTIONS,
    FIRST_SEEN,
    HOLDINGS,
    OUTBOX,
    RUN_TIME,
    TABLES,
    WINDOWS,
    Table,
)
from tracker.core.state_rows import AlertState, BookedExecution
from tracker.gateway.decode import fact_of
from tracker.journal.journal import Journal
from tracker.pipeline.pump import Pump
from tracker.queries.fills import Selection, fills
from tracker.queries.gaps import gaps
from tracker.queries.inbox import inbox
from tracker.queries.text import TextTable
from tracker.queries.why import StoreNow, why_alert, why_execution
from tracker.stores.alert_file import AlertFile

SEEDS: Final = range(20)
FOLLOWING_SEED: Final = 40
"""A life in which a fill follows its order to the successor of an owner that is gone."""
STORED_SEED: Final = 997_000_022
"""A life in which a stored contract fills in the expiry of a record that a fill belongs to."""
ACTS_AT_FIRST: Final = 12
NEW_PROCESS: Final = 0
"""Stands among the steps of a life for a new process, which remembers only the journal's rows."""
RULES: Final = frozenset({OWNERSHIP, *(rule.value for rule in Rule)})
NOT_OF_FRAMES: Final = (OUTBOX, WINDOWS, RUN_TIME, FIRST_SEEN)
"""What was delivered, how long we ran and when we saw a record first: no frame says so."""
OURS: Final = ("open", "last_order_update", "position")


class Remembered(World):
    """A life that notes in which steps its frames were decided."""

    def __init__(self, seed: int, journal: Path) -> None:
        self.steps: list[int] = []
        super().__init__(seed, journal)

    def _begin_process(self) -> None:
        self.steps.append(NEW_PROCESS)
        super()._begin_process()

    def _committed(self) -> None:
        if self.journal.cursor != self._cursor:
            self.steps.append(self.journal.cursor)
        super()._committed()


def decided(rng: Random) -> Options:
    """Draw a life in which the core fails on no frame: which ones it set aside then, the journal's frames do
    not say."""
    return replace(draw(rng), refused=0.0)


def undisturbed(rng: Random) -> Options:
    """Draw a life whose neighbour is quiet.

    What a removal leaves for later fills depends on when it was written, so nothing is removed.
    """
    drawn = decided(rng)
    policy = "mark" if drawn.policy == "remove" else drawn.policy
    return replace(drawn, neighbour=0.0, meddling=0.0, stale=0.0, cut=0.0, policy=policy)


@contextmanager
def silently() -> Iterator[None]:
    logger.disable("tracker")
    try:
        yield
    finally:
        logger.enable("tracker")


@contextmanager
def journals(folder: Path) -> Iterator[tuple[Journal, Journal]]:
    """Open the journal of the life that was lived here, and an empty one."""
    lived, again = Journal(folder / "journal.db", read_only=True), Journal(folder / "again.db")
    try:
        yield lived, again
    finally:
        lived.close()
        again.close()


@contextmanager
def place() -> Iterator[Path]:
    """Make an empty folder, in memory where there is one: a commit that waits for no disk costs nothing."""
    fast = Path("/dev/shm")
    usable = fast.is_dir() and os.access(fast, os.W_OK)
    with TemporaryDirectory(prefix="tracker-replay-", dir=fast if usable else None) as folder:
        yield Path(folder)


class Life(NamedTuple):
    """Hold a life that is over, and the folder of its journal."""

    world: Remembered
    folder: Path


@contextmanager
def lived(seed: int) -> Iterator[Life]:
    """Live a seed to its end, which the simulation itself checks."""
    with place() as folder:
        with silently(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.sim.world.draw", decided)
            world = Remembered(seed, folder / "journal.db")
            world.run()
        yield Life(world, folder)


@pytest.fixture(scope="module", params=[*SEEDS, FOLLOWING_SEED])
def life(request: pytest.FixtureRequest) -> Iterator[Life]:
    with lived(request.param) as one:
        yield one


def packets(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Yield frames as they were received: together what came at one instant of one connection."""
    for _, packet in groupby(frames, key=lambda frame: (frame.connection_no, frame.received_at)):
        yield list(packet)


def capture(journal: Journal, packet: Sequence[Frame]) -> None:
    """Append a packet, as it was received."""
    first = packet[0]
    journal.append(first.connection_no, first.received_at, [(frame.source, frame.fields) for frame in packet])


def frames_of(journal: Journal) -> list[Frame]:
    return journal.frames_after(0, 1_000_000)


# Every fill has its account


def test_why_gives_a_reason_for_every_fill(life: Life) -> None:
    """For every fill that the broker ever made, and for every version of it that was told."""
    world, folder = life
    journal = Journal(folder / "journal.db", read_only=True)
    told = {row.execution.exec_id for row in journal.state.every(EXECUTIONS)}
    assert {world.broker.latest(exec_id) for exec_id in world.broker.executions} <= told
    assert told <= set(world.broker.executions)
    for exec_id in sorted(told):
        answer = why_execution(journal, exec_id, AlerterNames())
        for row in answer["executions"]:
            ruled = {alert["rule"] for alert in row["alerts"]} <= RULES and row["decision"] == "matched"
            assert (ruled and row["alerts"]) or row["reason"], row
            assert row["fill"]["outcome"]
            assert not row["fill"]["waiting"]
            assert all(each["reason"] for each in row["rejected"])
        text = TextTable(NEW_YORK).why(answer)
        assert exec_id in text
    journal.close()


# As it was lived


def test_replayed_life_gives_same_rows(life: Life) -> None:
    """A life played again gives the same rows answers and store."""
    world, folder = life
    with journals(folder) as (lived, again):
        for packet in packets(frames_of(lived)):
            capture(again, packet)
        assert frames_of(again) == frames_of(lived)
        decide_again(world, lived, again)
        for table in TABLES:
            if table not in NOT_OF_FRAMES:
                assert rows_of(again, table) == rows_of(lived, table), table.name
        assert updates(again) == updates(lived)
        assert answers(again, world) == answers(lived, world)
        found = world.medium.records()
        assert found is not None
        assert written_anew(found, again) == found


def rows_of(journal: Journal, table: Table[Any]) -> dict[str, object]:
    """Return a table's rows; of an alert without what its record said when it was last seen in the store,
    which no frame says."""
    rows = {table.key(row): row for row in journal.state.every(table)}
    if table is not ALERTS:
        return rows
    bare = {key: structs.replace(row, record=None) for key, row in rows.items()}
    return {key: row for key, row in bare.items() if row != AlertState(row.alert)}


def decide_again(world: Remembered, lived: Journal, again: Journal) -> None:
    """Fold the frames in the steps of that life, each decision with the alerts that it looked at then."""
    deciding = 0

    def looked_at(execution: Execution) -> Sequence[Alert]:
        found = lived.was_considered(deciding, execution.key)
        again.considered(deciding, execution.key, found)
        return found

    def decide(execution: Execution, now: Circumstances) -> Match:
        there = looked_at(execution)
        return match_execution(execution, there, early_fill=EARLY_FILL, owns=now.owns, skew=now.skew)

    begin = partial(
        Ledger,
        again.state,
        decide,
        policy=ClosingPolicy(world.options.policy),
        accounts=world.feed.watched,
        candidates=looked_at,
    )
    ledger, frames = begin(), frames_of(again)
    for step in world.steps:
        if step == NEW_PROCESS:
            ledger = begin()
            continue
        batch = [frame for frame in frames if again.cursor < frame.seq <= step]
        with again.step() as advance:
            for frame in batch:
                deciding = frame.seq
                holds_fact = frame.source in (Source.BROKER, Source.FLEX)
                ledger.apply(frame, fact_of(frame, NEW_YORK) if holds_fact else None)
            ledger.settle(batch[-1])
            advance(step)


def updates(journal: Journal) -> dict[str, object]:
    """Return what each record must show."""
    return {OUTBOX.key(row): row.update for row in journal.state.every(OUTBOX)}


def written_anew(records: Records, journal: Journal) -> Records:
    """Take the tracker's fields out of the records that it wrote, and write them from this journal."""
    store = MemoryAlerts(copy.deepcopy(records), zone=NEW_YORK)
    pending = [row.update for row in journal.state.every(OUTBOX)]
    for alert in (update.alert for update in pending):
        record = store.records.get(alert.alerter, {}).get(alert.ticker)
        if record is not None and record["created_at"] == alert.created_at:
            # In their places, so that only the values are written.
            record.update(dict.fromkeys(OURS, None) | {"open": not record["open"]})
    store.refresh()
    store.apply(pending)
    return store.records


# From nothing


@pytest.mark.parametrize("seed", [*SEEDS, STORED_SEED])
def test_replayed_journal_gives_same_answers(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal played from nothing gives the same answers and store."""
    monkeypatch.setattr("tests.sim.world.draw", undisturbed)
    with place() as folder:
        with silently():
            world = Remembered(seed, folder / "journal.db")
            before = write_alerts(world)
            world.run()
        compare_from_nothing(world, before, folder)


def compare_from_nothing(world: World, before: Records, folder: Path) -> None:
    path = folder / "alerts.json"
    path.write_text(json.dumps(before, indent=2))
    with journals(folder) as (lived, again):
        frames = frames_of(lived)
        assert not [frame for frame in frames if frame.source is Source.STORE], "nobody else wrote the store"
        file = AlertFile(path, zone=NEW_YORK, now=world.clock.now, enrich=world.stored.add)
        with again.step():
            # When a record without created_at was first seen, no frame says either.
            for row in lived.state.every(FIRST_SEEN):
                again.state.put(FIRST_SEEN, row)
        play(world, frames, again, file)
        file.close()
        assert frames_of(again) == frames
        assert decisions(again) == decisions(lived)
        assert holdings(again) == holdings(lived)
        assert undated(answers(again, world)) == undated(answers(lived, world))
        assert undated(json.loads(path.read_text())) == undated(world.medium.records())


def write_alerts(world: World) -> Records:
    """Have the neighbour write its alerts before anything else happens; returns what then stands there."""
    acts, records = 0, world.medium.records()
    while acts < ACTS_AT_FIRST or not any((records or {}).values()):
        world.neighbour.act()
        world.neighbour.finish()
        world.clock.advance(1)
        acts, records = acts + 1, world.medium.records()
    assert records is not None, "the neighbour leaves the store whole"
    return records


def play(world: World, frames: Sequence[Frame], journal: Journal, store: AlertStore) -> None:
    """Take packet by packet into a journal, and pump each into the store, in one process."""
    with silently(), asyncio.Runner() as runner:
        pump = Pump(
            journal,
            store,
            partial(fact_of, login_zone=NEW_YORK),
            partial(match_execution, early_fill=EARLY_FILL),
            now=world.clock.now,
            worker=Inline(),
            policy=ClosingPolicy(world.options.policy),
            accounts=world.feed.watched,
            store_zone=NEW_YORK,
            retry_for=RETRY_FOR,
        )
        for packet in packets(frames):
            capture(journal, packet)
            runner.run(pump.pump())


def decisions(journal: Journal) -> dict[str, BookedExecution]:
    """Return every execution with what was decided about it."""
    return {EXECUTIONS.key(row): row for row in journal.state.every(EXECUTIONS)}


def holdings(journal: Journal) -> dict[str, tuple[object, ...]]:
    """Return what is held and who owns it, whatever snapshot it began with."""
    rows = journal.state.every(HOLDINGS)
    return {HOLDINGS.key(row): (row.held, row.lots, row.alerts, row.expired) for row in rows}


# What is compared


def answers(journal: Journal, world: World) -> dict[str, Any]:
    """Return what the commands say of this journal, but for what only the store's log knows."""
    names, now = AlerterNames(), world.clock.now()
    everything = Selection(everything=True)
    told = sorted({row.execution.exec_id for row in journal.state.every(EXECUTIONS)})
    alerts = sorted({row.alert.name for row in journal.state.every(ALERTS)})
    nothing = StoreNow((), lambda alert: None)
    answer: dict[str, Any] = {
        "fills": fills(journal, everything, names),
        "inbox": inbox(journal, START, names, list_all=True),
        "gaps": gaps(journal.state, everything=True),
        "why": [why_execution(journal, exec_id, AlerterNames()) for exec_id in told],
        "alerts": [why_alert(journal, name, names, nothing, now) for name in alerts],
    }
    for each in answer["alerts"]:
        # What was only ever seen in the store, no frame says.
        each["records"] = [record for record in each["records"] if record["fills"] or record["shows"]]
    told_again: dict[str, Any] = without(answer, "written")
    return told_again


def undated(value: Any) -> Any:
    return without(value, "updated_at")


def without(value: Any, name: str) -> Any:
    """Return a copy of a JSON value without one key, however deep."""
    if isinstance(value, dict):
        return {key: without(each, name) for key, each in value.items() if key != name}
    if isinstance(value, list):
        return [without(each, name) for each in value]
    return value
