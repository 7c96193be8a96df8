"""`tracker doctor --report`: one text file without names and secrets, whose end can be replayed."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recordings.test_replay import tracker
from tests.support.daemon_rig import CALL, Rig, record
from tests.support.project import PROJECT
from tracker.doctor.report_file import TITLE
from tracker.recordings.transcript import Said, read_transcript

ACCOUNT = "DU7654321"
HOMES = "home"
URL = "json://user:hunter2@127.0.0.1:9/hook"
SECRETS = (ACCOUNT, "smith family", "hunter2")


def doctor(rig: Rig, report: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the rig's settings; the home folder is the rig's."""
    flags = (*rig.flags(), *rig.options, *options)
    return subprocess.run(
        [sys.executable, "-m", "tracker", "doctor", "--report", str(report), *flags],
        capture_output=True, text=True, timeout=60, cwd=rig.folder, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "HOME": str(rig.folder), "TRACKER_NOTIFY__URLS": URL},
    )  # fmt: skip


async def trade(rig: Rig) -> None:
    """Have the tracker see a buy of 10 in two pieces."""
    rig.options = ["--gateway.timezone", "US/Eastern"]
    rig.write({"robindahood-alerts": {"NVDA": record()}})
    (rig.folder / "before.json").write_text(rig.alerts_path.read_text())
    await rig.start()
    order = rig.gateway.order(CALL, "BUY", 10, limit="2.50", client_id=7, order_ref="smith family")
    rig.gateway.fill(order, 4)
    await rig.until(lambda: rig.read()["open"])
    rig.gateway.fill(order, 6)
    await rig.until(lambda: rig.read()["last_order_update"]["commission"] == 6.5)


def check(report: Path, folder: Path) -> str:
    """Check what every report has; returns its text."""
    text = report.read_text("utf-8")
    assert text.startswith(TITLE)
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    for secret in (*SECRETS, str(folder)):
        assert secret.lower() not in text.lower(), secret
    for heading in (
        "Findings",
        "Versions",
        "Settings",
        "Status of the running tracker",
        "The newest messages",
    ):
        assert f"\n{heading}" in text
    assert "notify.urls = 1 hidden" in text
    assert "order-tracker" in text
    assert "gateway.timezone = US/Eastern" in text
    return text


@pytest.mark.parametrize("running", [True, False])
def test_report_has_all_but_names(tmp_path: Path, *, running: bool) -> None:
    """Beside a running tracker, and after it has ended; its end replays to the same alert."""

    async def story() -> None:
        async with Rig(tmp_path, accounts=(ACCOUNT,), zone="US/Eastern") as rig:
            await trade(rig)
            token = (tmp_path / "status.token").read_text().strip()
            if not running:
                await rig.stop()
            before = os.listdir(tmp_path)
            done = await asyncio.to_thread(doctor, rig, tmp_path / "report.txt")
            assert "is written. Read it whole" in done.stdout, done.stderr
            assert sorted(os.listdir(tmp_path)) == sorted([*before, "report.txt"])
            text = check(tmp_path / "report.txt", tmp_path)
            assert token not in text
            assert ('"subscribed": true' in text) is running
            assert "accounts = none" in text
            assert "DU9000001" in text
            if running:
                await rig.stop()

    asyncio.run(story())
    lines = read_transcript(tmp_path / "report.txt").lines
    kinds = [line.fields[0] for line in lines if isinstance(line, Said)]
    assert kinds[:4] == ["API", "API", "71", "15"]
    assert kinds.count("11") == 2
    (tmp_path / "elsewhere").mkdir()
    asked = ("replay", str(tmp_path / "report.txt"), "--alerts", str(tmp_path / "before.json"), "--json")
    (shown,) = json.loads(tracker(tmp_path / "elsewhere", *asked))["alerts"]
    left = json.loads((tmp_path / "alerts.json").read_text())["robindahood-alerts"]["NVDA"]
    assert shown["position"] == left["position"]
    for key in ("status", "filled_qty", "avg_fill_price", "commission", "exec_id", "order_id"):
        assert shown["last_order_update"][key] == left["last_order_update"][key]


def test_report_of_unusable_settings(tmp_path: Path) -> None:
    """The mistakes are in it, and no messages."""
    (tmp_path / "settings.toml").write_text("[gateway]\nprot = 4002\n")
    text = tracker(tmp_path, "doctor", "--offline", "--report", "report.txt", code=1)
    assert "report.txt is written" in text
    assert "prot" in (tmp_path / "report.txt").read_text()
    assert "they cannot be used" in (tmp_path / "report.txt").read_text()


def test_user_is_not_named(tmp_path: Path) -> None:
    """Neither by the home folder nor by another path; a service's own folder stays."""
    (tmp_path / "settings.toml").write_text('[stores]\nalerts = "/media/johnsmith/disk/alerts.json"\n')
    for home, shown in (
        (f"/{HOMES}/johnsmith", "/media/USER/disk"),
        ("/srv/johnsmith", "/media/johnsmith/disk"),
    ):
        report = tmp_path / f"report{home.count(HOMES)}.txt"
        subprocess.run(
            [sys.executable, "-m", "tracker", "doctor", "--offline", "--report", str(report)],
            capture_output=True, timeout=60, cwd=tmp_path, check=False,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "HOME": home},
        )  # fmt: skip
        assert f"stores.alerts = {shown}/alerts.json" in report.read_text("utf-8")


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("mine")
    (tmp_path / "link.txt").symlink_to(tmp_path / "report.txt")
    for name in ("report.txt", "link.txt"):
        said = tracker(tmp_path, "doctor", "--offline", "--report", name, code=1)
        assert f"{name} is there already; name another file" in said
    assert (tmp_path / "report.txt").read_text() == "mine"
