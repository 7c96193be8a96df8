"""One place of the program writes a bounded number of lines a minute; the others are counted and reported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from tracker.logs import log
from tracker.logs.repeats import MOST, SECONDS, RepeatedLines

REPEATS = 1_000


class Clock:
    """Tell the time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    log.close()
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logger.add(sys.stderr)


def test_further_lines_are_counted() -> None:
    """The first that is left out is announced, and the next minute begins with how many there were."""
    clock = Clock()
    lines = RepeatedLines(clock)
    assert [lines.admit("here") for _ in range(MOST)] == [(True, "")] * MOST
    assert lines.admit("here") == (
        False,
        "many lines like the last one: for 60 s further ones are counted and not written",
    )
    assert lines.admit("here") == (False, "")
    assert lines.admit("elsewhere") == (True, "")
    assert lines.left_out() == 2
    clock.now = SECONDS
    assert lines.admit("here") == (True, "2 lines like the next one were left out")
    assert lines.left_out() == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_repeats_leave_small_log(tmp_path: Path, as_json: bool) -> None:
    """A thousand equal messages, and of a thousand fills each: the end tells how many were left out."""
    path = tmp_path / "tracker.log"
    log.configure("INFO", file=path, as_json=as_json)
    for number in range(REPEATS):
        logger.warning("link lost {}", number)
        log.later("WARNING", lambda: "undecodable", "undecodable")
        log.later("INFO", lambda: "fill")
    log.close()
    lines = path.read_text().splitlines()
    messages = [json.loads(line)["record"]["message"] for line in lines] if as_json else lines
    counted = [sum(word in message for message in messages) for word in ("link lost", "undecodable", "fill")]
    assert counted == [MOST, MOST, REPEATS]
    assert messages[-1].endswith(f"{2 * (REPEATS - MOST)} lines like earlier ones were left out")
    assert len(messages) == 2 * MOST + REPEATS + 3


def test_debug_lines_are_not_counted(tmp_path: Path) -> None:
    """Whoever asks for them wants them all."""
    path = tmp_path / "tracker.log"
    log.configure("DEBUG", file=path)
    for _ in range(2 * MOST):
        logger.debug("a detail")
    log.close()
    assert path.read_text().count("a detail") == 2 * MOST
