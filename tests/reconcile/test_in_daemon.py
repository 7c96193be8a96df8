"""`reconcile` beside a running tracker, over its socket and from the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import Rig
from tests.support.project import PROJECT
from tests.support.reconcile_rig import (
    ACCOUNT,
    CONTRACTS,
    ROBIN,
    about,
    alert_of,
    buy,
    edit,
    play,
    reconcile,
    traded,
)
from tracker.clock import now
from tracker.reconcile.in_daemon import until_or_stuck


async def ask(rig: Rig, **request: Any) -> dict[str, Any]:
    """Ask the status socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()


def test_audit_changes_nothing(tmp_path: Path) -> None:
    """The socket says what it compared and changes nothing."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA"), "AMD": alert_of("AMD")}})
        await traded(rig, "NVDA", "AMD")
        text = rig.alerts_path.read_text()
        answer = await ask(rig, command="reconcile")
        assert answer["ok"]
        assert (answer["orders_examined"], answer["fill_events_processed"]) == (2, 2)
        assert answer["discrepancies"] == []
        assert answer["timestamp"].endswith("+00:00")
        assert answer["broker"]["accounts"] == [ACCOUNT]
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


def test_audit_adds_missed_fill(tmp_path: Path) -> None:
    """The answer to the audit's own questions is journalled and applied like any other."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        await rig.start("--gateway.sweep_seconds", "3600")
        order = rig.gateway.order(CONTRACTS["NVDA"], "BUY", 2, limit="2", push=False)
        # Long enough ago for the positions that are asked next to contain it without doubt.
        rig.gateway.fill(order, time=now() - timedelta(seconds=10), push=False)
        answer = await ask(rig, command="reconcile")
        assert answer["discrepancies"] == []
        assert rig.read()["position"]["quantity"] == 2

    play(tmp_path, story)


def test_apply_restores_vanished_record(tmp_path: Path) -> None:
    """Apply puts back a vanished record and needs the token."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA", note="keep me")}})
        await traded(rig, "NVDA")
        before = rig.read()
        edit(rig, lambda alerts: alerts[ROBIN].pop("NVDA"))
        refused = await ask(rig, command="reconcile", apply=True)
        assert refused["error"]["code"] == "token_required"
        dry = await reconcile(rig, script=False)
        assert (dry.code, dry.found) == (4, [("vanished_while_owned", f"{ROBIN}/NVDA")])
        applied = await reconcile(rig, "--apply", script=False)
        assert (applied.code, applied.found) == (0, [])
        assert applied.repaired == [("vanished_while_owned", f"{ROBIN}/NVDA")]
        assert applied.answer["by"] == "the running tracker"
        assert rig.read() == before

    play(tmp_path, story)


def test_long_import_is_waited_for() -> None:
    """Thousands of fills take longer to decide than a stuck store is waited for; without progress it ends."""

    async def story() -> tuple[int, float]:
        done = count()
        decided = 0

        def decide() -> bool:
            nonlocal decided
            decided = min(next(done), 20)
            return decided == 20

        await until_or_stuck(decide, lambda: decided, 0.1)
        began = asyncio.get_running_loop().time()
        await until_or_stuck(lambda: False, lambda: decided, 0.1)
        return decided, asyncio.get_running_loop().time() - began

    decided, waited = asyncio.run(story())
    assert decided == 20
    assert 0.1 <= waited < 1


def test_replacing_record_is_kept(tmp_path: Path) -> None:
    """A record that took the place of a vanished one is left alone."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        await traded(rig, "NVDA")
        edit(rig, lambda alerts: alerts[ROBIN].update(NVDA=alert_of("AMD")))
        text = rig.alerts_path.read_text()
        applied = await reconcile(rig, "--apply")
        assert applied.found == [("replaced_while_owned", f"{ROBIN}/NVDA")]
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


