"""A recording leaves a whole transcript without names, or nothing."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.recordings.test_redaction import execution, said
from tracker.recordings import recording as module
from tracker.recordings.recording import Recording, RecordingNotWritten
from tracker.recordings.redaction import NameLeft, Redactor
from tracker.recordings.transcript import GATEWAY, Line, TranscriptHead, read_transcript

HEAD = TranscriptHead(datetime(2025, 11, 18, 17, 0, tzinfo=UTC), "US/Eastern", "tracker 1")


class Forgetful(Redactor):
    """Replace no text at all, as a fault in the layouts would."""

    def redact(self, line: Line) -> Line:
        return line


def begun(folder: Path, redactor: Redactor | None = None) -> Recording:
    return Recording(folder / "one.jsonl", HEAD, redactor or Redactor())


def test_transcript_is_left_whole(tmp_path: Path) -> None:
    recording = begun(tmp_path)
    assert recording.add(execution("DU7654321", "smith family"))
    assert (tmp_path / "one.jsonl").read_bytes() == b""
    recording.finish()
    found = read_transcript(tmp_path / "one.jsonl")
    assert found.head == HEAD
    assert "DU7654321" not in (tmp_path / "one.jsonl").read_text()
    assert os.listdir(tmp_path) == ["one.jsonl"]


def test_nothing_is_left_where_a_name_is(tmp_path: Path) -> None:
    """The second look does not trust the first."""
    recording = begun(tmp_path, Forgetful())
    recording.add(said(GATEWAY, "4", "2", "7", "201", "no cash", ""))
    recording.add(execution("DU7654321", "smith family"))
    with pytest.raises(NameLeft, match=r"line 3 still holds a name that is to be replaced \(account\)"):
        recording.finish()
    assert os.listdir(tmp_path) == []


def test_hidden_word_is_replaced_in_contracts(tmp_path: Path) -> None:
    """Other names may stand there: a reference may be a symbol."""
    recording = begun(tmp_path, Redactor(["NVDA"]))
    recording.add(execution("DU7654321"))
    recording.finish()
    assert "NVDA" not in (tmp_path / "one.jsonl").read_text()


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = begun(tmp_path)
    recording.add(execution("DU7654321"))

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recording._disk, "write", full)
    with pytest.raises(RecordingNotWritten, match="cannot be written: No space left on device"):
        recording.finish()
    assert os.listdir(tmp_path) == []


def test_dropped_recording_leaves_nothing(tmp_path: Path) -> None:
    recording = begun(tmp_path)
    recording.add(execution("DU7654321"))
    recording.close()
    recording.close()
    assert os.listdir(tmp_path) == []


def test_recording_ends_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    recording = begun(tmp_path)
    assert [recording.add(execution("DU7654321")) for _ in range(3)] == [True, True, False]
    recording.close()


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingNotWritten, match="cannot be made: No such file or directory"):
        begun(tmp_path / "absent")
