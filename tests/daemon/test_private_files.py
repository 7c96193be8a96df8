"""What the daemon creates is its owner's alone, and the journal stays the file that it opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, record


def created(folder: Path) -> dict[str, int]:
    """Return what group and others may do with each file that the daemon created of its own.

    A write of the alerts may be under way, whose file has their mode.
    """
    others = ("alerts.json", "alerts.json.tracker-backup", ".alerts.json.tracker-temp", "daemon.log")
    paths = [path for path in folder.iterdir() if path.name not in others]
    return {path.name: path.stat().st_mode & 0o077 for path in paths}


def put_back(journal: Path) -> None:
    """Put the copy of a journal in its place."""
    for beside in journal.parent.glob("journal.db-*"):
        beside.unlink()
    journal.with_name("journal.db.rescued").rename(journal)


async def buy_three(rig: Rig) -> None:
    """Have a fill counted and shown."""
    rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
    await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3)


async def goes_on(rig: Rig) -> None:
    """See that a start knows the fill and counts it no second time."""
    await rig.start()
    await rig.idle()
    assert (await rig.status())["stats"]["orders_processed"] == 0, "the fill is known"
    assert rig.read()["position"]["quantity"] == 3
    assert await rig.stop() == 0


def test_created_files_are_private(tmp_path: Path) -> None:
    """Journal, log, token and locks can be read by their owner alone; the alert file keeps its mode."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        rig.alerts_path.chmod(0o664)
        await rig.start("--log.file", str(tmp_path / "tracker.log"))
        await buy_three(rig)
        assert rig.alerts_path.stat().st_mode & 0o777 == 0o664
        modes = created(tmp_path)
        assert {"journal.db", "journal.db-wal", "tracker.log", "status.token"} <= set(modes)
        assert modes == dict.fromkeys(modes, 0)
        assert await rig.stop() == 0

    play(tmp_path, story)


@pytest.mark.parametrize("swap", ["deleted", "replaced"])
def test_swapped_journal_ends_the_daemon(tmp_path: Path, swap: str) -> None:
    """Fills would go into a file that nobody opens again: exit 5, with a copy beside it and what to do."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await buy_three(rig)
        journal = tmp_path / "journal.db"
        journal.unlink()
        if swap == "replaced":
            journal.write_bytes(b"")
        assert await rig.ended() == 5
        assert "while the tracker runs; what it held was copied to" in rig.log()
        assert "Traceback" not in rig.log()
        # The message's advice, followed: the copy put back, and the next start goes on with it.
        put_back(journal)
        await goes_on(rig)

    play(tmp_path, story)


def test_overwritten_journal_ends_the_daemon(tmp_path: Path) -> None:
    """`cp other journal.db`: exit 5 with the reason, and no start until the file is put back."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await buy_three(rig)
        assert await rig.stop() == 0
        journal, copy = tmp_path / "journal.db", tmp_path / "copy.db"
        copy.write_bytes(journal.read_bytes())
        await rig.start()
        journal.write_bytes(copy.read_bytes())
        assert await rig.ended() == 5
        assert "was overwritten by another program while the tracker runs" in rig.log()
        assert "Traceback" not in rig.log()
        await rig.start(ready=False)
        assert await rig.ended() == 5
        assert "was overwritten while a tracker ran" in rig.log()
        # The message's advice, followed.
        journal.write_bytes(copy.read_bytes())
        await goes_on(rig)

    play(tmp_path, story)


def test_removed_wal_ends_the_daemon_well(tmp_path: Path) -> None:
    """A neighbour that cleans up `-wal`: exit 5 with the next step, and the next start knows the fill."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await buy_three(rig)
        (tmp_path / "journal.db-wal").unlink()
        assert await rig.ended() == 5
        assert "a part of the journal, was deleted or moved" in rig.log()
        await goes_on(rig)

    play(tmp_path, story)


def test_removed_locks_still_hold(tmp_path: Path) -> None:
    """A neighbour that removes the locks lets no second daemon in; the first one goes on."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        locks = [tmp_path / name for name in ("journal.db.lock", "alerts.json.lock")]
        for lock in locks:
            lock.unlink()
        await rig.until(lambda: all(lock.exists() for lock in locks))
        second = Rig(tmp_path)
        second.gateway = rig.gateway
        await second.start(ready=False)
        assert await second.ended() == 5
        await buy_three(rig)
        assert await rig.stop() == 0

    play(tmp_path, story)
