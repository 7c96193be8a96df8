"""A tracker's side of the shared store: its seat and fence, its deadlines, and what a cut leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.support.cutting_proxy import CuttingProxy
from tests.support.postgres import PASSWORD, Database
from tests.support.project import PROJECT
from tests.support.shared_rig import SharedRig, put_alert
from tests.support.store_cases import id_of, record, removal, some_records, update
from tests.support.waiting import until
from tracker.core.model import Outcome, StoreUnavailable
from tracker.core.ports import StoreMisconfigured, StoreRefused
from tracker.stores.lock import Locked
from tracker.stores.shared import SharedAlerts
from tracker.stores.shared_connection import place_of
from tracker.stores.shared_seat import Fenced

EVERY_BYTE = "SHARED_WHOLE" in os.environ
"""Whether a write is cut at each of its bytes, which takes minutes, or at every fourth."""

NVDA_ID = id_of(some_records(), "robindahood-alerts", "NVDA")
TSLA_ID = id_of(some_records(), "robindahood-alerts", "TSLA")
SPX_ID = id_of(some_records(), "demslayer", "SPX")


@pytest.fixture
def rig(database: Database) -> Iterator[SharedRig]:
    with SharedRig(database) as rig:
        yield rig


@pytest.fixture
def proxy(database: Database) -> Iterator[CuttingProxy]:
    with CuttingProxy(database.server.port) as proxy:
        yield proxy


def readable(store: SharedAlerts) -> bool:
    try:
        store.refresh()
    except StoreUnavailable:
        return False
    return True


def quantities(rig: SharedRig) -> dict[str, object]:
    """Return seat -> quantity of NVDA."""
    return {
        seat: position and position["quantity"]
        for ticker, seat, _, _, position in rig.parts()
        if ticker == "NVDA"
    }


# The seat.


def test_same_journal_takes_its_seat_at_once(rig: SharedRig) -> None:
    """After a crash nothing is waited for; the epoch goes up, so what the dead one left behind is fenced."""
    journal = str(uuid4())
    first, second = rig.store(journal=journal), rig.store(journal=journal)
    with first.hold("first"):
        assert first.figures["epoch"] == 1
    with second.hold("second"):
        assert second.figures["epoch"] == 2


def test_older_copy_leaves_the_seat_to_a_running_one(rig: SharedRig) -> None:
    """The box that was replaced comes back, under a service manager that starts it again and again.

    Its journal is older than what its successor wrote. Once that one was gone for a minute, it may go on.
    """
    journal = str(uuid4())
    kept: list[int] = []
    rig.store(journal=journal, host="attic", remember=kept.append).hold("first")
    rig.store(journal=journal, host="cellar", known_epoch=1).hold("its successor")
    assert kept == [1]
    with pytest.raises(
        Fenced, match=r"the tracker on cellar has taken the seat left .* whose journal is older"
    ):
        rig.store(journal=journal, host="attic", known_epoch=1).hold("the first one, come back")
    assert rig.database.rows("SELECT host, epoch FROM tracker.seat") == [("cellar", 2)]
    with rig.database.connect() as connection:
        connection.execute("UPDATE tracker.seat SET seen_at = seen_at - interval '61 s'")
    rig.store(journal=journal, host="attic", known_epoch=1).hold("the first one, later")
    assert rig.database.rows("SELECT host, epoch FROM tracker.seat") == [("attic", 3)]


@pytest.mark.parametrize(("host", "known"), [("attic", 1), ("cellar", 2), ("cellar", 0), ("cellar", 7)])
def test_seat_is_taken_at_once(rig: SharedRig, host: str, known: int) -> None:
    """After a kill before the epoch was kept; by the last journal; by one without; after a lost epoch."""
    journal = str(uuid4())
    for _ in range(2):
        rig.store(journal=journal, host="attic").hold("before")
    rig.store(journal=journal, host=host, known_epoch=known).hold("now")
    assert rig.database.rows("SELECT host FROM tracker.seat") == [(host,)]


def test_seat_of_another_journal_is_refused(rig: SharedRig) -> None:
    with rig.store(host="attic").hold("first"):
        second = rig.store()
        with pytest.raises(
            Locked, match=r"seat left of PostgreSQL .* is taken by the tracker on attic, last seen"
        ):
            second.hold("second")
    assert rig.database.rows("SELECT host, epoch FROM tracker.seat") == [("attic", 1)]


def test_fenced_tracker_writes_nothing(rig: SharedRig) -> None:
    """A copy of the journal, started elsewhere, takes the seat; the first one decided otherwise, and ends.

    Neither what its successor wrote is changed, nor what that one has not touched.
    """
    journal = str(uuid4())
    rig.put(some_records())
    loser = rig.store(journal=journal, host="attic", poll_seconds=3600)
    winner = rig.store(journal=journal, host="cellar", poll_seconds=3600)
    loser.hold("loser")
    assert list(loser.apply([update(TSLA_ID)])) == [Outcome.APPLIED]
    winner.hold("winner")
    winner.apply([update(NVDA_ID, 10)])
    before = rig.parts()
    words = "the tracker on cellar has taken the seat left with a copy of this journal"
    for _ in range(2):
        with pytest.raises(Fenced, match=words):
            loser.apply([update(NVDA_ID, 4), update(SPX_ID, 4)])
    with pytest.raises(Fenced):
        loser.keep()
    with pytest.raises(Fenced):
        loser.refresh()
    assert rig.parts() == before


def test_beat_finds_the_fence_without_a_fill(rig: SharedRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that has nothing to write learns of its successor too."""
    monkeypatch.setattr("tracker.stores.shared._BEAT_SECONDS", 0.05)
    journal = str(uuid4())
    loser = rig.store(journal=journal)
    hold = loser.hold("loser")
    rig.store(journal=journal, host="cellar").hold("winner")

    def fenced() -> bool:
        try:
            hold.keep()
        except Fenced:
            return True
        return False

    until(fenced)


