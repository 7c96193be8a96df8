"""A year of one account: trades, splits, assignments, expiries, a bust, a rebook, a downtime, renumberings.

What the alerts show at each month's end is what the year's table says, written by hand, whatever way the
tracker learnt of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.sim.runs import IN_MEMORY
from tests.support.worked_year import expected
from tests.support.year_player import Way, YearPlayer

LEFT_OPEN = {Way.LIVE: [], Way.COLD: [], Way.MIXED: ["2025-12-31"]}
DOWNTIME = ("2025-05-13", "2025-05-14", "2025-05-15")


@contextmanager
def player_of(way: Way) -> Iterator[YearPlayer]:
    folder = TemporaryDirectory(prefix="tracker-year-", dir=IN_MEMORY)
    with folder as path, YearPlayer(Path(path), way) as player:
        yield player


@pytest.mark.parametrize("way", [Way.LIVE, Way.COLD, Way.MIXED])
def test_each_month_ends_right(way: Way) -> None:
    """Live, from the reports alone, and mixed."""
    with player_of(way) as player:
        for month in range(1, 13):
            player.play(month)
            table = {name: shown for name, shown in expected(month).items() if shown != "-"}
            assert (month, player.shown()) == (month, table)
            assert (month, player.held()) == (month, player.truth())
        gaps = player.gaps()
        # A trade date ends on its evening, so the last day of a report waits for the next one.
        assert [day for day, how in gaps.items() if not how] == LEFT_OPEN[way]
        if way is Way.LIVE:
            assert tuple(day for day, how in gaps.items() if how != "sweep") == DOWNTIME
            assert {gaps[day] for day in DOWNTIME} == {"flex"}


def test_report_of_the_whole_year() -> None:
    """It begins with what the broker holds at the end, and learns of all that happened before."""
    with player_of(Way.LATE) as player:
        for month in range(1, 13):
            player.play(month)
        player.begin_late()
        assert player.shown() == expected(12)
        assert player.held() == player.truth()
