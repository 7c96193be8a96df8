"""`tracker replay` decides as the tracker did that was recorded."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.daemon_rig import CALL, PUT, SHARES, Rig, details, record
from tests.support.paper_clients import fields_of_order, raw_client
from tests.support.project import PROJECT
from tests.support.recording_rig import recorder

ACCOUNTS = ("DU7654321", "DU1112223")
SECRETS = ("DU7654321", "DU1112223", "smith family", "smiths-oca")


def tracker(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command of the tracker in an empty folder; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        capture_output=True, text=True, timeout=60, cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


async def trading_day(rig: Rig, port: int) -> None:
    """Buy in two pieces, sell some, correct, buy what no alert is about, lose the link, sell the rest."""
    gateway = rig.gateway
    order = gateway.order(CALL, "BUY", 10, limit="2.51", client_id=7, order_ref="smith family")
    gateway.fill(order, 4)
    await rig.until(lambda: rig.read()["open"])
    second = gateway.fill(order, 6, fee=False)
    gateway.fee(second, "1.25")
    gateway.correct(second, 5)
    async with raw_client(type("At", (), {"host": "127.0.0.1", "port": port})(), 7) as client:
        order_id = int(client.of("9")[0][2])
        terms = {"totalQuantity": 3, "orderType": "MKT", "account": ACCOUNTS[0], "ocaGroup": "smiths-oca"}
        client.send(*fields_of_order(order_id, PUT, action="BUY", orderRef="robindahood-alerts/AMD", **terms))
        await client.until("59")
        client.send(*fields_of_order(order_id + 1, CALL, action="SELL", **terms))
        await client.until("59", 2)
    gateway.execute(SHARES, "BUY", 100, "181.5")
    await rig.idle()
    gateway.drop_connections()
    gateway.fill(gateway.order(CALL, "SELL", 6, limit="3.1", client_id=8), 6)
    await rig.until(lambda: not rig.read()["open"])
    await rig.idle()


def recorded_day(folder: Path) -> tuple[Path, dict[str, Any], Path]:
    """Record a day that a real tracker sees through the recorder.

    Returns the transcript, the alerts that the tracker left, and the alerts as they were before.
    """

    async def story() -> Path:
        rig = Rig(folder, accounts=ACCOUNTS, zone="US/Eastern")
        amd = record(option_conids=[1], option_conid=1, alert_details=details(ticker="AMD"))
        rig.write({"robindahood-alerts": {"NVDA": record(), "AMD": amd}})
        shutil.copy(rig.alerts_path, folder / "before.json")
        async with rig, recorder(folder, rig.gateway.port, "--allow-orders") as running:
            rig.options = ["--gateway.port", str(running.port), "--gateway.timezone", "US/Eastern"]
            await rig.start()
            await trading_day(rig, running.port)
            assert await rig.stop() == 0
            assert await running.end() == 0, running.said
            return running.path

    path = asyncio.run(story())
    return path, json.loads((folder / "alerts.json").read_text()), folder / "before.json"


def without_names(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs between a day and its replay: the time of receipt, and accounts."""
    order = {**record["last_order_update"], "updated_at": "", "account": ""}
    return {**record, "last_order_update": order}


def test_recorded_day_replays_to_same_alerts(tmp_path: Path) -> None:
    """But for updated_at and the replaced names; and none of the names is in the transcript."""
    transcript, left, before = recorded_day(tmp_path)
    text = transcript.read_text("utf-8").lower()
    for secret in SECRETS:
        assert secret not in text
    (tmp_path / "empty").mkdir()
    asked = ("replay", str(transcript), "--alerts", str(before))
    answer = json.loads(tracker(tmp_path / "empty", *asked, "--json"))
    shown = {one["alert"].partition("/")[2]: one for one in answer["alerts"]}
    mine = {**left["robindahood-alerts"]["NVDA"]}
    assert mine["open"] is False
    assert mine["last_order_update"]["filled_qty"] == 6
    assert mine["last_order_update"]["status"] == "FILLED"
    for ticker, found in left["robindahood-alerts"].items():
        kept = {key: found.get(key) for key in ("open", "last_order_update", "position")}
        replayed = {key: shown[ticker][key] for key in kept}
        if kept["last_order_update"] is None:
            assert replayed == kept
        else:
            assert without_names(replayed) == without_names(kept)
    assert shown["NVDA"]["last_order_update"]["account"] == "DU9000001"
    assert (answer["client_id"], answer["other_clients"]) == (0, [7])
    words = tracker(tmp_path / "empty", *asked)
    assert "robindahood-alerts/NVDA" in words
    assert "opened robindahood-alerts/NVDA by con_id" in words
    assert "no fill belongs to robindahood-alerts/AMD" in words
    assert "of no alert:" in words
    assert json.loads(before.read_text())["robindahood-alerts"]["NVDA"]["open"] is False
