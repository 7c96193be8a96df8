"""Figures of the shared store, each beside its floor on the same server in the same run.

Owns the rows of several trackers on one set of alerts. The server is made for them, with fsync on, among the
temporary files; the journals are in the measured folder.
"""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import psycopg

from benchmark import streams
from benchmark.beside import alternate_with_floor, asking, single_fills, wait_until_due
from benchmark.figures import Figure, percentile
from benchmark.floor import OneCommit
from benchmark.place import Place
from benchmark.processes import Gateway, Tracker, running
from benchmark.streams import Plan
from tests.support.cutting_proxy import CuttingProxy
from tests.support.postgres import Database, Server
from tests.support.shared_rig import SharedRig, put_alert
from tests.support.store_cases import update
from tests.support.waiting import until
from tracker.clock import now
from tracker.core.model import AlertId, StoreUnavailable
from tracker.stores.shared import SharedAlerts

_FEW_SEATS: Final = 10
_WRITERS: Final = 8
"""Connections that write at once."""
_CROWDS_FILLS: Final = 100
"""A second, of all trackers together."""
_FROZEN_FILLS: Final = 20
"""A second, of one tracker."""
_DELIVERED_SECONDS: Final = 60.0
_ALERTER: Final = "robindahood-alerts"
_CREATED_AT: Final = "2025-11-18T15:42:07"


def shared(place: Place) -> Iterator[Figure]:
    """Measure all of it on one server."""
    with Server(fsync="on", full_page_writes="on", max_connections="300") as server:
        yield from _latency(place, server)
        yield from _frozen(place, server)
        yield _hot_alert(place, server)
        yield _poll(place, server)
        yield _crowd(place, server)
        yield from _costs(place, server)


# One tracker with its gateway.


@contextmanager
def _tracked(place: Place, server: Server) -> Iterator[tuple[Path, Gateway, Tracker, Database]]:
    """Start a gateway and a tracker on a store of its own."""
    alerts = place.sizes.alerts
    with ExitStack() as stack:
        database = stack.enter_context(server.database())
        rig = stack.enter_context(SharedRig(database))
        rig.put(streams.alerts(alerts, now() - timedelta(minutes=1)))
        folder = stack.enter_context(place.folder())
        gateway = Gateway(folder / "gateway.log")
        stack.enter_context(running(gateway))
        url = database.url_of("tracker_seat")
        tracker = Tracker(folder, gateway.port, "--shared.url", url, "--shared.seat", "bench")
        stack.enter_context(running(tracker))
        tracker.hear("ready")
        yield folder, gateway, tracker, database


def _latency(place: Place, server: Server) -> Iterator[Figure]:
    ours: list[float] = []
    floor: list[float] = []
    with (
        _tracked(place, server) as (folder, gateway, tracker, database),
        closing(OneCommit(folder, streams.one_frame())) as commit,
        _one_row(database) as one_update,
    ):
        single = single_fills(gateway, tracker, place.sizes.alerts)
        single()

        def both() -> float:
            return commit.once() + one_update()

        for took, least in alternate_with_floor(single, both, place.sizes.latencies):
            ours.append(took)
            floor.append(least)
    for part, name, target in ((0.5, "p50", 2.0), (0.99, "p99", 3.0)):
        mine, least = percentile(ours, part), percentile(floor, part)
        yield Figure(
            f"shared_{name}",
            f"shared store: packet received to part committed, {name}",
            "floor: one journal commit and one one-row UPDATE",
            "ms",
            mine * 1e3,
            least * 1e3,
            mine / least,
            "x",
            target,
            repeats=len(ours),
        )


@contextmanager
def _one_row(database: Database) -> Iterator[Callable[[], float]]:
    """Give a function that updates one row durably and returns the seconds."""
    with database.connect() as connection:
        connection.execute("CREATE TABLE floor (id int PRIMARY KEY, value text) WITH (fillfactor = 50)")
        connection.execute("INSERT INTO floor VALUES (1, '')")

        def once() -> float:
            began = time.perf_counter()
            connection.execute("UPDATE floor SET value = clock_timestamp()::text WHERE id = 1")
            return time.perf_counter() - began

        once()
        yield once


