"""The lines of the screen: whole within 80 columns, in words, and without what a terminal would obey."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.facts import ACCOUNT, exec_id
from tracker.watch.dialogs import HELP
from tracker.watch.render import HEAD_LINES, Lines, Tone, bars, cut, duration, spread
from tracker.watch.screen_model import ScreenModel, TrackerAway
from tracker.watch.screen_rows import FillRow, OpenAlert, Waiting

NOW = datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)
WIDTH = 80
LINES = Lines(UTC)
FILL = FillRow(
    ACCOUNT, exec_id(1), NOW, "BUY", "10", "NVDA 2025-11-21 122.5 C", "2.512", "NVDA", "opened a/NVDA"
)
ALERT = OpenAlert("prof-and-kian-alerts/GOOGL", "x", "GOOGL 2025-11-21 1222.5 C", "-12", "1234.56", NOW)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def model_of(**status: Any) -> ScreenModel:
    link: dict[str, Any] = {"state": "up", "since": ago(240), "reason": "connected", "last_frame_at": ago(3)}
    link |= {"accounts": [ACCOUNT], "next_attempt_at": None}
    made = ScreenModel(NOW)
    answer = {
        "started_at": ago(300),
        "now": NOW.isoformat(),
        "subscribed": True,
        "link": link,
        "journal": {"mode": "paper"},
        "proven_until": ago(5),
    }
    made.on_connected({**answer, **status, "link": {**link, **status.get("link", {})}}, NOW)
    return made


def head(shown: ScreenModel) -> list[str]:
    lines = LINES.head(shown, "127.0.0.1:8765", NOW, WIDTH)
    assert len(lines) == HEAD_LINES
    assert all(len(line.text) <= WIDTH for line in lines)
    return [line.text for line in lines]


def tone(shown: ScreenModel) -> Tone:
    return LINES.head(shown, "127.0.0.1:8765", NOW, WIDTH)[0].tone


def test_head_of_good_link() -> None:
    """A good link says since when and how old the last message is."""
    first, second, _ = head(model_of())
    assert first.startswith("RECEIVING FILLS  link up since 15:39:10 UTC (4 min)")
    assert first.endswith("last message 3 s ago")
    assert len(first) == WIDTH
    assert second == "DU1234567, paper. Complete until 15:43:05 UTC."
    assert tone(model_of()) is Tone.GOOD


def test_head_of_bad_link() -> None:
    """A bad link says why and what happens next."""
    link = {"state": "waiting", "reason": "nothing listens; retrying in 3 s", "next_attempt_at": ago(-3)}
    shown = model_of(subscribed=False, link=link)
    first, second, third = head(shown)
    assert first.startswith("NOT RECEIVING FILLS  link waiting since")
    assert "nothing listens; retrying in 3 s; next attempt at 15:43:13 UTC." in f"{second} {third}"
    assert tone(shown) is Tone.TROUBLE


def test_unwritable_store_comes_first() -> None:
    """A store that cannot be written comes first."""
    store = {"away": {"written": {"since": ago(60), "reason": "alerts.json is cut off"}}, "undelivered": 2}
    _, second, third = head(model_of(store=store, gaps=["2025-11-17"], fees_pending=1, undecodable=2))
    said = f"{second} {third}"
    assert said.startswith("The alerts cannot be written since 15:42:10 UTC: alerts.json is cut off.")
    assert "1 incomplete day: see `tracker gaps`." in said


def test_long_text_is_cut_visibly() -> None:
    """What has no room is cut and shows that it is."""
    _, second, third = head(model_of(subscribed=False, link={"reason": "a long reason " * 40}))
    assert second.startswith("a long reason")
    assert third.endswith("…")


def test_head_while_daemon_is_away() -> None:
    """A daemon that is away is said with since and what to do."""
    shown = model_of()
    shown.away = TrackerAway(NOW - timedelta(minutes=2), "nothing listens on X; start it with `tracker run`")
    first, second, _ = head(shown)
    assert first.startswith("TRACKER AWAY since 15:41:10 UTC (2 min)")
    assert first.endswith("the lists are as of then")
    assert "start it with `tracker run`" in second
    assert tone(shown) is Tone.TROUBLE


def test_head_before_first_answer() -> None:
    """Before the first answer it says whom it asks."""
    assert head(ScreenModel(NOW))[0] == "Connecting to 127.0.0.1:8765 ..."


def test_head_of_sparse_status() -> None:
    """A daemon that tells little is shown as far as it goes."""
    shown = ScreenModel(NOW)
    shown.on_connected({"subscribed": False}, NOW)
    first, second, _ = head(shown)
    assert first.startswith("NOT RECEIVING FILLS  link unknown")
    assert first.endswith("no message yet")
    assert second.startswith("no reason given.")


def test_rows_keep_their_columns() -> None:
    """Rows keep their columns at 80 and use what a wider terminal has."""
    alert = LINES.alert(ALERT, NOW, WIDTH)
    assert len(alert) == WIDTH
    assert alert.startswith("prof-and-kian-alerts/GOOGL ")
    assert alert.endswith("     -12    1234.56  15:43")
    assert LINES.alerts_title(model_of(), WIDTH).endswith("    held  avg price  since")
    fill = LINES.fill(FILL, NOW, WIDTH)
    assert fill == f"{'15:43:10 BUY    10 NVDA 2025-11-21 122.5 C   2.512 opened a/NVDA':<80}"
    long = replace(FILL, outcome="opened prof-and-kian-alerts/GOOGL")
    assert LINES.fill(long, NOW, WIDTH).endswith("…")
    assert LINES.fill(long, NOW, 100).rstrip().endswith("opened prof-and-kian-alerts/GOOGL")


def test_alert_open_before_any_fill() -> None:
    """An alert that was open before any fill says so."""
    other = replace(
        ALERT, contract="GOOGL 2025-12-04 1222.5 C, asked 2025-12-01", brief="held 12-04, asked 12-01"
    )
    assert "held 12-04, asked 12-01 " in LINES.alert(other, NOW, WIDTH)
    assert "GOOGL 2025-12-04 1222.5 C, asked 2025-12-01 " in LINES.alert(other, NOW, 120)
    assert " no fill " in LINES.alert(replace(ALERT, quantity="", price="", opened_at=None), NOW, WIDTH)


def test_times_in_wanted_zone() -> None:
    """Times are in the zone asked for and other days show their date."""
    eastern = Lines(ZoneInfo("US/Eastern"))
    assert eastern.time(NOW, NOW) == "10:43:10"
    assert eastern.time(NOW, NOW, seconds=False) == "10:43"
    assert eastern.time(NOW - timedelta(days=1), NOW) == "Nov 17"
    assert eastern.time(None, NOW) == "an unknown time"
    assert eastern.moment(NOW, NOW) == "10:43:10 EST"
    assert eastern.moment(NOW - timedelta(days=1), NOW) == "Nov 17"
    assert eastern.fills_title(model_of(), NOW, WIDTH).endswith("newest first, times in EST")


def test_headings_count_shown_and_hidden() -> None:
    """Headings count what there is and what is left out."""
    shown = model_of()
    shown.alerts, shown.alerts_total, shown.store_trouble = (ALERT,), 2, "it is cut off"
    assert LINES.alerts_title(shown, 120).startswith("OPEN ALERTS  2, 1 shown  as last read: it is cut off")
    assert LINES.waiting_title(shown, WIDTH).rstrip() == "NEEDS YOU  0"
    shown.waiting, shown.waiting_total = (Waiting("k", FILL, "near miss: a/NVDA"),), 1
    assert LINES.waiting_title(shown, WIDTH).endswith("w why  a assign  d dismiss  u undo")


def test_undecodable_message_is_one_line() -> None:
    """A message that could not be read is one line."""
    line = LINES.waiting(Waiting("frame 7", None, "execution cannot be read: " + "x" * 99), NOW, WIDTH)
    assert len(line) == WIDTH


@pytest.mark.parametrize("width", range(81))
def test_no_terminal_is_too_narrow(width: int) -> None:
    """A split window or a phone shows what it has room for, and the screen goes on."""
    shown = model_of(subscribed=False, link={"reason": "a long reason " * 9})
    shown.alerts, shown.waiting = (ALERT,), (Waiting("k", FILL, "near miss"),)
    shown.samples.extend([0.004] * 9)
    shown.show_notice(NOW, "assigned")
    assert len(LINES.head(shown, "x", NOW, width)) == HEAD_LINES
    assert LINES.alert(ALERT, NOW, width).endswith("15:43")
    for line in (
        LINES.fill(FILL, NOW, width),
        LINES.waiting(shown.waiting[0], NOW, width),
        LINES.notice(shown, NOW, width),
        LINES.alerts_title(shown, width),
        LINES.waiting_title(shown, width),
        LINES.fills_title(shown, NOW, width),
    ):
        assert len(line) <= max(width, 1)
    assert LINES.latency(shown, width).startswith("MESSAGE TO FILE")


@given(st.text(max_size=30), st.text(max_size=200), st.integers(80, 200))
def test_control_characters_are_replaced(name: str, text: str, width: int) -> None:
    """No text of a stranger reaches the terminal as a command."""
    shown = model_of(link={"reason": text, "accounts": [name]}, subscribed=False)
    shown.store_trouble = text
    shown.show_notice(NOW, text)
    fill = replace(FILL, contract=name, outcome=text, side="\x1b[31m")
    lines = [
        LINES.alert(replace(ALERT, name=name, contract=text), NOW, width),
        LINES.fill(fill, NOW, width),
        LINES.waiting(Waiting("k", fill, text), NOW, width),
        LINES.notice(shown, NOW, width),
        LINES.alerts_title(shown, width),
        *(line.text for line in LINES.head(shown, "x", NOW, width)),
    ]
    assert all(len(line) <= width and line.isprintable() for line in lines)


def test_latency_line_fits() -> None:
    """Latency has its numbers and a plot that fits."""
    shown = model_of()
    assert LINES.latency(shown, WIDTH) == "MESSAGE TO FILE  nothing written since the tracker started"
    shown.samples.extend([0.004, 0.008] * 100)
    line = LINES.latency(shown, WIDTH)
    assert line.startswith("MESSAGE TO FILE  p50 4.0 ms  p99 8.0 ms  max 8.0 ms  of 200  ")
    assert line.endswith("▄█▄█")
    assert len(line) == WIDTH


@pytest.mark.parametrize(
    ("samples", "width", "drawn"),
    [
        ([], 5, ""),
        ([1, 2, 4, 8], 4, "▁▂▄█"),
        ([1, 2, 4, 8], 2, "▄█"),
        ([0, 0], 5, "▁▁"),
        ([0.001, 8], 5, "▁█"),
        ([1], 0, ""),
        ([1], -3, ""),
    ],
)
def test_bars_start_at_zero(samples: list[float], width: int, drawn: str) -> None:
    """Bars stand on zero and every sample is seen."""
    assert bars(samples, width) == drawn


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "4.2 ms"), (0.0146, "15 ms"), (0.5, "500 ms"), (12.34, "12.3 s"), (7300, "2 h")],
)
def test_duration_units(seconds: float, text: str) -> None:
    """Durations have the unit that reads best."""
    assert duration(seconds) == text


def test_right_end_stays_whole() -> None:
    """Where both ends have no room the right one stays whole."""
    assert spread("left side", "right", 10) == "lef… right"
    assert spread("left", "far too long", 6) == "left  "
    assert cut("abc", 0) == "…"


def test_the_help_fits_on_one_screen() -> None:
    lines = HELP.splitlines()
    assert len(lines) <= 22
    assert max(map(len, lines)) <= WIDTH
