"""The other program: it owns the alerts and rewrites all of them each time, carelessly.

Owns `own`, the fields of each record as it last wrote them, which nobody else may change. It writes from what
stands in the store, from a copy that it read long ago, or only half of what it wanted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from tests.sim import spellings
from tests.sim.broker import SimBroker, meant_day
from tests.sim.clock import NEW_YORK, SimClock
from tests.sim.options import Options
from tests.sim.stored import StoredContracts
from tests.sim.stores import Medium, own_fields
from tests.support.fakes import Records
from tracker.core.model import AlertId
from tracker.paper.contracts import PaperContract
from tracker.stores.alert_reader import read_id

ALERTERS: Final = ("robindahood-alerts", "demslayer", "real-day-trading", "somebody-else")
_COPIES: Final = 3
_LATE: Final = timedelta(seconds=12)
"""How long a write that went astray may take to be merged."""
_LOOKS: Final = 5
_ELSEWHERE: Final = 0.5
_SLOW: Final = timedelta(seconds=3)

RecordKey = tuple[str, str]


class Neighbour:
    """Write alerts; `tell` is given a line for each thing it does."""

    def __init__(
        self,
        rng: Random,
        clock: SimClock,
        broker: SimBroker,
        medium: Medium,
        options: Options,
        stored: StoredContracts,
        habits: Random,
        tell: Callable[[str], None],
    ) -> None:
        """`habits` draws what it also does, so that lives without it stay as they are."""
        self._stored = stored
        self._rng = rng
        self._habits = habits
        self._clock = clock
        self._broker = broker
        self._medium = medium
        self._options = options
        self._tell = tell
        self._alerters = ALERTERS[: options.alerters]
        self._copies: list[Records] = []
        self._writing: Records | None = None
        self._cut: Records | None = None
        self._astray_since = clock.now()
        self._looks_before = 0
        self._began = clock.now()
        self._made = 0
        self.dated_at = clock.now()
        """When it last wrote the time into a record, by the right clock."""
        self.own: dict[RecordKey, dict[str, Any]] = {}
        self.taken_out: set[AlertId] = set()
        """Records that the tracker removed."""
        self._open_before: frozenset[RecordKey] = frozenset()
        """The records that it had seen open when it began to write."""
        self._away_until = clock.now()
        self._unwatched = False
        """Whether what it writes now goes into a file that a killed process had replaced."""
        self.astray = False
        """Whether its last write went into a replaced file and is not merged yet."""
        if options.absent_at_start:
            self._leave_cut_off({}, 0.0, timedelta(seconds=rng.uniform(1, 1500)))

    @property
    def busy(self) -> bool:
        """Return whether the store is not whole just now, or a write of it is yet to be merged."""
        return self._writing is not None or self._cut is not None or self.astray

    @property
    def away(self) -> bool:
        """Return whether it leaves the store cut off for now."""
        return self._cut is not None and self._clock.now() < self._away_until

    @property
    def writing(self) -> bool:
        """Return whether it has begun to write and is not done."""
        return self._writing is not None

    @property
    def slow(self) -> bool:
        """Return whether it has been writing for so long that it must go on now."""
        return self.writing and self._clock.now() - self._began > _SLOW

    def act(self) -> None:
        """Do one thing, or go on with what was begun."""
        if self._writing is not None:
            self._go_on()
        elif self.away:
            return
        elif self._cut is not None:
            what = self._write_elsewhere(self._cut) if self._habits.random() < _ELSEWHERE else ""
            self._write(self._cut, "restores the store" + what)
            self._cut = None
        elif not self.astray:
            self._begin()

    def end_write(self) -> None:
        """Go on with a write that was begun, in some seconds: no program takes minutes to rewrite a file."""
        while self.writing:
            self._clock.advance(1.5)
            self.act()

    def finish(self) -> None:
        """Leave the store whole; who writes from stale copies may do so a last time."""
        self._away_until = self._clock.now()
        while self._writing is not None or self._cut is not None:
            self.act()
        if self._options.stale and self._copies and not self.astray and self._rng.random() < 0.5:
            self._write(copy.deepcopy(self._rng.choice(self._copies)), "writes a stale copy at last")
            while self.writing:
                self.act()

    def settle(self, looks: int) -> None:
        """Look whether a write that went astray was merged; it must be, in time and a few looks after that.

        `looks` counts the times that the tracker looked at the store.
        """
        if not self.astray or (records := self._medium.records()) is None:
            return
        there = own_fields(records)
        self.let_go(there)
        # A record that the tracker opened, unseen by the other program, outlives its deletion.
        more = there.keys() - self.own.keys() - self._open_before
        kept = {key for key in more if records[key[0]][key[1]].get("open") is True}
        if {key: fields for key, fields in there.items() if key not in kept} == self.own:
            self.own = there
            self.astray = False
        else:
            late = self._clock.now() - self._astray_since >= _LATE
            if late and self._looks_before < 0:
                self._looks_before = looks
            assert not late or looks - self._looks_before < _LOOKS, "a late write was never merged"

    def lose_late_write(self) -> None:
        """Take what stands for written: the process that would have merged the rest was killed."""
        if self._writing is not None and self._medium.astray:
            # It goes on, into a file that nobody has open any longer.
            self._unwatched = True
        if self.astray and (records := self._medium.records()) is not None:
            self.own = own_fields(records)
            self.astray = False

    def let_go(self, there: Container[RecordKey]) -> None:
        """Forget the records that are not there since the tracker took them out, as its policy says."""
        for key, fields in list(self.own.items()):
            if key not in there and read_id(*key, fields) in self.taken_out:
                del self.own[key]

    def _begin(self) -> None:
        rng = self._rng
        records = self._medium.records()
        assert records is not None, "only it leaves the store cut off"
        if rng.random() < 0.3:
            self._copies = [*self._copies, copy.deepcopy(records)][-_COPIES:]
        if rng.random() < self._options.cut:
            long = rng.random() < self._options.absent
            away = timedelta(seconds=rng.uniform(100, 2500) if long else 0)
            self._leave_cut_off(records, rng.choice((0.0, 0.0, 0.5, 0.9)), away)
            return
        what = ""
        if self._copies and rng.random() < self._options.stale:
            records = copy.deepcopy(rng.choice(self._copies))
            what = "from a stale copy, "
        self._write(records, "writes " + what + self._change()(records))

    def _change(self) -> Callable[[Records], str]:
        """Choose what to change."""
        rng, options = self._rng, self._options
        if rng.random() < options.second_alerters:
            return self._second
        if rng.random() < options.respellings:
            return self._respell
        if rng.random() < options.conids:
            return self._correct_conid
        if options.conids and self._habits.random() < 0.5 and _closed_options(self._medium.records() or {}):
            return self._correct_closed_conid
        return rng.choice((self._add, self._add, self._replace, self._touch, self._delete, self._nothing))

    def write_late(self, rng: Random, contract: PaperContract, created: datetime) -> None:
        """Write a record that was created at that time, by an alerter that has none of its ticker."""
        records = self._medium.records()
        assert records is not None, "the store is whole"
        free = [one for one in self._alerters if contract.symbol not in records.get(one, {})]
        if free:
            self._write_whole(
                records, "late, " + self._put_late(records, rng.choice(free), contract, created)
            )

    def take_away(self, key: RecordKey) -> dict[str, Any]:
        """Write without a record; returns it, nothing where there is none."""
        records = self._medium.records()
        assert records is not None, "the store is whole"
        record = records.get(key[0], {}).pop(key[1], {})
        if record:
            self._write_whole(records, f"without {key[0]}/{key[1]}")
        return record

    def put_back(self, key: RecordKey, record: dict[str, Any]) -> None:
        """Write a record that was taken away, unless there is another of its name by now."""
        records = self._medium.records()
        assert records is not None, "the store is whole"
        if records.setdefault(key[0], {}).setdefault(key[1], record) is record:
            self._write_whole(records, f"{key[0]}/{key[1]} again")

    def _write_whole(self, records: Records, what: str) -> None:
        self._write(records, "writes " + what)
        while self.writing:
            self._go_on()

    def _leave_cut_off(self, records: Records, left: float, away: timedelta) -> None:
        self._cut = records
        self._away_until = self._clock.now() + away
        self._medium.cut(left)
        self._tell(f"neighbour leaves the store cut off for {away}")

    def _write(self, records: Records, what: str) -> None:
        self._tell(f"neighbour {what}")
        self._open_before = _open_in(self._medium.records() or {})
        self._writing = records
        self._began = self._clock.now()
        self._medium.write(records)
        if self._medium.written:
            self._written()

    def _go_on(self) -> None:
        self._medium.go_on()
        if self._medium.written:
            self._written()

    def _written(self) -> None:
        assert self._writing is not None
        unwatched, self._unwatched = self._unwatched, False
        records = self._medium.records() if unwatched else self._writing
        assert records is not None, "what replaced the file is whole"
        self.own = own_fields(records)
        self._writing = None
        if self._medium.astray and not unwatched:
            self._tell("neighbour's write went into a replaced file")
            self.astray = True
            self._astray_since = self._clock.now()
            self._looks_before = -1

    # Changes

    def _nothing(self, records: Records) -> str:
        return "what it has"

    def _add(self, records: Records) -> str:
        contract = self._rng.choice([one for one in self._broker.contracts if one.sec_type != "BAG"])
        return self._put(records, self._rng.choice(self._alerters), contract)

    def _second(self, records: Records) -> str:
        """Write a record of what was traded just now, by whom there is none of yet if possible."""
        traded = [
            execution.contract
            for execution in list(self._broker.executions.values())[-5:]
            if execution.contract.sec_type != "BAG"
        ]
        if not traded:
            return self._add(records)
        others = [alerter for alerter in self._alerters if alerter not in records]
        return self._put(records, self._rng.choice(others or self._alerters), self._rng.choice(traded))

    def _write_elsewhere(self, records: Records) -> str:
        """Add a record that was created before a fill of some time ago and could not be written till now."""
        traded = [one for one in self._broker.executions.values() if one.contract.sec_type != "BAG"]
        if not traded:
            return ""
        made = self._habits.choice(traded)
        alerter, ticker = self._habits.choice(self._alerters), made.contract.symbol
        if ticker in records.get(alerter, {}):
            return ""
        return ", with " + self._put_late(records, alerter, made.contract, made.time - timedelta(seconds=30))

    def _put_late(self, records: Records, alerter: str, contract: PaperContract, time: datetime) -> str:
        """Add a record that was created in that second, at a time unlike any other's."""
        self._made += 1
        self.dated_at = self._clock.now()
        # Not before the clock was set: a time of before could not be told from one of now.
        shown = max(time, self._clock.set_at) + self._clock.ahead
        created = shown.astimezone(NEW_YORK).replace(tzinfo=None, microsecond=self._made)
        ticker = contract.symbol
        details = {"ticker": ticker, "strike": None, "side": None, "expiry": None}
        record = {
            "open": False,
            "created_at": created.isoformat(timespec="microseconds"),
            "option_conids": [],
            "option_conid": None,
            "about": contract.con_id,
            "alert_details": details,
        }
        if contract.sec_type == "OPT":
            record |= {"option_conids": [contract.con_id], "option_conid": contract.con_id}
            expiry = meant_day(contract)
            details |= {
                "strike": str(contract.strike),
                "side": contract.right,
                "expiry": f"{expiry[4:6]}/{expiry[6:]}/{expiry[:4]}",
            }
        records.setdefault(alerter, {})[ticker] = record
        return f"{alerter}/{ticker} of {contract.local_symbol}, created at {created:%H:%M:%S}"

    def _put(self, records: Records, alerter: str, contract: PaperContract) -> str:
        rng = self._rng
        ticker = contract.symbol
        if rng.random() < self._options.respellings:
            alerter = rng.choice(spellings.alerters(alerter))
            ticker = rng.choice(spellings.tickers(contract))
        records.setdefault(alerter, {})[ticker] = self._record(contract, alerter, ticker)
        return f"a record {alerter}/{ticker} of {contract.local_symbol}"

    def _replace(self, records: Records) -> str:
        key = self._any(records)
        if key is None:
            return self._add(records)
        alerter, ticker = key
        before = records[alerter][ticker]
        was = self._broker.contract(before["about"])
        alike = [one for one in self._broker.contracts if one.symbol == was.symbol and one.sec_type != "BAG"]
        contract = was if self._rng.random() < 0.6 else self._rng.choice(alike)
        if self._rng.random() < self._options.respellings:
            del records[alerter][ticker]
            return "anew " + self._put(records, alerter, contract)
        # Some writers keep what they do not know, so what the tracker showed of the former record too.
        names = ("open", "position") if self._rng.random() < 0.2 else ()
        kept = {name: before[name] for name in names if name in before}
        records[alerter][ticker] = self._record(contract, alerter, ticker) | kept
        return f"{alerter}/{ticker} anew, of {contract.local_symbol}{', with what it showed' * bool(kept)}"

    def _respell(self, records: Records) -> str:
        """Move a record to another spelling of its alerter or ticker."""
        key = self._any(records)
        if key is None:
            return self._add(records)
        record = records[key[0]].pop(key[1])
        alerter = self._rng.choice(spellings.alerters(key[0]))
        ticker = self._rng.choice(spellings.tickers(self._broker.contract(record["about"])))
        records.setdefault(alerter, {})[ticker] = record
        return f"{key[0]}/{key[1]} as {alerter}/{ticker}"

    def _correct_conid(self, records: Records) -> str:
        """Add a conid, correct it or take it away, in a record that stands."""
        key = self._any(records)
        return self._add(records) if key is None else self._put_conid(records, key, self._rng)

    def _correct_closed_conid(self, records: Records) -> str:
        """Do so with the record of an option that was closed, if there is one."""
        closed = _closed_options(records)
        return (
            self._put_conid(records, self._habits.choice(closed), self._habits) if closed else "what it has"
        )

    def _put_conid(self, records: Records, key: RecordKey, rng: Random) -> str:
        record = records[key[0]][key[1]]
        contract = self._broker.contract(record["about"])
        if contract.sec_type != "OPT":
            return "what it has"
        con_id = rng.choice((contract.con_id, contract.con_id, contract.con_id + 7, None))
        record["option_conid"], record["option_conids"] = con_id, [] if con_id is None else [con_id]
        return f"conid {con_id} into {key[0]}/{key[1]}"

    def _touch(self, records: Records) -> str:
        key = self._any(records)
        if key is None:
            return "nothing"
        records[key[0]][key[1]]["note"] = self._rng.randint(0, 10**6)
        return f"a note into {key[0]}/{key[1]}"

    def _delete(self, records: Records) -> str:
        key = self._any(records)
        if key is None:
            return "nothing"
        del records[key[0]][key[1]]
        return f"without {key[0]}/{key[1]}"

    def _any(self, records: Records) -> RecordKey | None:
        keys = [(alerter, ticker) for alerter, tickers in records.items() for ticker in tickers]
        return self._rng.choice(keys) if keys else None

    def _record(self, contract: PaperContract, alerter: str, ticker: str) -> dict[str, Any]:
        rng = self._rng
        record: dict[str, Any] = {
            "open": rng.random() < 0.1,
            "created_at": self._created(),
            "option_conids": [],
            "option_conid": None,
            "about": contract.con_id,
            "alert_details": {"ticker": ticker, "strike": None, "side": None, "expiry": None},
        }
        if contract.sec_type != "OPT":
            return record
        if rng.random() < 0.6:
            record["option_conids"], record["option_conid"] = [contract.con_id], contract.con_id
        expiry = meant_day(contract)
        month = datetime.strptime(expiry, "%Y%m%d").strftime("%b%y").upper()
        record["alert_details"] |= {
            "strike": str(contract.strike),
            "side": contract.right,
            "expiry": rng.choice(
                (expiry[4:], f"{expiry[4:6]}/{expiry[6:]}", f"{expiry[4:6]}/{expiry[6:]}/{expiry[:4]}")
            ),
        }
        if rng.random() < 0.1:
            record["alert_details"]["expiry"] = rng.choice((None, month))
        if self._stored.lacks_expiry(alerter, contract):
            record["alert_details"]["expiry"] = None
            record["option_conids"], record["option_conid"] = [], None
        return record

    def _created(self) -> str | None:
        """Return the time of now, unlike any other, or what careless writers make of it."""
        self._made += 1
        self.dated_at = self._clock.now()
        rng = self._rng
        moment = self._clock.host().astimezone(NEW_YORK).replace(microsecond=self._made)
        if rng.random() >= self._options.odd_creations:
            return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
        earlier = moment - timedelta(seconds=rng.choice((5, 60, 110, 5000)))
        return rng.choice(
            (
                moment.isoformat(timespec="microseconds"),
                earlier.replace(tzinfo=None).isoformat(timespec="microseconds"),
                earlier.replace(tzinfo=None).isoformat(timespec="microseconds"),
                moment.strftime("%Y-%m-%dT%H:%M"),
                None,
            )
        )


def _open_in(records: Records) -> frozenset[RecordKey]:
    return frozenset(
        (alerter, ticker)
        for alerter, tickers in records.items()
        for ticker, record in tickers.items()
        if record.get("open") is True
    )


def _closed_options(records: Records) -> list[RecordKey]:
    """Return the records of options that show a position which was closed."""
    return [
        (alerter, ticker)
        for alerter, tickers in records.items()
        for ticker, record in tickers.items()
        if (position := record.get("position")) and position["closed_at"] and record["alert_details"]["side"]
    ]
