"""A recorded client's requests are read as the notes that the tracker makes of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.recordings.test_redaction import EXECUTION
from tracker.core.journal_entries import Entry, Fields, entry_of
from tracker.core.model import Source
from tracker.journal.journal import Journal
from tracker.recordings.link_frames import LinkFrames, client_ids
from tracker.recordings.replay import RecordedClock
from tracker.recordings.transcript import CLIENT, GATEWAY, LinkClosed, Said, Side

BEGAN = datetime(2025, 11, 18, 17, 0, tzinfo=UTC)
LOGIN: tuple[tuple[Side, Fields], ...] = (
    (CLIENT, ("API", "v157..176")),
    (GATEWAY, ("API", "176", "20251118 12:00:00 EST")),
    (CLIENT, ("71", "2", "7", "")),
    (GATEWAY, ("15", "1", "DU9000001,DU9000002")),
)
SWEEP = ("7", "3", "5", "0", "DU9000001", "", "", "", "", "")
OTHER = (*SWEEP[:2], "6", "0", "DU9000002", *SWEEP[5:])


Message = tuple[Side, Fields]


class Link:
    """Feed lines to one link and gather what would be journalled."""

    def __init__(self, folder: Path) -> None:
        self.clock = RecordedClock(BEGAN)
        self.journal = Journal(folder / "journal.db")
        self.frames = LinkFrames(self.journal, UTC, timedelta(seconds=20), self.clock)

    def say(self, *lines: Message, blocked: bool = False) -> list[str]:
        """Return the name of each note, and field 0 of each message of the broker."""
        found = []
        for by, fields in lines:
            for source, each in self.frames.frames_of(Said(0.0, 1, by, fields, blocked)):
                found.append(_name(source, each))
        return found


def _name(source: Source, fields: Fields) -> str:
    entry: Entry | None = entry_of(source, fields)
    return fields[0] if entry is None else type(entry).__name__


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    link = Link(tmp_path)
    yield link
    link.journal.close()


def test_login_is_a_link_that_is_up(link: Link) -> None:
    """What came ahead of the accounts comes after it."""
    lost: Message = (GATEWAY, ("4", "2", "-1", "1100", "lost", ""))
    assert link.say(*LOGIN[:3], lost) == []
    assert link.say(LOGIN[3], LOGIN[3]) == ["LinkUp", "4"]


def test_requests_are_notes(link: Link) -> None:
    link.say(*LOGIN)
    asked: tuple[Message, ...] = (
        (CLIENT, ("61", "1")),
        (CLIENT, SWEEP),
        (CLIENT, ("16", "1")),
        (CLIENT, ("99", "0")),
    )
    notes = ["PositionsAsked", "ExecutionsAsked", "OpenOrdersAsked", "CompletedOrdersAsked"]
    assert link.say(*asked) == notes
    assert link.say(*asked, blocked=True) == []


@pytest.mark.parametrize(
    "fields",
    [
        ("7", "3", "5", "7", "DU9000001", "", "", "", "", ""),
        ("7", "3", "5", "0", "DU9000001", "20251118 10:00:00", "", "", "", ""),
        ("7", "3", "5", "0", "DU9000001", "", "NVDA", "", "", ""),
        ("5", "1"),
        ("3", "1"),
    ],
)
def test_other_requests_prove_nothing(link: Link, fields: Fields) -> None:
    """One client's executions, those since a time or of a symbol, own orders."""
    link.say(*LOGIN)
    assert link.say((CLIENT, fields)) == []


def test_first_sweep_is_over_after_each_account(link: Link) -> None:
    link.say(*LOGIN)
    assert link.say((CLIENT, SWEEP), (GATEWAY, ("55", "1", "5"))) == ["ExecutionsAsked", "55", "SweepChecked"]
    second = link.say((CLIENT, OTHER), (GATEWAY, ("55", "1", "6")))
    assert second == ["ExecutionsAsked", "55", "SweepChecked", "FirstSweepOver"]
    assert "FirstSweepOver" not in link.say((CLIENT, SWEEP), (GATEWAY, ("55", "1", "5")))


def test_sweep_of_all_accounts_is_enough(link: Link) -> None:
    """As other programs ask."""
    link.say(*LOGIN)
    everyone = (*SWEEP[:4], "", *SWEEP[5:])
    assert link.say((CLIENT, everyone), (GATEWAY, ("55", "1", "5")))[-1] == "FirstSweepOver"


def test_missing_end_is_a_timeout(link: Link) -> None:
    """Noted when the tracker would have noted it; what ends later ends nothing."""
    link.say(*LOGIN)
    link.say((CLIENT, ("61", "1")), (CLIENT, SWEEP))
    link.clock.time += timedelta(seconds=19)
    assert link.say((GATEWAY, ("62", "1"))) == ["62"]
    link.clock.time += timedelta(seconds=1)
    assert link.say((GATEWAY, ("9", "1", "5"))) == ["RequestTimedOut"]
    assert link.say((GATEWAY, ("55", "1", "5"))) == ["55"]


def test_repeats_are_left_out(link: Link) -> None:
    """As the capture does: a copy of a status, data that is none of the tracker's."""
    link.say(*LOGIN)
    status: Message = (GATEWAY, ("3", "1", "Filled", "4", "0", "2.5", "188", "0", "2.5", "7", "", "0"))
    fill: Message = (
        GATEWAY,
        (*EXECUTION, "DU9000001", "CBOE", "BOT", "4", "2.5", "188", "7", "0", "4", "2.5", *[""] * 5),
    )
    assert link.say(status, status, fill, fill) == ["3", "11"]
    assert link.say((GATEWAY, ("1", "6", "5", "1", "2.5"))) == []


def test_end_of_the_link_is_noted(link: Link) -> None:
    link.say(*LOGIN)
    (found,) = link.frames.frames_of(LinkClosed(9.0, 1, GATEWAY))
    assert entry_of(*found).reason == "the gateway closed the connection"  # type: ignore[union-attr]  # it is one


def test_client_ids_are_those_of_logins() -> None:
    lines = [Said(0.0, link, by, fields) for link in (1, 2) for by, fields in LOGIN]
    assert client_ids([*lines, Said(0.0, 3, CLIENT, ("API", "v157..176"))]) == {1: 7, 2: 7}
