"""One simulated life: everything wired, driven step by step from one seed.

Owns the order of events, the crashes and restarts, and the two phases: first safety with faults on, then
liveness with faults off, where all must come right within a bounded number of steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from loguru import logger
from msgspec.structs import replace

from tests.sim import checks, host_clock, link
from tests.sim.broker import Event as BrokerEvent
from tests.sim.broker import SimBroker, described
from tests.sim.changes import FIRST, Changes
from tests.sim.clock import NEW_YORK, SimClock
from tests.sim.ended_days import EndedDays
from tests.sim.fates import Fates, SimCrash, SimJournal
from tests.sim.first_answers import FirstAnswers
from tests.sim.gateway import SimGateway
from tests.sim.host_clock import HostClock
from tests.sim.inline import Inline
from tests.sim.late_reports import LateReports
from tests.sim.latecomers import Latecomers
from tests.sim.looks import Journalled
from tests.sim.neighbour import Neighbour
from tests.sim.options import Options, draw
from tests.sim.oracle_feed import EARLY_FILL, RETRY_FOR, OracleFeed
from tests.sim.person import Person
from tests.sim.session import SimSession
from tests.sim.stored import StoredContracts
from tests.sim.stores import FileMedium, Medium, MemoryMedium, SimStore
from tests.sim.swapped_journal import SwappedJournal
from tests.sim.trader import Trader
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.journal_entries import Entry
from tracker.core.matching import match_execution
from tracker.core.model import AlertId, BrokerFact, Execution, Frame, Source
from tracker.core.ownership_rows import RunTime
from tracker.core.ports import AlertStore
from tracker.core.state import EXECUTIONS, FIRST_SEEN, GAPS, HOLDINGS, OUTBOX, RUN_TIME
from tracker.core.state_rows import GapEnd
from tracker.daemon.journal_sink import JournalSink
from tracker.gateway.normalise import normalise
from tracker.pipeline.pump import Pump

_SHORT_RETRY: Final = timedelta(minutes=2)
"""In every second life, so that windows are over in it."""
_CALM_ROUNDS: Final = 60
"""Steps within which everything must come right once the faults are off."""
_SETTLING_ROUNDS: Final = 120
"""The same where two answers must agree, some minutes apart."""
_QUIET_ROUNDS: Final = 15
"""Steps in which two answers agree where nothing else goes wrong."""
_MOST_DAYS_OFF: Final = 2
"""Days off in one life, so that no option expires in it."""
_LOOKS: Final = 300
"""Looks at the store within one pump, which ends when nothing is left to do."""


class World:
    """Hold one life; `journal` is the path of its journal, in an empty folder."""

    def __init__(self, seed: int, journal: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self.rng = Random(seed)
        self.options: Options = host_clock.fit(seed, draw(self.rng))
        self.clock = SimClock()
        self._host_clock = host_clock.of(seed, self.clock)
        self._told = tell
        options = self.options
        self.broker = SimBroker(self.rng, self.clock, options)
        self.gateway = SimGateway(self.rng, self.clock, self.broker, options)
        self.changes: Changes | None = None
        if seed >= FIRST:
            self.changes = Changes(seed, self.broker, options)
            self.gateway.first_answers = FirstAnswers(self.changes.rng, self.clock)
            self.gateway.late_reports = LateReports(Random(f"late reports of {seed}"), self.clock)
        self.read_only = Random(f"read-only login of {seed}").random() < 0.5
        """Whether the login may not ask for completed orders."""
        self.fates = Fates(self.rng, options.crashes, options.meddling)
        self.medium: Medium = FileMedium(self.clock, self.fates) if options.file_store else MemoryMedium()
        self.retry_for = RETRY_FOR if Random(f"retry window of {seed}").random() < 0.5 else _SHORT_RETRY
        self.stored = StoredContracts(seed, self.broker.contracts)
        self.neighbour = Neighbour(
            self.rng,
            self.clock,
            self.broker,
            self.medium,
            options,
            self.stored,
            Random(f"habits of {seed}"),
            tell=self.tell,
        )
        self.fates.meddle = self._meddle
        watched = self.broker.accounts[: options.watched]
        self.feed = OracleFeed(
            self.broker,
            self.gateway,
            watched,
            options.policy,
            self.retry_for,
            self.stored.texts,
            answers=self.changes is not None,
        )
        self.trader = Trader(seed, self.rng, options, self.broker, self.neighbour, self.feed, self._happen)
        self.latecomers = Latecomers(seed, options, self.broker, self.neighbour, self.feed, self._happen)
        self.person = Person(seed, self.rng, options, self.feed, self.tell)
        self.swap = SwappedJournal(seed, journal, self.tell)
        self.session: SimSession | None = None
        self.ended = EndedDays()
        self.restarts = 0
        self.pumps = 0
        self._meddled = False
        self._looks = 0
        self._days_off = 0
        self._cursor = 0
        self._ran: RunTime | None = None
        """How long it ran, as the tracker kept it last."""
        self._seen: dict[AlertId, datetime] = {}
        """When it first saw records, as the tracker kept it last."""
        self._path = journal
        self._runner = asyncio.Runner()
        self._begin_process()

    def tell(self, line: str) -> None:
        """Write a line of the trace."""
        self._told(f"{self.clock.now():%H:%M:%S.%f} {line}")

    def run(self) -> None:
        """Live it; raises Broken, or whatever the production code let through."""
        try:
            for _ in range(self.options.steps):
                self._step()
            self._calm()
        except Exception:
            for line in self.feed.story():
                self.tell(line)
            raise
        finally:
            self._runner.close()
            self.journal.close()

    # The process

    def _begin_process(self) -> None:
        self.feed.started(self.clock.host())
        self.journal = SimJournal(self._path, self.fates, self._committed)
        self.store = SimStore(
            self.medium.start(), self.fates, self._saw, self._applying, self._compared, self.stored.add
        )
        self.pump = Pump(
            self.journal,
            self.store,
            self._normalise,
            partial(match_execution, early_fill=EARLY_FILL),
            now=self.clock.host,
            monotonic=lambda: self.clock.now().timestamp(),
            worker=Inline(),
            policy=ClosingPolicy(self.options.policy),
            accounts=self.feed.watched,
            zone=NEW_YORK if self.changes is not None else UTC,
            store_zone=NEW_YORK,
            retry_for=self.retry_for,
            want_sweep=self._want_sweep,
            want_positions=self._want_positions,
        )
        # As `Pump.run` does at its start: compare the whole store.
        self.pump.write_again(())

    def _normalise(self, frame: Frame) -> BrokerFact | None:
        """Read a frame as the tracker does; what the core is to refuse becomes what nobody can add up."""
        fact = normalise(frame, login_zone=NEW_YORK)
        if isinstance(fact, Execution) and frame.fields in self.gateway.refused:
            return replace(fact, quantity=Decimal("sNaN"))
        return fact

    def _die(self, where: str) -> None:
        """Lose the process: its connection, its memory, whatever it had not committed."""
        self.tell(f"KILLED at {where}")
        self.restarts += 1
        self.session = None
        self.gateway.disconnect()
        self.feed.stopped(self.clock.host(), self._journalled().noted)
        self.journal.close()
        self.swap.put_back()
        self.neighbour.lose_late_write()
        self.clock.advance(self.rng.uniform(0.1, 20))
        self.latecomers.while_down()
        whole = self.gateway.upstream and self.feed.complete()
        if whole and self._days_off < _MOST_DAYS_OFF and self.rng.random() < self.options.days_off:
            self._days_off += 1
            self.tell("a day off")
            self.clock.advance(86_400)
        self._begin_process()

    def _committed(self) -> None:
        cursor = self.journal.cursor
        ran = self.journal.state.get(RUN_TIME, "last")
        if ran != self._ran:
            self._ran = ran
            self.feed.kept(self.clock.host())
        seen = {row.alert: row.at for row in self.journal.state.every(FIRST_SEEN)}
        if seen != self._seen:
            self._seen = seen
            self.feed.seen_kept(self.clock.host())
        if cursor == self._cursor:
            # An outbox that was delivered decides nothing.
            return
        frames = self.journal.frames_after(self._cursor, 100_000)
        openings = {
            (row.account, row.contract.con_id): row.base for row in self.journal.state.every(HOLDINGS)
        }
        taken = [frame for frame in frames if frame.seq <= cursor]
        self.ended.take(taken)
        by_positions = GapEnd.POSITIONS.value
        closed = {gap.day for gap in self.journal.state.every(GAPS) if gap.closed_how == by_positions}
        unproven, rest = self.ended.days - closed, frames[len(taken) :]
        self.feed.commit(taken, rest, openings, unproven, self.clock.host())
        self._cursor = cursor

    def _saw(self, store: AlertStore, changed: bool | None) -> None:
        """Learn of a look at the store: whether anything `changed`, None where it could not be read."""
        self._looks += 1
        if self._looks > _LOOKS:
            raise checks.Broken("the pump does not come to rest")
        if changed is None:
            self.feed.lost(store, self.clock.host())
        else:
            if changed and self._host_clock is not None:
                self._host_clock.record_read()
            self.feed.read(store, self.clock.host(), changed, self._journalled())

    def _compared(self) -> None:
        self.feed.compared(self._journalled())

    def _journalled(self) -> Journalled:
        cursor = self.journal.cursor
        waiting = self.journal.frames_after(cursor, 100_000)
        noted = [frame.seq for frame in waiting if frame.source is Source.STORE]
        return Journalled(cursor, waiting[-1].seq if waiting else cursor, max(noted, default=0))

    def _applying(self, updates: Any) -> None:
        self.neighbour.taken_out |= {update.alert for update in updates if update.remove}
        for update in updates:
            last = update.last_order_update or {}
            self.tell(
                f"applies {update.alert.name} {update.alert.created_at} open={update.open}"
                f" {'REMOVE ' if update.remove else ''}{(update.position or {}).get('quantity')}"
                f" filled={last.get('filled_qty')} {last.get('exec_id')}"
            )

    def _want_sweep(self, reason: str) -> None:
        if self.session is not None:
            self.session.want_sweep()

    def _want_positions(self, reason: str) -> None:
        # While the faults are on, a life without changes asks as it was drawn; then as the tracker does.
        if self.session is not None and (self.changes is not None or not self.gateway.faults):
            self.session.want_positions()

    def _meddle(self) -> None:
        self._meddled = True
        self.neighbour.act()

    # One step

    def _step(self) -> None:
        rng, options = self.rng, self.options
        pause = rng.choice((0.001, 0.05, 0.4, 1.5)) if rng.random() < 0.9 else rng.uniform(2, 15)
        if rng.random() < options.idle or (self.neighbour.away and rng.random() < 0.3):
            pause += rng.uniform(30, 600)
        pause += self.latecomers.pause()
        # A program that has begun to rewrite the file goes on with it.
        self.clock.advance(min(pause, 1.5) if self.neighbour.writing else pause)
        try:
            if rng.random() < 0.35:
                self.trader.trade()
            self.latecomers.step()
            if self.changes is not None:
                self._change(self.changes)
            if rng.random() < options.persons:
                self._journal(self.person.decide(self.store))
            self._think_again()
            if self._host_clock is not None and self._host_clock.due:
                self._set_clock(self._host_clock)
            if rng.random() < options.neighbour or self.neighbour.slow:
                self.neighbour.act()
            self._link()
            if rng.random() < 0.6:
                self._pump()
            if rng.random() < options.kills:
                self._die("a step's end")
        except SimCrash as crash:
            self._die(str(crash))
        if why := self.swap.step(self.journal, self.clock.now()):
            self.feed.sometimes["swapped journal"] += 1
            self._die(why)
        self.neighbour.settle(self.pumps)
        self._check()

    def _change(self, changes: Changes) -> None:
        """Change positions without fills, tell why, and ask as the tracker does while something is open."""
        state = self.journal.state
        for events in (changes.happen(), changes.grown(state), owned := changes.changed(state)):
            for event in events:
                self.tell(f"broker holds {event.position}")
            # Apart: of two that are of one contract the gateway must not learn the first one last.
            self.gateway.hear(events)
        if owned and not self.neighbour.writing:
            self._quiet(changes)
        self._say_why(changes)
        if (sold := changes.sold(self.journal.state)) is not None:
            self.trader.close(*sold)
        if changes.rng.random() < 0.1 and not self.neighbour.writing:
            self.clock.advance(changes.rng.uniform(20, 400))
        if self.session is not None and self.session.started and changes.rng.random() < 0.3:
            self.session.want_sweep()
            self.session.want_positions()

    def _quiet(self, changes: Changes) -> None:
        """Let some minutes pass without trades, in which a difference is settled and explained."""
        for _ in range(_QUIET_ROUNDS):
            if self.session is None or self.gateway.silent:
                return
            self.neighbour.end_write()
            session = self._serve(20)
            if self._say_why(changes):
                self._pump()
            if session.idle:
                session.want_sweep()
                session.want_positions()

    def _serve(self, seconds: float) -> SimSession:
        """Let so much time pass, and have all be heard and decided that the gateway says."""
        self.clock.advance(seconds)
        self.gateway.release()
        assert self.session is not None
        self.session.receive(500)
        self.session.tick()
        self._pump()
        return self.session

    def _say_why(self, changes: Changes) -> bool:
        """Have a person say why a position changed, where one does; tell whether one did."""
        if (entry := changes.told(self.journal.state)) is None:
            return False
        self.tell(f"a person: {entry}")
        self.pump.append(self.journal.last_connection_no, self.clock.host(), [entry.arriving])
        return True

    def _set_clock(self, host: HostClock) -> None:
        """Set the machine's clock while nothing is left to do, and ask the broker for its time."""
        session = self.session
        if session is None or not session.started or self.gateway.silent or self.neighbour.busy:
            return
        self.fates.on = False
        self._pump()
        waits = self._journalled().last > self.journal.cursor or not self.feed.settled or self.pump.away
        if session.idle and not waits:
            by = host.set(self.neighbour.dated_at)
            self.tell(f"the clock is set by {by}")
            self.feed.clock_set(self.clock.host(), by)
            session.ask_time()
            self._pump()
        self.fates.on = True

    def _happen(self, events: list[BrokerEvent]) -> None:
        for event in events:
            if event.execution is not None:
                self.tell(f"broker {described(event.execution)}")
        self.gateway.hear(events)

    def _journal(self, entries: Sequence[Entry]) -> None:
        """Have a person's word taken in."""
        if entries:
            arriving = [entry.arriving for entry in entries]
            self.pump.append(self.journal.last_connection_no, self.clock.host(), arriving)

    def _think_again(self) -> None:
        if entries := self.person.think_again(self.journal):
            self._journal(entries)
            if self.person.kills:
                self._die("a second thought")

    def _link(self) -> None:
        if self.session is None:
            if self.rng.random() < 0.3:
                self._connect()
        elif not link.go_on(self.rng, self.options, self.gateway, self.session, self.tell):
            self.session = None

    def _connect(self) -> None:
        self.tell("link up")
        number, sink = self.journal.last_connection_no + 1, JournalSink(self.journal, self.pump)
        self.session = SimSession(
            number,
            sink,
            self.gateway,
            self.clock,
            self.broker.accounts,
            whole=self.changes is not None,
            completed=not self.read_only,
        )
        if self._host_clock is not None:
            self.session.ask_time()

    def _pump(self) -> None:
        self.pumps += 1
        self._meddled = False
        self._looks = 0
        self._runner.run(self.pump.pump())
        waits = bool(self.journal.state.find(EXECUTIONS, "waiting", "1"))
        self.feed.rested(self.clock.host(), self._journalled(), waits=waits)
        self.feed.count()
        if not self._meddled and not self.pump.away and not self.journal.state.find(OUTBOX, "pending", "1"):
            records = self.medium.records()
            if records is not None and self.feed.settled:
                checks.check_decided(records, self.journal.state)
                checks.check_gaps(self.journal, self.ended.days, self.feed)
                checks.check_exact(records, self.feed, self.journal.state)

    def _check(self) -> None:
        records = self.medium.records()
        if records is not None and not self.neighbour.busy:
            checks.check_neighbour(records, self.neighbour)
        if records is not None:
            checks.check_safe(records, self.feed)
        checks.check_state(self.journal.state)

    # Faults off

    def _calm(self) -> None:
        """Take the faults away; everything must come right within so many steps of a person's last word."""
        self.tell("faults off")
        self.swap.put_back()
        self.fates.on = False
        self.gateway.faults = False
        self.neighbour.finish()
        if not self.gateway.upstream:
            self.gateway.regain_upstream()
        if self.session is not None:
            self.session.down()
        self._connect()
        swept = 0
        changed = self.changes is not None
        left = rounds = _SETTLING_ROUNDS if changed else _CALM_ROUNDS
        while (left := left - 1) >= 0:
            session = self._serve(20 if changed else 0.5)
            if self.changes is not None and self.changes.patient and self._say_why(self.changes):
                self._pump()
                left = rounds
            self.neighbour.settle(self.pumps)
            if session.idle and not self.gateway.queue:
                swept += 1
                if swept <= 2 or changed:
                    session.want_sweep()
                    session.want_positions()
            if swept > 2 and not self.neighbour.busy:
                with suppress(checks.Broken):
                    self._finished()
                    return
        self._finished()

    def _finished(self) -> None:
        records = self.medium.records()
        assert records is not None, "the neighbour left the store whole"
        checks.check_neighbour(records, self.neighbour)
        checks.check_safe(records, self.feed)
        checks.check_state(self.journal.state)
        checks.check_gaps(self.journal, self.ended.days, self.feed)
        self.feed.sometimes["gap closed"] = sum(
            gap.closed_how not in ("", "person") for gap in self.journal.state.every(GAPS)
        )
        if self.changes is not None:
            self.feed.sometimes |= self.changes.happened
            self.feed.sometimes["position adjustment"] = len(self.feed.now().adjustments)
            self.feed.sometimes["lagging answer"] = self.feed.lagged
        checks.check_end(records, self.feed, self.journal.state)


def live(seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None) -> World:
    """Live the life of a seed in an empty folder; raises where a property breaks."""
    logger.disable("tracker")
    try:
        world = World(seed, folder / "journal.db", tell)
        world.run()
    finally:
        # The switch is the process's own: tests behind this one listen for what is logged.
        logger.enable("tracker")
    return world
