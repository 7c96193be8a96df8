"""The shared store's schema: who may do what, what a producer's record becomes, and what parts add up to."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.support.postgres import PASSWORD, Database
from tests.support.shared_rig import ROLES, SharedRig, put_alert
from tests.support.store_cases import record
from tracker.core.model import AlertId
from tracker.stores.shared_setup import create_schema

ROBIN = "robindahood-alerts"
MORNING, NOON, EVENING = (f"2025-11-18T{hour}:00:00" for hour in ("09", "12", "18"))
LEFT, RIGHT = "left", "right"


@pytest.fixture
def rig(database: Database) -> Iterator[SharedRig]:
    with SharedRig(database) as rig:
        yield rig


def nvda(created_at: str = NOON, con_id: int | None = 700100200) -> AlertId:
    return AlertId(ROBIN, "NVDA", created_at, con_id)


def put(rig: SharedRig, alert: AlertId, source: str = "box", **more: Any) -> int | None:
    with rig.database.connect() as connection:
        fields = record(con_id=alert.option_conid, created_at=alert.created_at, **more)
        return put_alert(connection, alert, fields, source)


def current(rig: SharedRig) -> list[tuple[str, int | None, str]]:
    return rig.database.rows("SELECT created_at, option_conid, source FROM tracker.alerts")


def retired(rig: SharedRig) -> list[tuple[str, str]]:
    return rig.database.rows(
        "SELECT created_at, retired_why FROM tracker.alert WHERE retired_at IS NOT NULL ORDER BY 1"
    )


# What a put becomes.


def test_same_record_again_changes_nothing(rig: SharedRig) -> None:
    number = put(rig, nvda())
    (before,) = rig.database.rows("SELECT put_at, changed FROM tracker.alert")
    assert put(rig, nvda()) == number
    assert rig.database.rows("SELECT put_at, changed FROM tracker.alert") == [before]


def test_known_record_follows(rig: SharedRig) -> None:
    """A conid that is added later, and other fields, change the record in place: its parts stay."""
    number = put(rig, nvda(con_id=None))
    assert put(rig, nvda(con_id=5), note="new") == number
    assert current(rig) == [(NOON, 5, "box")]
    assert rig.records()[ROBIN]["NVDA"]["note"] == "new"


def test_new_identity_retires_the_current_one(rig: SharedRig) -> None:
    put(rig, nvda(MORNING))
    put(rig, nvda(NOON))
    assert current(rig) == [(NOON, 700100200, "box")]
    assert retired(rig) == [(MORNING, "replaced")]


def test_older_record_of_another_source_waits(rig: SharedRig) -> None:
    put(rig, nvda(NOON))
    assert put(rig, nvda(MORNING), source="other") is None
    assert current(rig) == [(NOON, 700100200, "box")]
    assert retired(rig) == []
    assert put(rig, nvda(EVENING), source="other") is not None
    assert current(rig) == [(EVENING, 700100200, "other")]


def test_same_source_may_go_back(rig: SharedRig) -> None:
    """A box whose file was put back to an older state is followed; the older record is itself again."""
    first = put(rig, nvda(MORNING))
    put(rig, nvda(NOON))
    assert put(rig, nvda(MORNING)) == first
    assert current(rig) == [(MORNING, 700100200, "box")]


def test_contract_is_the_identity_without_a_date(rig: SharedRig) -> None:
    first, second = put(rig, nvda("", 1)), put(rig, nvda("", 2))
    assert first != second
    assert current(rig) == [("", 2, "box")]
    assert put(rig, nvda("", 1)) == first


def test_retired_record_comes_back_by_a_put(rig: SharedRig) -> None:
    number = put(rig, nvda())
    gone = ("SELECT tracker.retire_alert(%s, %s, %s, %s, 'gone')", *nvda())
    assert rig.database.rows(*gone) == [(True,)]
    assert rig.database.rows(*gone) == [(False,)]
    assert current(rig) == []
    assert put(rig, nvda()) == number


# Records that the store does not keep.


@pytest.mark.parametrize(
    "doc",
    [
        '{"note": "\\u0000"}',
        '{"note": "\\ud800"}',
        '{"note": 1e131073}',
        '{"notes": [1e60000, 1e60000, 1e60000]}',
        f'{{"note": "{"x" * 65536}"}}',
        f'{{"note": {"[" * 200}1{"]" * 200}}}',
        f'{{"note": [[-1{"0" * 5000}]]}}',
        "[1]",
        "{",
    ],
)
def test_poisoned_record_hurts_only_its_producer(rig: SharedRig, doc: str) -> None:
    put(rig, nvda())
    with rig.database.connect() as connection:
        statement = "SELECT tracker.put_alert(%s, 'AMD', %s, NULL, %s, '[]', 'box')"
        with pytest.raises(psycopg.Error):
            connection.execute(statement, (ROBIN, NOON, doc))
    assert list(rig.records()[ROBIN]) == ["NVDA"]


@pytest.mark.parametrize("con_id", [-1, 10**18])
def test_impossible_conid_is_refused(rig: SharedRig, con_id: int) -> None:
    with pytest.raises(psycopg.Error, match="option_conid is not a conId"):
        put(rig, nvda(con_id=con_id))


@pytest.mark.parametrize(
    "fields",
    [
        {"position": {"quantity": "4"}},
        {"position": {"quantity": "NaN"}},
        {"position": [4]},
        {"position": {"quantity": 4, "shared_with": "x"}},
        {"last_order_update": "filled"},
        {"open": None},
    ],
)
def test_poisoned_part_hurts_only_its_tracker(rig: SharedRig, fields: dict[str, Any]) -> None:
    put(rig, nvda())
    seat = Desk(rig, LEFT)
    with pytest.raises(psycopg.Error):
        seat.write(1, {**part(4), **fields})
    assert rig.parts() == []
    assert rig.records()[ROBIN]["NVDA"]["open"] is False


# Parts and their sum.


class Desk:
    """Write parts under one seat, as a tracker does."""

    def __init__(self, rig: SharedRig, seat: str) -> None:
        self._database = rig.database
        self._seat = (seat, str(uuid4()))
        ((self.epoch,),) = rig.database.rows(
            "SELECT epoch FROM tracker.take_seat(%s, %s, 'somewhere')", *self._seat
        )

    def write(self, seq: int, fields: dict[str, Any], alert: AlertId | None = None) -> bool:
        update = {**(alert or nvda())._asdict(), **fields}
        ((_, number),) = self._database.rows(
            "SELECT * FROM tracker.write_parts(%s, %s, %s, %s, %s)",
            *(*self._seat, self.epoch, seq, json.dumps([update])),
        )
        return number is not None


def part(
    quantity: int, price: float | None = 2.5, at: str = "10", *, is_open: bool = True, **more: Any
) -> dict[str, Any]:
    moment = f"2025-11-18T{at}:00:00.000000+00:00"
    position: dict[str, Any] = {
        "quantity": quantity,
        "avg_price": price,
        "opened_at": moment,
        "closed_at": None if is_open else moment,
        "closed_by": None if is_open else "execution",
        "shared_with": [],
    }
    return {
        "open": is_open,
        "removed": False,
        "last_order_update": {"filled_qty": abs(quantity), "updated_at": moment},
        "position": {**position, **more},
    }


def shown(rig: SharedRig) -> dict[str, Any]:
    found: dict[str, Any] = rig.records()[ROBIN]["NVDA"]
    return found


def test_single_part_is_shown_as_it_is(rig: SharedRig) -> None:
    put(rig, nvda())
    written = part(4, shared_with=["b", "a"])
    Desk(rig, LEFT).write(1, written)
    assert shown(rig)["position"] == written["position"]
    assert shown(rig)["last_order_update"] == written["last_order_update"]


def test_parts_add_up(rig: SharedRig) -> None:
    """4 at 2.50 and 2 at 3.10 are 6 at 2.70, opened at the earlier time; the news is the newest."""
    put(rig, nvda())
    Desk(rig, LEFT).write(1, part(4, 2.5, "10", shared_with=["b"]))
    Desk(rig, RIGHT).write(1, part(2, 3.1, "11", shared_with=["a", "b"]))
    found = shown(rig)
    assert found["open"] is True
    assert found["position"] == {
        **part(6, 2.7, "10")["position"],
        "shared_with": ["a", "b"],
    }
    assert found["last_order_update"]["filled_qty"] == 2
    assert rig.database.rows("SELECT seats FROM tracker.alerts") == [([LEFT, RIGHT],)]


def test_closed_part_leaves_the_others(rig: SharedRig) -> None:
    put(rig, nvda())
    left, right = Desk(rig, LEFT), Desk(rig, RIGHT)
    left.write(1, part(0, 2.5, "12", is_open=False))
    right.write(1, part(2, 3.1, "11"))
    found = shown(rig)
    assert (found["open"], found["position"]["quantity"], found["position"]["avg_price"]) == (True, 2, 3.1)
    assert (found["position"]["opened_at"][11:13], found["position"]["closed_at"]) == ("11", None)
    right.write(2, part(0, 3.1, "13", is_open=False))
    found = shown(rig)
    assert (found["open"], found["position"]["quantity"]) == (False, 0)
    assert (found["position"]["closed_at"][11:13], found["position"]["closed_by"]) == ("13", "execution")


def test_long_and_short_stay_open(rig: SharedRig) -> None:
    put(rig, nvda())
    Desk(rig, LEFT).write(1, part(4))
    Desk(rig, RIGHT).write(1, part(-4))
    assert (shown(rig)["open"], shown(rig)["position"]["quantity"]) == (True, 0)


def test_record_goes_once_all_parts_are_removed(rig: SharedRig) -> None:
    put(rig, nvda())
    left, right = Desk(rig, LEFT), Desk(rig, RIGHT)
    left.write(1, {**part(0, is_open=False), "removed": True})
    right.write(1, part(2))
    assert shown(rig)["position"]["quantity"] == 2
    right.write(2, {**part(0, is_open=False), "removed": True})
    assert rig.records() == {}


def test_later_word_stands_whatever_comes_last(rig: SharedRig) -> None:
    """A call that was given up, and ends after its successor, changes nothing."""
    put(rig, nvda())
    seat = Desk(rig, LEFT)
    seat.write(8, part(8))
    seat.write(7, part(7))
    assert shown(rig)["position"]["quantity"] == 8
    seat.write(9, part(9))
    assert shown(rig)["position"]["quantity"] == 9


def test_retired_record_has_no_new_parts(rig: SharedRig) -> None:
    put(rig, nvda(MORNING))
    seat = Desk(rig, LEFT)
    put(rig, nvda(NOON))
    assert seat.write(1, part(4), nvda(MORNING)) is False
    assert seat.write(2, part(4), nvda(NOON)) is True


# Rights.

CALLS = {
    "tracker_seat": [
        "take_seat('s', gen_random_uuid(), 'h')",
        "claim_accounts('s', gen_random_uuid(), 1, '{}')",
        "write_parts('s', gen_random_uuid(), 1, 1, '[]')",
        "alerts_since('')",
        "own_parts('s', gen_random_uuid())",
    ],
    "tracker_producer": [
        "put_alert('a', 't', '', NULL, '{}', '[]', 's')",
        "retire_alert('a', 't', '', NULL, '')",
    ],
    "tracker_reader": [],
    "": ["stay_seated('s', gen_random_uuid(), 1)"],
}


def refused(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Return whether a statement is refused for want of a right; other errors come after that check."""
    try:
        connection.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate == "42501"
    return False