def _frozen(place: Place, server: Server) -> Iterator[Figure]:
    """Measure a tracker under fills while its server is stopped with its sockets open, and before that."""
    seconds = place.sizes.frozen_seconds
    answers: tuple[list[float], list[float]] = ([], [])
    appends: list[list[float]] = []
    with _tracked(place, server) as (_, gateway, tracker, database):
        first = 0
        for is_frozen, took in enumerate(answers):
            tracker.appends()
            with ExitStack() as stack:
                stack.enter_context(asking(tracker, took))
                if is_frozen:
                    stack.enter_context(server.frozen())
                first = _fill_steadily(gateway, seconds, first, place.sizes.alerts)
            appends.append(tracker.appends())
        began = time.perf_counter()
        until(lambda: _quantity(database) == first, _DELIVERED_SECONDS)
        delivered = time.perf_counter() - began
    p99s = [percentile(each, 0.99) for each in appends]
    for key, words, mine, peace in (
        ("status", "slowest answer to `status`", max(answers[1]), max(answers[0])),
        ("append", "p99 of journalling a packet", p99s[1], p99s[0]),
    ):
        yield Figure(
            f"shared_frozen_{key}",
            f"shared store: {words} while its server is frozen for {seconds:g} s, {_FROZEN_FILLS} fills/s",
            "before that",
            "ms",
            mine * 1e3,
            peace * 1e3,
            mine / peace,
            "x",
            repeats=len(answers[1]),
            more={"delivered_s": delivered},
        )


def _fill_steadily(gateway: Gateway, seconds: float, first: int, alerts: int) -> int:
    """Send fills at an even rate, numbered from `first`; returns the next number."""
    began = time.perf_counter()
    for number in range(round(seconds * _FROZEN_FILLS)):
        gateway.prepare("steady", Plan(1, 1, alerts, first=first, alone=True))
        wait_until_due(began + number / _FROZEN_FILLS)
        gateway.send("steady")
        first += 1
    return first


def _quantity(database: Database) -> int:
    ((found,),) = database.rows("SELECT coalesce(sum(quantity), 0) FROM tracker.part")
    return int(found)


# Stores without gateways.


def _alert(number: int) -> AlertId:
    return AlertId(_ALERTER, streams.ticker(number), _CREATED_AT, None)


def _put(database: Database, count: int) -> None:
    """Put so many records without a conid."""
    with database.connect() as connection:
        for number in range(count):
            put_alert(connection, _alert(number), {"open": False, "created_at": _CREATED_AT})
        # The server would do it by itself, at some time.
        connection.execute("VACUUM ANALYZE")


class _Seat(NamedTuple):
    name: str
    journal: str
    epoch: int


def _hot_alert(place: Place, server: Server) -> Figure:
    """Measure writes of one alert that many seats follow, and few."""
    rates: dict[int, list[float]] = {}
    many = place.sizes.seats
    with server.database() as database, SharedRig(database):
        _put(database, 1)
        url = database.url_of("tracker_seat")
        with database.connect() as connection:
            seats = [_sit(connection, f"seat-{number}") for number in range(many)]
            for seat in seats:
                _write(connection, seat, 1)
            connection.execute("VACUUM ANALYZE")
        for repeat in range(place.sizes.repeats):
            for count in (many, _FEW_SEATS)[:: 1 if repeat % 2 else -1]:
                rates.setdefault(count, []).append(_rate(url, seats[:count], place.sizes.shared_seconds))
    ours, baseline = statistics.median(rates[many]), statistics.median(rates[_FEW_SEATS])
    return Figure(
        "shared_seats",
        f"shared store: writes of one alert with {many:,} seats",
        f"with {_FEW_SEATS}",
        "writes/s",
        ours,
        baseline,
        ours / baseline,
        "x",
        0.8,
        at_least=True,
        repeats=place.sizes.repeats,
    )


def _sit(connection: psycopg.Connection[Any], name: str) -> _Seat:
    journal = str(uuid4())
    row = connection.execute(
        "SELECT epoch FROM tracker.take_seat(%s, %s, 'bench')", (name, journal)
    ).fetchone()
    assert row is not None
    return _Seat(name, journal, row[0])


def _write(connection: psycopg.Connection[Any], seat: _Seat, seq: int) -> None:
    fields = {
        **_alert(0)._asdict(),
        "open": True,
        "removed": False,
        "last_order_update": {"filled_qty": seq, "updated_at": "2025-11-18T15:42:08.000000+00:00"},
        "position": {"quantity": seq, "avg_price": 2.5},
    }
    connection.execute(
        "SELECT * FROM tracker.write_parts(%s, %s, %s, %s, %s)",
        (*seat, seq, json.dumps([fields])),
        prepare=False,
    )


def _rate(url: str, seats: Sequence[_Seat], seconds: float) -> float:
    """Return how many parts a second are written; as in use, no seat is written by two at once."""
    ends = time.perf_counter() + seconds

    def write(mine: Sequence[_Seat]) -> int:
        count = 0
        with psycopg.connect(url, autocommit=True) as connection:
            while time.perf_counter() < ends:
                count += 1
                _write(connection, random.choice(mine), count + 1)
        return count

    began = time.perf_counter()
    with ThreadPoolExecutor(_WRITERS) as threads:
        counts = list(threads.map(write, [seats[place::_WRITERS] for place in range(_WRITERS)]))
    return sum(counts) / (time.perf_counter() - began)


