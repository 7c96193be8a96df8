"""What a newcomer meets in the first hour, from outside: commands and what they print."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import Rig, record
from tests.support.project import PROJECT
from tracker.cli import main
from tracker.journal.migrations import MIGRATIONS


def tracker(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run the command in a folder as somebody would; returns all that it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(PROJECT)},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_failed_run_makes_no_folder(tmp_path: Path) -> None:
    """In a folder without settings a run that fails leaves nothing behind."""
    told = tracker(tmp_path, "run", code=2)
    assert "data/alerts does not exist" in told
    assert list(tmp_path.iterdir()) == []


def test_upgrade_is_logged_and_kept(tmp_path: Path) -> None:
    """The log says that the journal's form changed, and where the old one is."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        journal = tmp_path / "journal.db"
        with closing(sqlite3.connect(journal)) as db:
            db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        shutil.copy(journal, tmp_path / "before")
        await rig.start()
        await rig.logged(f"changed from form 1 to form {len(MIGRATIONS)}; the old one is kept as")
        assert (tmp_path / "journal.db.v1").exists()
        assert await rig.stop() == 0
        with closing(sqlite3.connect(tmp_path / "journal.db.v1")) as old:
            assert old.execute("PRAGMA user_version").fetchone()[0] == 1

    play(tmp_path, story)


def test_seeds_own_alert_can_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An alert with a strike and no expiry is tried by its name; the whole order shows as filled."""
    (tmp_path / "alerts.json").write_text(
        '{"robindahood-alerts": {"TSLA": {"created_at": "2025-11-18T15:42:07", "alert_details":'
        ' {"ticker": "TSLA", "strike": "95", "side": "C"}}}}'
    )
    flags = [f"--stores.alerts={tmp_path}/alerts.json", f"--stores.journal={tmp_path}/journal.db"]
    assert main.main(["test", "--alert", "robindahood/TSLA", *flags]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "BUY 1 TSLA " in told
    assert "the alert names no day of expiry, so " in told
