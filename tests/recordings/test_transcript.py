"""The transcript's format, and how a damaged one is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracker.recordings.transcript import (
    CLIENT,
    GATEWAY,
    Line,
    LinkClosed,
    Said,
    TranscriptHead,
    TranscriptUnusable,
    TranscriptWriter,
    read_transcript,
)

HEAD = TranscriptHead(datetime(2025, 11, 18, 17, 0, tzinfo=UTC), "US/Eastern", "tracker 1")
LINES: tuple[Line, ...] = (
    Said(0.5, 1, CLIENT, ("API", "v157..176")),
    Said(0.75, 1, GATEWAY, ("API", "176", "20251118 12:00:00 EST")),
    Said(1.25, 1, CLIENT, ("3", "1", 'say "hé"'), blocked=True),
    LinkClosed(2.0, 1, CLIENT),
)


def written(lines: tuple[Line, ...] = LINES) -> str:
    file = io.StringIO()
    writer = TranscriptWriter(file, HEAD)
    for line in lines:
        writer.write(line)
    writer.finish()
    return file.getvalue()


def read(folder: Path, text: str) -> tuple[Line, ...]:
    path = folder / "one.jsonl"
    path.write_text(text, "utf-8")
    return read_transcript(path).lines


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(written(), "utf-8")
    found = read_transcript(path)
    assert (found.head, found.lines) == (HEAD, LINES)


def test_each_line_is_json_of_one_message() -> None:
    lines = written().splitlines()
    assert len(lines) == len(LINES) + 2
    assert lines[1].startswith(
        '{"at": 0.5, "link": 1, "from": "client", "fields": ["API", "v157..176"], "sum": "'
    )


def order(*places: int) -> Callable[[str], str]:
    """Return what keeps these lines, in this order."""
    return lambda text: "".join(text.splitlines(keepends=True)[place] for place in places)


def replace(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (replace('"at": 0.75', '"at": 0.76'), "line 3: it, or a line taken out before it, was changed"),
        (replace("EST", "CST"), "line 3: it, or a line taken out before it, was changed"),
        (replace("US/Eastern", "US/Central"), "line 1: it, or a line taken out before it, was changed"),
        (lambda text: "".join(text.splitlines(keepends=True)[:3]), "line 4: the end is missing"),
        (lambda text: text[:-100], "line 5: it is cut off"),
        (lambda text: text[:170], "line 2: it is cut off"),
        (order(0, 1, 3, 4, 5), "line 3: it, or a line taken out before it, was changed"),
        (order(0, 2, 1, 3, 4, 5), "line 2: it, or a line taken out before it, was changed"),
        (lambda text: text + text.splitlines()[1], "line 7: more follows after the end"),
        (lambda text: "", "no transcript is in it"),
        (lambda text: "hello\n" + text, ""),
        (lambda text: "{hello\n" + text, "line 1: it is cut off or no line of a transcript"),
    ],
)  # fmt: skip
def test_damage_is_refused_with_its_line(
    tmp_path: Path, damage: Callable[[str], str], complaint: str
) -> None:
    """Edited, cut, swapped, removed or added lines; what stands before the first one is a report's."""
    if not complaint:
        assert read(tmp_path, damage(written())) == LINES
        return
    with pytest.raises(TranscriptUnusable, match=r"^one\.jsonl") as refused:
        read(tmp_path, damage(written()))
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (Said(-1.0, 1, CLIENT, ("71",)), "line 2: it names no time or no link"),
        (Said(float("nan"), 1, CLIENT, ("71",)), "line 2: it names no time or no link"),
        (Said(1.0, True, CLIENT, ("71",)), "line 2: it names no time or no link"),
        (Said(1.0, 1, "nobody", ("71",)), "line 2: it does not say who sent it"),  # type: ignore[arg-type]  # on purpose
        (Said(1.0, 1, CLIENT, ()), "line 2: its fields are no list of texts"),
        (Said(1.0, 1, CLIENT, ("71", 2)), "line 2: its fields are no list of texts"),  # type: ignore[arg-type]  # on purpose
        (Said(1.0, 1, CLIENT, ("71", "a\0b")), "line 2: a field holds NUL"),
    ],
)  # fmt: skip
def test_lines_that_say_nothing_are_refused(tmp_path: Path, line: Line, complaint: str) -> None:
    with pytest.raises(TranscriptUnusable) as refused:
        read(tmp_path, written((line,)))
    assert complaint in str(refused.value)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"{\xff\xfe")
    with pytest.raises(TranscriptUnusable, match="image: it is no text"):
        read_transcript(tmp_path / "image")
    with pytest.raises(TranscriptUnusable, match="cannot be read"):
        read_transcript(tmp_path / "absent")