def test_freed_seat_ends_who_had_it(rig: SharedRig) -> None:
    """`tracker store free` on a tracker that still runs: it ends, and says why."""
    rig.put(some_records())
    store = rig.store(poll_seconds=3600)
    store.hold("first")
    with rig.database.connect() as connection:
        connection.execute("UPDATE tracker.seat SET journal = NULL, host = ''")
    with pytest.raises(Fenced, match=r"the seat left was freed .* start it again to take the seat"):
        store.apply([update(NVDA_ID)])
    assert quantities(rig) == {}


def test_forgotten_epoch_is_taken_again(rig: SharedRig) -> None:
    """A failover that lost the last epoch, or the seat itself, ends nobody."""
    rig.put(some_records())
    store = rig.store(poll_seconds=3600)
    store.hold("first")
    with rig.database.connect() as connection:
        connection.execute("UPDATE tracker.seat SET epoch = 0")
    assert list(store.apply([update(NVDA_ID, 4)])) == [Outcome.APPLIED]
    with rig.database.connect() as connection:
        connection.execute("DELETE FROM tracker.part")
        connection.execute("DELETE FROM tracker.seat")
    assert list(store.apply([update(NVDA_ID, 10)])) == [Outcome.APPLIED]
    assert quantities(rig) == {"left": 10}
    assert rig.database.rows("SELECT epoch FROM tracker.seat") == [(3,)]


def test_zone_of_all_trackers_is_one(rig: SharedRig) -> None:
    store = rig.store()
    with rig.database.connect() as connection:
        connection.execute("UPDATE tracker.meta SET zone = 'Asia/Tokyo'")
    with pytest.raises(StoreMisconfigured, match=r"stores\.timezone is UTC here and Asia/Tokyo"):
        store.hold("first")


# Accounts.


def test_account_counts_in_one_seat(rig: SharedRig) -> None:
    """The second login with an account learns whose it is, before it, or by its first write."""
    rig.put(some_records())
    left, late, early = rig.store("left", host="attic"), rig.store("late"), rig.store("early")
    for store in (left, late):
        store.hold(store.name)
    assert left.vet(["DU1", "DU2"]) is None
    assert late.vet(["DU2", "DU3"]) is None
    left.apply([update(NVDA_ID)])
    with pytest.raises(Fenced, match=r"account DU2 is counted by the tracker on attic \(seat left\)"):
        late.apply([update(NVDA_ID)])
    early.hold("early")
    reason = early.vet(["DU2"])
    assert reason is not None
    assert "account DU2 is counted by the tracker on attic (seat left)" in reason
    assert early.vet(["DU3"]) is None
    assert quantities(rig) == {"left": 4}


# A server that is away.


def test_frozen_server_is_given_up_in_time(rig: SharedRig) -> None:
    """Frozen with its sockets open: a write ends within 6 s, questions are answered throughout."""
    rig.put(some_records())
    store = rig.store()
    store.hold("first")
    store.apply([update(TSLA_ID)])
    with rig.database.server.frozen():
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"did not answer within \d s"):
            store.apply([update(NVDA_ID)])
        assert time.monotonic() - begun < 6
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.apply([update(NVDA_ID)])
        assert time.monotonic() - begun < 6
        until(lambda: not readable(store))
        assert len(store.alerts()) == 3
    until(lambda: readable(store))
    assert list(store.apply([update(NVDA_ID, 10)])) == [Outcome.APPLIED]
    assert store.trouble is None
    assert quantities(rig) == {"left": 10}