def _poll(place: Place, server: Server) -> Figure:
    """Measure a poll that finds nothing new."""
    alerts = place.sizes.shared_alerts
    ours: list[float] = []
    floor: list[float] = []
    with server.database() as database, SharedRig(database) as rig:
        _put(database, alerts)
        store = rig.store()
        store.refresh()
        with psycopg.connect(database.url_of("tracker_seat"), autocommit=True) as connection:
            for _ in range(place.sizes.latencies):
                ours.append(_timed(store.refresh))
                floor.append(_timed(lambda: connection.execute("SELECT 1", prepare=False).fetchall()))
    mine, least = statistics.median(ours), statistics.median(floor)
    return Figure(
        "shared_poll",
        f"shared store: poll of {alerts:,} unchanged alerts, p50",
        "SELECT 1",
        "ms",
        mine * 1e3,
        least * 1e3,
        mine / least,
        "x",
        3.0,
        repeats=len(ours),
    )


def _timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _crowd(place: Place, server: Server) -> Figure:
    """Measure many stores that write at once, from when a fill is due; they have no gateway and no journal.

    Each reads and beats as a tracker's does, with two connections; all are in one process, since this machine
    cannot be relied on to hold so many.
    """
    count, seconds = place.sizes.crowd, place.sizes.crowd_seconds
    with server.database() as database, SharedRig(database) as rig:
        _put(database, place.sizes.alerts)
        stores = [rig.store(f"seat-{number}", poll_seconds=1) for number in range(count)]
        for store in stores:
            store.hold("bench")
        for number, store in enumerate(stores):
            until(partial(_knows, store), _DELIVERED_SECONDS)
            store.apply([update(_alert(number % place.sizes.alerts), 1)])
        due = sorted(random.uniform(0, seconds) for _ in range(round(seconds * _CROWDS_FILLS)))
        turns: list[list[float]] = [due[place::count] for place in range(count)]
        began = time.perf_counter() + 0.5
        took: list[float] = []

        def fill(number: int) -> None:
            alert = _alert(number % place.sizes.alerts)
            for quantity, moment in enumerate(turns[number], 2):
                wait_until_due(began + moment)
                stores[number].apply([update(alert, quantity)])
                took.append(time.perf_counter() - began - moment)

        threads = [threading.Thread(target=fill, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(took) == len(due), "a store gave up"
        with _one_row(database) as one_update:
            least = percentile([one_update() for _ in range(place.sizes.latencies)], 0.99)
    mine = percentile(took, 0.99)
    return Figure(
        "shared_crowd",
        f"shared store: {count} stores in one process, {_CROWDS_FILLS} fills/s for {seconds:g} s, p99 until"
        " committed",
        "p99 of a one-row UPDATE in peace; a target would be 250 ms",
        "ms",
        mine * 1e3,
        least * 1e3,
        mine / least,
        "x",
        repeats=len(took),
        more={"p50_ms": statistics.median(took) * 1e3},
    )


def _knows(store: SharedAlerts) -> bool:
    try:
        store.refresh()
    except StoreUnavailable:
        return False
    return bool(store.alerts())


def _costs(place: Place, server: Server) -> Iterator[Figure]:
    """Measure what a fill costs on the network and in the server's log, beside a one-row UPDATE."""
    fills, alerts = place.sizes.latencies, place.sizes.alerts
    with (
        server.database() as database,
        SharedRig(database) as rig,
        CuttingProxy(server.port) as proxy,
        database.connect() as owner,
    ):
        _put(database, alerts)
        store = rig.store(port=proxy.port, poll_seconds=3600)
        store.hold("bench")
        store.apply([update(_alert(number), 1) for number in range(alerts)])
        sent, logged = proxy.passed, _logged(owner)
        for number in range(fills):
            store.apply([update(_alert(number % alerts), 2 + number)])
        sent, logged = proxy.passed - sent, _logged(owner) - logged
        with _one_row(database):
            url = server.url(database.name, port=proxy.port)
            with psycopg.connect(url, autocommit=True) as plain:
                plain_sent, plain_logged = proxy.passed, _logged(owner)
                for _ in range(fills):
                    plain.execute("UPDATE floor SET value = clock_timestamp()::text WHERE id = 1")
                plain_sent, plain_logged = proxy.passed - plain_sent, _logged(owner) - plain_logged
    for key, words, mine, least in (
        ("bytes", "bytes on the network for a fill", sent, plain_sent),
        ("wal", "bytes in the server's log (WAL) for a fill", logged, plain_logged),
    ):
        yield Figure(
            f"shared_{key}",
            f"shared store: {words}",
            "one-row UPDATE",
            "bytes",
            mine / fills,
            least / fills,
            mine / least,
            "x",
            repeats=fills,
        )


def _logged(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])