def test_contradicted_position_is_listed(tmp_path: Path) -> None:
    """A position that the broker contradicts is reported and not repaired."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 1)
        await traded(rig, "NVDA")
        rig.gateway.set_position(ACCOUNT, CONTRACTS["NVDA"], 9, push=False)
        applied = await reconcile(rig, "--apply")
        assert (applied.code, applied.found) == (4, [("position_differs", about("NVDA"))])
        assert rig.read()["position"]["quantity"] == 4

    play(tmp_path, story)


def test_corrected_order_agrees(tmp_path: Path) -> None:
    """A filled order that is corrected down is no discrepancy."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        await rig.start()
        fill = buy(rig, CONTRACTS["NVDA"], 4, ago=10)
        await rig.until(lambda: rig.read()["open"])
        rig.gateway.correct(fill, quantity=3)
        await rig.until(lambda: rig.read()["position"]["quantity"] == 3)
        assert rig.read()["last_order_update"]["remaining_qty"] == 0
        await rig.idle()
        done = await reconcile(rig)
        assert (done.code, done.found) == (0, [])

    play(tmp_path, story)


def test_link_down_is_said(tmp_path: Path) -> None:
    """While the link is down the running tracker says so at once."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 1)
        await traded(rig, "NVDA")
        await rig.gateway.stop()
        await rig.until(lambda: _down(rig))
        done = await reconcile(rig)
        assert (done.code, done.found) == (4, [("not_answered", "the gateway")])
        assert done.answer["broker"]["reason"].startswith("link ")

    play(tmp_path, story)


def test_silence_ends_audit_with_reason(tmp_path: Path) -> None:
    """A gateway that falls silent while it is asked: the answers that are missing are listed."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        await rig.start("--gateway.request_timeout", "4")
        rig.gateway.faults.ignored_requests = {61, 7, 16, 99}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tracker", "reconcile", *rig.flags(), "--gateway.request_timeout", "4"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=PROJECT,
        )
        out, waiting = await asyncio.wait_for(process.communicate(), 60)
        assert b"waiting for what the gateway answers about positions, executions and orders" in waiting
        for what in ("positions", "open orders", "completed orders", f"executions of {ACCOUNT}"):
            assert f"not answered: {what}".encode() in out
        rig.gateway.faults.ignored_requests = {61, 7, 16, 99, 49}
        answer = await ask(rig, command="reconcile")
        assert answer["discrepancies"][0]["kind"] == "not_answered"

    play(tmp_path, story)


async def _down(rig: Rig) -> bool:
    return not (await rig.status())["subscribed"]


@pytest.mark.parametrize("request_", [{"aply": True}, {"apply": "yes"}])
def test_a_misspelt_request_is_refused(tmp_path: Path, request_: dict[str, Any]) -> None:
    async def story(rig: Rig) -> None:
        rig.write({})
        await rig.start()
        token = (rig.folder / "status.token").read_text().strip()
        answer = await ask(rig, command="reconcile", token=token, **request_)
        assert answer["error"]["code"] == "bad_request"

    play(tmp_path, story)


def test_table_names_next_steps(tmp_path: Path) -> None:
    """The table fits 80 columns and says each next step."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 1)
        await traded(rig, "NVDA")
        rig.gateway.set_position(ACCOUNT, CONTRACTS["NVDA"], 9, push=False)
        rig.gateway.set_position(ACCOUNT, CONTRACTS["DIS"], 5, push=False)
        assert await rig.stop() == 0
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tracker", "reconcile", *rig.flags()],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=PROJECT,
        )
        assert done.returncode == 4, done.stderr
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[0].startswith("Compared 1 known execution, 1 record, and 1 fill of 1 order")
        assert "Discrepancies: 1, 0 of them repairable" in lines
        assert any(line.startswith("    -> alerts follow it once a second answer agrees") for line in lines)
        assert "  DU1234567  5 DIS 2030-12-20 122.5 C" in lines

    play(tmp_path, story)