def test_call_given_up_changes_nothing_later(rig: SharedRig) -> None:
    """What a frozen server got still runs once it goes on; its successor's word stands."""
    rig.put(some_records())
    store = rig.store(poll_seconds=3600)
    store.hold("first")
    store.apply([update(TSLA_ID)])
    with rig.database.connect() as holder, holder.transaction():
        holder.execute("LOCK tracker.part")
        with pytest.raises(StoreUnavailable):
            store.apply([update(NVDA_ID, 4)])
    assert list(store.apply([update(NVDA_ID, 10)])) == [Outcome.APPLIED]
    assert quantities(rig) == {"left": 10}


def test_silent_network_is_given_up_in_time(rig: SharedRig, proxy: CuttingProxy) -> None:
    """A write ends within 6 s, and no question waits for the network meanwhile."""
    rig.put(some_records())
    store = rig.store(port=proxy.port)
    store.hold("first")
    store.apply([update(TSLA_ID)])
    proxy.go_silent()
    begun, longest = time.monotonic(), 0.0
    with ThreadPoolExecutor(1) as worker:
        writing = worker.submit(store.apply, [update(NVDA_ID)])
        while not writing.done():
            asked = time.monotonic()
            readable(store)
            store.unchanged()
            store.alerts()
            store.shown(NVDA_ID)
            store.vet(["DU1"])
            longest = max(longest, time.monotonic() - asked)
            time.sleep(0.01)
        with pytest.raises(StoreUnavailable):
            writing.result()
    assert time.monotonic() - begun < 6
    assert longest < 0.5
    proxy.go_on()
    until(lambda: readable(store))
    store.apply([update(NVDA_ID)])
    assert quantities(rig) == {"left": 4}


def test_start_while_the_server_is_away(rig: SharedRig, proxy: CuttingProxy) -> None:
    """Nothing is known until the first good read; seat and alerts come with the server."""
    rig.put(some_records())
    proxy.refuse()
    store = rig.store(port=proxy.port)
    store.hold("first")
    store.check()
    with pytest.raises(StoreUnavailable):
        store.refresh()
    assert not store.unchanged()
    proxy.go_on()
    until(lambda: readable(store))
    assert len(store.alerts()) == 3
    assert store.unchanged()


def test_write_cut_at_every_byte_ends_as_decided(rig: SharedRig, proxy: CuttingProxy) -> None:
    """Wherever the exchange is cut, both ways, the part is what was decided last."""
    rig.put(some_records())
    store = rig.store(port=proxy.port, poll_seconds=3600)
    store.hold("first")
    exchange = 3000
    for quantity in (1, 2, 3, 2):  # The shortest counts: the other connection may read or beat meanwhile.
        before = proxy.passed
        store.apply([update(NVDA_ID, quantity)])
        exchange = min(exchange, proxy.passed - before)
    assert exchange > 200
    counts = range(1, exchange + 1, 1 if EVERY_BYTE else 4)
    for count in counts:
        proxy.cut_after(count)
        quantity = 3 + count
        for _ in range(3):
            try:
                store.apply([update(NVDA_ID, quantity)])
                break
            except StoreUnavailable:
                continue
        assert quantities(rig) == {"left": quantity}, count
    assert proxy.cuts >= len(counts)


def test_lost_parts_are_seen_after_a_reconnect(rig: SharedRig) -> None:
    rig.put(some_records())
    store = rig.store()
    store.hold("first")
    store.apply([update(NVDA_ID)])
    rig.lose_parts()

    def forgotten() -> bool:
        readable(store)
        shown = store.shown(NVDA_ID)
        return shown is not None and not shown.open

    until(forgotten)
    assert list(store.apply([update(NVDA_ID)])) == [Outcome.APPLIED]


def test_lost_parts_are_seen_behind_a_pooler(rig: SharedRig) -> None:
    """Where a pooler hides the failover, another server shows by its start: no reconnect is needed."""
    rig.put(some_records())
    store = rig.store(poll_seconds=3600)
    store.hold("first")
    store.apply([update(NVDA_ID)])
    with rig.database.connect() as connection:
        connection.execute("DELETE FROM tracker.part")
    store._mark = f"{store._mark.split()[0]} 1"
    store._look()
    shown = store.shown(NVDA_ID)
    assert shown is not None
    assert not shown.open


# Records.


def test_new_records_come_with_the_next_poll(rig: SharedRig) -> None:
    store = rig.store()
    store.hold("first")
    assert list(store.alerts()) == []
    rig.put(some_records())
    until(lambda: readable(store) and len(store.alerts()) == 3)
    rig.put({"robindahood-alerts": {"NVDA": record()}})
    until(lambda: readable(store) and [alert.id for alert in store.alerts()] == [NVDA_ID])


