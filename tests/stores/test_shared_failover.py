"""A server that loses what was acknowledged: the trackers write it again, and none of them ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.cutting_proxy import CuttingProxy
from tests.support.postgres import PASSWORD, Database, Server
from tests.support.project import PROJECT
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import id_of, record, some_records, update
from tests.support.store_writer import ALERTER, TICKERS, decided_in
from tests.support.waiting import until
from tracker.core.model import Outcome

SEATS = ("one", "two")
BOUND_SECONDS = 30.0


def total(database: Database) -> int:
    return int(
        database.rows("SELECT coalesce(sum((position ->> 'quantity')::int), 0) FROM tracker.part")[0][0]
    )


def test_promoted_replica_gets_what_it_lost(tmp_path: Path) -> None:
    """The replica hears nothing for 2 s, then it is promoted in the place of a primary that died."""
    with Server() as primary, CuttingProxy(primary.port) as proxy, primary.database() as database:
        with SharedRig(database) as rig:
            rig.put({ALERTER: {ticker: record(ticker, None) for ticker in TICKERS}})
        user = database.url_of("tracker_seat").split("//")[1].split(":")[0]
        with primary.replica(proxy.port) as replica:
            url = (
                f"postgresql://{user}:{PASSWORD}@127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
                f"/{database.name}?target_session_attrs=read-write"
            )
            trackers = [
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.store_writer", url, seat, "host",
                     tmp_path / f"{seat}.db", "1"],
                    cwd=PROJECT,
                )
                for seat in SEATS
            ]  # fmt: skip
            try:
                copy = Database(replica, database.name)
                until(lambda: total(copy) > 20, BOUND_SECONDS)
                proxy.go_silent()
                kept = total(copy)
                until(lambda: total(database) > kept + 20, BOUND_SECONDS)
                # How long the replica lags: the length of the fault, nothing is waited for.
                time.sleep(2)
                primary.kill()
                # Asked before the promotion: from then on the trackers write again what it lost.
                assert total(copy) < sum(sum(decided_in(tmp_path / f"{seat}.db").values()) for seat in SEATS)
                replica.promote()
                for tracker in trackers:
                    tracker.send_signal(signal.SIGTERM)
                assert [tracker.wait(BOUND_SECONDS) for tracker in trackers] == [0, 0]
                for seat in SEATS:
                    rows = copy.rows(
                        "SELECT ticker, (position ->> 'quantity')::int FROM tracker.part"
                        " JOIN tracker.alert USING (alert_id) WHERE seat = %s", seat
                    )  # fmt: skip
                    assert dict(rows) == decided_in(tmp_path / f"{seat}.db")
            finally:
                for tracker in trackers:
                    tracker.kill()
                    tracker.wait()


def test_restored_backup_gets_what_it_lacks(database: Database) -> None:
    """A dump is put back while a tracker runs: no connection ends, and the tracker sees it all the same."""
    alert = id_of(some_records(), "robindahood-alerts", "NVDA")
    server = database.server
    with SharedRig(database) as rig:
        rig.put(some_records())
        store = rig.store()
        store.hold("first")
        store.apply([update(alert, 4)])
        backup = server.client("pg_dump", "--clean", "--if-exists", f"--dbname={database.url}")
        store.apply([update(alert, 10)])
        server.client(
            "psql", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--dbname={database.url}", given=backup
        )

        def shows(quantity: int) -> bool:
            store.refresh()
            shown = store.shown(alert)
            return shown is not None and (shown.position or {}).get("quantity") == quantity

        until(lambda: shows(4), BOUND_SECONDS)
        assert list(store.apply([update(alert, 10)])) == [Outcome.APPLIED]
        assert rig.records()["robindahood-alerts"]["NVDA"]["position"]["quantity"] == 10
