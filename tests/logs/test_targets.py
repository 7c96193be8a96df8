"""Standard error and the log file take every line, and say plainly when they cannot."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracker.logs.targets import LogFile, StandardError, coloured, json_line, plain
from tracker.logs.writer import LogLine

AT = datetime(2025, 11, 18, 12, 0, 3, 45678, tzinfo=UTC)
SHOWN = f"{AT.astimezone():%Y-%m-%d %H:%M:%S}.045"


def line(text: str, level: str = "INFO") -> LogLine:
    return LogLine(AT, level, lambda: text, whole=True)


def test_line_has_local_time_level_and_words() -> None:
    assert plain(line("fill")) == f"{SHOWN} INFO    fill\n"
    assert coloured(line("stop", "ERROR")) == f"\x1b[32m{SHOWN}\x1b[0m \x1b[31m\x1b[1mERROR  \x1b[0m stop\n"


# Standard error


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


@pytest.mark.parametrize("blocking", [True, False])
def test_whole_text_reaches_a_slow_reader(pipe: tuple[int, io.TextIOWrapper], blocking: bool) -> None:
    """Far more than a pipe holds; whoever shares the pipe may have made it non-blocking."""
    reading, stream = pipe
    os.set_blocking(stream.fileno(), blocking)
    target = StandardError(stream, json_line)
    thread = threading.Thread(target=target.write, args=([line("x" * 300_000), line("end")],))
    thread.start()
    found = b""
    while not found.endswith(b"end"):
        found += os.read(reading, 65_536)
    thread.join()
    assert len(found) == 300_003


def test_stream_without_a_file_is_written_itself() -> None:
    stream = io.StringIO()
    StandardError(stream, plain).write([line("a"), line("b")])
    assert stream.getvalue() == f"{SHOWN} INFO    a\n{SHOWN} INFO    b\n"


def test_reader_that_is_gone_is_an_error(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reading, stream = pipe
    os.dup2(os.open(os.devnull, os.O_RDONLY), reading)
    with pytest.raises(BrokenPipeError):
        StandardError(stream, plain).write([line("a")])


# The file


def log_file(path: Path, limit: int = 100) -> LogFile:
    return LogFile(path, json_line, limit=limit, kept=2)


def test_file_rotates_before_overlong_line(tmp_path: Path) -> None:
    """File is renewed before the line that does not fit."""
    path = tmp_path / "tracker.log"
    (tmp_path / "tracker.log.txt").touch()
    with closing(log_file(path, limit=10)) as target:
        target.write([line(text) for text in ("aaaa\n", "bbbb\n", "cc\n")])
        target.write([line("longer than any file\n"), line("d\n")])
        target.write([line("e\n")])
    assert path.read_text() == "d\ne\n"
    earlier = sorted(tmp_path.glob("tracker.2*.log"))
    assert [each.read_text() for each in earlier] == ["cc\n", "longer than any file\n"]
    assert (tmp_path / "tracker.log.txt").exists()


def test_file_goes_on_where_last_run_ended(tmp_path: Path) -> None:
    path = tmp_path / "tracker.log"
    for text in ("a\n", "b\n"):
        with closing(log_file(path)) as target:
            target.write([line(text)])
    assert path.read_text() == "a\nb\n"


def test_invalid_utf8_is_written_escaped(tmp_path: Path) -> None:
    """Text that is no utf8 is written escaped."""
    path = tmp_path / "tracker.log"
    with closing(log_file(path)) as target:
        target.write([line("half \ud83d\n")])
    assert path.read_text() == "half \\ud83d\n"


def test_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tracker.log"
    os.mkfifo(path)
    with pytest.raises(OSError, match="it is not a regular file"):
        log_file(path)


def test_vanished_folder_is_an_error(tmp_path: Path) -> None:
    """Folder that vanished is an error until it is back."""
    path = tmp_path / "logs" / "tracker.log"
    path.parent.mkdir()
    with closing(log_file(path, limit=5)) as target:
        target.write([line("one\n")])
        path.rename(tmp_path / "away.log")
        path.parent.rmdir()
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                target.write([line("two\n")])
        path.parent.mkdir()
        target.write([line("three\n")])
    assert path.read_text() == "three\n"


def test_torn_line_is_ended_before_the_next(tmp_path: Path) -> None:
    """A full disk takes the first half of a line; a limit of the process shows the same here."""
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tests.logs.test_targets import line, log_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "target = log_file(Path(sys.argv[1]))\n"
        "limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "limit(6)\n"
        "try: target.write([line('too long\\n')])\n"
        "except OSError as error: print(error.strerror)\n"
        "limit(resource.RLIM_INFINITY)\n"
        "target.write([line('whole\\n')])\n"
    )
    path = tmp_path / "tracker.log"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "File too large\n"
    assert path.read_text() == "too lo\nwhole\n"
