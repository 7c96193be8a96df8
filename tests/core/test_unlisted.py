"""Which booked executions an answer about the day left out; without any it is a proof."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.facts import ACCOUNT, START, Story, exec_id, execution
from tracker.journal.journal import Journal

LATER = START + timedelta(hours=1)


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        ((), 2),
        ((exec_id(1),), 1),
        ((exec_id(1), exec_id(2)), 0),
        ((exec_id(1, 2), exec_id(2)), 0),
        ((exec_id(9), exec_id(2), "0000e0d5.00000003.01.01.01"), 1),
    ],
)
def test_what_an_answer_left_out_is_counted(journal: Journal, listed: tuple[str, ...], missing: int) -> None:
    with journal.step():
        story = Story(state=journal.state)
        story.tell(execution(exec_id(7), 1, at=-3600), execution(exec_id(8), 1, account="DU9000001"))
        story.tell(execution(exec_id(1), 4), execution(exec_id(2), 4, at=1))
    assert journal.count_missing(ACCOUNT, listed, START - timedelta(seconds=1), LATER) == missing


@pytest.mark.parametrize(
    ("listed", "missing"),
    [((exec_id(1, 2), exec_id(2)), 0), ((exec_id(1, 2),), 1), ((exec_id(1), exec_id(2)), 0), (("",), 3)],
)
def test_answer_with_one_version_lacks_none(journal: Journal, listed: tuple[str, ...], missing: int) -> None:
    """An answer that names one version leaves out none."""
    with journal.step():
        story = Story(state=journal.state)
        story.tell(execution(exec_id(1), 4), execution(exec_id(2), 4, at=1), execution(exec_id(1, 2), 3))
    assert journal.count_missing(ACCOUNT, listed, START - timedelta(seconds=1), LATER) == missing


def test_answer_may_lack_later_fills(journal: Journal) -> None:
    """A soak at 50 fills a second proved nothing: some fill had always come while an answer was read."""
    with journal.step():
        story = Story(state=journal.state)
        story.tell(execution(exec_id(1), 4))
        asked = story.now + timedelta(seconds=0.5)
        story.tell(execution(exec_id(2), 4, at=1), after=1)
    since = START - timedelta(seconds=1)
    assert journal.count_missing(ACCOUNT, (exec_id(1),), since, asked) == 0
    assert journal.count_missing(ACCOUNT, (exec_id(2),), since, asked) == 1
