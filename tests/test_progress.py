"""How far work is: said every few seconds, in words with counts, and nothing of short work."""

from __future__ import annotations

import pytest

from tracker.progress import Progress, Stage


@pytest.mark.parametrize(
    ("stage", "words", "part"),
    [
        (Stage("reading", 3_100_000, 12_300_000, "byte"), "reading: 3.1 of 12.3 MB", 31 / 123),
        (Stage("taking in", 1, 1, "execution"), "taking in: 1 of 1 execution", 1.0),
        (Stage("taking in", 400, 2000, "execution"), "taking in: 400 of 2000 executions", 0.2),
        (Stage("first sweep", 12, None, "fill"), "first sweep: 12 fills so far", None),
        (Stage("reading", 0, 0, "byte"), "reading: 0.0 of 0.0 MB", 1.0),
    ],
)
def test_stage_in_words(stage: Stage, words: str, part: float | None) -> None:
    assert stage.in_words() == words
    assert stage.part == (None if part is None else pytest.approx(part))


def test_progress_is_said_every_few_seconds() -> None:
    """10 s of work, noted each second: after 3, 6 and 9 s. What ends within 3 s is never said."""
    now = [100.0]
    said: list[int] = []
    progress = Progress(lambda stage: said.append(stage.done), monotonic=lambda: now[0])
    for second in range(11):
        progress.at("first sweep", second)
        now[0] += 1
    assert said == [3, 6, 9]
    assert progress.stage == Stage("first sweep", 10, None, "execution")
    progress.over()
    progress.at("first sweep", 1)
    now[0] += 2
    progress.at("first sweep", 2)
    assert said == [3, 6, 9]
