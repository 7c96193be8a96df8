"""The token's file: private, new at each start, and kept while the daemon runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tracker.status.token import TokenFile, read_token


def test_token_is_private_and_new(tmp_path: Path) -> None:
    """The token file is private and new each time."""
    path = tmp_path / "status.token"
    path.write_text("old")
    path.chmod(0o644)
    file = TokenFile(path)
    file.write()
    assert read_token(path) == file.token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TokenFile(path).token != file.token
    assert [each.name for each in tmp_path.iterdir()] == ["status.token"]


def test_token_follows_no_link(tmp_path: Path) -> None:
    """A token is never written through a planted link."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".token.{os.getpid()}").symlink_to(victim)
    (tmp_path / "token").symlink_to(victim)
    TokenFile(tmp_path / "token").write()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "token").is_symlink()


def test_unreadable_token_is_none(tmp_path: Path) -> None:
    """A token that cannot be read is none, nor is a pipe, which nobody waits for, or a folder."""
    os.mkfifo(tmp_path / "pipe")
    assert [read_token(tmp_path / name) for name in ("gone", "pipe", ".")] == [None, None, None]


@pytest.mark.parametrize("lost", ["deleted", "emptied", "a pipe"])
def test_lost_token_is_written_again(tmp_path: Path, lost: str) -> None:
    """What is said of it is said once: from then on the token is there."""
    path = tmp_path / "token"
    file = TokenFile(path)
    file.write()
    assert file.keep() == ""
    path.unlink()
    if lost == "emptied":
        path.touch()
    elif lost == "a pipe":
        os.mkfifo(path)
    assert file.keep() == f"{path} was gone; it is written again"
    assert read_token(path) == file.token
    assert file.keep() == ""


def test_token_of_others_stays(tmp_path: Path) -> None:
    """Two trackers with one token file would otherwise write it for ever, each over the other's."""
    path = tmp_path / "token"
    ours, theirs = TokenFile(path), TokenFile(path)
    ours.write()
    theirs.write()
    assert "give each tracker a status.token_file of its own" in ours.keep()
    assert read_token(path) == theirs.token


def test_token_without_folder_is_told(tmp_path: Path) -> None:
    """Nothing is written, and the reason and the next step are said."""
    file = TokenFile(tmp_path / "gone" / "token")
    assert file.keep() == (
        f"{tmp_path}/gone/token is gone and cannot be written again (No such file or directory), so commands"
        " that change something are refused; let this user write there"
    )
