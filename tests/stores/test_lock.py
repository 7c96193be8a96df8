"""Only one tracker holds a file, and its end, however it comes, lets go."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.project import PROJECT
from tracker.stores.lock import FileLock, Locked

HOLD = """
import sys
from pathlib import Path
from typing import NoReturn
from tracker.stores.lock import FileLock

lock = FileLock(Path(sys.argv[1]), "tracker with pid 4711")
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_holder_is_named_until_killed(tmp_path: Path) -> None:
    """A second process is told who holds it and gets it when that one is killed."""
    path = tmp_path / "journal.db"
    with holder(path) as process:
        with pytest.raises(Locked, match=r"journal\.db is in use by tracker with pid 4711; stop that one"):
            FileLock(path, "second")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with FileLock(path, "second") as lock:
        assert lock.path.read_text() == "second"


def test_one_process_holds_it_once(tmp_path: Path) -> None:
    """One process does not hold it twice."""
    path = tmp_path / "alerts.json"
    with FileLock(path, "first"), pytest.raises(Locked, match="first"):
        FileLock(path, "second")
    FileLock(path, "third").close()


def test_file_is_locked_under_all_names(tmp_path: Path) -> None:
    """A file is locked under all its names."""
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "alerts.json"
    path.write_text("{}")
    link = tmp_path / "alerts.json"
    link.symlink_to(path)
    with FileLock(path, "first"), pytest.raises(Locked, match="first"):
        FileLock(link, "second")


def test_shorter_holder_replaces_longer_one(tmp_path: Path) -> None:
    """A shorter name leaves nothing of the longer one."""
    path = tmp_path / "journal.db"
    FileLock(path, "a very long name of a holder").close()
    with FileLock(path, "short") as lock:
        assert lock.path.read_text() == "short"


def test_nameless_lock_is_still_held(tmp_path: Path) -> None:
    """A lock that says nothing is held by another process."""
    path = tmp_path / "journal.db"
    with FileLock(path, ""), pytest.raises(Locked, match="in use by another process"):
        FileLock(path, "second")


def test_unmakeable_lock_is_refused(tmp_path: Path) -> None:
    """A lock that cannot be made is reported."""
    with pytest.raises(Locked, match=r"journal\.db\.lock cannot be opened: No such file"):
        FileLock(tmp_path / "nowhere" / "journal.db", "first")


def test_planted_link_is_not_followed(tmp_path: Path) -> None:
    """A lock that is a link would empty, and write into, whatever it leads to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "journal.db.lock").symlink_to(victim)
    with pytest.raises(Locked, match="it is a symbolic link; remove it, then start again"):
        FileLock(tmp_path / "journal.db", "first")
    assert victim.read_text() == "precious"


def test_pipe_as_lock_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.db.lock")
    with pytest.raises(Locked, match="is not a regular file; remove it"):
        FileLock(tmp_path / "journal.db", "first")


@pytest.mark.parametrize("step", ["ftruncate", "pwrite"])
def test_lock_on_full_disk_names_cause(tmp_path: Path, step: str) -> None:
    """It names the file, the step, the cause and what to do, and lets go."""

    def full(*values: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(Locked, match=r"lock cannot be written: No space left.*; free some space"):
            FileLock(tmp_path / "journal.db", "first")
    FileLock(tmp_path / "journal.db", "second").close()


@pytest.mark.parametrize("replaced", [False, True])
def test_removed_lock_is_taken_again(tmp_path: Path, replaced: bool) -> None:
    """A lock file that was removed or replaced would let a second process in beside the first."""
    path = tmp_path / "journal.db"
    with FileLock(path, "first") as lock:
        lock.path.unlink()
        if replaced:
            lock.path.touch()
        lock.keep()
        with pytest.raises(Locked, match="in use by first"):
            FileLock(path, "second")
    FileLock(path, "third").close()


def test_lock_waits_for_its_folder(tmp_path: Path) -> None:
    """Without its folder nobody can take it; once that is back it is taken again."""
    folder = tmp_path / "shared"
    folder.mkdir()
    with FileLock(folder / "alerts.json", "one") as lock:
        folder.rename(tmp_path / "away")
        lock.keep()
        folder.mkdir()
        lock.keep()
        with pytest.raises(Locked, match="in use by one"):
            FileLock(folder / "alerts.json", "another")


def test_lock_in_place_is_left_alone(tmp_path: Path) -> None:
    with FileLock(tmp_path / "journal.db", "first") as lock:
        before = lock.path.stat()
        lock.keep()
        after = lock.path.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_lock_that_another_took_is_lost(tmp_path: Path) -> None:
    """Two processes each believe that they hold the file; the one that looks first gives way."""
    path = tmp_path / "journal.db"
    with FileLock(path, "first") as lock:
        lock.path.unlink()
        with FileLock(path, "second"), pytest.raises(Locked, match="in use by second"):
            lock.keep()


def test_folder_in_its_place_is_named(tmp_path: Path) -> None:
    """The message says once that it is one, and what to do."""
    (tmp_path / "journal.db.lock").mkdir()
    with pytest.raises(Locked, match="Is a directory; remove that folder"):
        FileLock(tmp_path / "journal.db", "first")


@pytest.mark.parametrize(
    ("target", "step"), [("journal.db", "it is a symbolic link"), ("away/x", "make its folder")]
)
def test_link_that_leads_nowhere_is_refused(tmp_path: Path, target: str, step: str) -> None:
    """A link to itself, or into a folder that is not there."""
    path = tmp_path / "journal.db"
    path.symlink_to(tmp_path / target)
    (tmp_path / "journal.db.lock").symlink_to("journal.db.lock")
    with pytest.raises(Locked, match=step):
        FileLock(path, "first")