def test_gone_record_is_out_on_return(rig: SharedRig) -> None:
    """Also before the next poll: else the pump would decide on it again at once."""
    rig.put(some_records())
    store = rig.store(poll_seconds=3600)
    store.hold("first")
    readable(store)
    rig.put({"robindahood-alerts": {"TSLA": record("TSLA", 700100300)}})
    assert list(store.apply([update(NVDA_ID), update(TSLA_ID)])) == [Outcome.GONE, Outcome.APPLIED]
    assert NVDA_ID not in {alert.id for alert in store.alerts()}
    assert store.refresh() is True


def test_removed_record_is_taken_back(rig: SharedRig) -> None:
    rig.put(some_records())
    store = rig.store()
    store.hold("first")
    store.apply([update(NVDA_ID, 0, open=False), removal(NVDA_ID)])
    assert "NVDA" not in rig.records()["robindahood-alerts"]
    assert store.record(NVDA_ID) is None
    assert store.restore(NVDA_ID, "{}") is True
    assert rig.records()["robindahood-alerts"]["NVDA"]["position"]["quantity"] == 0
    assert store.record(NVDA_ID) is not None
    assert store.restore(NVDA_ID, "{}") is False


def test_hints_complete_an_alert(rig: SharedRig) -> None:
    """What the read-only stores of the source box know of a contract fills in what the record lacks."""
    without = record(con_id=None)
    del without["alert_details"]["expiry"]
    hints = (
        '[{"alerter": "robindahood-alerts", "symbol": "NVDA", "right": "C", "strike": "122.5",'
        ' "expiry": {"kind": "none"}, "con_id": 42}]'
    )
    with rig.database.connect() as connection:
        put_alert(connection, NVDA_ID._replace(option_conid=None), without, hints=hints)
        put_alert(connection, TSLA_ID, record("TSLA", 700100300), hints='[{"alerter": 1}]')
    store = rig.store()
    store.refresh()
    assert {alert.id.ticker: set(alert.con_ids) for alert in store.alerts()} == {
        "NVDA": {42},
        "TSLA": {700100300},
    }


def test_record_with_an_impossible_conid_is_not_used(rig: SharedRig) -> None:
    """Its updates would never find the row, and be written again without end."""
    rig.put(some_records())
    with rig.database.connect() as connection:
        connection.execute("UPDATE tracker.alert SET option_conid = -5 WHERE ticker = 'NVDA'")
    store = rig.store()
    store.refresh()
    assert {alert.id.ticker for alert in store.alerts()} == {"SPX", "TSLA"}


# What is said.


def test_missing_schema_is_refused_at_start(database: Database) -> None:
    with SharedRig(database) as rig:
        store = rig.store()
        with database.connect() as connection:
            connection.execute("DROP SCHEMA tracker CASCADE")
        store.hold("first")
        with pytest.raises(StoreRefused, match="run `tracker store create` as the owner of the database"):
            store.check()


def test_missing_rights_are_refused_at_start(rig: SharedRig) -> None:
    store = rig.store(url=rig.database.url_of("tracker_reader"))
    store.hold("first")
    with pytest.raises(StoreRefused, match="give this user the role tracker_seat"):
        store.check()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((PASSWORD, "not-it"), "password authentication failed .* correct the user or its password"),
        (("/test_", "/nowhere_"), "does not exist; make the database"),
    ],
)
def test_login_that_fails_never_shows_the_password(
    rig: SharedRig, change: tuple[str, str], expected: str
) -> None:
    store = rig.store(url=rig.database.url_of("tracker_seat").replace(*change))
    store.hold("first")
    with pytest.raises(StoreRefused, match=expected) as refused:
        store.check()
    assert PASSWORD not in str(refused.value)
    assert "not-it" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:secret@db.example.com:5433/alerts", "PostgreSQL db.example.com:5433/alerts"),
        ("host=db.example.com password=secret", "PostgreSQL db.example.com"),
        ("service=alerts", "the PostgreSQL service alerts"),
    ],
)
def test_place_shows_no_secret(url: str, expected: str) -> None:
    assert place_of(url) == expected


@pytest.mark.parametrize("url", ["postgresql://me:s%ecret@host/x", "secret", "postgresql://me:secret@[::1/x"])
def test_unreadable_address_is_not_repeated(url: str) -> None:
    with pytest.raises(StoreRefused, match=r"shared\.url is not an address") as refused:
        place_of(url)
    assert "ecret" not in str(refused.value)


def test_psycopg_is_not_imported_without_url() -> None:
    """Whoever keeps alerts.json needs no driver, and does not pay for loading it."""
    program = (
        "import sys, tracker.cli.main, tracker.cli.offline, tracker.daemon.run, tracker.doctor.examine,"
        " tracker.wiring as wiring\n"
        "from tracker.config.settings import Settings\n"
        "settings = Settings()\n"
        "wiring.alert_stores(settings, wiring.names_of(settings))\n"
        "assert 'psycopg' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
