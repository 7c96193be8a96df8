"""A recording leaves a whole transcript without names, or nothing."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.recordings.test_redaction import execution, said
from tracker.recordings import recording as module
from tracker.recordings.recording import Recording, RecordingNotWritten, complete
from tracker.recordings.redaction import LEFT_OUT, EarlyRedactor, NameLeft, Redactor
from tracker.recordings.transcript import GATEWAY, Line, Said, TranscriptHead, read_transcript

HEAD = TranscriptHead(datetime(2025, 11, 18, 17, 0, tzinfo=UTC), "US/Eastern", "tracker 1")


class Forgetful(Redactor):
    """Replace no text at all, as a fault in the layouts would."""

    def redact(self, line: Line) -> Line:
        return line


def begun(folder: Path, redactor: Redactor | None = None) -> Recording:
    return Recording(folder / "one.jsonl", HEAD, redactor or Redactor(), EarlyRedactor())


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


def test_full_disk_leaves_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = begun(tmp_path)
    recording.add(execution("DU7654321"))

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recording._disk, "write", full)
    with pytest.raises(RecordingNotWritten, match="cannot be written: No space left on device"):
        recording.finish()
    assert recording.left_in_part
    assert os.listdir(tmp_path) == ["one.jsonl.part"]
    assert complete(tmp_path / "one.jsonl") == 1


def test_part_of_a_killed_recorder(tmp_path: Path) -> None:
    """It holds no name, not even one seen later, and becomes a transcript as far as its last whole line."""
    recording = begun(tmp_path)
    recording.add(said(GATEWAY, "15", "1", "DU7654321"))
    recording.add(said(GATEWAY, "4", "2", "7", "399", "Order Message: smith family is held", ""))
    recording.add(execution("DU7654321", "smith family"))
    path, part = tmp_path / "one.jsonl", tmp_path / "one.jsonl.part"
    with pytest.raises(RecordingNotWritten, match=r"part is being recorded; Ctrl-C ends that recorder"):
        complete(path)
    recording._stack.close()  # as the end of its process would
    whole = part.read_bytes()
    part.write_bytes(whole[:-30])
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert complete(path) == 2
    assert os.listdir(tmp_path) == ["one.jsonl"]
    found = [line.fields for line in read_transcript(path).lines if isinstance(line, Said)]
    assert found == [("15", "1", "DU9000001"), ("4", "2", "7", "399", LEFT_OUT, "")]

    path.rename(part)
    assert complete(path) == 2
    part.write_bytes(whole)
    with pytest.raises(RecordingNotWritten, match=r"one\.jsonl is not empty; move it away first"):
        complete(path)
    path.unlink()
    part.write_bytes(whole.replace(b"DU9000001", b"DU9000002"))
    with pytest.raises(
        RecordingNotWritten, match=r"one\.jsonl\.part, line 2: it, or a line taken out before"
    ):
        complete(path)
    part.write_bytes(whole[:120])
    with pytest.raises(RecordingNotWritten, match="no message is in it; remove it"):
        complete(path)
    with pytest.raises(RecordingNotWritten, match="nothing is left to finish"):
        complete(tmp_path / "two.jsonl")


@pytest.mark.parametrize(("torn", "lines"), [(0, 2), (1, 2), (2, 1)])
def test_part_torn_at_a_line_end(tmp_path: Path, torn: int, lines: int) -> None:
    """A line of which only the break is missing is whole."""
    recording = begun(tmp_path)
    recording.add(said(GATEWAY, "15", "1", "DU7654321"))
    recording.add(execution("DU7654321"))
    recording._stack.close()  # as the end of its process would
    path, part = tmp_path / "one.jsonl", tmp_path / "one.jsonl.part"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) - torn])
    assert complete(path) == lines
    assert len(read_transcript(path).lines) == lines


def test_part_whose_last_line_was_changed(tmp_path: Path) -> None:
    """A line with its break is not torn."""
    recording = begun(tmp_path)
    recording.add(execution("DU7654321"))
    recording.add(execution("DU1112223"))
    recording._stack.close()  # as the end of its process would
    part = tmp_path / "one.jsonl.part"
    part.write_bytes(part.read_bytes().replace(b"DU9000002", b"DU9000003"))
    with pytest.raises(RecordingNotWritten, match=r"one\.jsonl\.part, line 3: it, or a line taken out"):
        complete(tmp_path / "one.jsonl")


def test_part_without_the_name_of_another(tmp_path: Path) -> None:
    """What stands for one account turns out to be the number of a second one, which logs in later."""
    recording = begun(tmp_path)
    recording.add(said(GATEWAY, "15", "1", "DU7654321"))
    recording.add(said(GATEWAY, "15", "1", "DU9000001"))
    recording.add(execution("DU7654321"))
    recording._stack.close()  # as the end of its process would
    assert complete(tmp_path / "one.jsonl") == 3
    found = [line.fields for line in read_transcript(tmp_path / "one.jsonl").lines if isinstance(line, Said)]
    assert (found[1][2], found[2][16]) == ("DU9000002", "DU9000003")


def test_recording_that_was_killed_is_kept(tmp_path: Path) -> None:
    """A second recorder does not write over what the first one has left."""
    (tmp_path / "one.jsonl.part").write_text("of yesterday")
    with pytest.raises(RecordingNotWritten, match=r"was killed; `tracker record --finish .*one\.jsonl`"):
        begun(tmp_path)
    assert os.listdir(tmp_path) == ["one.jsonl.part"]
    assert (tmp_path / "one.jsonl.part").read_text() == "of yesterday"


def test_dropped_recording_leaves_its_part(tmp_path: Path) -> None:
    """Ended by a second Ctrl-C while it was written; one without a message leaves nothing."""
    begun(tmp_path).close()
    assert os.listdir(tmp_path) == []
    recording = begun(tmp_path)
    recording.add(execution("DU7654321"))
    recording.close()
    recording.close()
    assert os.listdir(tmp_path) == ["one.jsonl.part"]


def test_recording_ends_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    recording = begun(tmp_path)
    assert [recording.add(execution("DU7654321")) for _ in range(3)] == [True, True, False]
    recording.close()


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingNotWritten, match="cannot be made: No such file or directory"):
        begun(tmp_path / "absent")