@pytest.mark.parametrize("role", ROLES)
def test_role_reaches_its_functions_only(rig: SharedRig, role: str) -> None:
    tables = [name for (name,) in rig.database.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'tracker' ORDER BY 1"
    )]  # fmt: skip
    assert tables == ["account", "alert", "meta", "part", "seat"]
    with psycopg.connect(rig.database.url_of(role), autocommit=True) as connection:
        for table, change in itertools.product(
            tables,
            (
                "SELECT * FROM tracker.{}",
                "DELETE FROM tracker.{}",
                "TRUNCATE tracker.{}",
                "DROP TABLE tracker.{}",
            ),
        ):
            assert refused(connection, change.format(table)), (table, change)
        for view in ("alerts", "seats"):
            assert not refused(connection, f"SELECT * FROM tracker.{view}")
            with pytest.raises(psycopg.Error):
                connection.execute(f"DELETE FROM tracker.{view}".encode())
        for owner, calls in CALLS.items():
            for call in calls:
                assert refused(connection, f"SELECT * FROM tracker.{call}") == (owner != role), call
        assert refused(connection, "CREATE TABLE tracker.mine (x int)")


@pytest.mark.parametrize("role", ROLES)
def test_role_needs_a_password_to_log_in(rig: SharedRig, role: str) -> None:
    """It is made without one, and no server that asks for passwords lets it in until it has one."""
    url = rig.database.server.url(rig.database.name, role)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url, connect_timeout=5)
    change = sql.SQL("ALTER ROLE {} PASSWORD {}")
    with rig.database.connect() as owner:
        owner.execute(change.format(sql.Identifier(role), PASSWORD))
        try:
            with psycopg.connect(url, connect_timeout=5) as connection:
                shown = connection.execute("SHOW statement_timeout").fetchone()
                assert shown == ("5s",)
        finally:
            owner.execute(change.format(sql.Identifier(role), None))


def test_every_function_is_somebodys() -> None:
    """The calls tried above are all there are: a new function has its rights tested."""
    from tracker.stores import shared_schema

    made = {
        line.split("tracker.")[1].split("(")[0]
        for script in shared_schema.MIGRATIONS
        for line in script.splitlines()
        if line.startswith(("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    }
    assert made == {call.split("(")[0] for calls in CALLS.values() for call in calls}


def test_creating_again_changes_nothing(rig: SharedRig) -> None:
    put(rig, nvda())
    with rig.database.connect() as connection:
        again = create_schema(connection, "Asia/Tokyo")
    assert (again.before, again.version, again.zone) == (rig.created.version, rig.created.version, "UTC")
    assert current(rig) == [(NOON, 700100200, "box")]


# Polls.


def test_polls_miss_no_late_commit(rig: SharedRig) -> None:
    """Writers that hold their commits back: what a poller has seen at the end equals the table.

    One current record for each alerter and ticker, the newest one put. SHARED_WHOLE=1 makes it 30,000
    puts of 16 writers.
    """
    whole = "SHARED_WHOLE" in os.environ
    writers, puts, longest = (16, 1_875, 0.5) if whole else (8, 60, 0.1)
    tickers = 12
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        random = Random(seed)
        try:
            with psycopg.connect(rig.database.url) as connection:
                for number in range(puts):
                    alert = AlertId(
                        ROBIN,
                        f"T{random.randrange(tickers)}",
                        f"2025-11-18T12:00:00.{number * writers + seed:06}",
                        None,
                    )
                    put_alert(connection, alert, record(created_at=alert.created_at), f"box {seed}")
                    if random.random() < 0.1:
                        time.sleep(random.random() * longest)
                    connection.commit()
        except BaseException as error:
            failures.append(error)

    seen: dict[str, str] = {}

    def poll(connection: psycopg.Connection[Any], mark: str) -> str:
        rows = connection.execute("SELECT * FROM tracker.alerts_since(%s)", (mark,)).fetchall()
        current = {row[3]: row[4] for row in rows[1:] if not row[6]}
        for row in rows[1:]:
            if row[6] and seen.get(row[3]) == row[4]:
                del seen[row[3]]
        seen.update(current)
        return str(rows[0][0])

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(writers)]
    with rig.database.connect() as connection:
        mark = poll(connection, "")
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            mark = poll(connection, mark)
        poll(connection, mark)
    assert failures == []
    assert seen == dict(rig.database.rows("SELECT ticker, created_at FROM tracker.alerts"))
    newest = rig.database.rows("SELECT ticker, max(created_at) FROM tracker.alert GROUP BY ticker")
    assert seen == dict(newest)
